"""What the channels of a leg could have brought of what pip installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.conda.asked import read_asked
from ci_envs.conda.python_names import conda_name
from ci_envs.conda.solving import known_to_channels
from ci_envs.conda.targets import platform_of

if TYPE_CHECKING:
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["distributions_of_channels"]


def distributions_of_channels(lock: Lock, work: Work) -> frozenset[str]:
    """Which of the lock's Python distributions the leg's channels have as well; normalised names.

    Only repodata that is in the cache is looked at: a build from a lock asks no channel what it has.
    """
    named = {conda_name(pin.name): pin.name for pin in lock.of("python")}
    asked = read_asked(work.leg, work)
    if not named or not asked.channels:
        return frozenset()
    found = known_to_channels(named, asked.channels, platform_of(work.leg), asked.settings, offline=True)
    return frozenset(named[name] for name in found)
