"""A requirements.txt that a person pinned: the lock itself (``pip freeze``), or a short list of what is wanted.

Both look the same. The second leaves out what its packages need, and installed as it is it does not run; only the
packages' metadata tell the two apart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, LockError
from ci_envs.layout import write_atomically
from ci_envs.locks.requirements import classify, read_requirements
from ci_envs.patterns.installing import uv

if TYPE_CHECKING:
    from ci_envs.work import Work

__all__ = ["names_everything"]


def names_everything(work: Work, files: tuple[str, ...]) -> bool:
    """Whether the files pin all that their packages need; taken for true where nothing can tell.

    A lock with hashes is whole by itself: pip refuses one that is not. Of the others uv tells, from metadata alone;
    the answer is kept for as long as the files stay the same.
    """
    texts = [work.project.text(name) or "" for name in files]
    if all(classify(text) == "lock" for text in texts) or work.policy.offline:
        return True
    words = [work.leg.python, work.leg.platform, *texts]
    known = work.layout.state / "whole" / hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
    if known.is_file():
        return True
    if missing := _missing(work, files):
        work.find("LOCK004", "info", "not a whole lock", _sentence(files, missing), file=files[0])
        return False
    write_atomically(known, b"")
    return True


def _missing(work: Work, files: tuple[str, ...]) -> set[str]:
    """Names that a resolver adds; none where it cannot tell, which the build and its checks then will."""
    words = ("pip", "compile", "--no-header", "--no-annotate", "--quiet", "--python", work.interpreter.executable)
    env = {} if work.leg.pattern == "uv" else work.pip_indexes
    markers = work.interpreter.markers
    try:
        outcome = uv(work, *words, *map(work.project.path, files), env=env, network=False)
        if not outcome:
            return set()
        whole = read_requirements(outcome.stdout, path=files[0], markers=markers).lock
        named = [read_requirements(work.project.text(name) or "", path=name, markers=markers).lock for name in files]
    except (BrokenError, LockError):
        return set()
    return {pin.name for pin in whole.pins} - {pin.name for lock in named for pin in lock.pins}


def _sentence(files: tuple[str, ...], missing: set[str]) -> str:
    shown = ", ".join(sorted(missing)[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return (
        f"{', '.join(files)} pins versions but not all that they need ({shown}): "
        "it is taken for what is wanted, and the lock is a file of its own"
    )
