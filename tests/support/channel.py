"""A conda channel of real packages in a folder, made in seconds from what this machine and the package index have.

    channel = make_channel(folder / "conda-forge", [python_package(interpreter), wheel_package(wheel), tool_package()])
    with ChannelServer(folder) as server:
        ... solve and install from server.url("conda-forge"), or from channel.url ...

``python -m tests.support.channel serve FOLDER --port-file FILE`` (channel_command.py) serves the channel of
channel_forge.py until it is ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zstandard
from rattler.index import index_fs
from tests.support.channel_archive import write_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.support.channel_archive import Package

__all__ = ["Channel", "index_channel", "make_channel", "write_repodata"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel in a folder: ``<subdir>/repodata.json`` (and ``.zst``) with the archives beside it."""

    folder: Path

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.folder.name

    @property
    def url(self) -> str:
        """Its ``file://`` address, with no slash at its end."""
        return self.folder.resolve().as_uri()

    @property
    def subdirs(self) -> list[str]:
        """Its platforms, ``noarch`` among them."""
        return sorted(path.parent.name for path in self.folder.glob("*/repodata.json"))

    @property
    def archives(self) -> list[Path]:
        """Every package's file."""
        return sorted(path for path in self.folder.glob("*/*") if path.name.endswith((".conda", ".tar.bz2")))

    def archive(self, filename: str) -> Path:
        """The package's file, whatever platform it is for."""
        return next(path for path in self.archives if path.name == filename)

    def repodata(self, subdir: str) -> dict[str, Any]:
        """What the channel says of one platform."""
        return dict(json.loads((self.folder / subdir / "repodata.json").read_bytes()))

    def records(self) -> dict[str, dict[str, Any]]:
        """Every record by its file name."""
        found: dict[str, dict[str, Any]] = {}
        for told in map(self.repodata, self.subdirs):
            found |= told["packages"] | told["packages.conda"]
        return found

    def change(self, subdir: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrites what the channel says of one platform; the archives stay as they are."""
        told = self.repodata(subdir)
        change(told)
        write_repodata(self.folder / subdir, told)

    def tell(self, filename: str, **fields: Any) -> None:
        """Changes fields of one record; a field that is ``None`` is left out of it."""

        def change(told: dict[str, Any]) -> None:
            record = next(told[key][filename] for key in ("packages", "packages.conda") if filename in told[key])
            record |= fields
            for name in [name for name, value in fields.items() if value is None]:
                del record[name]

        self.change(self.archive(filename).parent.name, change)

    def tell_archive(self, filename: str) -> None:
        """Has the record say what the archive is now: its hashes and its size."""
        data = self.archive(filename).read_bytes()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.tell(filename, md5=md5, sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    def add(self, *packages: Package) -> None:
        """Puts more packages into it, or others of the same names."""
        known = {path.name for path in self.archives}
        for package in packages:
            write_package(self.folder / package.subdir, package)
        index_channel(self.folder)
        for package in packages:
            if package.filename in known:  # what is indexed once is not read again
                self.tell_archive(package.filename)

    def remove(self, filename: str) -> None:
        """Takes a package out, as a channel's keeper does: its record goes, and ``removed`` names it."""
        path = self.archive(filename)

        def change(told: dict[str, Any]) -> None:
            for key in ("packages", "packages.conda"):
                told[key].pop(filename, None)
            told["removed"] = sorted({*told.get("removed", ()), filename})

        self.change(path.parent.name, change)
        path.unlink()


def make_channel(folder: Path, packages: Iterable[Package], *, sharded: bool = False) -> Channel:
    """Writes the packages into the folder and indexes it. The same packages give the same bytes.

    ``sharded`` writes sharded repodata too, which HTTP clients prefer; it has the time of its making inside, and
    :meth:`Channel.change` does not reach it.
    """
    (folder / "noarch").mkdir(parents=True, exist_ok=True)
    for package in packages:
        write_package(folder / package.subdir, package)
    index_channel(folder, sharded=sharded)
    return Channel(folder)


def index_channel(folder: Path, *, sharded: bool = False) -> None:
    """Writes repodata for every platform of the channel."""
    asyncio.run(index_fs(folder, write_zst=False, write_shards=sharded))
    for path in folder.glob("*/repodata.json"):
        told = json.loads(path.read_bytes())
        for key in ("packages", "packages.conda"):
            told.setdefault(key, {})
            for record in told[key].values():
                record.pop("indexed_timestamp", None)  # the time of indexing: other bytes each time
        write_repodata(path.parent, told)


def write_repodata(folder: Path, told: dict[str, Any]) -> None:
    """Writes ``repodata.json`` and ``repodata.json.zst`` into the folder."""
    data = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    for name, content in (
        ("repodata.json", data),
        ("repodata.json.zst", zstandard.ZstdCompressor(level=1).compress(data)),
    ):
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)


if __name__ == "__main__":
    from tests.support.channel_command import main

    raise SystemExit(main())
