"""The tool: which one is taken, which docker client it is given, and what it says last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_work

from ci_envs import command
from ci_envs.command import Outcome
from ci_envs.containers import devcontainer_cli
from ci_envs.containers.devcontainer_cli import Cli, docker_client, find_cli, up
from ci_envs.containers.devcontainer_config import parse_configuration
from ci_envs.errors import ToolMissing

if TYPE_CHECKING:
    from ci_envs.work import Work

READ = parse_configuration('{"image": "debian", "remoteEnv": {"A": "${localEnv:MINE}"}}', ".devcontainer.json")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


class Said:
    """Answers at the process seam, and remembers what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **stdout: str) -> None:
        self.asked: list[command.Command] = []
        self.stdout = stdout
        monkeypatch.setattr(command, "run", self.run)

    def run(self, request: command.Command) -> Outcome:
        self.asked.append(request)
        said = self.stdout.get(request.argv[1].strip("-"))
        return Outcome(request.argv, 0 if said is not None else 1, stdout=said or "")


def a_leg_work(folder: Path, *path: Path) -> Work:
    environ = {"PATH": ":".join(map(str, path)), "CI_ENVS_CACHE_DIR": str(folder / "cache"), "MINE": "1", "OTHER": "2"}
    return a_work(folder, environ=environ)


def version_is(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(devcontainer_cli, "tool_version", lambda *_: version)


def test_the_projects_own_tool_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_is(monkeypatch, "0.89.0")
    own = program(tmp_path / "demo/node_modules/.bin/devcontainer")
    program(tmp_path / "bin/devcontainer")
    work = a_leg_work(tmp_path / "demo", tmp_path / "bin")
    assert find_cli(work) == Cli(own, "0.89.0")
    assert work.tools["devcontainer"] == "0.89.0"


def test_no_tool_says_what_was_looked_for_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"no `devcontainer` on PATH, nor in node_modules/\.bin") as caught:
        find_cli(a_leg_work(tmp_path, tmp_path / "bin"))
    assert "npm install -g @devcontainers/cli" in caught.value.hint


def test_a_tool_that_does_not_run_names_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_is(monkeypatch, "")
    program(tmp_path / "bin/devcontainer")
    with pytest.raises(ToolMissing, match="does not run: there is no `node` on PATH"):
        find_cli(a_leg_work(tmp_path, tmp_path / "bin"))


def test_a_tool_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_is(monkeypatch, "0.56.2")
    program(tmp_path / "bin/devcontainer")
    with pytest.raises(ToolMissing, match=r"version 0\.56\.2, and 0\.57 is needed"):
        find_cli(a_leg_work(tmp_path, tmp_path / "bin"))


def test_the_lock_is_frozen_in_the_words_of_its_version() -> None:
    assert Cli(Path("x"), "0.89.0").frozen == ("--frozen-lockfile",)
    assert Cli(Path("x"), "0.86.1").frozen == ("--experimental-lockfile", "--experimental-frozen-lockfile")
    assert Cli(Path("x"), "1.0.0").frozen == ("--frozen-lockfile",)


def test_the_client_that_can_build_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = program(tmp_path / "a/docker"), program(tmp_path / "b/docker")
    monkeypatch.setattr(
        command, "run", lambda asked: Outcome(asked.argv, 0 if asked.argv[0] == str(second) else 1, stdout="v0.13")
    )
    environ = {"PATH": f"{first.parent}:{second.parent}"}
    assert (docker_client("docker", environ).program, docker_client("docker", environ).builds) == (second, True)
    alone = docker_client("docker", {"PATH": str(first.parent)})
    assert (alone.program, alone.builds) == (first, False)


def test_no_client_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="no `docker` on PATH"):
        docker_client("docker", {"PATH": str(tmp_path)})


def test_what_the_tool_says_last_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = '{"outcome":"success","containerId":"abc","remoteUser":"me","remoteWorkspaceFolder":"/workspaces/demo"}'
    said = Said(monkeypatch, up=f"something\n{line}\n")
    told, outcome = up(Cli(Path("devcontainer"), "0.89.0"), a_leg_work(tmp_path), READ, ["--config", "x"], {"B": "3"})
    assert outcome
    assert (told.outcome, told.container_id, told.remote_user) == ("success", "abc", "me")
    assert told.remote_workspace_folder == "/workspaces/demo"
    (request,) = said.asked
    assert request.argv[1] == "up"
    assert {"--frozen-lockfile", "--skip-post-attach", "--remove-existing-container"} <= set(request.argv)
    assert request.env is not None
    assert (request.env["MINE"], request.env["B"], "OTHER" in request.env) == ("1", "3", False)


def test_words_that_are_no_answer_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Said(monkeypatch, up="Segmentation fault")
    told, _ = up(Cli(Path("devcontainer"), "0.89.0"), a_leg_work(tmp_path), READ, [], {})
    assert (told.outcome, told.message) == ("error", "Segmentation fault")


def test_steps_are_told_as_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(monkeypatch, up="{}")
    work = a_leg_work(tmp_path)
    told: list[str] = []
    work.progress = told.append
    up(Cli(Path("devcontainer"), "0.89.0"), work, READ, [], {})
    as_logged = said.asked[0].as_logged
    assert as_logged is not None
    lines = (
        "#1 [internal] load build definition from Dockerfile\n",
        "#7 [base 2/3] RUN --mount=type=secret,id=ci-envs-pip,target=/etc/pip.conf,mode=0444 pip install apple\n",
        "#7 0.149 Collecting apple\n",
        "[2026-11-21T06:00:00.000Z] \x1b[1mRunning the postCreateCommand from devcontainer.json...\x1b[0m\n",
    )
    assert [as_logged(line) for line in lines] == list(lines)
    assert told == ["[base 2/3] RUN pip install apple", "Running the postCreateCommand from devcontainer.json..."]
