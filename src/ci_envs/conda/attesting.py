"""The conda half of proving a new environment: conda-meta against what the locked packages held."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ci_envs.conda.frontends import choose
from ci_envs.conda.locking import installed_packages
from ci_envs.conda.package_ledger import Attestation, attest_records
from ci_envs.conda.rattler_frontend import package_cache
from ci_envs.content import read_content
from ci_envs.errors import BuildError
from ci_envs.record_check import damaged_packages

if TYPE_CHECKING:
    from collections.abc import Collection

    from ci_envs.model.content import Content
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["attest_conda", "forget", "refuse_altered"]


def attest_conda(content: Content, lock: Lock, work: Work) -> Attestation:
    """What the ledger says of the packages of an environment that was just built.

    Every front end writes to a cache of ours alone, and has checked the hashes that the lock names: what the ledger
    does not know holds as it is first seen.
    """
    packages = [each for each in installed_packages(work.leg, work, lock) if each.manager == "conda"]
    if not content.is_conda and any(entry.path.startswith("conda-meta/") for entry in content.entries):
        # A package has brought a pyvenv.cfg, by which the environment passes for another kind.
        return Attestation(altered=tuple(sorted(each.name for each in packages)))
    marks = None if os.name == "nt" else {entry.path for entry in content.entries if entry.executable}
    return attest_records(
        work.prefix,
        packages,
        content.conda,
        package_cache(work).ledger,
        trust_first=True,
        executable=marks,
    )


def refuse_altered(lock: Lock, work: Work) -> None:
    """:class:`BuildError` where what was linked is not what the packages held; whoever builds has it fetched anew."""
    content = read_content(work.prefix)
    altered = {*attest_conda(content, lock, work).altered, *damaged_packages(content)}
    if altered:
        raise BuildError(f"the package cache gave altered files of {', '.join(sorted(altered))}")


def forget(names: Collection[str], lock: Lock, work: Work) -> None:
    """Takes packages out of the front end's cache, so that they are downloaded anew."""
    frontend = choose(work.config.conda, work.leg.pattern, work.environ)
    frontend.forget(work, [each for each in installed_packages(work.leg, work, lock) if each.name in names])
