from __future__ import annotations

import signal

import pytest
from tests.support.environments import said

from ci_envs.command import Outcome
from ci_envs.endings import crashed, how_it_ended


@pytest.mark.parametrize(
    ("outcome", "how", "is_crash"),
    [
        (said(code=0), "exited with 0", False),
        (said(code=3), "exited with 3", False),
        (said(code=-signal.SIGSEGV), "was ended by SIGSEGV", True),
        (said(code=-127), "was ended by signal 127", True),
        (said(code=0xC0000005), "was ended by exception 0xC0000005", True),
        (said(code=-signal.SIGTERM, timed_out=True, seconds=59.7), "was ended after 60 s", False),
        (said(code=0, timed_out=True, seconds=5), "was ended after 5 s", False),
        (Outcome((), -9, oom="limit 64m"), "ran out of memory (limit 64m)", True),
        (Outcome((), 1, oom="no limit of its own"), "ran out of memory (no limit of its own)", False),
    ],
)
def test_an_ending_is_told_in_words(outcome: Outcome, how: str, is_crash: bool) -> None:
    assert (how_it_ended(outcome), crashed(outcome)) == (how, is_crash)
