from __future__ import annotations

import pytest

from ci_envs.error_findings import error_finding, with_advice
from ci_envs.errors import BrokenError, BuildError, CheckError, CiEnvsError, LockError, ToolMissing, UsageError
from ci_envs.model.detect import Evidence
from ci_envs.model.record import Finding

LEG = "uv-py312-linux-x86_64"
HINT = f"renew it with: ci-envs lock --python=3.12 --only {LEG}; the log has all of it: .ci-envs/logs/{LEG}/lock.log"


@pytest.mark.parametrize(
    ("error", "code", "title"),
    [
        (LockError("said", file="a.in", line=3), "LOCK040", "cannot be locked as it stands"),
        (LockError("said", file="a.in", line=3, title="no such version"), "LOCK040", "no such version"),
        (UsageError("said", file="a.in", line=3), "LOCK042", "cannot be read"),
        (BuildError("said", file="a.in", line=3), "ENV150", "the build ended here"),
        (CheckError("said", file="a.in", line=3), "ENV151", "a stage ended here"),
    ],
)
def test_an_error_with_a_file_is_a_finding_there(error: CiEnvsError, code: str, title: str) -> None:
    found = error_finding(error, LEG)
    assert found == Finding(code=code, severity="error", title=title, message="said", file="a.in", line=3)


@pytest.mark.parametrize("error", [LockError("no file"), BrokenError("the index is down", file="a.in")])
def test_what_is_about_no_file_or_not_the_projects_fault_is_none(error: CiEnvsError) -> None:
    assert error_finding(error, LEG) is None


def test_what_is_an_error_at_that_place_already_is_not_told_twice() -> None:
    error = LockError("said", file="a.in", line=3)
    first = error_finding(error, LEG)
    assert first is not None
    assert error_finding(error, LEG, [first]) is None
    assert error_finding(LockError("said", file="a.in", line=4), LEG, [first]) is not None
    assert error_finding(error, LEG, [Finding(code="X", severity="warning", title="", message="", file="a.in", line=3)])


def test_a_finding_says_what_to_run_and_nothing_of_its_leg() -> None:
    assert with_advice("it is stale", HINT, LEG) == "it is stale. Renew it with: ci-envs lock --python=3.12"
    assert with_advice("did you mean a?", "", LEG) == "did you mean a?"
    assert with_advice("did you mean a?", "loosen it", LEG) == "did you mean a? Loosen it"


def test_a_tool_that_is_missing_is_told_of_where_it_is_asked_for() -> None:
    error = ToolMissing("there is no nix here", hint="install it")
    found = error_finding(error, LEG, evidence=[Evidence(file="flake.nix", key="devShells"), Evidence(file="b")])
    assert found is not None
    assert (found.code, found.file, found.line, found.message) == (
        "ENV152", "flake.nix", 0, "there is no nix here. Install it",
    )  # fmt: skip
    assert error_finding(error, LEG) is None
