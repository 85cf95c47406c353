"""Which Python match specs ask for, read with expressions alone: ``detect`` has no 0.1 s for a solver's parser. Pure."""

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

_SPEC = re.compile(
    r"(?:[^\s\[\]]*::)?(?P<name>python(?:-freethreading)?|pypy(?P<pypy>\d+\.\d+)?)(?![\w.-])"
    r"(?P<outer>[^\[\]]*)(?:\[(?P<inner>.*)\])?",
    re.IGNORECASE,
)
_INNER = re.compile(r"\b(version|build)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,\]]*))")
_CLAUSE = r"(?:[=<>!~]{0,2}[\w.*+]+)"
_OUTER = re.compile(rf"(?P<version>{_CLAUSE}(?:[,|]{_CLAUSE})*)(?:[=\s]+(?P<build>\S+))?")
_GAPS = re.compile(r"\s*([,|])\s*|(?<=[=<>!~])\s+|\s+(?=[=<>!~])")
_PARTS = re.compile(r"(?P<op>[=<>!~]*)(?P<major>\d+)\.(?P<minor>\d+)(?![\d*])(?P<rest>.*)")

# "3.13", "3.13.0" and "3.13.0a0" as an upper bound leave out all of 3.13.
_NOTHING_OF_IT = re.compile(r"(?:\.0)*(?:(?:a|b|rc)\d*|\.?dev\d*)?")


def series_of(specs: Iterable[str]) -> Series:
    """What those of some match specs that are about Python come to together; the others are passed over."""
    matches = filter(None, (_SPEC.fullmatch(spec.strip()) for spec in specs))
    found = [_one(match) for match in matches]
    pinned = next((one.pinned for one in found if one.pinned), "")
    free = "t" if any(one.pinned.endswith("t") or one.lowest.endswith("t") for one in found) else ""
    lowest = max((one.lowest.rstrip("t") for one in found if one.lowest), key=_key, default="")
    return Series(pinned and pinned.rstrip("t") + free, pinned and pinned.rstrip("t") + free or lowest and lowest + free)


def _one(match: re.Match[str]) -> Series:
    if match["pypy"]:
        return Series(f"pypy{match['pypy']}", f"pypy{match['pypy']}")
    version, build = _version_and_build(match)
    free = "t" if re.search(r"cp3\d+t\b", build) or match["name"].lower() != "python" else ""
    alternatives = [_bounds(clauses.split(",")) for clauses in version.split("|")]
    lows = [low for low, _ in alternatives if low is not None]
    if len(lows) < len(alternatives):
        return Series("", "")
    lowest = min(lows)
    single = {number for bounds in alternatives for number in bounds} == {lowest}
    text = f"{lowest[0]}.{lowest[1]}{free}"
    return Series(text if single else "", text)


def _version_and_build(match: re.Match[str]) -> tuple[str, str]:
    inner = {key: next(filter(None, values), "") for key, *values in _INNER.findall(match["inner"] or "")}
    outer = _OUTER.fullmatch(_GAPS.sub(lambda gap: gap[1] or "", match["outer"].strip()))
    version = inner.get("version") or (outer["version"] if outer else "")
    return version.replace(" ", ""), inner.get("build") or (outer["build"] or "" if outer else "")


def _bounds(clauses: list[str]) -> tuple[_Number | None, _Number | None]:
    """The lowest and the highest series that clauses joined by commas leave; ``None`` for no bound."""
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


def _key(series: str) -> tuple[int, ...]:
    return tuple(map(int, series.split("."))) if series[0].isdigit() else (0,)
