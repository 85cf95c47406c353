"""The packages of the operating system: databases as distributions write them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from ci_envs.capture import Outcome
from ci_envs.containers.os_packages import os_release, read_packages, read_system
from ci_envs.errors import BrokenError, ToolMissing
from ci_envs.model.image import SystemFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

STATUS = b"""\
Package: adduser
Status: install ok installed
Priority: important
Architecture: all
Version: 3.134
Conffiles:
 /etc/adduser.conf cc3493ecd2d09837ffdcc3e25fdfff18
Description: add and remove users and groups
 This package includes the 'adduser' and 'deluser' commands.
 .
 Version: 9 of nothing

Package: libc6
Status: hold ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u10

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36-9+deb12u10

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: half
Status: install ok half-configured
Architecture: amd64
Version: 1.0
"""

# Fields that repeat a letter belong to files; nothing of them is a package's.
INSTALLED = b"""\
C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:musl
V:1.2.5-r0
A:x86_64
S:407278
T:the musl c library (libc) implementation
o:musl
D:
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1JYN5HJSaDfjSgGEnDZbcF0Bm0Kw=

C:Q1
P:alpine-baselayout
V:3.6.5-r0
A:x86_64
"""

RPMS = """\
bash\t0\t5.2.15-3.fc38\tx86_64
tzdata\t(none)\t2023c-1\tnoarch
shadow-utils\t2\t4.13-6\tx86_64
gpg-pubkey\t0\t1-2\t(none)
"""


@dataclass
class Container:
    """Files, and what programs answer."""

    files: dict[str, bytes] = field(default_factory=dict)
    rpm: Outcome | None = None
    too_large: frozenset[str] = frozenset()

    @property
    def python(self) -> PurePosixPath:
        return PurePosixPath("/usr/bin/python3")

    def read(self, path: str) -> bytes | None:
        if path in self.too_large:
            raise BrokenError(f"{path} has more than 16 MiB")
        return self.files.get(path)

    def run(self, argv: Sequence[str], *, timeout: float | None = None) -> Outcome:
        if argv[0] == "rpm":
            if self.rpm is None:
                raise ToolMissing("rpm is not there")
            return self.rpm
        folder = f"{argv[-1]}/"
        names = sorted(path.removeprefix(folder) for path in self.files if path.startswith(folder))
        return Outcome(argv=tuple(argv), returncode=0, stdout=json.dumps(names))


def rows(container: Container) -> list[tuple[str, str, str, str]]:
    return [(each.manager, each.name, each.version, each.arch) for each in read_packages(container)]


def test_dpkg_tells_what_is_installed_and_nothing_that_was_removed() -> None:
    assert rows(Container({"/var/lib/dpkg/status": STATUS})) == [
        ("dpkg", "adduser", "3.134", "all"),
        ("dpkg", "libc6", "2.36-9+deb12u10", "amd64"),
        ("dpkg", "libc6", "2.36-9+deb12u10", "i386"),
    ]


def test_an_image_without_dpkg_has_one_file_for_each_package() -> None:
    files = {
        "/var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
        "/var/lib/dpkg/status.d/base.md5sums": b"00 etc/a\n",
        "/var/lib/dpkg/status.d/libssl3": b"Package: libssl3\nVersion: 3.0.15-1\nArchitecture: amd64",
    }

    assert rows(Container(files)) == [
        ("dpkg", "base-files", "12.4", "amd64"),
        ("dpkg", "libssl3", "3.0.15-1", "amd64"),
    ]


@pytest.mark.parametrize("path", ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"])
def test_apk_tells_what_is_installed(path: str) -> None:
    assert rows(Container({path: INSTALLED})) == [
        ("apk", "alpine-baselayout", "3.6.5-r0", "x86_64"),
        ("apk", "musl", "1.2.5-r0", "x86_64"),
    ]


def test_rpm_tells_what_is_installed_without_its_keys() -> None:
    assert rows(Container(rpm=Outcome(argv=("rpm",), returncode=0, stdout=RPMS))) == [
        ("rpm", "bash", "5.2.15-3.fc38", "x86_64"),
        ("rpm", "shadow-utils", "2:4.13-6", "x86_64"),
        ("rpm", "tzdata", "2023c-1", "noarch"),
    ]


@pytest.mark.parametrize(
    ("container", "note"),
    [
        (Container(), "it has no database of dpkg, apk or rpm"),
        (Container(rpm=Outcome(argv=("rpm",), returncode=127)), "it has no database of dpkg, apk or rpm"),
        (
            Container(too_large=frozenset({"/usr/lib/sysimage/rpm/Packages.db"})),
            "it has a database of rpm, and no rpm that reads it",
        ),
        (Container({"/var/lib/rpm/rpmdb.sqlite": b"SQLite"}), "it has a database of rpm, and no rpm that reads it"),
        (
            Container(rpm=Outcome(argv=("rpm",), returncode=1, stderr="error: cannot open Packages")),
            "rpm does not list its packages: error: cannot open Packages",
        ),
    ],
)
def test_that_nothing_could_be_read_is_said(container: Container, note: str) -> None:
    facts, packages = read_system(container)

    assert packages == ()
    assert (facts.packages, facts.note) == ({}, note)


@pytest.mark.parametrize("data", [b"", b"\n\n\n", b"\xff\xfe\0\0", b"Package: a\n", b"no field\n\nVersion: 1\n"])
def test_a_damaged_database_names_no_package(data: bytes) -> None:
    assert rows(Container({"/var/lib/dpkg/status": data, "/lib/apk/db/installed": data})) == []


def test_line_ends_of_another_system_and_blank_lines_with_blanks_are_no_trouble() -> None:
    stanza = b"Package: %b\r\nVersion: %b\r\nStatus: install ok installed\r\n"
    data = b" \r\n".join([stanza % (b"a", b"1"), stanza % (b"b", b"2")])

    assert [row[1:3] for row in rows(Container({"/var/lib/dpkg/status": data}))] == [("a", "1"), ("b", "2")]


def test_the_distribution_is_told_with_its_c_library() -> None:
    release = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'

    facts, packages = read_system(Container({"/etc/os-release": release, "/var/lib/dpkg/status": STATUS}))

    assert len(packages) == 3
    assert facts == SystemFacts(
        id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)", libc="glibc 2.36", packages={"dpkg": 3}
    )


def test_the_c_library_of_alpine_is_another() -> None:
    facts, _ = read_system(Container({"/lib/apk/db/installed": INSTALLED}))

    assert (facts.libc, facts.packages) == ("musl 1.2.5", {"apk": 2})


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A=plain", "plain"),
        (b"A='single $x'", "single $x"),
        (rb'A="a \"b\" \$c \\d \`"', r'a "b" $c \d `'),
        (b"A=", ""),
        (b"  A=1  ", "1"),
    ],
)
def test_values_of_os_release_are_quoted_as_in_a_shell(line: bytes, value: str) -> None:
    assert os_release(Container({"/etc/os-release": line}))["A"] == value


def test_lines_of_os_release_that_are_none_are_passed_over() -> None:
    data = b'# a comment\n\nA="never ends\nB-C=1\nno equals\nID=\xff\n'

    assert set(os_release(Container({"/usr/lib/os-release": data}))) == {"ID"}
