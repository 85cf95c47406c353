"""The content digest of an environment: the same for the same lock at another path, on another day, by another user,
whatever installer wrote it. Pure.

The rules, each with its source, are in ``docs/environment-digest.md``. What they leave out or rewrite is what
installers and creators add of their own; all else counts, so a file that was altered, added or removed shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ci_envs.launchers import ACTIVATION, conda_launcher, is_interpreter, is_launcher, without_interpreter
from ci_envs.model.conda_record import ENTRY_POINTS
from ci_envs.model.content import INSTALLER_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.model.conda_record import Claim
    from ci_envs.model.content import Content, Entry, Installed

__all__ = ["RULES_VERSION", "Difference", "Digest", "Item", "differences", "environment_digest"]

#: Part of what is hashed. Digests of two versions of the rules are never the same, and say nothing of each other.
RULES_VERSION = 1

# At the top of a prefix: what the creators leave for git, for backup programs and for uv itself.
_TOP = frozenset((".gitignore", "CACHEDIR.TAG", ".lock"))

# What a creator seeds: top-level names in site-packages, and scripts.
_SEEDS = {
    "pip": (("pip/",), re.compile(r"pip[-\d.]*(?:\.exe)?")),
    "setuptools": (
        ("setuptools/", "pkg_resources/", "_distutils_hack/", "distutils-precedence.pth"),
        re.compile(r"easy_install[-\d.]*(?:\.exe)?"),
    ),
    "wheel": (("wheel/",), re.compile(r"wheel[-\d.]*(?:\.exe)?")),
}

# Headers lie below the distribution's name, as the caller wrote it (pip before 24) or normalised (uv).
# venv on Windows makes an Include, and pip writes into that.
_HEADERS = re.compile(r"([Ii]nclude/site/python[^/]*/)([^/]+)(/.*)", re.DOTALL)

# What front ends write into conda-meta for themselves: what was done and when. Nothing reads them as code.
_CONDA_NOTES = frozenset(("conda-meta/history", "conda-meta/created_at"))
_CONDA_STATE = "conda-meta/state"

# Where rattler puts a file that another package has, too; conda keeps none.
_CLOBBERED = "__clobbers__/"


class Item(NamedTuple):
    """One line of what is hashed."""

    path: str
    #: ``file``, ``link``, ``dir-link``, ``launcher``, ``config``, ``other``, ``unreadable``; in a conda environment
    #: also ``relocated`` (a file with the prefix in it) and ``package``.
    kind: str
    executable: bool
    #: SHA-256 of a file; where a link leads; what a launcher calls; the values of a configuration. Of a relocated file
    #: the SHA-256 that its package names, and what the prefix stands in place of.
    value: str


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A digest and what it was made of."""

    #: ``sha256:<hex>``.
    value: str
    files: int
    #: Sizes of the files that were counted as they are, or but for the prefix in them, added.
    bytes: int
    entries: tuple[Item, ...]


class Difference(NamedTuple):
    """One path in which two environments differ; of two images one fact, which begins with its layer's name."""

    path: str
    #: ``only-in-a``, ``only-in-b`` or ``different``; of a path of an image also what of it differs: ``content, time``.
    kind: str
    #: Why, where that is known; else empty.
    reason: str


def environment_digest(
    content: Content, *, seeds: frozenset[str] = frozenset(), exclude: frozenset[str] = frozenset()
) -> Digest:
    """The digest of what was read.

    ``seeds`` are the distributions that the environment was created with and its lock does not name, ``exclude``
    those that are left out because they are no part of the lock: the project itself. Both are normalised names.
    """
    rules = _Rules(content, seeds, exclude)
    kept = [(entry, item) for entry in content.entries if (item := rules.item(entry)) is not None]
    items = tuple(sorted((item for _, item in kept), key=_by_bytes))
    text = json.dumps([RULES_VERSION, items], ensure_ascii=True, separators=(",", ":"))
    return Digest(
        value="sha256:" + hashlib.sha256(text.encode()).hexdigest(),
        files=len(items),
        bytes=sum(entry.size for entry, item in kept if item.kind == "relocated" or item.value == entry.sha256),
        entries=items,
    )


def differences(a: Digest, b: Digest) -> list[Difference]:
    """Where two environments differ, sorted by path; nothing where their digests are equal."""
    ours = {item.path: item for item in a.entries}
    theirs = {item.path: item for item in b.entries}
    paths = sorted(ours.keys() | theirs.keys())
    return [_difference(path, ours.get(path), theirs.get(path)) for path in paths if ours.get(path) != theirs.get(path)]


def _difference(path: str, ours: Item | None, theirs: Item | None) -> Difference:
    if ours is None or theirs is None:
        return Difference(path, "only-in-b" if ours is None else "only-in-a", _reason_alone(path))
    return Difference(path, "different", _reason(ours, theirs))


