"""The packages of the distribution inside a container, and which distribution that is.

The databases of dpkg and apk are text and are read as they are, so that an image without their programs (distroless)
tells as much as one with them. rpm's are Berkeley DB, ndb or SQLite: only rpm reads them all, so it is asked.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Protocol

from ci_envs.errors import BrokenError, ToolMissing
from ci_envs.model.image import SystemFacts
from ci_envs.model.inventory import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import PurePath

    from ci_envs.capture import Outcome

__all__ = ["Inside", "os_release", "read_packages", "read_system", "system_facts"]

_DPKG = "/var/lib/dpkg/status"
#: One file for each package, in images that are put together without dpkg.
_DPKG_PARTS = "/var/lib/dpkg/status.d"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")  # apk-tools 3 has moved it
_RPM = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
_RPM_FILES = ("rpmdb.sqlite", "Packages", "Packages.db")

# https://www.freedesktop.org/software/systemd/man/latest/os-release.html
_RELEASE = ("/etc/os-release", "/usr/lib/os-release")

_SECONDS = 60.0
_RPM_FORMAT = r"%{NAME}\t%{EPOCHNUM}\t%{VERSION}-%{RELEASE}\t%{ARCH}\n"

# Runs inside, whatever Python is there.
_LIST = (
    "import json, os, sys\n"
    "names = os.listdir(sys.argv[1]) if os.path.isdir(sys.argv[1]) else []\n"
    "print(json.dumps(sorted(names)))\n"
)
_MOST_PARTS = 10_000

# What a runtime answers where there is no such program, as shells do.
_NOT_FOUND = 127

# Which package is the C library, and what the library is called.
_LIBC = {"libc6": "glibc", "glibc": "glibc", "musl": "musl"}


class Inside(Protocol):
    """What is asked of a container."""

    @property
    def python(self) -> PurePath:
        """The interpreter inside."""

    def read(self, path: str) -> bytes | None:
        """A file; ``None`` where there is none. :class:`BrokenError` where it is too large to be read."""

    def run(self, argv: Sequence[str], *, timeout: float | None = None) -> Outcome:
        """A command, without a shell. :class:`ToolMissing` where its program is not there."""


def read_packages(environment: Inside) -> tuple[Distribution, ...]:
    """The packages of the operating system, sorted; none where it has no manager that is known."""
    found = [*_dpkg(environment), *_apk(environment)]
    return tuple(sorted(set(found))) if found else _rpm(environment)[0]


def read_system(environment: Inside) -> tuple[SystemFacts, tuple[Distribution, ...]]:
    """The distribution inside, and its packages as :func:`read_packages` has them."""
    packages = read_packages(environment)
    return system_facts(environment, packages), packages


def system_facts(environment: Inside, installed: Iterable[Distribution]) -> SystemFacts:
    """The distribution inside. Of what is installed there those count that :func:`read_packages` has told of."""
    packages = [package for package in installed if package.of_system]
    release = os_release(environment)
    return SystemFacts(
        id=release.get("ID", ""),
        version=release.get("VERSION_ID", ""),
        name=release.get("PRETTY_NAME", ""),
        libc=_libc(packages),
        packages=dict(sorted(Counter(package.manager for package in packages).items())),
        note="" if packages else _rpm(environment)[1],
    )


def os_release(environment: Inside) -> dict[str, str]:
    """What the distribution says of itself: ``{"ID": "debian", "VERSION_ID": "12"}``; nothing where it does not."""
    for path in _RELEASE:
        if (data := environment.read(path)) is not None:
            return dict(_assignments(data.decode("utf-8", "replace")))
    return {}


# One word of a shell: between double quotes some characters are escaped, between single ones none is.
_ASSIGNMENT = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']*))""")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """Assignments of a shell without expansions; what is none is passed over, as the format asks."""
    for line in text.splitlines():
        if found := _ASSIGNMENT.fullmatch(line.strip()):
            name, double, single, bare = found.groups()
            yield name, single or re.sub(r"\\([\\\"$`])", r"\1", double or bare or "")


# --- dpkg


def _dpkg(environment: Inside) -> Iterator[Distribution]:
    status = environment.read(_DPKG)
    if status is not None:
        yield from _dpkg_packages(status, with_status=True)
    for name in _listed(environment, _DPKG_PARTS):
        # The lists of files and hashes lie beside the stanzas.
        part = None if name.endswith(".md5sums") else environment.read(f"{_DPKG_PARTS}/{name}")
        if part is not None:
            yield from _dpkg_packages(part, with_status=False)


