"""RECORD against the wheel that the lock's hash names.

Files can be compared with RECORD (``record_check.py``), but who compares RECORD? Installers check a hash when they
download, not when they link from their cache; and a hard-linked file that is edited in one environment is edited in
the cache too. Edit RECORD as well, and ``uv pip sync --require-hashes`` installs the altered file with exit code 0.

So a ledger beside the cache remembers, for each wheel, what its RECORD said when it came from a download whose hash
was checked. Its key is the pin (name, version, every hash that the lock allows) and the wheel's own tags: a pin's
hashes are those of all its files, for all platforms, and nothing that is installed says which one it came from, but
no two wheels of one release have the same tags and build number. What is kept is a digest of the normalised RECORD:
without what installers add, so that pip's and uv's installs of one wheel agree.

Where the cache is private (only our own installs write to it, and the ledger is written before anything inside runs)
an unknown wheel is trusted as it is first seen. Where the cache is the user's, an unknown wheel has to be fetched
anew: :func:`fetch_reference` does that without any cache.

What this cannot see: a program of the same user that rewrites the ledger, or gives a wheel in the cache other tags.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_envs.content import read_content
from ci_envs.launchers import is_launcher, without_interpreter
from ci_envs.ledger import Notes, is_digest
from ci_envs.model.content import INSTALLER_FILES
from ci_envs.model.record import Finding
from ci_envs.record_check import examine, recorded_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.model.content import Content, Installed, Row
    from ci_envs.model.lock import Pin

__all__ = ["Attestation", "Ledger", "attest", "fetch_reference", "record_digest", "to_refresh"]

#: Part of every key: a ledger written by other rules is not read.
RULES_VERSION = 1


@dataclass(frozen=True)
class Attestation:
    """What the ledger says of an environment."""

    #: How many distributions are what their wheels were.
    matched: int = 0
    #: How many were seen for the first time, and are trusted from now on.
    learned: int = 0
    #: Pins whose RECORD is not the wheel's.
    altered: tuple[Pin, ...] = ()
    #: Pins that the ledger does not know and that are not trusted unseen.
    unknown: tuple[Pin, ...] = ()
    #: Pins that no hash speaks for: without hashes, from version control, from a folder.
    unattested: tuple[Pin, ...] = ()

    @property
    def doubtful(self) -> tuple[Pin, ...]:
        """The pins that a fresh reference would decide on: see :func:`fetch_reference`."""
        return (*self.altered, *self.unknown)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """ENV113: an error for what is altered, a warning for what could not be compared."""
        return (
            *(_finding("error", pin, _ALTERED) for pin in self.altered),
            *(_finding("warning", pin, _UNKNOWN) for pin in self.unknown),
        )


_ALTERED = (
    "its RECORD is not that of the wheel which the lock's hash names, so its files may have been altered in the "
    "installer's cache; build the environment again with `ci-envs run --fresh`"
)
_UNKNOWN = "its RECORD could not be compared with the wheel's: no wheel of it could be fetched anew"


def _finding(severity: str, pin: Pin, what: str) -> Finding:
    return Finding(
        code="ENV113",
        severity="error" if severity == "error" else "warning",
        title="RECORD is not the wheel's",
        message=f"{pin.name} {pin.version}: {what}",
    )


class Ledger:
    """One small file for each wheel, in a folder that any number of processes share."""

    def __init__(self, folder: Path) -> None:
        self._notes = Notes(folder / f"v{RULES_VERSION}")

    def known(self, key: str) -> str:
        """The digest of the wheel's RECORD; empty where the wheel is unknown, or its file cannot be read."""
        record = self._notes.read(key).get("record")
        return str(record) if is_digest(record) else ""

    def trust(self, key: str, pin: Pin, record: str) -> str:
        """Notes what was seen first, and answers what holds: of processes that see it at once, the first one wins."""
        note = _note(pin, record, "install")
        if self._notes.add(key, note):
            return record
        if held := self.known(key):
            return held
        self._notes.replace(key, note)  # what is there cannot be read
        return record

    def learn(self, key: str, pin: Pin, record: str) -> None:
        """Notes what a fresh download has; it replaces what was only seen first."""
        self._notes.replace(key, _note(pin, record, "reference"))


def _note(pin: Pin, record: str, how: str) -> dict[str, object]:
    return {"name": pin.name, "version": pin.version, "record": record, "learned": how}


