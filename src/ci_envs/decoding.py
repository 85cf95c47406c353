"""Reads JSON, and other data, as what a type says: by msgspec, whose types are learnt one at a time.

msgspec looks at a type when it first reads one, and calls Python on the way. A second thread that reads one of that
type at that moment gets what is half made, and the process ends by SIGSEGV (seen with 0.22; the legs of a run, and
much of each, are threads). So nothing else here asks msgspec for a type.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

__all__ = ["convert", "decode", "decoder"]

T = TypeVar("T")

_LOCK = threading.Lock()
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """What reads JSON as a type; made once, and for all threads."""
    found = _DECODERS.get(kind)
    if found is None:
        with _LOCK:
            found = _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
    return found


def decode(data: bytes | str, kind: type[T]) -> T:
    """The value that JSON stands for. :class:`msgspec.MsgspecError` where it is no JSON, or not of that type."""
    return decoder(kind).decode(data)


def convert(value: Any, kind: type[T]) -> T:
    """The same for what was read already. :class:`msgspec.ValidationError` where it is not of that type."""
    decoder(kind)  # it is learnt
    return msgspec.convert(value, kind)
