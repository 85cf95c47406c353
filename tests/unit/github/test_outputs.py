from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from tests.support.records import record

from ci_envs.github.outputs import leg_outputs
from ci_envs.model.image import ImageFacts
from ci_envs.model.leg import make_leg
from ci_envs.model.record import EnvironmentFacts

ROOT = Path(__file__).parents[3]


def test_outputs_say_where_things_are(tmp_path: Path) -> None:
    root = tmp_path / "repo" / "sub"
    leg = record(
        project="app", environment=EnvironmentFacts(path=".ci-envs/envs/x", python="3.12.4", digest="sha256:d")
    )

    outputs = leg_outputs(leg, root, root / ".ci-envs/records/x.json", {"GITHUB_WORKSPACE": str(tmp_path / "repo")})

    assert outputs == {
        "status": "passed",
        "pattern": "uv",
        "environment-path": str(root / ".ci-envs/envs/x"),
        "python-path": str(root / ".ci-envs/envs/x/bin/python"),
        "python-version": "3.12.4",
        "lock-file": "sub/app/uv.lock",
        "lock-digest": "sha256:" + "1" * 64,
        "environment-digest": "sha256:d",
        "image": "",
        "image-digest": "",
        "record": "sub/.ci-envs/records/x.json",
        "reproduce-command": leg.reproduce,
    }


@pytest.mark.parametrize(("kind", "python"), [("venv", "Scripts/python.exe"), ("conda", "python.exe")])
def test_on_windows_the_interpreter_lies_elsewhere(tmp_path: Path, kind: str, python: str) -> None:
    prefix = tmp_path / ".ci-envs/envs/x"
    (prefix / ("conda-meta" if kind == "conda" else "Lib")).mkdir(parents=True)
    built = record(environment=EnvironmentFacts(path=".ci-envs/envs/x", python="3.12.4", digest="sha256:d"))
    leg = msgspec.structs.replace(built, leg=make_leg(pattern="uv", python="3.12", os="windows", arch="x86_64"))

    assert leg_outputs(leg, tmp_path, tmp_path / "x.json", {})["python-path"] == str(prefix / python)


def test_outputs_of_a_leg_that_was_not_built_are_empty(tmp_path: Path) -> None:
    outputs = leg_outputs(record(lock=None, environment=None), tmp_path, tmp_path / "x.json", {})

    assert {name for name, value in outputs.items() if not value} == {
        "environment-path", "python-path", "python-version", "lock-file", "lock-digest", "environment-digest",
        "image", "image-digest",
    }  # fmt: skip


def test_an_image_is_told_by_its_name_and_its_manifests_digest(tmp_path: Path) -> None:
    leg = record(
        environment=EnvironmentFacts(image="localhost/ci-envs/0:x", digest="sha256:d"),
        image=ImageFacts(name="localhost/ci-envs/0:x", id="sha256:i", manifest="sha256:m"),
    )

    outputs = leg_outputs(leg, tmp_path, tmp_path / "x.json", {})

    assert (outputs["image"], outputs["image-digest"]) == ("localhost/ci-envs/0:x", "sha256:m")
    assert (outputs["environment-path"], outputs["environment-digest"]) == ("", "sha256:d")


@pytest.mark.parametrize("action", ["action.yml", "actions/leg/action.yml"])
def test_what_an_action_reads_of_its_run_is_set(action: str, tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / action).read_text(encoding="utf-8"))
    read = {name for name, spec in document["outputs"].items() if "steps.run." in spec["value"]}

    assert read
    assert read <= set(leg_outputs(record(), tmp_path, tmp_path / "x", {}))