def attest(content: Content, pins: Iterable[Pin], ledger: Ledger, *, trust_first: bool) -> Attestation:
    """Compares every installed distribution that a hashed pin names with the ledger.

    ``trust_first`` says that the installer's cache is private: what the ledger does not know is noted and holds.
    It must be called before anything of the environment runs.
    """
    installed = {each.name: each for each in content.installed}
    verdicts: dict[str, list[Pin]] = {"matched": [], "learned": [], "altered": [], "unknown": [], "unattested": []}
    for pin in sorted(pins):
        found = installed.get(pin.name)
        if found is not None:  # a pin that is not installed is another check's finding
            verdicts[_verdict(content, found, pin, ledger, trust_first)].append(pin)
    return Attestation(
        matched=len(verdicts["matched"]),
        learned=len(verdicts["learned"]),
        altered=tuple(verdicts["altered"]),
        unknown=tuple(verdicts["unknown"]),
        unattested=tuple(verdicts["unattested"]),
    )


def _verdict(content: Content, found: Installed, pin: Pin, ledger: Ledger, trust_first: bool) -> str:
    if not _is_hashed(pin) or found.rows is None:
        return "unattested"
    verdicts = {_one_verdict(key, told, pin, ledger, trust_first) for key, told in _told(content, found, pin)}
    return next(word for word in ("altered", "unknown", "learned", "matched") if word in verdicts)


def _one_verdict(key: str, told: str, pin: Pin, ledger: Ledger, trust_first: bool) -> str:
    held = ledger.known(key)
    if held:
        return "matched" if held == told else "altered"
    if not trust_first:
        return "unknown"
    return "learned" if ledger.trust(key, pin, told) == told else "altered"


def to_refresh(content: Content, attestation: Attestation) -> tuple[str, ...]:
    """The names whose entries in the installer's cache are to be removed before they are installed again.

    Those with altered or missing files too: where the environment's files are hard links, the cache has lost them.
    """
    damaged = {problem.distribution for problem in examine(content) if problem.code in {"ENV110", "ENV111"}}
    return tuple(sorted(damaged | {pin.name for pin in attestation.altered}))


def fetch_reference(
    pins: Sequence[Pin],
    ledger: Ledger,
    *,
    run: Callable[[Sequence[str]], Outcome],
    python: Path,
    folder: Path,
    uv: str = "uv",
    options: Sequence[str] = (),
) -> tuple[Pin, ...]:
    """Downloads the pins' wheels anew, past every cache, and notes what their RECORD files say.

    ``run`` runs a command to its end, ``python`` is the interpreter that the wheels are for, ``folder`` a private
    temporary folder, ``options`` further arguments for uv (an index, say). Returns the pins of which there is no
    wheel to be had; those the ledger does not learn.
    """
    request = _Request(run=run, python=python, folder=folder, uv=uv, options=tuple(options))
    wanted = [pin for pin in pins if _is_hashed(pin)]
    if not wanted or request.fetch(wanted, ledger, "all"):
        return tuple(pin for pin in pins if pin not in wanted)
    # One that cannot be had must not hide the others.
    lost = {pin.name for number, pin in enumerate(wanted) if not request.fetch([pin], ledger, str(number))}
    return tuple(pin for pin in pins if pin not in wanted or pin.name in lost)


@dataclass(frozen=True)
class _Request:
    run: Callable[[Sequence[str]], Outcome]
    python: Path
    folder: Path
    uv: str
    options: tuple[str, ...]

    def fetch(self, pins: Sequence[Pin], ledger: Ledger, name: str) -> bool:
        prefix, requirements = self.folder / f"reference-{name}", self.folder / f"reference-{name}.txt"
        requirements.write_text("".join(map(_requirement, pins)), encoding="utf-8", newline="")
        # Each line has its hashes; --require-hashes would ask for some of constraints in folders above as well.
        command = (
            *(self.uv, "pip", "install", "--no-cache", "--no-deps", "--verify-hashes", "--only-binary", ":all:"),
            *("--python", str(self.python), "--prefix", str(prefix), *self.options, "-r", str(requirements)),
        )
        if not self.run(command):
            return False
        content = self._read(prefix)
        installed = {each.name: each for each in content.installed}
        for pin in pins:
            found = installed.get(pin.name)
            if found is None:
                return False
            for key, told in _told(content, found, pin):
                ledger.learn(key, pin, told)
        return True

    def _read(self, prefix: Path) -> Content:
        """The reference, whose scripts name the interpreter of the environment that it is fetched for."""
        content = read_content(prefix)
        root = self.python if self.python.is_dir() else self.python.parent.parent
        names = (os.path.abspath(root), os.path.realpath(root))  # noqa: PTH100 - with links as they are, too
        return replace(content, roots=(*content.roots, *(name.replace(os.sep, "/") for name in names)))


