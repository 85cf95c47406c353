"""The hash of an intent that a ``conda-lock.yml`` carries for each platform, computed by conda-lock's own functions.

It is written for conda-lock's sake (``conda-lock lock --check-input-hash`` leaves a lock alone whose hashes agree) and
decides nothing here: a lock is judged by what it holds (:mod:`ci_envs.conda.staleness`). conda-lock agrees where it is
given the same files and the same virtual packages: ``--without-cuda`` for a lock without CUDA, ``--with-cuda 12.4``
for one with it. It cannot agree where other virtual packages than that were asked for, or where ``pip-repositories``
or a ``pyproject.toml`` are among the sources: it reads more from these than is known here.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.conda.conda_lock_parts import conda_lock_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.model.conda import MatchLine, PipLine

__all__ = ["content_hash"]


def content_hash(
    specs: Sequence[MatchLine],
    channels: Sequence[str],
    platform: str,
    virtual: Mapping[str, str],
    pip: Sequence[PipLine] = (),
) -> str:
    """SHA-256 of what is asked for on one platform, in hexadecimal.

    ``channels`` are as the intent writes them. Lines that stand in no file (a leg's own Python) are not conda-lock's
    to see. An intent with something that conda-lock cannot read gets a hash of our own over the same words: as
    stable, and no other tool's to compare.
    """
    hashing = conda_lock_part("content_hash")
    meant = [line for line in specs if line.file and (not line.platforms or platform in line.platforms)]
    lines = [line for line in pip if line.file and (not line.platforms or platform in line.platforms)]
    named = [name for name in channels if name != "nodefaults"]
    cuda = virtual.get("__cuda", "")
    try:
        dependencies = {platform: _dependencies(meant, lines, platform)}
    except Exception:  # noqa: BLE001 - conda-lock's parsers raise whatever their own libraries do
        said = [sorted([line.text, line.category] for line in some) for some in (meant, lines)]
        return hashlib.sha256(msgspec.json.encode([platform, named, cuda, *said])).hexdigest()
    channel = conda_lock_part("models.channel").Channel
    asked = conda_lock_part("models.lock_spec").LockSpecification(
        dependencies=dependencies, channels=[channel(url=url, used_env_vars=()) for url in named], sources=[]
    )
    return str(hashing.compute_content_hashes(asked, _virtual_packages(cuda))[platform])


@cache
def _virtual_packages(cuda: str) -> Any:
    return conda_lock_part("virtual_package").default_virtual_package_repodata(cuda_version=cuda)


def _dependencies(specs: Sequence[MatchLine], pip: Sequence[PipLine], platform: str) -> list[Any]:
    """As conda-lock reads an ``environment.yml``: the last of one name counts, and ``pip:`` asks for pip."""
    pip_asked_for = conda_lock_part("models.lock_spec").VersionedDependency(name="pip", manager="conda", version="*")
    read_spec = conda_lock_part("src_parser.conda_common").conda_spec_to_versioned_dep
    holds_on = conda_lock_part("src_parser.markers").evaluate_marker
    read_requirement = conda_lock_part("src_parser.pyproject_toml").parse_python_requirement

    found = [read_spec(line.text, line.category) for line in specs]
    distributions = [
        # The mapping of names is for the other manager only, and would be downloaded.
        read_requirement(line.text, manager="pip", category=line.category, mapping_url="")
        for line in pip
        if not line.text.startswith("-e ")
    ]
    found += [one for one in distributions if holds_on(one.markers, platform)]
    if pip:
        found.append(pip_asked_for)
    return list({(one.manager, one.name): one for one in found}.values())
