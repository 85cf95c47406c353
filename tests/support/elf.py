"""Shared objects made byte by byte: headers alone, for either class and byte order, and the loader's cache."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["AARCH64", "S390", "X86_64", "elf", "ld_cache"]

X86_64, AARCH64, S390 = 62, 183, 22


def elf(
    *needed: str,
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    interpreter: str = "",
    wide: bool = True,
    little: bool = True,
    machine: int = X86_64,
    kind: int = 3,
    address: int = 0x1000,
) -> bytes:
    """An ELF file with one segment that is loaded at ``address``, and a dynamic section behind its strings."""
    order = "<" if little else ">"
    header = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    count, size = (3, 56) if wide else (3, 32)
    begin = 16 + struct.calcsize(header)
    at = begin + count * size
    table, strings = _strings([*needed, soname, rpath, runpath])
    tags = [(1, strings[name]) for name in needed]
    tags += [(tag, strings[text]) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    tags += [(5, at + address), (10, len(table)), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *entry) for entry in tags)
    path = interpreter.encode() + b"\0" if interpreter else b""
    total = at + len(table) + len(dynamic) + len(path)
    segments = [(1, 0, address, total), (2, at + len(table), address + at + len(table), len(dynamic))]
    segments += [(3 if path else 0, total - len(path), 0, len(path))]
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if little else 2, 1)) + bytes(9)
    head = struct.pack(header, kind, machine, 1, 0, begin, 0, 0, begin, size, count, 0, 0, 0)
    rows = (
        (what, 5, offset, place, place, length, length, 0x1000)
        if wide
        else (what, offset, place, place, length, length, 5, 0x1000)
        for what, offset, place, length in segments
    )
    packed = b"".join(struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *row) for row in rows)
    return ident + head + packed + table + dynamic + path


def _strings(texts: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    table, places = b"\0", {"": 0}
    for text in texts:
        if text not in places:
            places[text] = len(table)
            table += text.encode() + b"\0"
    return table, places


def ld_cache(libraries: Mapping[str, str], *, before: bytes = b"") -> bytes:
    """An ``ld.so.cache`` in glibc's newer format, of this machine's byte order; ``before`` stands in front of it."""
    rows, texts = b"", b""
    base = 48 + 24 * len(libraries)
    for name, path in libraries.items():
        places = base + len(texts), base + len(texts) + len(name.encode()) + 1
        rows += struct.pack("=iIIIQ", 0x0303, *places, 0, 0)
        texts += name.encode() + b"\0" + path.encode() + b"\0"
    head = b"glibc-ld.so.cache1.1" + struct.pack("=II", len(libraries), len(texts)) + bytes(20)
    return before + head + rows + texts
