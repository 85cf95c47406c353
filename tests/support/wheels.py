"""Real, tiny, deterministic wheels and sdists, and sick ones made from them.

hatchling builds them from a throw-away tree, so that RECORD, METADATA and tags are what a builder writes.
The sdists carry their own build backend (``tiny_backend.py``): building one downloads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

__all__ = [
    "BACKEND",
    "altered",
    "as_other_file",
    "make_sdist",
    "make_wheel",
    "members",
    "with_bad_crc",
    "with_duplicate_member",
    "with_escaping_member",
    "with_other_metadata",
    "with_trailing_bytes",
    "with_wrong_record",
]

#: The backend that sdists and example packages carry.
BACKEND = Path(__file__).with_name("tiny_backend.py")

#: ``[build-system]`` for a project that carries :data:`BACKEND`.
BUILD_SYSTEM: dict[str, Any] = {"requires": [], "build-backend": "tiny_backend", "backend-path": ["."]}

Files = Mapping[str, str | bytes]

_EPOCH = (2020, 1, 1, 0, 0, 0)


class _Tagged(WheelBuilder):
    """Builds for the tags it is told; anything but ``any`` goes to platlib."""

    tags = "py3-none-any"

    def get_default_build_data(self) -> dict[str, Any]:
        pure = self.tags.endswith("-any")
        return {**super().get_default_build_data(), "tag": self.tags, "pure_python": pure}


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    modules: Files | None = None,
    scripts: Mapping[str, str] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    extras: Mapping[str, Sequence[str]] | None = None,
    tags: str = "py3-none-any",
    data_scripts: Mapping[str, str] | None = None,
    requires_python: str = ">=3.8",
) -> Path:
    """Builds a wheel into ``folder`` and returns its path.

    ``modules`` maps paths inside the wheel to their text; by default one package of the wheel's name with its
    ``__version__``. ``scripts`` are console scripts (``{"eat": "apple:main"}``), ``data_scripts`` files that are
    installed as they are into the environment's ``bin``.
    """
    files = _default_modules(name, version) if modules is None else modules
    project = _project(
        name, version, requires_python, requires=requires, scripts=scripts, extras=extras, entry_points=entry_points
    )
    target: dict[str, Any] = {"only-include": sorted({path.split("/")[0] for path in files})}
    if not files:
        target = {"bypass-selection": True}
    if data_scripts:
        target["shared-scripts"] = {f".data/{script}": script for script in data_scripts}
        files = {**files, **{f".data/{script}": text for script, text in data_scripts.items()}}
    with tempfile.TemporaryDirectory() as tree:
        _write_tree(Path(tree), files, {"project": project, "tool": _hatch("wheel", target)})
        builder = type("_Tagged", (_Tagged,), {"tags": tags})(tree)
        return Path(next(builder.build(directory=str(folder), versions=["standard"])))


def make_sdist(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    modules: Files | None = None,
    scripts: Mapping[str, str] | None = None,
    extras: Mapping[str, Sequence[str]] | None = None,
    requires_python: str = ">=3.8",
) -> Path:
    """Builds an sdist into ``folder``; its backend is inside it and needs nothing."""
    files = _default_modules(name, version) if modules is None else modules
    project = _project(name, version, requires_python, requires=requires, scripts=scripts, extras=extras)
    target = {"only-include": sorted({path.split("/")[0] for path in files} | {"tiny_backend.py"})}
    pyproject = {"build-system": BUILD_SYSTEM, "project": project, "tool": _hatch("sdist", target)}
    with tempfile.TemporaryDirectory() as tree:
        _write_tree(Path(tree), files, pyproject)
        shutil.copyfile(BACKEND, Path(tree, BACKEND.name))
        return Path(next(SdistBuilder(tree).build(directory=str(folder), versions=["standard"])))


def _default_modules(name: str, version: str) -> Files:
    return {f"{name.replace('-', '_').lower()}/__init__.py": f'__version__ = "{version}"\n'}


def _project(
    name: str,
    version: str,
    requires_python: str,
    *,
    requires: Sequence[str],
    scripts: Mapping[str, str] | None,
    extras: Mapping[str, Sequence[str]] | None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "description": f"A tiny {name} for tests.",
        "requires-python": requires_python,
        "dependencies": list(requires),
        "optional-dependencies": {extra: list(texts) for extra, texts in (extras or {}).items()},
        "scripts": dict(scripts or {}),
        "entry-points": {group: dict(points) for group, points in (entry_points or {}).items()},
    }


def _hatch(target: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"hatch": {"metadata": {"allow-direct-references": True}, "build": {"targets": {target: options}}}}


def _write_tree(tree: Path, files: Files, pyproject: Mapping[str, Any]) -> None:
    for relative, content in files.items():
        path = tree / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (tree / "pyproject.toml").write_text(tomli_w.dumps(pyproject), encoding="utf-8")


# Sick wheels. Each function rewrites the file in place and returns its path.


def members(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel, by path."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def with_wrong_record(wheel: Path) -> Path:
    """A module that is not what RECORD says; everything else is sound."""
    content = members(wheel)
    module = _first_module(content)
    return _rewrite(wheel, {**content, module: content[module] + b"# not in RECORD\n"})


def with_other_metadata(wheel: Path, *, name: str = "", version: str = "") -> Path:
    """METADATA that names another package or version than the file's name and its ``.dist-info`` do."""
    content = members(wheel)
    path = next(path for path in content if path.endswith(".dist-info/METADATA"))
    lines = content[path].decode().splitlines(keepends=True)
    told = {"Name: ": name, "Version: ": version}
    for field, value in told.items():
        if value:
            lines = [f"{field}{value}\n" if line.startswith(field) else line for line in lines]
    return _rewrite(wheel, _recorded({**content, path: "".join(lines).encode()}))


