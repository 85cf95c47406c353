"""conda-meta against the package that the lock's hash names.

Files of a prefix can be compared with ``paths_data`` in its conda-meta, but who compares that? Front ends check a hash
when they download, not when they link from their cache, and a hard-linked file that is edited in one environment is
edited in the cache too. So a ledger beside the cache remembers what each package held when it came from a download
whose hash was checked: the same that :mod:`ci_envs.attest` does for wheels.

Three digests are kept by the package's own SHA-256: its files and links, its placeholders, and which files are
executable; beside them its entry points, since the scripts that they become are written by the front end.

What this cannot see: a program of the same user that rewrites the ledger.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs.conda.package_files import digests, executable_digest, paths_digest, placeholder_digest
from ci_envs.decoding import convert
from ci_envs.ledger import Notes, is_digest
from ci_envs.model.conda_record import ENTRY_POINTS
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    from ci_envs.conda.package_files import PackageFiles
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.conda_record import Claim, CondaRecord

__all__ = ["Attestation", "PackageLedger", "PackageNote", "attest_records"]

#: Part of the ledger's folder: notes written by other rules are not read.
RULES_VERSION = 1

_CODE = "ENV143"


class PackageNote(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger keeps of a package."""

    name: str
    version: str
    build: str
    paths: str
    placeholders: str = ""
    #: Empty where the file system has no such mark.
    executable: str = ""
    #: ``None`` where nobody has read the package itself.
    entry_points: tuple[str, ...] | None = None
    #: ``download``: read when it was unpacked; ``install``: seen first in a new environment.
    learned: str = "download"


@dataclass(frozen=True)
class Attestation:
    """What the ledger says of an environment. Names of packages, sorted."""

    matched: tuple[str, ...] = ()
    #: Seen for the first time, and trusted from now on.
    learned: tuple[str, ...] = ()
    #: What conda-meta, links or scripts say is not what the package held.
    altered: tuple[str, ...] = ()
    #: The ledger does not know them, and they are not trusted unseen.
    unknown: tuple[str, ...] = ()
    #: The package whose record it is, is not known by a hash.
    unattested: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """ENV143: an error for what is altered, a warning for what could not be compared."""
        altered = (_finding("error", name, _ALTERED) for name in self.altered)
        return (*altered, *(_finding("warning", name, _UNKNOWN) for name in self.unknown))


_ALTERED = (
    "what was installed is not what the package held that the lock's hash names, so its files may have been altered in "
    "the package cache; build the environment again with `ci-envs run --fresh`"
)
_UNKNOWN = "what was installed could not be compared with the package: it was never read here"


def _finding(severity: str, name: str, what: str) -> Finding:
    return Finding(
        code=_CODE,
        severity="error" if severity == "error" else "warning",
        title="installed package is not the locked one",
        message=f"{name}: {what}",
    )


class PackageLedger:
    """What packages held, in a folder that any number of processes share. Keys are SHA-256 in hexadecimal."""

    def __init__(self, folder: Path) -> None:
        self._notes = Notes(folder / f"v{RULES_VERSION}")

    def known(self, sha256: str) -> str:
        """The digest of the package's paths; empty where it is unknown, or its note cannot be read."""
        note = self.note(sha256)
        return note.paths if note else ""

    def note(self, sha256: str) -> PackageNote | None:
        """All that is kept of a package."""
        try:
            note = convert(self._notes.read(sha256), PackageNote)
        except msgspec.ValidationError:
            return None
        return note if is_digest(note.paths) else None

    def trust(self, sha256: str, note: PackageNote) -> PackageNote:
        """Notes what was seen first, and answers what holds: of processes that see it at once, the first one wins."""
        told = msgspec.to_builtins(note)
        if self._notes.add(sha256, told):
            return note
        if held := self.note(sha256):
            return held
        self._notes.replace(sha256, told)  # what is there cannot be read
        return note

    def learn(self, sha256: str, files: PackageFiles) -> None:
        """Notes what a checked download held; it replaces what was only seen first."""
        note = PackageNote(
            name=files.name,
            version=files.version,
            build=files.build,
            entry_points=files.entry_points,
            **digests(files),
        )
        self._notes.replace(sha256, msgspec.to_builtins(note))

    def sha256_of(self, md5: str) -> str:
        """The SHA-256 of a package that was last downloaded by its MD5; empty where none was."""
        told = self._notes.read(f"md5-{md5}").get("sha256") if md5 else None
        return told if isinstance(told, str) and re.fullmatch(r"[0-9a-f]{64}", told) else ""

    def learn_md5(self, md5: str, sha256: str) -> None:
        """Notes which package an MD5 stood for."""
        self._notes.replace(f"md5-{md5}", {"sha256": sha256})


