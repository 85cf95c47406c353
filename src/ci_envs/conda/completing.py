"""What mamba leaves out of its records: what the prefix stands in place of, in the files that it was put into.

Without it nobody can tell later whether such a file is its package's. The packages that were linked still say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.layout import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["complete_records"]


def complete_records(prefix: Path, pkgs: Path) -> None:
    """Adds ``prefix_placeholder`` and ``file_mode`` to records that lack them, as conda and rattler write them.

    ``pkgs`` is the folder of unpacked packages that was linked from; what a record names elsewhere is not read.
    """
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        told = _read(path)
        rows = _rows(told.get("paths_data"))
        lacking = [row for row in rows if _is_file(row) and not row.get("prefix_placeholder")]
        known = {_key(row): row for row in _packages_rows(told, pkgs)} if lacking else {}
        found = [(row, known[_key(row)]) for row in lacking if _key(row) in known]
        for row, package in found:
            row |= {name: package[name] for name in ("prefix_placeholder", "file_mode") if name in package}
        if found:
            write_atomically(path, msgspec.json.format(msgspec.json.encode(told), indent=2))


def _is_file(row: dict[str, Any]) -> bool:
    return row.get("path_type", "hardlink") == "hardlink" and bool(row.get("sha256"))


def _key(row: dict[str, Any]) -> tuple[str, str]:
    """A file of a noarch package is installed under another folder, but keeps its name and its hash."""
    return str(row.get("_path")).rpartition("/")[2], str(row.get("sha256"))


def _packages_rows(told: dict[str, Any], pkgs: Path) -> Iterator[dict[str, Any]]:
    folder = Path(str(told.get("extracted_package_dir") or "")).resolve()
    if folder.is_relative_to(pkgs.resolve()):
        yield from (row for row in _rows(_read(folder / "info" / "paths.json")) if row.get("prefix_placeholder"))


def _read(path: Path) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def _rows(paths: Any) -> list[dict[str, Any]]:
    rows = paths.get("paths") if isinstance(paths, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
