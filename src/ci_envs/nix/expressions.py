"""A description that is no flake: the files that it is made of, what they pin, and what they leave open.

Files are followed inside the project alone. Parsing is nix's own (``nix-instantiate --parse``); what is evaluated
elsewhere (a function of nixpkgs, a file of another source) is no part of this.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from ci_envs.errors import UsageError
from ci_envs.locks.flake_lock import NAME as FLAKE_LOCK
from ci_envs.locks.nix_pins import read_pins, read_prefetched
from ci_envs.locks.nix_sources import is_revision, nix_sha256, public_address, version_of
from ci_envs.model.lock import Pin
from ci_envs.nix.failures import failure_of, lock_error
from ci_envs.nix.parsed import Parsed
from ci_envs.nix.tool import run_classic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_envs.locks.nix_pins import ReadPins
    from ci_envs.nix.parsed import Fetch
    from ci_envs.nix.tool import Nix
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["Expressions", "Open", "lines_of", "numbered", "parse_file", "read_expressions"]

#: A project's own expressions; one that has more is a collection of packages, and its shell needs few of them.
MAX_FILES = 500

#: In the output of the parser a project's folder may hold blanks, which end no path elsewhere.
_ROOT = "/.project"

_GITHUB_ARCHIVE = re.compile(
    r"https://github\.com/(?P<owner>[^/]+)/(?P<repo>[^/]+)/archive/(?P<what>[^?#]+?)(?:\.tar\.gz|\.zip)"
)
_IN_ADDRESS = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
_HASHES = ("sha256", "hash", "narHash", "outputHash")
#: nix's own expressions, which come with it: ``<nix/fetchurl.nix>``.
_NIXS_OWN = "nix"


OpenKind = Literal["search path", "tarball", "git", "tree", "flake", "file"]


@dataclass(frozen=True, slots=True)
class Open:
    """A use of something that may be another tomorrow."""

    kind: OpenKind
    #: The name in angle brackets, or the address, without credentials; empty where it is put together elsewhere.
    what: str
    file: str
    #: Where it stands; 0 where that cannot be told.
    line: int = 0
    #: The whole revision that the address names. Its files are then the same ones, though nothing compares them.
    revision: str = ""


@dataclass(slots=True)
class Expressions:
    """All that the files of a description say of what they are built from."""

    #: Relative to the project, the first is the description itself.
    files: list[str] = field(default_factory=list)
    #: What the files themselves pin.
    pins: list[Pin] = field(default_factory=list)
    #: The files that hold these.
    holders: list[str] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)
    #: Files of pins that they read, by path: of npins or niv.
    pin_files: dict[str, ReadPins] = field(default_factory=dict)
    #: Pins in other JSON files that they read, by path.
    prefetched: dict[str, Pin] = field(default_factory=dict)
    #: Whether flake.lock is read, by flake-compat or by hand.
    flake_lock: bool = False
    #: Where the machine is asked for something: ``getEnv "HOME"`` with file and line.
    asks: list[tuple[str, str, int]] = field(default_factory=list)


def read_expressions(project: Project, file: str, parse: Callable[[str], str]) -> Expressions:
    """Reads a file of the project and those that it imports.

    ``parse`` is given a name and answers with what ``nix-instantiate --parse`` prints: :func:`parse_file` asks nix.
    """
    found, waiting = Expressions(), deque([file])
    while waiting and len(found.files) < MAX_FILES:
        name = waiting.popleft()
        if name in found.files:
            continue
        found.files.append(name)
        parsed = Parsed(parse(name).replace(str(project.root), _ROOT))
        _Reading(project, name, parsed, found).read()
        waiting += _locals(project, parsed, found)
    # The parser prints what a file defines in an order of its own, which is another in another nix.
    found.pins.sort()
    found.open.sort(key=lambda one: (found.files.index(one.file), one.line, one.what))
    return found


def parse_file(work: Work, nix: Nix, name: str) -> str:
    """One file, parsed by nix. :class:`LockError`, with nix's own line, where it cannot be."""
    path = work.project.path(name)
    outcome = run_classic(work, nix, "nix-instantiate", "--parse", path, network=False, data=True)
    if not outcome:
        raise lock_error(failure_of(outcome, work))
    return outcome.stdout


