"""A binary cache in a folder, for whoever carries what a shell needs from one job to the next.

What is put there is signed with a key of our own, which lies in the user's cache folder, and our calls of nix trust
that key beside the user's own. So nobody who can write to the folder alone (a repository, a pull request's job) gives
anybody programs: a path that is signed by no trusted key is not used, unless its name follows from its content. Jobs
that are to use each other's caches carry the key, too (``CI_ENVS_CACHE_DIR``/nix/key), or trust it by the user's own
``trusted-public-keys``. ``?trusted=true`` and ``require-sigs = false`` would do without, and are not used.

Behind a daemon that does not trust its user nix ignores caches and keys that are not in the daemon's own settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ci_envs.cache import cache_root, usable_folder
from ci_envs.command import Command, run
from ci_envs.errors import BrokenError, BuildError, UsageError
from ci_envs.layout import held, remove_tree, write_atomically
from ci_envs.nix.closure import path_info_words, read_closure, read_rows, sha256_of
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import run_classic, run_nix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_envs.capture import Outcome
    from ci_envs.errors import CiEnvsError
    from ci_envs.model.closure import Closure
    from ci_envs.model.lock import Pin
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["cache_failure", "cache_folder", "cache_words", "fetch_sources", "keep_closure"]

#: Findings: something in the cache was damaged; something in it is signed by nobody who is trusted.
_DAMAGED, _FOREIGN = "NIX030", "NIX031"

#: The compression that binary caches may be written in since nix 2.4, and that takes the least time.
_COMPRESSION = "zstd"
#: Caches with a lower number are asked first; cache.nixos.org has 40.
_PRIORITY = 10

#: What nix takes in the address of a folder without asking whether it is to be decoded, which changed.
_PLAIN = re.compile(r"[A-Za-z0-9/._+@,=-]+")
#: No .narinfo is longer; https://nix.dev/manual/nix/latest/protocols/binary-cache/narinfo
_LONGEST_INFO = 1024 * 1024
#: Files that a killed copy has left (LocalBinaryCacheStore::upsertFile).
_UNFINISHED = "*.tmp.*"
_UNFINISHED_SECONDS = 3600.0

#: How many a finding names.
_NAMED = 3

#: Derivations that say `allowSubstitutes = false` are taken from a cache all the same: building them needs more than
#: running does, and where nothing may be fetched there is nothing more.
_ALWAYS_SINCE = (2, 19)

_CACHEDIR_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a binary cache of nix's.\n"


@dataclass(frozen=True, slots=True)
class _Key:
    """What signs: ``NAME:BASE64`` each."""

    secret: Path
    public: str

    @property
    def name(self) -> str:
        """What a signature begins with."""
        return self.public.partition(":")[0]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One ``.narinfo``: what the cache says of one path."""

    file: Path
    fields: dict[str, str] = field(default_factory=dict)
    #: Names of the keys that it is signed with.
    keys: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether it says all that it must of this path, and its archive has the length that it says."""
        path, archive = self.fields.get("StorePath", ""), self.fields.get("URL", "")
        if not {"NarHash", "NarSize"} <= self.fields.keys() or path.rpartition("/")[2][:33] != f"{self.file.stem}-":
            return False
        try:
            size = (self.file.parent / archive).stat().st_size
        except (OSError, ValueError):
            return False
        return bool(archive) and str(size) == self.fields.get("FileSize", str(size))

    @property
    def needs_signature(self) -> bool:
        """Whether its name does not follow from its content."""
        return not self.fields.get("CA")


def cache_folder(work: Work) -> Path | None:
    """``nix.cache`` of the configuration; :class:`UsageError` where a relative one lies outside of the project."""
    named = work.config.nix.cache
    if not named:
        return None
    folder = Path(named).expanduser()
    return folder if folder.is_absolute() else work.project.path(named)


def cache_words(work: Work, nix: Nix) -> tuple[str, ...]:
    """What a call of nix that builds is told, so that it takes what is in the cache; nothing where there is none.

    The user's own caches are asked beside it, unless nothing may be fetched, or their ``nix.conf`` says not to.
    What is damaged is taken out first, and named. Raises :class:`BrokenError` where it cannot be taken out.
    """
    folder = cache_folder(work)
    if folder is None or not (folder / "nix-cache-info").is_file():
        return ()
    settings = _settings(work, nix)
    key = _found_key(work)
    entries = _without_damaged(work, folder)
    _tell_of_foreign(work, folder, entries, {*settings["trusted-public-keys"], *([key.public] if key else ())})
    address = f"{_address(work, folder)}?priority={_PRIORITY}"
    words = ["--option", "extra-substituters", address]
    if work.policy.offline or not settings["substitute"]:
        words = ["--option", "substituters", address, "--option", "substitute", "true"]
    if key:
        words += ["--option", "extra-trusted-public-keys", key.public]
    if nix.at_least(*_ALWAYS_SINCE):
        words += ["--option", "always-allow-substitutes", "true"]
    return tuple(words)


def fetch_sources(work: Work, nix: Nix, pins: Iterable[Pin]) -> None:
    """Brings what is pinned from the cache into the store, so that an evaluation finds it there and fetches nothing.

    ``fetchTarball`` of nix 2.8 looks into the store and asks no cache. Raises as a build does where it cannot be had.
    """
    folder = cache_folder(work)
    if folder is None or not folder.is_dir():
        return
    paths = [path for path in _sources(work, nix, pins) if not os.path.lexists(path) and _info(folder, path).is_file()]
    if paths:
        outcome = run_classic(work, nix, "nix-store", *cache_words(work, nix), "--realise", *paths)
        if not outcome:
            raise cache_failure(work, outcome) or build_error(failure_of(outcome, work))


def keep_closure(work: Work, nix: Nix, closure: Closure, sources: Iterable[Pin] = ()) -> None:
    """Puts the closure into the cache, and the pinned sources that the store has; what is there already stays.

    The output that keeps the shell's variables is part of it: with that, a store that has nothing builds nothing.
    What the cache has under the same name in other bytes is replaced, and named: the record of this leg names ours.
    """
    folder = cache_folder(work)
    if folder is None:
        return
    _prepare(folder)
    key = _own_key(work, nix)
    there = [path for path in _sources(work, nix, sources) if os.path.lexists(path)]
    wanted = {one.path: one.nar_hash for one in closure.paths}
    wanted |= {one.path: one.nar_hash for one in (read_closure(work, nix, there).paths if there else ())}
    with held(folder / ".lock", f"another run writes to {folder}"):
        _forget_unfinished(folder)
        _without_damaged(work, folder)
        address = _address(work, folder)
        missing = sorted(wanted.keys() - _kept(work, nix, address, folder, wanted))
        if missing:
            options = f"compression={_COMPRESSION}&secret-key={quote(str(key.secret))}"
            _done(work, run_nix(work, nix, "copy", "--to", f"{address}?{options}", *missing, network=False))
        if unsigned := sorted(_unsigned(work, nix, address, key, wanted.keys() - set(missing))):
            words = ("store", "sign", "--store", address, "--key-file", str(key.secret))
            _done(work, run_nix(work, nix, *words, *unsigned, network=False))
    if missing or not (folder / "public-key").is_file():
        write_atomically(folder / "public-key", f"{key.public}\n".encode())


def cache_failure(work: Work, outcome: Outcome) -> CiEnvsError | None:
    """What it means where nix failed because of what is in the cache; ``None`` where that was not it."""
    folder = cache_folder(work)
    found = _BAD.search(outcome.stderr) if folder else None
    if found is None:
        return None
    path = found["path"] or found["info"]
    return BrokenError(
        f"the binary cache {folder} is damaged or was altered: {found[0]}",
        hint=f"remove {_info(folder, path) if path else folder}: what was in it is fetched or built again"
        if folder
        else "",
    )


# Each of these ends the copying of a path, and nix uses nothing of it.
_BAD = re.compile(
    r"hash mismatch importing path '(?P<path>[^']+)'"
    r"|NAR info file '(?:.*/)?(?P<info>[^'/]+)\.narinfo' is corrupt"
    r"|Failed to (?:open|read) archive[^\n]*|(?:failed to decompress|lzma|zstd|xz)[^\n]*(?:corrupt|error)[^\n]*"
    r"|bad archive[^\n]*|input compression not recognized|unexpected end-of-file",
)


# --- what is in the folder


def _info(folder: Path, path: str) -> Path:
    """Where the cache says what it knows of a store path."""
    return folder / f"{path.rpartition('/')[2].partition('-')[0]}.narinfo"


def _entries(folder: Path) -> Iterator[_Entry]:
    for file in sorted(folder.glob("*.narinfo")):
        try:
            with file.open("rb") as opened:
                text = opened.read(_LONGEST_INFO).decode("utf-8", "replace")
        except OSError:
            yield _Entry(file)
            continue
        rows = [(key, value) for key, _, value in (line.partition(": ") for line in text.splitlines())]
        keys = frozenset(value.partition(":")[0] for key, value in rows if key == "Sig")
        yield _Entry(file, dict(rows), keys)


def _without_damaged(work: Work, folder: Path) -> list[_Entry]:
    """What is whole. What is not cannot be used by anybody: a job was ended while it was being carried."""
    entries = list(_entries(folder))
    damaged = [entry for entry in entries if not entry.is_whole]
    _take_out(work, folder, [entry.file for entry in damaged], "not whole")
    return [entry for entry in entries if entry not in damaged]


def _take_out(work: Work, folder: Path, files: Sequence[Path], what: str) -> None:
    """Removes entries, and says so. Their archives stay: other entries may have them, too."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise BrokenError(f"{file} is {what}, and cannot be removed: {error.strerror}") from error
    if files:
        named = ", ".join(file.name for file in files[:_NAMED])
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        message = f"{named}{more} of the binary cache {work.layout.shown(folder)} were {what}: they are not used"
        work.find(_DAMAGED, "warning", "binary cache was damaged", message)