def with_escaping_member(wheel: Path, member: str = "../../escaped.py") -> Path:
    """A member whose path leads out of site-packages, listed in RECORD as if it were right."""
    return _rewrite(wheel, _recorded({**members(wheel), member: b"# must never be written\n"}))


def with_duplicate_member(wheel: Path) -> Path:
    """Two members of one name with different content: what is installed depends on who reads it."""
    content = members(wheel)
    module = _first_module(content)
    rows = [*content.items(), (module, content[module] + b"# the second one\n")]
    wheel.write_bytes(_zipped(rows))
    return wheel


def with_bad_crc(wheel: Path) -> Path:
    """One byte of a member's data flipped; the checksum of the member no longer holds."""
    content = members(wheel)
    path = _first_module(content)
    data = bytearray(_zipped(list(content.items()), compression=zipfile.ZIP_STORED))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        info = archive.getinfo(path)
    # A local file header is 30 bytes and the name; there is no extra field in what _zipped writes.
    data[info.header_offset + 30 + len(path)] ^= 0xFF
    wheel.write_bytes(bytes(data))
    return wheel


def with_trailing_bytes(wheel: Path) -> Path:
    """Bytes after the end of the archive."""
    wheel.write_bytes(wheel.read_bytes() + b"\0trailing\0")
    return wheel


def as_other_file(wheel: Path, filename: str) -> Path:
    """The same bytes under another name in the same folder: an index gives their right hash with a wrong name."""
    other = wheel.with_name(filename)
    shutil.copyfile(wheel, other)
    return other


def altered(data: bytes) -> bytes:
    """Other bytes that are just as installable: only a hash can tell. For an sdist, bytes after the archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data + b"\0" * 8
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {info.filename: archive.read(info) for info in archive.infolist()}
    module = _first_module(content)
    changed = _recorded({**content, module: content[module] + b"# altered on the way\n"})
    return _zipped(list(changed.items()))


def _first_module(content: Mapping[str, bytes]) -> str:
    return next(path for path in content if path.endswith(".py"))


def _recorded(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members with a RECORD that fits them."""
    record = next(path for path in content if path.endswith(".dist-info/RECORD"))
    rows = [_record_row(path, data) for path, data in content.items() if path != record]
    return {**content, record: "\n".join([*rows, f"{record},,", ""]).encode()}


def _record_row(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"


def _rewrite(wheel: Path, content: Mapping[str, bytes]) -> Path:
    wheel.write_bytes(_zipped(list(content.items())))
    return wheel


def _zipped(rows: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, data in rows:
            member = zipfile.ZipInfo(path, _EPOCH)
            member.external_attr = 0o100644 << 16
            # ZipFile warns of a second member of one name; here it is asked for.
            archive.NameToInfo.pop(path, None)
            archive.writestr(member, data, compression)
    return buffer.getvalue()