def _locals(project: Project, parsed: Parsed, found: Expressions) -> Iterator[str]:
    """The project's own expressions that another is made of, but for those that read a file of pins."""
    imported = set(parsed.imported)
    for path in sorted(set(parsed.paths)):
        name = _inside(path)
        if name.endswith(".nix"):
            is_expression = project.exists(name)
        else:
            name = posixpath.join(name, "default.nix")
            is_expression = path in imported and project.exists(name)
        if is_expression and posixpath.join(posixpath.dirname(name), "sources.json") not in found.pin_files:
            yield name


def _inside(path: str) -> str:
    """A path as the project names it; a name that cannot be where it lies outside."""
    return posixpath.normpath(path.removeprefix(f"{_ROOT}/")) if path.startswith(f"{_ROOT}/") else "/"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One file that is read."""

    project: Project
    file: str
    parsed: Parsed
    found: Expressions

    def read(self) -> None:
        """Adds to what was found so far."""
        self._pin_files()
        for name in dict.fromkeys(word.partition("/")[0] for word in self.parsed.searched):
            if name != _NIXS_OWN:
                lines = sorted({line for end in ">/" for line in self._lines(f"<{name}{end}") if line})
                self.found.open += [Open("search path", name, self.file, line) for line in lines or [0]]
        for fetch in self.parsed.fetches:
            self._fetch(fetch)
        self._asks()

    def _asks(self) -> None:
        names = [f'getEnv "{name}"' if name else "getEnv" for name in dict.fromkeys(self.parsed.calls("getEnv"))]
        names += ["currentTime"] if self.parsed.uses("currentTime") else []
        self.found.asks += [(name, self.file, self._lines(name)[0]) for name in names]

    def _pin_files(self) -> None:
        """The files of pins that stand beside an expression that is imported, or are read as JSON."""
        for path in sorted(set(self.parsed.paths)):
            name = _inside(path)
            if posixpath.basename(name) == FLAKE_LOCK and self.project.exists(name):
                self.found.flake_lock = self.found.flake_lock or name == FLAKE_LOCK
            elif name.endswith(".json"):
                self._json(name)
            else:
                folder = posixpath.dirname(name) if name.endswith(".nix") else name
                is_generated = not name.endswith(".nix") or posixpath.basename(name) in ("sources.nix", "default.nix")
                if is_generated and path in self.parsed.imported:
                    self._pins(posixpath.join(folder, "sources.json"))

    def _pins(self, name: str) -> None:
        if name not in self.found.pin_files and (text := _text(self.project, name)) is not None:
            self.found.pin_files[name] = read_pins(text, path=name)

    def _json(self, name: str) -> None:
        if posixpath.basename(name) == "sources.json":
            self._pins(name)
        elif name not in self.found.prefetched and (text := _text(self.project, name)) is not None:
            pin = read_prefetched(text, path=name)
            if pin is not None:
                self.found.prefetched[name] = pin

    def _fetch(self, fetch: Fetch) -> None:
        if "flake-compat" in fetch.piece and self.project.exists(FLAKE_LOCK):
            self.found.flake_lock = True
        if not fetch.is_told:
            return
        pin = _pin(fetch)
        if pin is not None:
            self._hold(pin)
            return
        kind = _open_kind(fetch)
        if kind is None:
            return
        revision = _revision(fetch)
        if revision:
            self._hold(_named_pin(fetch, revision, ""))
        what = public_address(fetch.text("url") or fetch.piece)
        line = self._lines(fetch.piece or fetch.function)[0]
        self.found.open.append(Open(kind, what, self.file, line, revision))

    def _hold(self, pin: Pin) -> None:
        self.found.pins.append(pin)
        if self.file not in self.found.holders:
            self.found.holders.append(self.file)

    def _lines(self, needle: str) -> list[int]:
        return lines_of(_text(self.project, self.file) or "", needle)


def _text(project: Project, name: str) -> str | None:
    try:
        return project.text(name)
    except UsageError:  # no text, or a link that leads out: nix says what it thinks of it
        return None


# What a fetch fixes


def _pin(fetch: Fetch) -> Pin | None:
    """The pin that a fetch is, where a hash or, for git, a revision is given as a text."""
    if fetch.function == "getFlake":
        revision = _revision(fetch)
        return _named_pin(fetch, revision, "") if revision else None
    digest = next((one for name in _HASHES if (one := nix_sha256(fetch.text(name)))), "")
    revision = _revision(fetch)
    if digest or (revision and fetch.function in ("fetchGit", "fetchMercurial", "fetchTree")):
        return _named_pin(fetch, revision, digest)
    return None


#: What a fetch without a hash is; nixpkgs' own functions do not fetch then.
_OPEN_KINDS: dict[str, OpenKind] = {
    "fetchTarball": "tarball",
    "fetchurl": "file",
    "fetchGit": "git",
    "fetchMercurial": "git",
    "fetchTree": "tree",
    "getFlake": "flake",
}


def _open_kind(fetch: Fetch) -> OpenKind | None:
    """What is left open; ``None`` where a hash or revision is given that no text tells, and for a local file."""
    kind = _OPEN_KINDS.get(fetch.function)
    if fetch.has(*_HASHES) or (kind in ("git", "tree") and fetch.has("rev")):
        return None
    # `fetchGit ./.` and `getFlake (toString ./.)` are the project itself.
    return kind if fetch.piece or fetch.has("url") else None


def _revision(fetch: Fetch) -> str:
    """The whole revision that is given, or that the address names."""
    told = fetch.text("rev")
    if is_revision(told):
        return told
    found = _IN_ADDRESS.findall(fetch.text("url"))
    return str(found[-1]) if found else ""


def _named_pin(fetch: Fetch, revision: str, digest: str) -> Pin:
    location = _location(fetch)
    return Pin(
        name=_name(fetch, location),
        version=version_of(revision, 0, digest),
        source="input",
        location=location,
        hashes=(digest,) if digest else (),
    )


def _location(fetch: Fetch) -> str:
    """The same words for an archive of GitHub's as a lock of flakes has for the repository."""
    address = public_address(fetch.text("url"))
    if found := _GITHUB_ARCHIVE.match(address):
        return f"github:{found['owner']}/{found['repo']}"
    if fetch.text("owner") and fetch.text("repo"):
        forge = fetch.text("type") or fetch.function.removeprefix("fetchFrom").lower()
        return f"{forge}:{fetch.text('owner')}/{fetch.text('repo')}"
    if fetch.function == "getFlake":
        return _IN_ADDRESS.sub("", address).partition("?")[0].rstrip("/")
    vcs = {"fetchGit": "git", "fetchgit": "git", "fetchMercurial": "hg"}.get(fetch.function)
    return f"{vcs}+{address}" if vcs else address