def _tell_of_foreign(work: Work, folder: Path, entries: Sequence[_Entry], trusted: set[str]) -> None:
    """What nix would ignore with a line for each path."""
    names = {key.partition(":")[0] for key in trusted}
    foreign = [entry for entry in entries if entry.needs_signature and not entry.keys & names]
    if foreign and not any(finding.code == _FOREIGN for finding in work.findings):
        keys = ", ".join(sorted({key for entry in foreign for key in entry.keys})) or "nobody"
        message = (
            f"{len(foreign)} of the {len(entries)} paths in the binary cache {work.layout.shown(folder)} are not used: "
            f"they are signed by {keys}, and by no key that is trusted here. Carry the folder nix of ci-envs's own "
            "cache along with it, or trust its key (the file public-key) by extra-trusted-public-keys in NIX_CONFIG"
        )
        work.find(_FOREIGN, "warning", "binary cache is not trusted", message)


def _kept(work: Work, nix: Nix, address: str, folder: Path, wanted: dict[str, str]) -> set[str]:
    """Those of the wanted paths that the cache has in the same bytes; others are taken out."""
    asked = [path for path in wanted if _info(folder, path).is_file()]
    if not asked:
        return set()
    words = (*path_info_words(nix), "--store", address, *asked)
    outcome = _done(work, run_nix(work, nix, *words, network=False, data=True))
    rows = read_rows(outcome.stdout)
    hashes = sha256_of(nix, work.environ, (row["narHash"] for row in rows.values()))
    same = {path for path, row in rows.items() if hashes[row["narHash"]] == wanted.get(path)}
    _take_out(
        work, folder, [_info(folder, path) for path in sorted(rows.keys() - same)], "other bytes than the store's"
    )
    return same


