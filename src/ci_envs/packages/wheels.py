"""What a wheel says of itself, read without unpacking it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Wheel", "read_wheel", "told_tags"]

#: A metadata file that is larger is none.
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wheel:
    """The metadata of a wheel, as its archive has it."""

    path: Path
    #: Normalised as PEP 503 asks.
    name: str
    version: str
    #: The folder of its metadata: ``six-1.17.0.dist-info``.
    folder: str
    #: The text of WHEEL.
    wheel: str


def read_wheel(path: Path) -> Wheel | None:
    """The wheel; ``None`` where it cannot be read, or its file name says something else than its metadata.

    An installer chooses among wheels by their file names, and a hash speaks for what is in a file, not for what it is
    called. So name, version and tags of the file name must be those inside (PEP 427, "File name convention").
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, build, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            folder = _metadata_folder(archive)
            text = _text(archive, f"{folder}/WHEEL")
    except (InvalidWheelFilename, OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None
    told = {f"Tag: {tag}" for tag in tags} | ({f"Build: {build[0]}{build[1]}"} if build else set())
    if {line.lower() for line in told_tags(text)} != {line.lower() for line in told}:
        return None
    wheel = Wheel(path, name, str(version), folder, text)
    return wheel if _names(wheel) else None


def told_tags(wheel: str) -> list[str]:
    """The lines of WHEEL that say which of a release's wheels it is, with one line for each tag (PEP 427)."""
    from packaging.tags import parse_tag

    lines = [line.strip() for line in wheel.splitlines()]
    tags = {f"Tag: {tag}" for line in lines if line.startswith("Tag:") for tag in parse_tag(line[4:].strip())}
    return sorted(tags | {f"Build: {line[6:].strip()}" for line in lines if line.startswith("Build:")})


def _names(wheel: Wheel) -> bool:
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    name, _, version = wheel.folder.removesuffix(".dist-info").rpartition("-")
    try:
        return canonicalize_name(name) == wheel.name and Version(version) == Version(wheel.version)
    except InvalidVersion:
        return False


def _metadata_folder(archive: zipfile.ZipFile) -> str:
    """Its one ``.dist-info`` folder. :class:`ValueError` where it has none, or several."""
    tops = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
    (folder,) = [top for top in tops if top.endswith(".dist-info")]
    return folder


def _text(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} is too large")
    return archive.read(name).decode("utf-8", "replace")
