"""A leg's way to its record, as far as it goes without a tool: what stands in its way before the lock.

The whole way is walked in ``tests/component``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.observers import Told
from tests.support.work import a_leg, an_order

from ci_envs import command, machine
from ci_envs.errors import InterruptedRun
from ci_envs.layout import Layout
from ci_envs.model.record import JobFacts, RunRecord
from ci_envs.pipeline import run_leg
from ci_envs.record_files import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE: dict[str, Any] = {"os": machine.os_name(), "arch": machine.arch_name()}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path, {})
    made.prepare()
    return made


def run(folder: Path, told: Told | None = None, *, leg: dict[str, Any] | None = None, **order: Any) -> RunRecord:
    return run_leg(an_order(folder, leg=a_leg(**{**HERE, **(leg or {})}), **order), told or Told())


def test_another_machines_leg_is_skipped_and_says_so(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path, leg={"arch": "mips"})
    assert (record.status, record.reason) == (
        "skipped",
        f"this machine is {HERE['os']}-{HERE['arch']}, the leg is {HERE['os']}-mips",
    )
    (stage,) = record.stages
    assert (stage.name, stage.status, stage.exit_code) == ("detect", "skipped", 0)


def test_a_record_says_of_which_job_it_is(tmp_path: Path, layout: Layout) -> None:
    job = JobFacts(run="own/repo/1", attempt=2, commit="c")

    record = run(tmp_path, leg={"arch": "mips"}, job=job)

    assert record.job == read_record(layout.record(record.leg.id)).job == job


def test_a_pattern_that_cannot_be_built_yet_is_broken(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path, leg={"pattern": "pixi"})
    assert (record.status, record.reason) == (
        "broken",
        "detect: pattern pixi is not built yet by this version of ci-envs",
    )


def test_a_project_that_does_not_describe_the_pattern_fails_with_what_to_do(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path)
    assert record.status == "failed"
    assert record.reason == (
        "detect: nothing in '.' describes a uv environment. ci-envs detect --project . says what is described"
    )
    assert record.stages[0].exit_code == 2


def test_a_bug_is_broken_and_leaves_its_trace(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path, leg={"pattern": "no_such_pattern"})
    assert record.status == "broken"
    trace = layout.log(record.leg.id, "detect.trace")
    assert record.reason == (
        f"detect: unexpected KeyError: 'no_such_pattern'; a bug in ci-envs: {layout.shown(trace)} shows where"
    )
    assert "Traceback" in trace.read_text(encoding="utf-8")


def test_a_file_system_that_refuses_is_broken_and_names_the_file(tmp_path: Path, layout: Layout) -> None:
    leg = a_leg(**HERE)
    layout.log(leg.id, "detect").mkdir(parents=True)
    record = run(tmp_path)
    assert record.status == "broken"
    assert record.reason.startswith("detect: the file system refused ")
    assert "detect.log" in record.reason


def test_the_record_says_who_where_and_how_to_do_it_again(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path, reproduce="ci-envs run --only this")
    assert (record.reproduce, record.machine, record.leg) == ("ci-envs run --only this", machine.facts(), a_leg(**HERE))
    assert record.ci_envs
    assert record.started <= record.written
    assert read_record(layout.record(record.leg.id)) == record


def test_the_record_is_on_disk_after_each_stage_and_does_not_call_itself_finished(
    tmp_path: Path, layout: Layout
) -> None:
    seen: list[RunRecord] = []

    def look(event: str) -> None:
        if "detect" in event and not event.endswith("begins"):
            seen.append(read_record(layout.record(a_leg(**HERE).id)))

    run(tmp_path, Told(look))
    assert [(record.status, record.reason) for record in seen] == [
        ("broken", "not finished: detect was the last stage"),
    ]


def test_the_observer_is_told_in_order(tmp_path: Path, layout: Layout) -> None:
    told, leg = Told(), a_leg(**HERE).id
    record = run(tmp_path, told)
    assert told.events == [f"{leg} begins", f"{leg} detect begins", f"{leg} detect failed", f"{leg} failed"]
    assert told.records == [record]


def test_no_record_is_written_where_none_is_wanted(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path, recorded=False)
    assert not layout.record(record.leg.id).exists()


@pytest.mark.parametrize("old", [b"", b"{}", b"\xff\xfe", b'{"schema_version": 99}'])
def test_an_old_record_that_cannot_be_read_is_replaced(tmp_path: Path, layout: Layout, old: bytes) -> None:
    path = layout.record(a_leg(**HERE).id)
    path.parent.mkdir()
    path.write_bytes(old)
    record = run(tmp_path)
    assert read_record(path) == record


class Impatient(Layout):
    """Waits for nobody."""

    @contextlib.contextmanager
    def alone(self, name: str, wait: float = 0.0) -> Iterator[tuple[int, ...]]:
        with super().alone(name, wait) as descriptors:
            yield descriptors


def test_a_leg_that_another_run_is_at_is_broken_and_the_other_runs_record_stays(tmp_path: Path, layout: Layout) -> None:
    leg = a_leg(**HERE)
    write_record(layout.record(leg.id), RunRecord(leg=leg, status="passed", reason="of the other run"))
    with layout.alone(leg.id):
        record = run(tmp_path, layout=Impatient(root=layout.root, state=layout.state))
    assert record.status == "broken"
    assert record.reason.startswith(f"another run is at work on {leg.id}; waited 0 s")
    assert read_record(layout.record(leg.id)).reason == "of the other run"


def test_a_run_that_was_interrupted_begins_no_leg(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command._LIVE, "stopping", True)
    told = Told()
    with pytest.raises(InterruptedRun):
        run(tmp_path, told)
    assert told.events == []
    assert not layout.record(a_leg(**HERE).id).exists()


def test_what_an_earlier_run_left_in_the_temporary_folder_is_none_of_this_ones(tmp_path: Path, layout: Layout) -> None:
    left = layout.temp(a_leg(**HERE).id) / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"0" * 2_000_000)
    run(tmp_path)
    assert not left.exists()


def test_a_record_is_json_that_says_its_version_first(tmp_path: Path, layout: Layout) -> None:
    record = run(tmp_path)
    text = layout.record(record.leg.id).read_bytes()
    assert next(iter(msgspec.json.decode(text))) == "schema_version"
