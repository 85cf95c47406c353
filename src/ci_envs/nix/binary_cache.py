"""A binary cache in a folder, for whoever carries what a shell needs from one job to the next.

What is put there is signed with a key of our own, which lies in the user's cache folder, and our calls of nix trust
that key beside the user's own. So nobody who can write to the folder alone (a repository, a pull request's job) gives
anybody programs: a path that is signed by no trusted key is not used, unless its name follows from its content. Jobs
that are to use each other's caches carry the key, too (the folder ``nix`` in ``CI_ENVS_CACHE_DIR``), or trust it by
the user's own ``trusted-public-keys``. ``?trusted=true`` and ``require-sigs = false`` would do without either, and are
not used.

Behind a daemon that does not trust its user nix ignores caches and keys that are not in the daemon's own settings.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ci_envs.cache import usable_folder
from ci_envs.command import Command, run
from ci_envs.errors import BrokenError, BuildError
from ci_envs.layout import held, write_atomically
from ci_envs.nix.cache_entries import forget_unfinished, info_file, read_entries, take_out
from ci_envs.nix.cache_folder import PRIORITY, address_of, cache_folder, filled_cache
from ci_envs.nix.cache_key import found_key, own_key
from ci_envs.nix.closure import read_closure
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import run_classic, run_nix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ci_envs.capture import Outcome
    from ci_envs.errors import CiEnvsError
    from ci_envs.model.closure import Closure
    from ci_envs.model.lock import Pin
    from ci_envs.nix.cache_entries import Entry
    from ci_envs.nix.cache_key import Key
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["cache_failure", "cache_words", "fetch_sources", "keep_closure", "look_through"]

#: Findings: something in the cache was damaged; something in it is signed by nobody who is trusted.
_DAMAGED, _FOREIGN = "NIX030", "NIX031"

#: What takes the least time of what every nix since 2.4 reads.
_COMPRESSION = "zstd"

#: How many a message names.
_NAMED = 3

#: Derivations that say `allowSubstitutes = false` are taken from a cache all the same: building them needs more than
#: running does, and where nothing may be fetched there is nothing more.
_ALWAYS_SINCE = (2, 19)
_CONFIG_SHOW_SINCE = (2, 20)

_CACHEDIR_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a binary cache of nix's.\n"


def cache_words(work: Work, nix: Nix) -> tuple[str, ...]:
    """What a call of nix that builds is told, so that it takes what is in the cache; nothing where there is none.

    The user's own caches are asked beside it, unless nothing may be fetched, or their ``nix.conf`` says not to.
    What is damaged is taken out first, and named. Raises :class:`BrokenError` where it cannot be taken out.
    """
    folder = filled_cache(work)
    if folder is None:
        return ()
    settings = _settings(work, nix)
    key = found_key(work.environ)
    look_through(work, folder, [*settings["trusted-public-keys"], *([key.public] if key else ())])
    address = f"{address_of(work, folder)}?priority={PRIORITY}"
    words = ["--option", "extra-substituters", address]
    if work.policy.offline or not settings["substitute"]:
        words = ["--option", "substituters", address, "--option", "substitute", "true"]
    if key:
        words += ["--option", "extra-trusted-public-keys", key.public]
    if nix.at_least(*_ALWAYS_SINCE):
        words += ["--option", "always-allow-substitutes", "true"]
    return tuple(words)


def look_through(work: Work, folder: Path, trusted: Iterable[str]) -> None:
    """Takes out what is damaged, and tells of that, and of what is signed by none of the ``trusted`` keys.

    :class:`BrokenError` where it cannot be taken out.
    """
    entries = _without(work, folder, list(read_entries(folder)), lambda entry: not entry.is_whole, "not whole")
    _tell_of_foreign(work, folder, entries, trusted)


def fetch_sources(work: Work, nix: Nix, pins: Iterable[Pin]) -> None:
    """Brings what is pinned from the cache into the store, so that an evaluation finds it there and fetches nothing.

    ``fetchTarball`` of nix 2.8 looks into the store and asks no cache. Raises as a build does where it cannot be had.
    """
    folder = cache_folder(work)
    if folder is None or not folder.is_dir():
        return
    wanted = [path for path in _sources(work, nix, pins) if not os.path.lexists(path)]
    paths = [path for path in wanted if info_file(folder, path).is_file()]
    if paths:
        _done(work, run_classic(work, nix, "nix-store", *cache_words(work, nix), "--realise", *paths))


def keep_closure(work: Work, nix: Nix, closure: Closure, sources: Iterable[Pin] = ()) -> None:
    """Puts the closure into the cache, and the pinned sources that the store has; what is there already stays.

    The output that keeps the shell's variables is part of it: with that, a store that has nothing builds nothing.
    What the cache has under the same name in other bytes is replaced, and named: the record of this leg names ours.
    """
    folder = cache_folder(work)
    if folder is None:
        return
    _prepare(folder)
    key = own_key(work, nix)
    there = [path for path in _sources(work, nix, sources) if os.path.lexists(path)]
    wanted = {one.path: one.nar_hash for one in closure.paths}
    wanted |= {one.path: one.nar_hash for one in (read_closure(work, nix, there).paths if there else ())}
    with held(folder / ".lock", f"another run writes to {folder}"):
        forget_unfinished(folder)
        _put(work, nix, folder, key, wanted)
        _write_down(folder, key)


def _put(work: Work, nix: Nix, folder: Path, key: Key, wanted: dict[str, str]) -> None:
    """Copies what is missing, and signs what is there with the same bytes and without our signature."""

    def differs(entry: Entry) -> bool:
        return entry.path in wanted and entry.nar_hash != wanted[entry.path]

    entries = _without(work, folder, list(read_entries(folder)), lambda entry: not entry.is_whole, "not whole")
    entries = _without(work, folder, entries, differs, "other bytes than the store's")
    kept = {entry.path for entry in entries} & wanted.keys()
    address = address_of(work, folder)
    if missing := sorted(wanted.keys() - kept):
        options = f"compression={_COMPRESSION}&secret-key={quote(str(key.secret))}"
        _done(work, run_nix(work, nix, "copy", "--to", f"{address}?{options}", *missing, network=False))
    if unsigned := sorted(_unsigned(work, nix, address, key, kept)):
        words = ("store", "sign", "--store", address, "--key-file", str(key.secret))
        _done(work, run_nix(work, nix, *words, *unsigned, network=False))


_UNTRUSTED = re.compile(r"path '([^']+)' is untrusted")


def _unsigned(work: Work, nix: Nix, address: str, key: Key, paths: Iterable[str]) -> set[str]:
    """Those that carry no valid signature of ours, and need one."""
    asked = sorted(paths)
    if not asked:
        return set()
    words = ("--no-contents", "--store", address, "--option", "trusted-public-keys", key.public)
    outcome = run_nix(work, nix, "store", "verify", *words, *asked, network=False)
    return set(_UNTRUSTED.findall(outcome.stderr)) & set(asked)


# Each of these ends the copying of a path, and nix uses nothing of it.
_BAD = re.compile(
    r"hash mismatch importing path '(?P<path>[^']+)'|NAR info file '[^']*' is corrupt|bad archive:[^\n]*"
    r"|Failed to (?:open|read) archive[^\n]*|input compression not recognized|refusing to copy corrupted path[^\n]*"
)


def cache_failure(work: Work, outcome: Outcome) -> CiEnvsError | None:
    """What it means where nix failed over what is in the cache; ``None`` where that was not it.

    It reads every archive: nix does not always say which one it could not read.
    """
    folder = cache_folder(work)
    found = _BAD.search(outcome.stderr)
    if folder is None or found is None or not folder.is_dir():
        return None
    bad = [entry for entry in read_entries(folder) if entry.path == found["path"] or not entry.is_intact]
    files = [str(file) for entry in bad for file in (entry.file, entry.archive) if file is not None]
    named = f"{_names(entry.name for entry in bad)} in " if bad else ""
    return BrokenError(
        f"{named}the binary cache {folder} is damaged or was altered, and is not used: {found[0]}",
        hint=f"find out who wrote to it, and remove {' '.join(files) or folder}",
    )


def _done(work: Work, outcome: Outcome) -> Outcome:
    if not outcome:
        raise cache_failure(work, outcome) or build_error(failure_of(outcome, work))
    return outcome


# --- what is in the folder


def _without(
    work: Work, folder: Path, entries: Sequence[Entry], is_bad: Callable[[Entry], bool], what: str
) -> list[Entry]:
    """The entries but those that nobody can use, which are taken out and named."""
    bad = [entry for entry in entries if is_bad(entry)]
    good = [entry for entry in entries if entry not in bad]
    take_out(bad, good)
    if bad:
        message = (
            f"{_names(entry.name for entry in bad)} in the binary cache {work.layout.shown(folder)} had been damaged "
            f"({what}): it was not used, and is put there anew where it is needed"
        )
        work.find(_DAMAGED, "warning", "binary cache was damaged", message)
    return good


def _names(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return f"{', '.join(every[:_NAMED])}{more}"


def _tell_of_foreign(work: Work, folder: Path, entries: Sequence[Entry], trusted: Iterable[str]) -> None:
    """What nix would ignore with a line for each path."""
    names = {key.partition(":")[0] for key in trusted}
    foreign = [entry for entry in entries if entry.needs_signature and not entry.keys & names]
    if foreign and not any(finding.code == _FOREIGN for finding in work.findings):
        keys = ", ".join(sorted({key for entry in foreign for key in entry.keys})) or "nobody"
        message = (
            f"{len(foreign)} of the {len(entries)} paths in the binary cache {work.layout.shown(folder)} are not used: "
            f"they are signed by {keys}, and by no key that is trusted here. Carry the folder nix of ci-envs's own "
            "cache along with it, or trust what public-keys in it names by extra-trusted-public-keys in NIX_CONFIG"
        )
        work.find(_FOREIGN, "warning", "binary cache is not trusted", message)


def _prepare(folder: Path) -> None:
    """Makes the folder, which git and backup programs leave alone."""
    if not (folder / ".gitignore").is_file():
        usable_folder(folder)
        write_atomically(folder / "CACHEDIR.TAG", _CACHEDIR_TAG.encode())
        write_atomically(folder / ".gitignore", b"*\n")


def _write_down(folder: Path, key: Key) -> None:
    """Whose signatures the cache holds, for whoever wants to trust them. Nothing here reads it."""
    file = folder / "public-keys"
    known = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    if key.public not in known:
        write_atomically(file, "".join(f"{each}\n" for each in (*known, key.public)).encode())


# --- settings, sources


def _settings(work: Work, nix: Nix) -> dict[str, Any]:
    """Those of the user's settings that matter here. Not logged: the others hold the user's tokens."""
    words = ("config", "show") if nix.at_least(*_CONFIG_SHOW_SINCE) else ("show-config",)
    argv = (str(nix.program), "--extra-experimental-features", "nix-command", *words, "--json")
    outcome = run(Command(argv, env=work.tool_environment, raw=True))
    if not outcome:
        raise build_error(failure_of(outcome, work))
    try:
        told = json.loads(outcome.stdout)
        keys = [str(key) for key in told["trusted-public-keys"]["value"]]
        return {"substitute": bool(told["substitute"]["value"]), "trusted-public-keys": keys}
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"nix's settings cannot be read: {type(error).__name__}") from error


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