def _name(fetch: Fetch, location: str) -> str:
    """``nixpkgs`` for ``github:NixOS/nixpkgs``; else the address's last word, or the name that is given."""
    if location.startswith(("github:", "gitlab:", "sourcehut:", "git+", "hg+")):
        return re.split(r"[/:]", location.partition("?")[0])[-1].removesuffix(".git") or fetch.function
    told = fetch.text("name")
    if told and told != "source":
        return told
    last = location.partition("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"\.(?:tar(?:\.\w+)?|tgz|zip)$", "", last) or fetch.function


def numbered(pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The pins, each once; of several with one name the later ones are numbered: ``nixpkgs-2``."""
    kept: dict[str, Pin] = {}
    for pin in dict.fromkeys(pins):
        name, number = pin.name, 1
        while name in kept:
            number += 1
            name = f"{pin.name}-{number}"
        kept[name] = replace(pin, name=name)
    return tuple(kept.values())


# Where it stands

_UNREAD = re.compile(r'"(?:\\.|[^"\\])*"|\'\'.*?\'\'(?!\')|(?P<comment>#[^\n]*|/\*.*?\*/)', re.DOTALL)


def lines_of(text: str, needle: str) -> list[int]:
    """The 1-based lines where something stands that the parser has seen: outside of comments, if it is there.

    ``[0]`` where it is nowhere, as an address that is put together of pieces.
    """
    bare = _UNREAD.sub(lambda found: re.sub(r"[^\n]", " ", found[0]) if found["comment"] else found[0], text)
    for where in (bare, text):
        if found := [number for number, line in enumerate(where.splitlines(), 1) if needle in line]:
            return found
    return [0]
