from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, a_context, said

from ci_envs.checks.commands import OwnCheckPasses, own_check
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.model.config import CheckConfig
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.model.record import Finding


def findings(folder: Path, outcome: Outcome | Exception, **check: Any) -> tuple[list[Finding], FakeEnvironment]:
    def answer(_argv: tuple[str, ...]) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    environment = FakeEnvironment(answer)
    return list(OwnCheckPasses().run(a_context(folder, environment=environment, **check))), environment


def test_a_project_without_a_check_of_its_own_runs_nothing(tmp_path: Path) -> None:
    found, environment = findings(tmp_path, said(code=1))
    assert found == []
    assert environment.calls == []


@pytest.mark.parametrize("script", ["check-env.py", "check_env.py"])
def test_the_usual_script_is_run_by_the_environments_python_in_the_project(tmp_path: Path, script: str) -> None:
    (tmp_path / script).write_text("", encoding="utf-8")
    found, environment = findings(tmp_path, said(), timeout="9s")
    assert found == []
    (call,) = environment.calls
    assert (call.argv, call.cwd, call.timeout) == (("python", script), tmp_path.resolve(), 9.0)


def test_a_configured_command_takes_the_place_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "check-env.py").write_text("", encoding="utf-8")
    assert own_check(CheckConfig(command="python -m basket 'a b'"), Project(tmp_path)) == [
        *("python", "-m", "basket", "a b"),
    ]


def test_a_script_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "check-env.py").write_text("", encoding="utf-8")
    ((finding,), _) = findings(tmp_path, said("1\n2\n3\n4\n5\n6\n", code=3))
    assert finding.message == "python check-env.py exited with 3: 2\n3\n4\n5\n6"
    assert (finding.code, finding.severity, finding.file) == ("ENV401", "error", "check-env.py")


@pytest.mark.parametrize(
    ("outcome", "how"),
    [
        (said(code=1), "exited with 1"),
        (said(code=-signal.SIGSEGV), "was ended by SIGSEGV"),
        (said(code=-signal.SIGTERM, timed_out=True, seconds=120.0), "was ended after 120 s (check.timeout)"),
        # ended at its limit and yet, being asked to end, it exited with 0
        (said(code=0, timed_out=True, seconds=120.0), "was ended after 120 s (check.timeout)"),
    ],
)
def test_how_it_ended_is_told(tmp_path: Path, outcome: Outcome, how: str) -> None:
    ((finding,), _) = findings(tmp_path, outcome, command="make 'the check'")
    assert finding.message == f"make 'the check' {how}"


def test_a_program_that_is_not_there_is_a_finding_and_takes_no_other_finding_with_it(tmp_path: Path) -> None:
    ((finding,), _) = findings(tmp_path, ToolMissing("there is no program 'mkae' here"), command="mkae check")
    assert finding.message == "check.command cannot be run: there is no program 'mkae' here"


def test_a_command_that_needs_a_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"check\.command: '&&' needs a shell"):
        findings(tmp_path, said(), command="true && true")
