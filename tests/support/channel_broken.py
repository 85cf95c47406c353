"""Packages and channels that nobody should trust: what a tool must refuse, or say.

Packages are made sick (``escaping_package``) before a channel is made of them; channels (``truncate``) afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.channel_archive import PLACEHOLDER, Member, Package, pack
from tests.support.channel_packages import tool_package

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.channel import Channel

__all__ = [
    "clashing_packages",
    "escaping_package",
    "hard_link_package",
    "lying_paths_package",
    "replace_archive",
    "reupload",
    "short_placeholder_package",
    "symlink_package",
    "truncate",
    "without_hashes",
    "wrong_hash",
]


def escaping_package(
    member: str = "../escaped.txt", name: str = "escaping", *, archived: bool = True, told: bool = True
) -> Package:
    """A member whose path leads out of the prefix, and out of the folder that it is unpacked into.

    It is in the archive (``archived``), in ``paths.json`` (``told``), or in both.
    """
    return _plain(name).having(Member(path=member, data=b"must never be written\n", archived=archived, told=told))


def symlink_package(target: str = "/etc", name: str = "linking") -> Package:
    """A symbolic link out of the prefix, and a file that would be written through it."""
    return _plain(name).having(
        Member(path=f"share/{name}/out", link=target, mode=0o777),
        Member(path=f"share/{name}/out/escaped.txt", data=b"must never be written\n"),
    )


def hard_link_package(target: str = "/etc/hostname", name: str = "hard-linking") -> Package:
    """A hard link to a file outside."""
    return _plain(name).having(Member(path=f"share/{name}/out.txt", link=target, hard=True))


def lying_paths_package(name: str = "lying") -> Package:
    """A file that is not what ``paths.json`` says; the archive's own hash is right."""
    path = f"share/{name}/lie.txt"
    return _plain(name).having(Member(path=path, data=b"other\n", told_sha256="0" * 64))


def short_placeholder_package(length: int = 24, name: str = "short-native") -> Package:
    """A program whose placeholder has that many bytes: it fits no prefix that is longer."""
    return tool_package(name, placeholder=PLACEHOLDER[:length])


def clashing_packages() -> tuple[Package, Package]:
    """Two packages that bring one path with different content."""
    first, second = (
        replace(_plain(name), members=(Member(path="share/clash/data.txt", data=f"{name}\n".encode()),))
        for name in ("clash-one", "clash-two")
    )
    return first, second


def _plain(name: str) -> Package:
    data = Member(path=f"share/{name}/data.txt", data=b"data\n")
    return Package(name=name, version="1.0", noarch="generic", members=(data,))


# Channels.


def replace_archive(channel: Channel, filename: str, data: bytes, *, told: bool = False) -> Path:
    """Other bytes under a package's name; with ``told``, the channel's record has their hashes and size."""
    path = channel.archive(filename)
    path.unlink()  # it may be a link to another channel's
    path.write_bytes(data)
    if told:
        channel.tell_archive(filename)
    return path


def truncate(channel: Channel, filename: str, to: int = 200, *, told: bool = False) -> Path:
    """The first bytes of an archive; with ``told``, the channel's hashes fit, and only unpacking it can tell."""
    return replace_archive(channel, filename, channel.archive(filename).read_bytes()[:to], told=told)


def reupload(channel: Channel, package: Package, *, told: bool = True) -> Path:
    """The package under its old name with other bytes: sound, and not what a lock of yesterday says."""
    note = Member(path=f"share/{package.name}/again.txt", data=b"built again\n")
    return replace_archive(channel, package.filename, pack(package.having(note)), told=told)


def wrong_hash(channel: Channel, filename: str) -> None:
    """Hashes in the channel's record that no archive has; the archive is sound."""
    channel.tell(filename, sha256="0" * 64, md5="0" * 32)


def without_hashes(channel: Channel, filename: str, *names: str) -> None:
    """The channel's record without some of ``sha256`` and ``md5``."""
    channel.tell(filename, **dict.fromkeys(names))
