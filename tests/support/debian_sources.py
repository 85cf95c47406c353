"""Where this Debian gets its packages, said again for another release of Debian, so that no mirror is named by us.

``python3 tests/support/debian_sources.py trixie`` writes the sources of trixie; it needs no package but Python's own.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass, replace
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Source", "machine_sources", "read_sources", "sources_of", "write_sources"]

#: Where Debian keeps them: https://manpages.debian.org/bookworm/apt/sources.list.5.en.html
_PLACES = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")

_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One stanza, of binary packages."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    #: A file, a fingerprint or a whole key; empty for what apt trusts anyway.
    signed_by: str = ""


def read_sources(text: str) -> Iterator[Source]:
    """The stanzas of a file, in either of its formats."""
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("#")]
    for line in lines:
        if found := _LINE.match(line):
            yield _of_line(found)
    for stanza in re.split(r"\n{2,}", "\n".join(lines)):
        told = HeaderParser().parsestr(stanza.strip() + "\n")
        if "deb" in told.get("Types", "").split() and told.get("Enabled", "yes") != "no":
            uris, suites, components = (tuple(told.get(name, "").split()) for name in ("URIs", "Suites", "Components"))
            yield Source(uris, suites, components, signed_by=told.get("Signed-By", "").rstrip())


def _of_line(found: re.Match[str]) -> Source:
    options = dict(word.partition("=")[::2] for word in (found["options"] or "").split())
    components = tuple(found["components"].split())
    return Source((found["uri"],), (found["suite"],), components, signed_by=options.get("signed-by", ""))


def sources_of(sources: Iterable[Source], own: str, release: str, kinds: Iterable[str] = ("",)) -> list[Source]:
    """Those that bring the machine's ``own`` release of Debian, for another; others' repositories are left out.

    ``kinds`` are the ends of the names of suites: nothing for the release itself, ``-updates``, ``-security``.
    """
    suites = {f"{own}{kind}": f"{release}{kind}" for kind in kinds}
    found = (
        replace(one, suites=tuple(suites[suite] for suite in one.suites if suite in suites), components=("main",))
        for one in sources
        if "main" in one.components
    )
    return list(dict.fromkeys(one for one in found if one.suites))


def write_sources(sources: Iterable[Source]) -> str:
    """The stanzas as apt and mmdebstrap read them."""
    return "\n".join(
        f"Types: deb\nURIs: {' '.join(one.uris)}\nSuites: {' '.join(one.suites)}\n"
        f"Components: {' '.join(one.components)}\n" + (f"Signed-By: {one.signed_by}\n" if one.signed_by else "")
        for one in sources
    )


def machine_sources(release: str, kinds: Iterable[str] = ("",), etc: Path = Path("/etc")) -> str:
    """This machine's, for the release. Raises :class:`LookupError` where it is no Debian or names no source of it."""
    told = platform.freedesktop_os_release()
    if told.get("ID") != "debian":
        raise LookupError(f"{told.get('PRETTY_NAME', 'this')} is not Debian: it has no sources of {release}")
    paths = sorted(path for place in _PLACES for path in (etc / "apt").glob(place))
    read = [one for path in paths for one in read_sources(path.read_text("utf-8"))]
    found = sources_of(read, told.get("VERSION_CODENAME", ""), release, kinds)
    if not found:
        raise LookupError(f"no file of {etc / 'apt'} says where {told.get('VERSION_CODENAME')} comes from")
    return write_sources(found)


if __name__ == "__main__":
    sys.stdout.write(machine_sources(sys.argv[1]))
