"""Which Python match specs ask for, read with expressions: ``detect`` has no 0.1 s for a solver's parser. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Series", "series_of"]


class Series(NamedTuple):
    """What is asked for, as a leg spells it (``3.12``, ``3.13t``, ``pypy3.9``); empty where nothing is."""

    #: The one series that every release in question belongs to: of ``=3.12``, ``3.12.*``, ``>=3.12,<3.13``.
    pinned: str = ""
    #: The lowest series in question, also of ``>=3.10``.
    lowest: str = ""


_Number = tuple[int, int]
#: The lowest and the highest series in question; ``None`` for no bound.
_Bounds = tuple[_Number | None, _Number | None]

_SPEC = re.compile(
    r"(?:[^\s\[\]]*::)?(?P<name>python(?:-freethreading)?|pypy(?P<pypy>[0-9]\.[0-9]{1,2})?)(?![\w.-])"
    r"(?P<outer>[^\[\]]*)(?:\[(?P<inner>.*)\])?",
    re.IGNORECASE,
)
_INNER = re.compile(r"\b(version|build)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,\]]*))")
_CLAUSE = r"(?:[=<>!~]{0,2}[\w.*+]+)"
_OUTER = re.compile(rf"(?P<version>{_CLAUSE}(?:[,|]{_CLAUSE})*)(?:[=\s]+(?P<build>\S+))?")
_GAPS = re.compile(r"\s*([,|])\s*|(?<=[=<>!~])\s+|\s+(?=[=<>!~])")
_PARTS = re.compile(r"(?P<op>[=<>!~]*)(?P<major>[0-9]{1,3})\.(?P<minor>[0-9]{1,4})(?![\d*])(?P<rest>.*)")

_FREE_THREADED = re.compile(r"cp3\d+t(?![a-z])")

# "3.13", "3.13.0" and "3.13.0a0" as an upper bound leave out all of 3.13.
_NOTHING_OF_IT = re.compile(r"(?:\.0)*(?:(?:a|b|rc)\d*|\.?dev\d*)?")


def series_of(specs: Iterable[str]) -> Series:
    """What those of some match specs that are about Python come to together; the others are passed over."""
    matches = [match for spec in specs if (match := _SPEC.fullmatch(spec.strip()))]
    for match in matches:
        if match["pypy"]:
            return Series(f"pypy{match['pypy']}", f"pypy{match['pypy']}")
    read = [(*_version_and_build(match), match["name"].lower()) for match in matches]
    bounds = [_either([_all_of(clauses.split(",")) for clauses in version.split("|")]) for version, _, _ in read]
    low = max((low for low, _ in bounds if low), default=None)
    high = min((high for _, high in bounds if high), default=None)
    if low is None:
        return Series()
    free = any(_FREE_THREADED.search(build) or name != "python" for _, build, name in read)
    text = f"{low[0]}.{low[1]}{'t' if free else ''}"
    return Series(text if low == high else "", text)


def _version_and_build(match: re.Match[str]) -> tuple[str, str]:
    inner = {key: next(filter(None, values), "") for key, *values in _INNER.findall(match["inner"] or "")}
    outer = _OUTER.fullmatch(_GAPS.sub(lambda gap: gap[1] or "", match["outer"].strip()))
    version = inner.get("version") or (outer["version"] if outer else "")
    return version.replace(" ", ""), inner.get("build") or (outer["build"] or "" if outer else "")


def _all_of(clauses: list[str]) -> _Bounds:
    """What clauses joined by commas leave."""
    low: _Number | None = None
    high: _Number | None = None
    for match in filter(None, map(_PARTS.fullmatch, clauses)):
        series = (int(match["major"]), int(match["minor"]))
        exact = match["op"] in {"", "=", "=="} or (match["op"] == "~=" and "." in match["rest"])
        if exact or match["op"] in {">", ">=", "~="}:
            low = max(low or series, series)
        if match["op"] == "<" and _NOTHING_OF_IT.fullmatch(match["rest"]):
            series = (series[0], series[1] - 1)
        if exact or match["op"] in {"<", "<="}:
            high = min(high or series, series)
    return low, high


def _either(alternatives: list[_Bounds]) -> _Bounds:
    """What alternatives joined by ``|`` leave."""
    lows, highs = zip(*alternatives, strict=True)
    return (None if None in lows else min(lows), None if None in highs else max(highs))