def _requirement(pin: Pin) -> str:
    source = f" @ {pin.location}" if pin.source == "url" else f"=={pin.version}"
    return f"{pin.name}{source} {' '.join(f'--hash={each}' for each in pin.hashes)}\n"


def _is_hashed(pin: Pin) -> bool:
    return pin.source in ("index", "url") and any(each.startswith("sha256:") for each in pin.hashes)


def _told(content: Content, found: Installed, pin: Pin) -> Iterator[tuple[str, str]]:
    """What an installed distribution says of its wheel: the ledger's key, and a digest.

    RECORD, and which files the wheel marks as executable. RECORD does not tell the latter, and ``chmod`` on a hard
    link changes them in the installer's cache. A file system that has no such mark shows all files alike.
    """
    yield _key(content, found, pin), record_digest(content, found)
    record = content.by_path.get(f"{found.folder}/RECORD")
    if record is not None and not record.executable:
        yield _key(content, found, pin, "executable"), executable_digest(content, found)


def executable_digest(content: Content, found: Installed) -> str:
    """``sha256:<hex>`` over which of a distribution's files are executable; installers make all scripts so."""
    entries = (content.by_path.get(row.path) for row in found.rows or ())
    start = f"{content.scripts}/"
    marked = (entry.path for entry in entries if entry and entry.executable and not entry.path.startswith(start))
    inside = sorted(path.removeprefix(f"{found.site}/") for path in marked)
    return "sha256:" + hashlib.sha256(json.dumps(inside).encode()).hexdigest()


def _key(content: Content, found: Installed, pin: Pin, *what: str) -> str:
    parts = [RULES_VERSION, pin.name, pin.version, sorted(pin.hashes), _tags(content, found), *what]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _tags(content: Content, found: Installed) -> list[str]:
    """The lines of WHEEL that say which of a release's wheels it was (PEP 427)."""
    lines = (content.text(f"{found.folder}/WHEEL") or "").splitlines()
    return sorted({line.strip() for line in lines if line.startswith(("Tag:", "Build:"))})


def record_digest(content: Content, found: Installed) -> str:
    """``sha256:<hex>`` over what a distribution's RECORD says of the wheel's own files, wherever it is installed."""
    rows = sorted({line for row in found.rows or () if (line := _line(content, found, row))})
    return "sha256:" + hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _line(content: Content, found: Installed, row: Row) -> tuple[str, str] | None:
    """A row without what depends on the installer and the place; ``None`` for what an installer has added.

    Sizes are left out, the hash says more. A row without a hash (uv and pip add such where a wheel's own RECORD is
    not complete) gets the hash of the file as it is.
    """
    inside = row.path.removeprefix(f"{found.site}/")
    folder, _, name = row.path.rpartition("/")
    if folder == found.folder and name in INSTALLER_FILES:
        return None
    if row.path.startswith(f"{content.scripts}/"):
        return _script_line(content, found, row)
    if not row.algorithm:
        entry = content.by_path.get(row.path)
        compiled = name.endswith(".pyc") and folder.endswith("/__pycache__")
        return None if compiled or entry is None else (inside, f"sha256={recorded_digest(entry.sha256)}")
    headers = re.match(r"[Ii]nclude/site/python[^/]*/[^/]+/(.*)", row.path, re.DOTALL)
    return (f"headers/{headers[1]}" if headers else inside, f"{row.algorithm}={row.digest}")


def _script_line(content: Content, found: Installed, row: Row) -> tuple[str, str] | None:
    """Launchers are the installer's; of a wheel's script the interpreter's line is (``#!python`` in the wheel)."""
    name = row.path.rpartition("/")[2]
    data = content.data.get(row.path)
    folders = tuple(f"{root}/{content.scripts}" for root in content.roots)
    reference = found.scripts.get(name.removesuffix(".exe"), "")
    if data is None:
        return (f"scripts/{name}", f"{row.algorithm}={row.digest}")
    if reference or (found.name == "pip" and is_launcher(data, found.scripts.get("pip", ""), folders)):
        return None
    plain = hashlib.sha256(without_interpreter(data, folders)).hexdigest()
    return (f"scripts/{name}", f"sha256={recorded_digest(plain)}")
