from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from ci_envs.capture import LONGEST_LINE, Capture, opened_log
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1_000_000


@pytest.mark.parametrize(
    "pieces", [(b"one\ntw", b"o\nthree"), (b"o", b"ne\n", b"two\n", b"three"), (b"one\ntwo\nthree",)]
)
def test_pieces_come_together_as_lines(pieces: tuple[bytes, ...]) -> None:
    log = io.BytesIO()
    capture = Capture(log, Redactor(), LIMIT)

    for piece in pieces:
        capture.take_piece(piece)
    before = log.getvalue()
    capture.finish()

    assert before == b"one\ntwo\n"
    assert log.getvalue() == b"one\ntwo\nthree"
    assert capture.text() == "one\ntwo\nthree"


def test_a_secret_in_two_pieces_is_masked_in_the_log() -> None:
    log = io.BytesIO()
    capture = Capture(log, Redactor(["canary-7391"]), LIMIT)

    capture.take_piece(b"token: cana")
    capture.take_piece(b"ry-7391\n")

    assert log.getvalue() == b"token: ***\n"
    assert capture.text() == "token: canary-7391\n", "whoever reads it redacts it"


def test_the_end_is_kept() -> None:
    capture = Capture(None, Redactor(), 10)

    for number in range(100):
        capture.take_piece(b"line %d\n" % number)

    assert capture.text() == "line 99\n"


def test_a_line_that_does_not_end_is_taken_in_pieces() -> None:
    log = io.BytesIO()
    capture = Capture(log, Redactor(), 4 * LONGEST_LINE)

    for _ in range(5):
        capture.take_piece(b"x" * (LONGEST_LINE // 2))

    assert len(log.getvalue()) == 2 * LONGEST_LINE
    capture.finish()
    assert len(capture.text()) == 5 * (LONGEST_LINE // 2)


def test_a_log_that_cannot_be_written_does_not_end_the_command() -> None:
    class Full(io.BytesIO):
        name = "the log"

        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    capture = Capture(Full(), Redactor(), LIMIT)

    capture.take(b"one\n")
    capture.take(b"two\n")

    assert capture.text() == "one\ntwo\n"
    assert isinstance(capture.failed, OSError)
    assert capture.failed.filename == "the log"


def test_the_log_begins_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"

    with opened_log(path, "run --token canary-7391", Redactor(["canary-7391"])) as log:
        assert log is not None
    with opened_log(path, "again", Redactor()):
        pass

    assert path.read_text() == "$ run --token ***\n$ again\n"
