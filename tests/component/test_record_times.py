"""When the record on disk is written: a killed run must neither be taken for whole, nor undo what still holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON
from tests.support.projects import write_project

from ci_envs.asking import Asked, orders_for
from ci_envs.record_files import read_record
from ci_envs.running import run_legs

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.leg import Leg
    from ci_envs.model.record import RunRecord, Stage
    from ci_envs.order import Order

pytestmark = [pytest.mark.component, pytest.mark.usefixtures("universe")]


@dataclass
class Reader:
    """Reads the record that is on disk when a stage has ended."""

    order: Order
    seen: dict[str, str] = field(default_factory=dict)

    def leg_begins(self, leg: Leg) -> None: ...

    def stage_begins(self, leg: Leg, name: str) -> None: ...

    def stage_says(self, leg: Leg, text: str) -> None: ...

    def stage_ends(self, leg: Leg, stage: Stage) -> None:
        self.seen[stage.name] = read_record(self.order.layout.record(leg.id)).reason

    def leg_ends(self, record: RunRecord) -> None: ...


def run(project: Path, env: dict[str, str]) -> tuple[RunRecord, dict[str, str]]:
    asked = Asked(root=project, patterns=("uv",), pythons=(PYTHON,), environ=env)
    todo = orders_for(asked)
    todo.layout.prepare()
    reader = Reader(todo.orders[0])
    (record,), _ = run_legs(todo.orders, jobs=1, observer=reader)
    return record, reader.seen


def test_a_first_run_tells_after_each_stage_how_far_it_got(warm_env: dict[str, str], tmp_path: Path) -> None:
    record, seen = run(write_project(tmp_path / "project", {"requirements.in": "seed\n"}), warm_env)
    assert record.status == "passed", record.reason
    assert seen["lock"] == "not finished: lock was the last stage"
    assert seen["build"] == "not finished: build was the last stage"


def test_a_run_with_nothing_to_do_leaves_the_good_record_to_its_end(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "seed\n"})
    first, _ = run(project, warm_env)
    again, seen = run(project, warm_env)
    assert (first.status, again.status) == ("passed", "passed")
    assert {seen[name] for name in ("detect", "lock", "build")} == {first.reason}


def test_a_run_that_builds_says_so_before_it_touches_the_environment(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "seed\n"})
    first, _ = run(project, warm_env)
    assert first.environment is not None
    module = next((project / first.environment.path).rglob("seed/__init__.py"))
    module.unlink()  # a hard link: writing to it would write to the cache of all tests
    module.write_text("altered = True\n")
    again, seen = run(project, warm_env)
    assert again.status == "passed", again.reason
    assert seen["lock"] == first.reason
    assert seen["build"] == "not finished: build was the last stage"
