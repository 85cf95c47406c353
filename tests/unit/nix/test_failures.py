"""What nix said when it failed (tests/cases/nix-failures), and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.work import a_leg, a_work

from ci_envs.capture import Outcome
from ci_envs.errors import BrokenError, BuildError, LockError
from ci_envs.nix.failures import Failure, build_error, failure_of, lock_error
from ci_envs.nix.tool import understood
from ci_envs.work import LockPolicy, Work

_CASES = sorted((Path(__file__).parents[2] / "cases" / "nix-failures").iterdir())


class Place:
    """A project and a store as a case describes them, in which the paths of the case are real ones."""

    def __init__(self, case: Path, top: Path) -> None:
        self.expected: dict[str, Any] = json.loads((case / "expected.json").read_text("utf-8"))
        self.names = {"{project}": str(top / "project"), "{top}": str(top), "{store}": str(top / "store")}
        self.stderr = self.real((case / "stderr.txt").read_text("utf-8"))
        self.project = top / "project"
        self.project.mkdir()
        for path in (case / "project").rglob("*"):
            if path.is_file():
                self.write(self.project / path.relative_to(case / "project"), self.real(path.read_text("utf-8")))
        for copy, original in self.expected.get("copies", {}).items():
            self.write(top / "store" / copy, (self.project / original).read_text("utf-8"))

    def real(self, text: str) -> str:
        for name, path in self.names.items():
            text = text.replace(name, path)
        return text

    def told(self, text: str) -> str:
        for name, path in self.names.items():
            text = text.replace(path, name)
        return text

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def work(self) -> Work:
        work = a_work(self.project, leg=a_leg(pattern="nix"), stage="build")
        work.policy = LockPolicy(mode="auto", offline=self.expected.get("offline", False))
        return work

    def outcome(self) -> Outcome:
        argv = tuple(map(self.real, self.expected["argv"]))
        return Outcome(argv=argv, returncode=self.expected["returncode"], stderr=self.stderr)


def facts(failure: Failure, place: Place) -> dict[str, Any]:
    """What a case expects of a failure."""
    error = build_error(failure)
    return {
        "kind": failure.kind,
        "error": type(error).__name__,
        "message": place.told(str(error)),
        "hint": place.told(error.hint),
    }


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_what_nix_said_becomes_a_sentence_with_its_place(case: Path, tmp_path: Path) -> None:
    place = Place(case, tmp_path)

    made = facts(failure_of(understood(place.outcome()), place.work()), place)

    assert made == {name: place.expected[name] for name in made}


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_events_that_nobody_has_read_yet_say_the_same(case: Path, tmp_path: Path) -> None:
    place = Place(case, tmp_path)

    assert facts(failure_of(place.outcome(), place.work()), place)["message"] == place.expected["message"]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_no_sentence_holds_what_moves_a_terminal_or_commands_a_runner(case: Path, tmp_path: Path) -> None:
    place = Place(case, tmp_path)

    failure = failure_of(understood(place.outcome()), place.work())

    for text in (failure.sentence, failure.hint, *failure.lines):
        assert text.isprintable()
        assert "\u202e" not in text


def test_the_lock_stage_ends_with_its_own_error_and_the_world_is_no_stages_fault() -> None:
    ours, worlds = Failure("evaluation", "x", "shell.nix", 3, "y"), Failure("network", "x")

    assert (type(lock_error(ours)), type(build_error(ours))) == (LockError, BuildError)
    assert (type(lock_error(worlds)), type(build_error(worlds))) == (BrokenError, BrokenError)
    assert (str(lock_error(ours)), lock_error(ours).hint) == ("shell.nix:3: x", "y")


def test_what_takes_too_long_is_ended_and_says_so(tmp_path: Path) -> None:
    failure = failure_of(
        Outcome(argv=("nix",), returncode=-15, seconds=3600.4, timed_out=True), a_work(tmp_path, stage="lock")
    )

    assert (failure.kind, failure.sentence) == ("ended", "nix was ended after 3600 s")


def test_the_last_lines_of_the_builder_that_failed_come_along_with_its_derivation(tmp_path: Path) -> None:
    case = next(case for case in _CASES if case.name == "nix-2.8-builder-fails")
    place = Place(case, tmp_path)

    failure = failure_of(understood(place.outcome()), place.work())

    assert failure.drv.endswith("-x.drv")
    assert failure.lines == ("one", "a rederror: no luck")


@pytest.mark.parametrize("word", ["{top}/sub", "./sub", "path:{top}/sub", "./sub#default", "./sub/"])
def test_a_flake_below_the_project_is_named_with_its_folder(word: str, tmp_path: Path) -> None:
    Place.write(tmp_path / "sub/flake.nix", "{ }")
    said = (
        f"error: flake '{tmp_path}' requires lock file changes but they're not allowed due to '--no-update-lock-file'"
    )
    argv = ("nix", "flake", "metadata", "--json", "", word.replace("{top}", str(tmp_path)))

    failure = failure_of(Outcome(argv=argv, returncode=1, stderr=said), a_work(tmp_path, stage="lock"))

    assert (failure.kind, failure.file) == ("lock", "sub/flake.lock")
