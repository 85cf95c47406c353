"""Builds again, one by one, what this machine has built of a shell's closure, and compares.

nix does it by ``--check``: the same derivation, over the inputs that are there. What came from a binary cache was
built elsewhere, and what is a source was never built: each byte of these is read and held against its hash.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.cache import cache_root, usable_folder
from ci_envs.digest import Difference
from ci_envs.environments.nix_shell import read_closure, read_shell
from ci_envs.layout import Layout, held, remove_tree
from ci_envs.nix.binary_cache import cache_words
from ci_envs.nix.check_traces import Traces
from ci_envs.nix.closure import closure_digest, nar_hashes
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import find_nix, run_classic
from ci_envs.nix.tree_difference import tree_differences
from ci_envs.order import prepare
from ci_envs.verifying import Verdict, build_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.model.closure import Closure, StorePath
    from ci_envs.nix.tool import Nix, NixOutcome
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer
    from ci_envs.work import Work

__all__ = ["verify_nix"]

#: What `nix-store --realise` ends with:
#: https://nix.dev/manual/nix/latest/command-ref/nix-store/realise#special-exit-codes-for-build-failure
_HASH_MISMATCH, _NOT_DETERMINISTIC = 102, 104

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_OUTPUT_GONE = "so checking is not possible"
_KEPT_FOLDER = re.compile(r"keeping build directory '([^']+)'")
_GOT = re.compile(r"got: +(\S+)")


def verify_nix(order: Order, observer: Observer) -> Verdict:
    """Builds the leg's shell, then again what this machine built of it.

    The shell that stands there is left alone, and nothing of this stays: not its folder, and nothing in the store
    (check_traces.py). Raises :class:`BuildError` where something cannot be built, the second time or the first.
    """
    folder = order.layout.state / "verify" / order.leg.id
    apart = replace(
        order,
        layout=Layout(root=order.layout.root, state=folder / "shell"),
        fresh=True,
        stages=frozenset({"detect", "lock", "build"}),
    )
    with _signals_stop_it(), order.layout.alone(f"verify-{order.leg.id}") as ours, _alone_in_store(order) as also:
        try:
            build_apart(apart, observer)
            return _Rebuilding.of(apart, (*ours, *also), observer).verdict()
        finally:
            remove_tree(folder)
            with contextlib.suppress(OSError):  # another leg is being verified
                folder.parent.rmdir()


@contextlib.contextmanager
def _signals_stop_it() -> Iterator[None]:
    """SIGTERM ends what is being built, as Ctrl-C does, so that what it leaves is removed.

    Nothing is raised where the signal comes: the command that it ends raises, or the next one does. A signal that we
    were started to ignore stays ignored.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS if in_main}
    ours = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in ours:
        signal.signal(number, lambda _number, _frame: command.stop_all())
    try:
        yield
        command.refuse_when_stopping("while it compared")
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _alone_in_store(order: Order) -> contextlib.AbstractContextManager[tuple[int, ...]]:
    """Two that check one path at once would remove each other's ``.check``."""
    return held(_own_folder(order) / "check.lock", "another verification builds in this store")


def _own_folder(order: Order) -> Path:
    folder = usable_folder(cache_root(order.environ)) / "nix"
    folder.mkdir(exist_ok=True)
    return folder