def _reason_alone(path: str) -> str:
    name = path.rpartition("/")[2]
    if "/__pycache__/" in path:
        return "written into __pycache__ by something that ran, or shipped by another wheel"
    if name == "METADATA":
        return f"the distribution {path.split('/')[-2].removesuffix('.dist-info')} is only in one of them"
    return ""


def _reason(ours: Item, theirs: Item) -> str:
    kinds = {ours.kind, theirs.kind}
    if len(kinds) > 1:
        if "launcher" in kinds:
            return "one of them is no launcher that an installer writes, or calls another interpreter"
        return f"a {ours.kind} and a {theirs.kind}"
    if kinds == {"relocated"}:
        return "more than the prefix differs in it, or it was installed from another package"
    if kinds != {"file"}:
        return f"{ours.value} and {theirs.value}"
    return "only one of them may be executed" if ours.value == theirs.value else _reason_of_bytes(ours.path)


def _reason_of_bytes(path: str) -> str:
    if path.endswith(".pyc"):
        return "bytecode, which compilers do not write twice alike"
    if path.rpartition("/")[2] in {"WHEEL", "METADATA"}:
        return "installed from another wheel, or built on the spot"
    return ""


def _by_bytes(item: Item) -> bytes:
    return item.path.encode("utf-8", "surrogateescape")


class _Rules:
    """What each entry counts as."""

    def __init__(self, content: Content, seeds: frozenset[str], exclude: frozenset[str]) -> None:
        self._content = content
        self._scripts = f"{content.scripts}/"
        named = {name for name in seeds if name not in _SEEDS} | exclude
        self._left_out = frozenset(_claimed(installed for installed in content.installed if installed.name in named))
        self._beginnings = tuple(_seeded(content, seeds))
        self._seed_scripts = tuple(_SEEDS[name][1] for name in seeds if name in _SEEDS)
        self._hashed = frozenset(
            row.path for installed in content.installed for row in installed.rows or () if row.algorithm
        )
        self._launchers = dict(_launchers(content.installed))
        self._metadata = frozenset(installed.folder for installed in content.installed)
        self._conda = _CondaRules(content)

    def item(self, entry: Entry) -> Item | None:
        """What an entry counts as; ``None`` where it does not count."""
        path = entry.path
        if self._conda.decide(path):
            return self._conda.item(entry)
        if "/" not in path:
            return self._top(entry)
        if path in self._left_out or path.startswith(self._beginnings) or self._is_added(path):
            return None
        if path.startswith(self._scripts):
            return self._script(entry)
        headers = _HEADERS.fullmatch(path) if path.startswith(("include/", "Include/")) else None
        if headers:
            path = headers[1] + re.sub(r"[-_.]+", "-", headers[2]).lower() + headers[3]
        return _plain(entry, path)

    def _is_added(self, path: str) -> bool:
        """Whether an installer or a creator adds it to what wheels bring."""
        folder, _, name = path.rpartition("/")
        if name in INSTALLER_FILES:
            return folder in self._metadata
        if name.endswith(".pyc"):
            return folder.endswith("/__pycache__") and path not in self._hashed
        return name.startswith("_virtualenv.") and folder in self._content.sites and self._is_patch(folder)

    def _top(self, entry: Entry) -> Item | None:
        if entry.path in _TOP or (entry.path, entry.kind, entry.target) == ("lib64", "dir-link", "lib"):
            return None
        if entry.path == "pyvenv.cfg" and entry.kind == "file":
            values = _configuration(self._content.text(entry.path) or "", self._content.sites)
            return Item(entry.path, "config", False, json.dumps(values, sort_keys=True))
        return _plain(entry, entry.path)

    def _script(self, entry: Entry) -> Item | None:
        name = entry.path[len(self._scripts) :]
        # No creator writes such files into a conda environment: there they are whoever's.
        claimed = entry.path in self._hashed or self._content.is_conda
        if not claimed and (name in ACTIVATION or is_interpreter(name)):
            return None
        if any(pattern.fullmatch(name) for pattern in self._seed_scripts):
            return None
        data = self._content.data.get(entry.path)
        if entry.kind != "file" or data is None:
            return _plain(entry, entry.path)._replace(executable=False)
        reference = self._launchers.get(name.removesuffix(".exe"), "")
        if reference and is_launcher(data, reference, self._content.folders):
            return Item(entry.path, "launcher", False, reference)
        # pip marks a script of a wheel executable where the archive does, uv always.
        bare = without_interpreter(data, self._content.folders)
        return Item(entry.path, "file", False, hashlib.sha256(bare).hexdigest())

    def _is_patch(self, site: str) -> bool:
        """Whether the file that loads virtualenv's patch of distutils does that and nothing else."""
        return (self._content.text(f"{site}/_virtualenv.pth") or "").strip() == "import _virtualenv"