_UNTRUSTED = re.compile(r"path '([^']+)' is untrusted")


def _unsigned(work: Work, nix: Nix, address: str, key: _Key, paths: Iterable[str]) -> set[str]:
    """Those that carry no valid signature of ours, and need one. Their bytes are known to be the store's."""
    asked = sorted(paths)
    if not asked:
        return set()
    words = ("--no-contents", "--store", address, "--option", "trusted-public-keys", key.public)
    outcome = run_nix(work, nix, "store", "verify", *words, *asked, network=False)
    return set(_UNTRUSTED.findall(outcome.stderr)) & set(asked)


def _done(work: Work, outcome: Outcome) -> Outcome:
    if not outcome:
        raise cache_failure(work, outcome) or build_error(failure_of(outcome, work))
    return outcome


def _prepare(folder: Path) -> None:
    """Makes the folder, which git and backup programs leave alone."""
    if not (folder / ".gitignore").is_file():
        usable_folder(folder)
        write_atomically(folder / "CACHEDIR.TAG", _CACHEDIR_TAG.encode())
        write_atomically(folder / ".gitignore", b"*\n")


def _forget_unfinished(folder: Path) -> None:
    for file in (*folder.glob(_UNFINISHED), *folder.glob(f"nar/{_UNFINISHED}")):
        with contextlib.suppress(OSError):
            if time.time() - file.lstat().st_mtime > _UNFINISHED_SECONDS:
                file.unlink()