@dataclass
class _Rebuilding:
    """One verification on its way."""

    work: Work
    nix: Nix
    closure: Closure
    #: The output that holds the shell's variables, and with them the time.
    top: str
    #: What lets a call of nix take from the project's binary cache what checking needs.
    words: tuple[str, ...]
    #: Where what is left in the store by an interrupt is written down.
    ledger: Path
    found: list[Difference] = field(default_factory=list)
    #: What a path has in place of its first hash.
    hashes: dict[str, str] = field(default_factory=dict)
    checked: int = 0

    @classmethod
    def of(cls, order: Order, hold: tuple[int, ...], observer: Observer) -> _Rebuilding:
        """Over the shell that was just built for it."""
        _, work, _ = prepare(order)
        work.stage = "build"
        work.hold = hold
        work.progress = lambda text: observer.stage_says(order.leg, text)
        nix = find_nix(order.environ)
        closure, top = read_closure(work.prefix), read_shell(work.prefix).top
        return cls(work, nix, closure, top, cache_words(work, nix), _own_folder(order) / "checking.json")

    @cached_property
    def traces(self) -> Traces:
        """What checking leaves in the store."""
        return Traces(self.ledger, self._discard)

    def verdict(self) -> Verdict:
        """All of it, in the order in which things were built."""
        self.traces.clear()  # of a verification that was killed
        self._read()
        groups = self._groups()
        for number, (drv, paths) in enumerate(groups.items(), 1):
            self.work.progress(f"[{number}/{len(groups)}] builds {paths[0].name} again")
            self._check(drv, paths)
        first = closure_digest(self.closure, but=self.top)
        second = closure_digest(self._second(), but=self.top)
        return Verdict(
            leg=self.work.leg.id,
            same=not self.found and first == second,
            first=first,
            second=second,
            differences=tuple(self.found),
            notes=(self._note(),),
        )

    def _read(self) -> None:
        """Every byte of every path, whoever made it."""
        paths = [one.path for one in self.closure.paths if one.path != self.top]
        now = nar_hashes(self.nix, self.work.tool_environment, [path for path in paths if os.path.lexists(path)])
        for one in self.closure.paths:
            if one.path != self.top and now.get(one.path) != one.nar_hash:
                self.hashes[one.path] = now.get(one.path, "")
                reason = "not the bytes that it was registered with. Cure: `nix-store --repair-path` it"
                self.found.append(Difference(one.path, "different", reason))

    def _groups(self) -> dict[str, list[StorePath]]:
        """What is to be built again, by its derivation. Where nothing may be fetched, what has a fixed hash is not."""
        groups: dict[str, list[StorePath]] = {}
        for one in self.closure.in_order:
            may_be = not (one.content_addressed and self.work.policy.offline)
            whole = one.path != self.top and one.path not in self.hashes
            if one.built_here and whole and may_be and one.deriver and os.path.lexists(one.deriver):
                groups.setdefault(one.deriver, []).append(one)
        return groups

    def _check(self, drv: str, paths: Sequence[StorePath]) -> None:
        with self.traces.watched(Path(drv)):
            outcome = self._built(drv)
            for kept in _KEPT_FOLDER.findall(outcome.stderr):
                self._discard(Path(kept))
            if outcome.returncode == _NOT_DETERMINISTIC:
                self._compare()
            elif outcome.returncode == _HASH_MISMATCH:
                self._note_mismatch(paths, outcome)
            elif not outcome:
                failure = failure_of(outcome, self.work)
                raise build_error(replace(failure, sentence=f"{paths[0].name}, a second time: {failure.sentence}"))
            self.checked += len(paths)

    def _built(self, drv: str) -> NixOutcome:
        """Checking needs each output of the derivation; one that the shell does not need may have been collected."""
        words = (*self.words, "--realise", drv)
        checking = (*words, "--check", "--keep-failed")
        outcome = run_classic(self.work, self.nix, "nix-store", *checking)
        if _OUTPUT_GONE in outcome.stderr and run_classic(self.work, self.nix, "nix-store", *words):
            return run_classic(self.work, self.nix, "nix-store", *checking)
        return outcome

    def _compare(self) -> None:
        """nix ends at the first output that differs, which may be one that the shell has no need of."""
        for other in self.traces.kept():
            first = other.with_suffix("")
            self.found += tree_differences(first, other, str(first))
            now = nar_hashes(self.nix, self.work.tool_environment, [str(other)])
            self.hashes[str(first)] = now.get(str(other), "")

    def _note_mismatch(self, paths: Sequence[StorePath], outcome: NixOutcome) -> None:
        """A download with a fixed hash: what is there now is another file."""
        got = _GOT.search(outcome.stderr)
        self.hashes[paths[0].path] = got[1] if got else "another"
        reason = f"what is fetched now is another file{f': got {got[1]}' if got else ''}"
        self.found.append(Difference(paths[0].path, "different", reason))

    def _discard(self, path: Path) -> None:
        """Removes what ``--keep-failed`` kept. nix is asked where a daemon owns it, unless the run is being ended."""
        with contextlib.suppress(OSError):
            remove_tree(path)
        if os.path.lexists(path) and path.parent == Path(self.top).parent and not command.stopping():
            run_classic(self.work, self.nix, "nix-store", "--delete", str(path), network=False)

    def _second(self) -> Closure:
        rows = (
            msgspec.structs.replace(one, nar_hash=self.hashes.get(one.path, one.nar_hash)) for one in self.closure.paths
        )
        return msgspec.structs.replace(self.closure, paths=tuple(rows))

    def _note(self) -> str:
        rest = len(self.closure.paths) - 1 - self.checked
        again = f"{self.checked} of {len(self.closure.paths) - 1} store paths were built again"
        return f"{again}; {rest} came from a binary cache or are sources: their bytes were held against their hashes"
