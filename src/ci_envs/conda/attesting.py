"""The conda half of proving a new environment: conda-meta against what the locked packages held."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ci_envs.cache import cache_root
from ci_envs.conda.frontends import choose
from ci_envs.conda.locking import installed_packages
from ci_envs.conda.package_ledger import PackageLedger, attest_records

if TYPE_CHECKING:
    from collections.abc import Collection

    from ci_envs.conda.package_ledger import Attestation
    from ci_envs.model.content import Content
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["attest_conda", "forget"]


def attest_conda(content: Content, lock: Lock, work: Work) -> Attestation:
    """What the ledger says of the packages of an environment that was just built.

    Every front end writes to a cache of ours alone, and has checked the hashes that the lock names: what the ledger
    does not know holds as it is first seen.
    """
    marks = None if os.name == "nt" else {entry.path for entry in content.entries if entry.executable}
    return attest_records(
        work.prefix,
        installed_packages(work.leg, work, lock),
        content.conda,
        PackageLedger(cache_root(work.environ) / "conda" / "packages"),
        trust_first=True,
        executable=marks,
    )


def forget(names: Collection[str], lock: Lock, work: Work) -> None:
    """Takes packages out of the front end's cache, so that they are downloaded anew."""
    frontend = choose(work.config.conda, work.leg.pattern, work.environ)
    frontend.forget(work, [each for each in installed_packages(work.leg, work, lock) if each.name in names])
