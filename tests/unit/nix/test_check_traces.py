"""What checking leaves in a store: ours goes, in this run or in the next one, and what is somebody else's stays."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from ci_envs.errors import InterruptedRun
from ci_envs.layout import remove_tree
from ci_envs.nix.check_traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def drv(tmp_path: Path) -> Path:
    """A derivation of two outputs, and of one whose path is not known before it is built."""
    made = tmp_path / "hello.drv"
    outputs = "".join(f'("{name}","{tmp_path}/{name}","",""),' for name in ("out", "doc"))
    made.write_text(f'Derive([{outputs}("lib","","r:sha256","")],[("/x.drv",["{tmp_path}/no"])],[],"x","b",[],[])')
    return made


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "own/checking.json", remove_tree)


@pytest.fixture
def killed(drv: Path) -> Iterator[Callable[..., None]]:
    """What a run leaves that ends with nobody to clear up after it."""
    never_left = []

    def made(traces: Traces, *files: Path) -> None:
        never_left.append(traces.watched(drv))
        never_left[-1].__enter__()
        for file in files:
            file.touch()

    yield made
    never_left.clear()


def in_store(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in (".check", ".lock")}


def test_what_comes_while_it_checks_is_gone_afterwards(traces: Traces, drv: Path, tmp_path: Path) -> None:
    with contextlib.suppress(InterruptedRun), traces.watched(drv):
        (tmp_path / "out.lock").touch()
        (tmp_path / "doc.check/bin").mkdir(parents=True)
        assert traces.kept() == [tmp_path / "doc.check"]
        raise InterruptedRun("stopped")

    assert in_store(tmp_path) == set()
    assert list((tmp_path / "own").iterdir()) == []


def test_what_was_there_before_stays_unless_it_was_made_anew(traces: Traces, drv: Path, tmp_path: Path) -> None:
    for name in ("out.check", "out.lock", "doc.check"):
        (tmp_path / name).write_text("theirs")

    with traces.watched(drv):
        (tmp_path / "doc.check").unlink()
        (tmp_path / "doc.check").mkdir()

    assert in_store(tmp_path) == {"out.check", "out.lock"}


def test_what_a_killed_run_left_goes_with_the_next(traces: Traces, killed: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "out.check").touch()
    (tmp_path / "another.lock").touch()
    killed(traces, tmp_path / "doc.check", tmp_path / "out.lock")

    Traces(tmp_path / "own/checking.json", remove_tree).clear()

    assert in_store(tmp_path) == {"out.check", "another.lock"}


def test_a_lock_that_somebody_holds_is_left_until_nobody_does(
    traces: Traces, killed: Callable[..., None], tmp_path: Path
) -> None:
    lock = tmp_path / "out.lock"
    killed(traces, lock)
    with lock.open("r+b") as held:
        fcntl = pytest.importorskip("fcntl")
        fcntl.flock(held, fcntl.LOCK_EX)
        traces.clear()
        assert lock.exists()

    with lock.open("rb") as waiting:
        traces.clear()
        assert not lock.exists()
        # By this nix sees that it waits for a file that is gone.
        assert waiting.read() == b"d"


def test_what_cannot_be_removed_is_tried_again(killed: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "own/checking.json"
    killed(Traces(file, lambda _path: None), tmp_path / "out.check")

    Traces(file, lambda _path: None).clear()
    assert in_store(tmp_path) == {"out.check"}
    Traces(file, remove_tree).clear()

    assert in_store(tmp_path) == set()


@pytest.mark.parametrize("text", ["", "{", '{"/x.check": 3}'])
def test_notes_that_cannot_be_read_are_none(traces: Traces, tmp_path: Path, text: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/checking.json").write_text(text)

    traces.clear()

    assert not (tmp_path / "own/checking.json").exists()
