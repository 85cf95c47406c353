from __future__ import annotations

import importlib.util
import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.support.workflows import ROOT, Job, files_of

if TYPE_CHECKING:
    from types import ModuleType

CI, NIGHTLY = ".github/workflows/ci.yml", ".github/workflows/nightly.yml"


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    """``.ci/gate.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("gate", ROOT / ".ci/gate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(**results: str) -> str:
    return json.dumps({name: {"result": result, "outputs": {}} for name, result in results.items()})


def run(gate: ModuleType, told: str | None, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.delenv("NEEDS", raising=False)
    if told is not None:
        monkeypatch.setenv("NEEDS", told)
    code = gate.main()
    assert isinstance(code, int)
    return code


def test_all_in_success_is_a_pass(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gate, needs(lint="success", unit="success"), monkeypatch) == 0
    assert capsys.readouterr().out == "every job ended in success\n"


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped", "", "Success"])
def test_anything_else_is_none_and_is_named(
    result: str, gate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gate, needs(lint="success", unit=result), monkeypatch) == 1
    assert f"unit ({result or 'no result'})" in capsys.readouterr().out


@pytest.mark.parametrize("told", [None, "", "{}", "[]", "null", "{", '"success"'])
def test_a_gate_that_is_told_of_no_job_fails(
    told: str | None, gate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gate, told, monkeypatch) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_job_that_is_no_table_is_no_success(gate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(gate, '{"lint": "success"}', monkeypatch) == 1


@pytest.mark.parametrize(("file", "name"), [(CI, "ci"), (NIGHTLY, "nightly")])
def test_the_gate_lists_every_job_and_runs_whatever_happened(file: str, name: str) -> None:
    jobs = files_of().workflows[file].jobs
    last: Job = jobs[name]
    assert set(last.needs) == jobs.keys() - {name}
    assert last.condition == "always()"
    (judging,) = [step for step in last.steps if step.run]
    assert (judging.run, dict(judging.env)) == (".ci/gate.py", {"NEEDS": "${{ toJSON(needs) }}"})


@pytest.mark.parametrize("file", [CI, NIGHTLY])
def test_no_job_before_the_gate_may_fail_unseen_or_not_run(file: str) -> None:
    for job in list(files_of().workflows[file].jobs.values())[:-1]:
        assert not job.condition
        assert "continue-on-error" not in job.table
        assert all("continue-on-error" not in step.table for step in job.steps)


def test_the_gate_can_be_executed() -> None:
    path = ROOT / ".ci/gate.py"
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")
    assert os.access(path, os.X_OK)
