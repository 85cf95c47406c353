from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.environments import a_context, lock_of

from ci_envs.checks.lockfile import LockIsSafe
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from pathlib import Path

HASH = ("sha256:" + "0" * 64,)


def test_pins_with_hashes_are_no_finding(tmp_path: Path) -> None:
    context = a_context(tmp_path, lock=lock_of(Pin(name="apple", version="1.0", hashes=HASH)))
    assert list(LockIsSafe().run(context)) == []


def test_what_comes_from_no_index_needs_no_hash(tmp_path: Path) -> None:
    pins = (
        Pin(name="here", version="1.0", source="path", location="./here"),
        Pin(name="repo", version="", source="vcs", location="git+https://git.example/repo@" + "0" * 40),
    )
    assert list(LockIsSafe().run(a_context(tmp_path, lock=lock_of(*pins)))) == []


def test_bare_pins_are_one_warning_at_the_lock_that_names_some_and_counts_the_rest(tmp_path: Path) -> None:
    bare = [Pin(name=f"fruit{number}", version="1.0") for number in range(7)]
    context = a_context(tmp_path, lock=lock_of(Pin(name="apple", version="1.0", hashes=HASH), *bare))
    (finding,) = LockIsSafe().run(context)
    assert (finding.code, finding.severity, finding.file) == ("LOCK001", "warning", "requirements.txt")
    assert finding.message.startswith("fruit0, fruit1, fruit2, fruit3, fruit4 and 2 more: ")
