"""``ci-envs plan --gitlab`` and ``--shell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ci_envs.__main__ import main
from ci_envs.errors import UsageError
from ci_envs.plan_files import decode_plan

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = """\
axes: {pattern: [venv, uv], python: ["3.12", "3.13"]}
defaults: {os: linux, arch: x86_64, runs-on: our-runner}
exclude: [{pattern: venv, python: "3.13", reason: "##[not] our ::business\u2028"}]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with three legs, and the working directory."""
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "default.yml").write_text(MATRIX, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pipeline(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> dict[str, Any]:
    assert main(["plan", "--gitlab", *words]) == 0
    loaded: dict[str, Any] = yaml.safe_load(capsysbinary.readouterr().out)
    return loaded


def script(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> list[str]:
    assert main(["plan", "--shell", *words]) == 0
    return capsysbinary.readouterr().out.decode("ascii").splitlines()


def test_both_have_the_legs_of_the_plan(root: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    jobs = pipeline(capsysbinary, "--only", "uv-*")
    lines = script(capsysbinary, "--only", "uv-*")

    legs = ["uv-py312-linux-x86_64", "uv-py313-linux-x86_64"]
    assert [name for name, job in jobs.items() if isinstance(job, dict) and job.get("stage") == "legs"] == legs
    assert [line.split()[1] for line in lines if line.startswith("leg ")] == legs
    assert all(jobs[leg]["tags"] == ["our-runner"] for leg in legs)


def test_the_plan_inside_is_the_one_that_is_written_byte_for_byte(
    root: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = script(capsysbinary, "--output", "plan.json")

    (held,) = (line for line in lines if line.startswith("{"))
    written = decode_plan((root / "plan.json").read_bytes())
    assert decode_plan(held.encode()) == written
    assert written.left_out[0].reason == "##[not] our ::business\u2028"


def test_a_shard_of_a_plan_that_was_made_holds_its_own_legs(
    root: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["plan", "--max-legs", "2", "--output", "plan.json", "--quiet"]) == 0
    capsysbinary.readouterr()

    lines = script(capsysbinary, "--from", "plan.json", "--shard", "1")
    jobs = pipeline(capsysbinary, "--from", "plan.json", "--shard", "1")

    (held,) = (line for line in lines if line.startswith("{"))
    (leg,) = decode_plan(held.encode()).legs
    assert leg.id == "uv-py313-linux-x86_64"
    assert leg.id in jobs


def test_where_no_leg_is_left_the_report_alone_is(root: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    jobs = pipeline(capsysbinary, "--label", "envs:skip")
    lines = script(capsysbinary, "--label", "envs:skip")

    assert [name for name, job in jobs.items() if isinstance(job, dict) and "stage" in job] == ["report"]
    assert not [line for line in lines if line.startswith("leg ")]
    assert lines[-1].startswith("ci-envs report")


@pytest.mark.parametrize("form", ["--gitlab", "--shell"])
@pytest.mark.parametrize("other", ["--github", "--json", "--explain"])
def test_they_stand_alone(root: Path, capsys: pytest.CaptureFixture[str], form: str, other: str) -> None:
    assert main(["plan", form, other]) == UsageError.exit_code
    assert f"{form} stands alone" in capsys.readouterr().err


def test_a_wrong_matrix_is_an_error_and_no_pipeline(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "matrices" / "default.yml").write_text("axes: {pattern: [nope]}\n", encoding="utf-8")

    assert main(["plan", "--gitlab"]) == UsageError.exit_code
    assert capsys.readouterr().out == ""
