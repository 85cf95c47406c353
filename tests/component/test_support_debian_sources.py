"""Another release of Debian comes from where this one does, whichever way that is written."""

from __future__ import annotations

import pytest
from tests.support.debian_sources import Source, read_sources, sources_of, write_sources

pytestmark = pytest.mark.component

ONE_LINE = """\
# deb https://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] https://mirror.example/debian bookworm main contrib
deb-src https://mirror.example/debian bookworm main
deb https://other.example/tools bookworm stable
"""

STANZAS = """\
Types: deb deb-src
# one day of the archive
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: https://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://mirror.example/off
Suites: bookworm
Components: main
Enabled: no
"""


@pytest.mark.parametrize("text", [ONE_LINE, STANZAS], ids=["one-line", "deb822"])
def test_another_release_comes_from_where_this_one_does(text: str) -> None:
    found = sources_of(read_sources(text), "bookworm", "trixie")

    assert found == [Source(("https://mirror.example/debian",), ("trixie",), ("main",), "/keys/debian.gpg")]
    assert list(read_sources(write_sources(found))) == found


def test_a_release_has_its_updates_where_they_are_asked_for() -> None:
    found = sources_of(read_sources(STANZAS), "bookworm", "bookworm", ("", "-updates", "-security"))

    assert [one.suites for one in found] == [("bookworm", "bookworm-updates"), ("bookworm-security",)]
