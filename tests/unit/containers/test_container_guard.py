from __future__ import annotations

import io
import runpy
import signal
import socket
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

THERE = b"HTTP/1.0 200 OK\r\n\r\n{}"
GONE = b"HTTP/1.0 204 No Content\r\n\r\n"
BROKEN = b"HTTP/1.0 500 Internal Server Error\r\n\r\n"
MISSING = b"HTTP/1.0 404 Not Found\r\n\r\n"


class EngineOfAnswers:
    """A socket that answers one request after the other; to None it says nothing."""

    def __init__(self, path: str, answers: list[bytes | None]) -> None:
        self.path = path
        self.asked: list[str] = []
        self._answers = answers
        self._silent: list[socket.socket] = []
        self._listening = socket.create_server(path, family=socket.AF_UNIX)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        for answer in self._answers:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            self.asked.append(one.recv(4096).split(b" HTTP")[0].decode())
            if answer is None:
                self._silent.append(one)
            else:
                with one:
                    one.sendall(answer)

    def close(self) -> None:
        for one in (*self._silent, self._listening):
            one.close()


@pytest.fixture
def engine() -> Iterator[Callable[[list[bytes | None]], EngineOfAnswers]]:
    made: list[EngineOfAnswers] = []
    with tempfile.TemporaryDirectory(prefix="ce-") as folder:

        def make(answers: list[bytes | None]) -> EngineOfAnswers:
            made.append(EngineOfAnswers(f"{folder}/{len(made)}.sock", answers))
            return made[-1]

        yield make
        for one in made:
            one.close()


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """The guard, whose starter has just ended; it has less patience here."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]

    def run(path: str, *, told: bytes = b"", patience: float = 20.0) -> None:
        made: dict[str, Any] = runpy.run_path(str(resource("container_guard.py")))
        scope = made["guard"].__globals__
        scope |= {"_PATIENCE": patience, "_ANSWER": 0.2, "_PAUSE": 0.01}
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(told)))
        made["guard"](path, "ci-envs-1")

    yield run
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


LOOK = "GET /containers/ci-envs-1/json"
REMOVE = "DELETE /containers/ci-envs-1?force=1&v=1"


def test_it_waits_for_what_is_still_being_made_and_removes_it(engine: Any, guard: Any) -> None:
    """Podman, told to remove it meanwhile, would take its files away and keep its name for ever."""
    answering = engine([MISSING, MISSING, THERE, GONE])
    guard(answering.path)
    assert answering.asked == [LOOK, LOOK, LOOK, REMOVE]


def test_what_cannot_be_looked_at_is_removed(engine: Any, guard: Any) -> None:
    answering = engine([BROKEN, GONE])
    guard(answering.path)
    assert answering.asked == [LOOK, REMOVE]


def test_what_goes_while_it_is_looked_at_is_looked_for_again(engine: Any, guard: Any) -> None:
    answering = engine([THERE, MISSING, MISSING, THERE, GONE])
    guard(answering.path)
    assert answering.asked == [LOOK, REMOVE, LOOK, LOOK, REMOVE]


def test_an_engine_that_is_slow_is_asked_again(engine: Any, guard: Any) -> None:
    answering = engine([None, b"", THERE, None, THERE, b"", THERE, GONE])
    guard(answering.path)
    assert len(answering.asked) == 8


def test_it_gives_up_where_there_is_no_engine(engine: Any, guard: Any, tmp_path: Path) -> None:
    guard(str(tmp_path / "nobody.sock"))
    answering = engine([])
    answering.close()
    guard(answering.path)  # the socket is there, and nobody listens


def test_it_gives_up_in_the_end(engine: Any, guard: Any) -> None:
    answering = engine([MISSING] * 1000)
    guard(answering.path, patience=0.2)
    assert 0 < len(answering.asked) < 100


def test_it_has_nothing_to_do_where_its_starter_has_removed_the_container(engine: Any, guard: Any) -> None:
    answering = engine([GONE])
    guard(answering.path, told=b"done\n")
    assert answering.asked == []
