from __future__ import annotations

import pytest

from ci_envs.command import Command, Outcome, quoted


@pytest.mark.parametrize(
    ("returncode", "timed_out", "good"), [(0, False, True), (1, False, False), (-9, False, False), (0, True, False)]
)
def test_an_outcome_is_good_only_with_exit_code_0_in_time(returncode: int, timed_out: bool, good: bool) -> None:
    assert bool(Outcome(argv=("x",), returncode=returncode, timed_out=timed_out)) is good


def test_the_tail_is_the_last_lines_with_the_errors_last() -> None:
    outcome = Outcome(argv=("x",), returncode=1, stdout="one\ntwo\n", stderr="three\n")

    assert outcome.output == "one\ntwo\n\nthree"
    assert outcome.tail(1) == "three"


def test_a_command_reads_as_a_person_would_paste_it() -> None:
    assert str(Command(("uv", "pip", "install", "a b", "$HOME"))) == "uv pip install 'a b' '$HOME'"
    assert quoted(["echo", "it's"]) == """echo 'it'"'"'s'"""
