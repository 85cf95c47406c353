from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.action_runner import read_command_file
from tests.support.records import ended, record

from ci_envs import action, github
from ci_envs.action import cache_key, leave_results, prepare
from ci_envs.errors import UsageError
from ci_envs.github import Inputs
from ci_envs.model.record import EnvironmentFacts, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
STALE = Finding(code="LOCK001", severity="warning", title="stale", message="m", file="uv.lock", line=3)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """action.yml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The variables of a job whose repository is ``tmp_path / "repo"``."""
    (tmp_path / "repo").mkdir()
    files = {
        name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
    }
    return {
        **files,
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_WORKSPACE": str(tmp_path / "repo"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "INPUT_WORKING_DIRECTORY": str(tmp_path / "repo"),
        "CI_ENVS_ACTION": "1",
    }


def outputs(environ: Mapping[str, str]) -> dict[str, str]:
    path = Path(environ["GITHUB_OUTPUT"])
    return read_command_file(path) if path.exists() else {}


# --- action.yml


def test_every_input_is_known_and_reaches_both_steps(document: dict[str, Any]) -> None:
    expected = {
        f"INPUT_{name.upper()}": f"${{{{ inputs.{name.replace('_', '-')} }}}}" for name in Inputs.__dataclass_fields__
    }

    assert {name.replace("-", "_") for name in document["inputs"]} == set(Inputs.__dataclass_fields__)
    for step in document["runs"]["steps"]:
        if step.get("id") in ("prepare", "run"):
            assert {name: value for name, value in step["env"].items() if name.startswith("INPUT_")} == expected


def test_the_defaults_are_those_of_the_code(document: dict[str, Any]) -> None:
    environ = {f"INPUT_{name.replace('-', '_').upper()}": spec["default"] for name, spec in document["inputs"].items()}

    assert github.read_inputs(environ) == Inputs()


def test_no_expression_stands_in_a_script(document: dict[str, Any]) -> None:
    assert all("${{" not in step.get("run", "") for step in document["runs"]["steps"])


def test_every_action_that_is_used_is_pinned_with_its_version_beside_it() -> None:
    used = re.findall(r"uses: (.*)", (ROOT / "action.yml").read_text(encoding="utf-8"))

    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in used)


def test_every_output_of_a_leg_is_one_of_the_action(document: dict[str, Any], tmp_path: Path) -> None:
    of_the_run = {name for name, spec in document["outputs"].items() if "steps.run." in spec["value"]}

    assert of_the_run == set(github.action_outputs(record(), tmp_path, tmp_path / "x", {}))
    assert document["outputs"].keys() - of_the_run == {"cache-key", "cache-hit"}


# --- prepare


def test_prepare_settles_the_cache(job: dict[str, str], tmp_path: Path) -> None:
    prepare(job)

    found = outputs(job)
    assert found["cache"] == "true"
    assert found["cache-dir"] == str(tmp_path / "temp" / "ci-envs-cache")
    assert re.fullmatch(r"ci-envs-[\w.+]+-unknown-auto-any-[0-9a-f]{24}", found["cache-key"])


def test_prepare_leaves_the_folder_of_the_user_alone(job: dict[str, str]) -> None:
    prepare({**job, "CI_ENVS_CACHE_DIR": "/theirs"})

    assert outputs(job)["cache-dir"] == "/theirs"


def test_without_a_cache_there_is_no_key(job: dict[str, str]) -> None:
    prepare({**job, "INPUT_ENABLE_CACHE": "false"})

    assert outputs(job) == {"cache": "false", "cache-dir": "", "cache-key": ""}