def _dpkg_packages(data: bytes, *, with_status: bool) -> Iterator[Distribution]:
    """https://www.debian.org/doc/debian-policy/ch-controlfields.html, "Syntax of control files"."""
    for stanza in _stanzas(data):
        name, version = stanza.get("package", ""), stanza.get("version", "")
        # The third word is the state: a package that was removed may still have its configuration here.
        installed = stanza.get("status", "").split()[2:3] == ["installed"] if with_status else True
        if name and version and installed:
            yield Distribution(name=name, version=version, manager="dpkg", arch=stanza.get("architecture", ""))


def _stanzas(data: bytes) -> Iterator[Mapping[str, str]]:
    """Paragraphs of RFC 822's fields, which the library of e-mail reads: the format has their rules and no others.

    python-debian would read the same. It is made for writing them back, too, and would be one more dependency.
    """
    parser = HeaderParser()
    for text in re.split(r"\n[ \t]*\n+", data.decode("utf-8", "replace").replace("\r", "")):
        if fields := parser.parsestr(text.strip("\n")):
            yield {name.lower(): str(value).strip() for name, value in fields.items()}


def _listed(environment: Inside, folder: str) -> list[str]:
    """The names in a folder. Python lists them: an image without a shell has no ``ls`` either."""
    outcome = environment.run([str(environment.python), "-I", "-S", "-c", _LIST, folder], timeout=_SECONDS)
    try:
        names = json.loads(outcome.stdout) if outcome else []
    except ValueError:
        return []
    return [name for name in names[:_MOST_PARTS] if isinstance(name, str) and "/" not in name]


# --- apk


def _apk(environment: Inside) -> Iterator[Distribution]:
    """https://wiki.alpinelinux.org/wiki/Apk_spec, "Installed Database V2": a letter, a colon, a value."""
    data = next((data for path in _APK if (data := environment.read(path)) is not None), b"")
    for paragraph in re.split(r"\n\n+", data.decode("utf-8", "replace")):
        fields: dict[str, str] = {}
        for line in paragraph.splitlines():
            if line[1:2] == ":":
                fields.setdefault(line[0], line[2:].strip())
        if fields.get("P") and fields.get("V"):
            yield Distribution(name=fields["P"], version=fields["V"], manager="apk", arch=fields.get("A", ""))


# --- rpm


def _rpm(environment: Inside) -> tuple[tuple[Distribution, ...], str]:
    """The packages, or why there are none."""
    try:
        outcome = environment.run(["rpm", "-qa", "--qf", _RPM_FORMAT], timeout=_SECONDS)
    except ToolMissing:
        return (), _without_rpm(environment)
    if outcome.returncode == _NOT_FOUND:
        return (), _without_rpm(environment)
    if not outcome:
        return (), f"rpm does not list its packages: {outcome.tail(1)}"
    return tuple(sorted(set(_rpm_packages(outcome.stdout)))), ""


def _without_rpm(environment: Inside) -> str:
    if any(_is_there(environment, f"{folder}/{name}") for folder in _RPM for name in _RPM_FILES):
        return "it has a database of rpm, and no rpm that reads it"
    return "it has no database of dpkg, apk or rpm"


def _is_there(environment: Inside, path: str) -> bool:
    try:
        return environment.read(path) is not None
    except BrokenError:  # a database may be larger than what is read of any file
        return True


def _rpm_packages(text: str) -> Iterable[Distribution]:
    for line in text.splitlines():
        fields = line.split("\t")
        # Keys that signatures are checked with are listed like packages.
        if len(fields) == 4 and fields[0] != "gpg-pubkey":
            name, epoch, version, arch = fields
            yield Distribution(
                name=name,
                version=version if epoch in ("0", "(none)") else f"{epoch}:{version}",
                manager="rpm",
                arch=arch,
            )


def _libc(packages: Iterable[Distribution]) -> str:
    """``glibc 2.36``: which library, and upstream's part of its version."""
    for package in packages:
        if package.name in _LIBC:
            upstream = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", package.version)
            return f"{_LIBC[package.name]} {upstream[1]}" if upstream else _LIBC[package.name]
    return ""
