"""Whose an installed distribution is: conda's, or an installer's of Python's that came after it. Pure.

conda packages bring Python distributions with metadata of their own. ``pip install`` in such an environment removes
the files of conda's distribution and writes its own; conda's record stays, and nobody takes back what it says.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ci_envs.conda.credentials import shown_address
from ci_envs.model.inventory import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ci_envs.model.conda_record import Claim, CondaRecord
    from ci_envs.model.inventory import Inventory

    #: The bytes of a file of the environment by its relative path; ``None`` where it is not there.
    Read = Callable[[str], bytes | None]

__all__ = ["Ownership", "channel_of", "ownership", "with_conda"]

_METADATA = re.compile(r"((?:.*/)?(?:site|dist)-packages/([^/]+)\.(?:dist|egg)-info)(?:/|$)")

#: What conda's own tools write into INSTALLER, or leave out.
_OWN_INSTALLERS = (b"", b"conda")

_DEFAULT_HOST = "https://conda.anaconda.org"
_DEFAULTS = "https://repo.anaconda.com"


class Ownership(NamedTuple):
    """Who brought which distribution."""

    #: Metadata folder -> the conda package that brought it and whose it still is.
    brought: Mapping[str, CondaRecord]
    #: Name of a conda package -> the normalised names of the distributions that its files are.
    brings: Mapping[str, tuple[str, ...]]
    #: Names of conda packages over whose distributions another installer has written.
    replaced: frozenset[str]


def ownership(records: Iterable[CondaRecord], installed: Mapping[str, str], read: Read) -> Ownership:
    """``installed`` are the metadata folders that are there, each with its distribution's normalised name.

    A folder that conda claims is another installer's where its RECORD is not conda's and its INSTALLER names one:
    pip writes the same folder for the same version.
    """
    folders = {record.name: _folders(record) for record in records}
    claimed = {folder: record for record in records for folder in folders[record.name]}
    brought = {
        folder: record
        for folder, record in claimed.items()
        if folder in installed and not _is_anothers(folders[record.name][folder], folder, read)
    }
    others = {name for folder, name in installed.items() if folder not in brought}
    brings = {name: tuple(sorted({_distribution(folder) for folder in found})) for name, found in folders.items()}
    replaced = {
        record.name for folder, record in claimed.items() if folder not in brought and _distribution(folder) in others
    }
    return Ownership(brought, {name: found for name, found in brings.items() if found}, frozenset(replaced))


def _folders(record: CondaRecord) -> dict[str, dict[str, Claim]]:
    """The metadata folders that a record claims files of, with these files by name."""
    found: dict[str, dict[str, Claim]] = {}
    for claim in record.claims:
        match = _METADATA.match(claim.path) if "-info" in claim.path else None
        if match:
            found.setdefault(match[1], {})[claim.path[match.end() :]] = claim
    return found


def _is_anothers(claims: Mapping[str, Claim], folder: str, read: Read) -> bool:
    claim, data = claims.get("RECORD"), read(f"{folder}/RECORD")
    if claim is None or data is None or not claim.sha256:
        return False
    same = hashlib.sha256(data).hexdigest() in (claim.sha256, claim.installed)
    return not same and (read(f"{folder}/INSTALLER") or b"").strip() not in _OWN_INSTALLERS


def _distribution(folder: str) -> str:
    name = folder.rpartition("/")[2].rpartition(".")[0].partition("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def with_conda(inventory: Inventory, records: Iterable[CondaRecord], read: Read) -> Inventory:
    """The inventory with conda's packages, each Python distribution with the package that brought it."""
    records = tuple(records)
    if not records:
        return inventory
    installed = {found.metadata: found.name for found in inventory.distributions if found.manager == "python"}
    owned = ownership(records, installed, read)
    python = [
        msgspec.structs.replace(found, brought_by=owned.brought[found.metadata].name)
        if found.metadata in owned.brought
        else found
        for found in inventory.distributions
    ]
    conda = [_package(record, owned.brings.get(record.name, ())) for record in records]
    return msgspec.structs.replace(inventory, distributions=(*python, *conda))


def _package(record: CondaRecord, brings: tuple[str, ...]) -> Distribution:
    return Distribution(
        name=record.name,
        version=record.version,
        manager="conda",
        requires=record.depends,
        metadata=record.path,
        build=record.build,
        channel=channel_of(record),
        sha256=record.sha256,
        brings=brings,
    )


def channel_of(record: CondaRecord) -> str:
    """The address of the channel that a package came from, without credentials and without its folder.

    A record's ``channel`` may be a name (``conda-forge``, ``defaults``); then it is where conda looks for such a one.
    """
    address = record.url.rpartition("/")[0] if "/" in record.url else record.channel
    address = shown_address(address).rstrip("/")
    address = address.removesuffix(f"/{record.subdir}") if record.subdir else address
    if not address or "://" in address:
        return address
    host = _DEFAULTS if address.startswith("pkgs/") else _DEFAULT_HOST
    return f"{host}/{address}" if address != "defaults" else f"{_DEFAULTS}/pkgs/main"