def test_a_folder_that_is_not_there_is_named(job: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'working-directory' is '/nowhere'"):
        prepare({**job, "INPUT_WORKING_DIRECTORY": "/nowhere"})


def test_the_key_goes_with_what_decides_the_packages(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    keys = [cache_key(Inputs(), tmp_path, "linux")]
    keys += [
        cache_key(inputs, tmp_path, "linux")
        for inputs in (Inputs(pattern="uv"), Inputs(groups=("dev",)), Inputs(cache_suffix="x"))
    ]
    keys.append(cache_key(Inputs(), tmp_path, "macos"))
    for name in ("uv.lock", "locks/venv-py312-linux-x86_64.txt", "requirements/tests.in"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
        keys.append(cache_key(Inputs(), tmp_path, "linux"))

    assert len(set(keys)) == len(keys)
    (tmp_path / "README.md").write_text("no dependency")
    assert cache_key(Inputs(), tmp_path, "linux") == keys[-1]


def test_a_key_is_no_longer_than_github_takes(tmp_path: Path) -> None:
    assert len(cache_key(Inputs(cache_suffix="x" * 64), tmp_path, "runner" * 10)) < 512


def test_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "repo").mkdir()
    before = cache_key(Inputs(), tmp_path / "repo", "linux")
    (tmp_path / "repo" / "uv.lock").symlink_to(tmp_path / "secret")

    assert cache_key(Inputs(), tmp_path / "repo", "linux") == before


# --- results


def leave(records: list[Any], job: dict[str, str], **more: Any) -> None:
    root = Path(job["GITHUB_WORKSPACE"])
    leave_results(records, root, lambda leg: root / ".ci-envs" / "records" / f"{leg}.json", environ=job, **more)


def test_a_good_leg_sets_outputs_and_changes_nothing_else(job: dict[str, str], tmp_path: Path) -> None:
    leave([record()], job, markdown="# summary")

    assert outputs(job)["record"] == ".ci-envs/records/uv-py312-linux-x86_64.json"
    assert outputs(job)["python-version"] == "3.12.4"
    assert Path(job["GITHUB_STEP_SUMMARY"]).read_text() == "# summary\n"
    assert not Path(job["GITHUB_PATH"]).exists()
    assert not Path(job["GITHUB_ENV"]).exists()


def test_an_environment_is_activated_where_that_was_asked_for(job: dict[str, str]) -> None:
    job["INPUT_ACTIVATE_ENVIRONMENT"] = "true"
    leave([record(environment=EnvironmentFacts(path="envs/x", python="3.12.4"))], job)

    prefix = f"{job['GITHUB_WORKSPACE']}/envs/x"
    assert Path(job["GITHUB_ENV"]).read_text() == f"VIRTUAL_ENV={prefix}\n"
    assert Path(job["GITHUB_PATH"]).read_text() == f"{prefix}/bin\n"


@pytest.mark.parametrize("leg", [ended("test"), ended("lock", "broken", environment=None)])
def test_what_failed_is_not_activated(job: dict[str, str], leg: Any) -> None:
    job["INPUT_ACTIVATE_ENVIRONMENT"] = "true"
    leave([leg], job)

    assert not Path(job["GITHUB_PATH"]).exists()
    assert outputs(job)["record"]


def test_a_failed_leg_is_annotated_with_its_command(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    leave(
        [
            ended("test", findings=(STALE,), project="app"),
            ended("test", findings=(STALE,), project="app", python="3.13"),
        ],
        job,
    )

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "::error title=leg%3A uv-py312-linux-x86_64-app failed::test: because%0A"
        "To see it on your machine: ci-envs run --only uv-py312-linux-x86_64-app"
    )
    assert lines[2:] == ["::warning file=app/uv.lock,line=3,title=LOCK001%3A stale::m"]


def test_outside_of_our_action_no_outputs_are_set(job: dict[str, str]) -> None:
    del job["CI_ENVS_ACTION"]
    leave([record()], job, markdown="text")

    assert outputs(job) == {}
    assert Path(job["GITHUB_STEP_SUMMARY"]).exists()


def test_outside_of_actions_nothing_happens(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    job["GITHUB_ACTIONS"] = "false"
    leave([ended("test")], job, markdown="text")

    assert outputs(job) == {}
    assert not Path(job["GITHUB_STEP_SUMMARY"]).exists()
    assert capsys.readouterr().out == ""


def test_a_wrong_input_ends_prepare_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INPUT_CHECK", "maybe")

    assert action.main(["prepare"]) == 2
    assert capsys.readouterr().err == "error: input 'check' is 'maybe'\nhint: it takes one of: true, false\n"