def attest_records(
    prefix: Path,
    packages: Iterable[LockedPackage],
    records: Iterable[CondaRecord],
    ledger: PackageLedger,
    *,
    trust_first: bool = False,
    executable: Container[str] | None = None,
) -> Attestation:
    """Compares what was installed of each locked conda package with what the ledger says that it held.

    Links and entry points' scripts are read in the prefix; that files are what ``paths_data`` says is another's to
    compare. ``executable`` has the paths that are, relative to the prefix; ``None`` where the file system has no such
    mark. ``trust_first`` says that the front end has checked each package's hash and that its cache is private: what
    the ledger does not know is noted and holds. It must be called before anything of the environment runs.
    """
    installed = {record.name: record for record in records}
    verdicts: dict[str, list[str]] = {}
    for package in sorted(packages, key=lambda package: package.name):
        record = installed.get(package.name)
        if package.manager == "conda" and record is not None:  # one that is not installed is another check's finding
            seen = _seen(prefix, record, executable)
            sha256 = package.sha256 or ledger.sha256_of(package.md5) or record.sha256
            held = ledger.note(sha256) if sha256 else None
            if held is None and sha256 and trust_first:
                verdict = "learned" if _agree(ledger.trust(sha256, seen), seen) else "altered"
            elif held is None:
                verdict = "unknown" if sha256 else "unattested"
            else:
                verdict = "matched" if _agree(held, seen) and _has_its_scripts(prefix, record, held) else "altered"
            verdicts.setdefault(verdict, []).append(package.name)
    return Attestation(**{verdict: tuple(names) for verdict, names in verdicts.items()})


def _seen(prefix: Path, record: CondaRecord, executable: Container[str] | None) -> PackageNote:
    rows, subdir = record.claims, record.subdir
    files = (row for row in rows if row.kind == "hardlink" and executable is not None and row.path in executable)
    return PackageNote(
        name=record.name,
        version=record.version,
        build=record.build,
        paths=paths_digest(rows, lambda row: _target(prefix, row), subdir=subdir),
        placeholders=placeholder_digest(rows, subdir=subdir),
        executable="" if executable is None else executable_digest((f.wanted or f.path for f in files), subdir=subdir),
        learned="install",
    )


def _target(prefix: Path, row: Claim) -> str:
    try:
        return os.readlink(prefix / row.path)  # noqa: PTH115 - Path would take away what is not normal in it
    except OSError:
        return ""


def _agree(held: PackageNote, seen: PackageNote) -> bool:
    """What one side does not know is not compared."""
    pairs = ((held.placeholders, seen.placeholders), (held.executable, seen.executable))
    return held.paths == seen.paths and all(a == b for a, b in pairs if a and b)


# The two ways to name an interpreter in a script: plainly, and for a path with blanks or past what a kernel reads.
_SHEBANG = r"""#!(?:{python}[\d.t]*|/bin/sh\n'''exec' "?{python}[\d.t]*"? "\$0" "\$@" \#''')\n"""

# conda, mamba and rattler write the same words, and do not agree on white space.
_SCRIPT = """\
# -*- coding: utf-8 -*-
import re
import sys
from {module} import {name}
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
    sys.exit({function}())
"""


def _has_its_scripts(prefix: Path, record: CondaRecord, held: PackageNote) -> bool:
    """Whether the scripts are those of the package's entry points, no more, no less and no other."""
    made = {row.path for row in record.claims if row.kind in ENTRY_POINTS}
    if held.entry_points is None:
        return True
    wanted = {command.strip(): point.strip() for command, _, point in (p.partition("=") for p in held.entry_points)}
    if os.name == "nt":
        return made == {f"Scripts/{name}{end}" for name in wanted for end in ("-script.py", ".exe")}
    return made == {f"bin/{name}" for name in wanted} and all(
        _is_script_of(prefix, prefix / "bin" / name, point) for name, point in wanted.items()
    )


def _is_script_of(prefix: Path, script: Path, point: str) -> bool:
    try:
        text = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    shebang = re.match(_SHEBANG.format(python=re.escape(f"{prefix}/bin/python")), text)
    module, _, function = (part.strip() for part in point.partition(":"))
    expected = _SCRIPT.format(module=module, name=function.partition(".")[0], function=function)
    return shebang is not None and text[shebang.end() :].split() == expected.split()