# --- addresses, settings, sources


def _address(work: Work, folder: Path) -> str:
    """The folder as nix takes it. Where its name would have to be encoded, which not every nix decodes, by a link."""
    if not _PLAIN.fullmatch(str(folder)):
        link = _folder_of_links(work) / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        if not link.is_symlink() or link.readlink() != folder:
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        folder = link
    return f"file://{folder}"


def _folder_of_links(work: Work) -> Path:
    """A folder of ours with a plain name: in our own cache folder, else among the machine's temporary ones."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows has no nix
    candidates = (cache_root(work.environ) / "nix" / "folders", Path(tempfile.gettempdir()) / f"ci-envs-nix-{user}")
    for folder in filter(lambda each: _PLAIN.fullmatch(str(each)), candidates):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    hint = "name a folder of plain letters with CI_ENVS_CACHE_DIR, or one for nix.cache"
    raise UsageError("nix cannot be told of a binary cache whose path has blanks or signs in it", hint=hint)


def _settings(work: Work, nix: Nix) -> dict[str, Any]:
    """Those of the user's settings that matter here. Not logged: the others hold the user's tokens."""
    words = ("config", "show") if nix.at_least(2, 20) else ("show-config",)
    argv = (str(nix.program), "--extra-experimental-features", "nix-command", *words, "--json")
    outcome = run(Command(argv, env=work.tool_environment, raw=True))
    if not outcome:
        raise build_error(failure_of(outcome, work))
    try:
        told = json.loads(outcome.stdout)
        return {"substitute": bool(told["substitute"]["value"]), **_listed(told, "trusted-public-keys")}
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"nix's settings cannot be read: {type(error).__name__}") from error


def _listed(told: dict[str, Any], name: str) -> dict[str, list[str]]:
    return {name: [str(each) for each in told[name]["value"]]}


def _sources(work: Work, nix: Nix, pins: Iterable[Pin]) -> Iterator[str]:
    """Where the store has, or would have, what is pinned.

    The name is that of flakes, ``fetchTarball`` and npins, or niv's. A source that was given another one is not found.
    """
    for pin in pins:
        for digest in pin.hashes[:1]:
            for name in ("source", f"{pin.name}-src"):
                words = ("--print-fixed-path", "--recursive", "sha256", digest.removeprefix("sha256:"), name)
                outcome = run_classic(work, nix, "nix-store", *words, network=False)
                if outcome:
                    yield outcome.stdout.strip()


# --- the key


def _found_key(work: Work) -> _Key | None:
    folder = cache_root(work.environ) / "nix"
    try:
        return _Key(folder / "key", (folder / "key.pub").read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None


def _own_key(work: Work, nix: Nix) -> _Key:
    """Our key, made at its first use. Its name is its own, since nix goes by the name of a key."""
    folder = usable_folder(cache_root(work.environ)) / "nix"
    folder.mkdir(exist_ok=True)
    with held(folder / "key.lock", "another run makes the key of binary caches"):
        found = _found_key(work)
        if found and found.secret.is_file():
            return found
        made = folder / "new"
        remove_tree(made)
        made.mkdir(mode=0o700)
        try:
            _generate(work, nix, made)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    key = _found_key(work)
    if key is None:
        raise BrokenError(f"the key in {folder} cannot be read")
    return key


def _generate(work: Work, nix: Nix, made: Path) -> None:
    secret, public = made / "key", made / "key.pub"
    name = f"ci-envs-{secrets.token_hex(4)}"
    words = ("--generate-binary-cache-key", name, str(secret), str(public))
    _done(work, run_classic(work, nix, "nix-store", *words, network=False))
    secret.chmod(0o600)
    for file in (secret, public):  # who finds the second finds both
        file.replace(made.parent / file.name)