class _CondaRules:
    """What the files count as that conda packages have brought, and what conda's installers write beside them."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._packages = {record.path: record for record in content.conda}
        self._claims: dict[str, list[Claim]] = {}
        for record in content.conda:
            for claim in record.claims:
                self._claims.setdefault(claim.path, []).append(claim)

    def decide(self, path: str) -> bool:
        """Whether the rules below are for this path, and not those of Python's installers."""
        return path in self._claims or (self._content.is_conda and path.startswith(("conda-meta/", _CLOBBERED)))

    def item(self, entry: Entry) -> Item | None:
        """What such an entry counts as; ``None`` where it does not count."""
        path = entry.path
        if entry.kind != "file":
            return _plain(entry, path)
        if path in self._packages:
            record = self._packages[path]
            named = [record.name, record.version, record.build, record.subdir, record.sha256]
            return Item(path, "package", False, json.dumps(named))
        if path in _CONDA_NOTES or path.startswith(_CLOBBERED):
            return None
        return self._state(entry) if path == _CONDA_STATE else self._claimed(entry)

    def _state(self, entry: Entry) -> Item | None:
        """The variables that activating sets; the rest is for conda alone."""
        try:
            variables = json.loads(self._content.data.get(entry.path, b""))["env_vars"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return _plain(entry, entry.path)
        return Item(entry.path, "config", False, json.dumps(variables, sort_keys=True)) if variables else None

    def _claimed(self, entry: Entry) -> Item | None:
        path = entry.path
        claims = self._claims.get(path, ())
        kinds = {claim.kind for claim in claims}
        if kinds == {"pyc_file"} and path.endswith(".pyc") and "/__pycache__/" in path:
            return None
        if kinds and kinds <= ENTRY_POINTS:
            called = conda_launcher(self._content.data.get(path, b""), self._content.folders)
            return Item(path, "launcher", False, called) if called else _plain(entry, path)
        original, masked = self._content.originals.get(path), self._content.masked.get(path)
        if original:
            claim = next((c for c in claims if c.placeholder and c.sha256 in ("", original)), None)
            put_in = [claim.placeholder, claim.mode] if claim else []
            return Item(path, "relocated", entry.executable, json.dumps([original, *put_in]))
        return Item(path, "relocated", entry.executable, masked) if masked else _plain(entry, path)


def _plain(entry: Entry, path: str) -> Item:
    return Item(path, entry.kind, entry.executable, entry.sha256 if entry.kind == "file" else entry.target)


def _claimed(distributions: Iterable[Installed]) -> Iterable[str]:
    for installed in distributions:
        yield from (row.path for row in installed.rows or ())
        yield from (f"{installed.folder}/{name}" for name in INSTALLER_FILES)


def _seeded(content: Content, seeds: frozenset[str]) -> Iterable[str]:
    """Beginnings of the paths of seeds: a fixed list, since a RECORD could claim anything."""
    for name in seeds & _SEEDS.keys():
        yield from (f"{site}/{top}" for site in content.sites for top in _SEEDS[name][0])
    for installed in content.installed:
        if installed.name in seeds & _SEEDS.keys():
            yield f"{installed.folder}/"
            yield installed.folder.removesuffix(".dist-info") + ".virtualenv"  # virtualenv's own mark, an empty file


def _launchers(distributions: Iterable[Installed]) -> Iterable[tuple[str, str]]:
    for installed in distributions:
        yield from installed.scripts.items()
        # pip and uv name pip's launchers after the Python they are for, whatever its metadata says.
        reference = installed.scripts.get("pip") if installed.name == "pip" else None
        if reference:
            yield from ((f"pip{version}", reference) for version in ("3", *_series(installed.site)))


def _series(site: str) -> Iterable[str]:
    return re.findall(r"/python(\d+\.\d+)", site)


def _configuration(text: str, sites: tuple[str, ...]) -> Mapping[str, str]:
    """What pyvenv.cfg says of the interpreter, whoever wrote it (PEP 405; the keys beyond ``home`` are the creators').

    venv writes ``version = 3.12.1``, uv ``version_info = 3.12.1``, virtualenv ``version_info = 3.12.1.final.0``; venv
    names no implementation.
    """
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    values = {key.strip().lower(): value.strip() for key, _, value in pairs}
    version = re.match(r"\d+(?:\.\d+){0,2}", values.get("version_info") or values.get("version", ""))
    implied = "pypy" if any("/pypy" in site for site in sites) else "cpython"
    return {
        "implementation": values.get("implementation", implied).lower(),
        "version": version[0] if version else "",
        # Whether the machine's own packages can be imported as well.
        "system-site-packages": values.get("include-system-site-packages", "false").lower(),
    }
