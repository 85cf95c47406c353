from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.work import a_leg

from ci_envs import machine
from ci_envs.asking import Asked, instant, named, order_for, orders_for, parse_stages
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.layout import Layout
from ci_envs.model.record import JobFacts, RunRecord
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from ci_envs.order import Order

PLATFORM = f"{machine.os_name()}-{machine.arch_name()}"

MATRIX = """
axes: {pattern: [venv, uv], python: ["3.12", "3.13"]}
exclude: [{pattern: venv, python: "3.13", reason: no wheels yet}]
include: [{pattern: uv, python: "3.13", test: {timeout: 9m}}]
defaults: {check: {timeout: 8m}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "default.yml").write_text(MATRIX, encoding="utf-8")
    (tmp_path / "ci-envs.yml").write_text("check: {timeout: 1m, imports: [apple]}\n", encoding="utf-8")
    return tmp_path


def ask(root: Path, **words: Any) -> Asked:
    return Asked(root=root, environ=words.pop("environ", {}), **words)


def one(root: Path, **words: Any) -> Order:
    (order,) = orders_for(ask(root, only=(f"uv-py313-{PLATFORM}",), **words)).orders
    return order


# --- orders


def test_each_leg_of_the_matrix_gets_an_order_and_what_is_left_out_is_told(root: Path) -> None:
    found = orders_for(ask(root))
    assert found.ids == (f"venv-py312-{PLATFORM}", f"uv-py312-{PLATFORM}", f"uv-py313-{PLATFORM}")
    assert [(row.id, row.reason) for row in found.left_out] == [(f"venv-py313-{PLATFORM}", "no wheels yet")]
    assert found.layout == Layout.at(root, {})


def test_the_job_reaches_every_order(root: Path) -> None:
    job = JobFacts(run="own/repo/1")

    assert {order.job for order in orders_for(ask(root, job=job)).orders} == {job}
    assert one(root).job is None


def test_globs_choose_among_them(root: Path) -> None:
    assert orders_for(ask(root, only=("uv-*",), skip=("*-py313-*",))).ids == (f"uv-py312-{PLATFORM}",)


def test_a_strategy_thins_what_runs_and_hides_no_leg_that_is_named(root: Path) -> None:
    text = MATRIX.replace('["3.12", "3.13"]', '["3.11", "3.12", "3.13"]')
    (root / "matrices" / "default.yml").write_text(f"strategy: ends\n{text}", encoding="utf-8")
    found = orders_for(ask(root))
    middle = f"uv-py312-{PLATFORM}"
    assert found.ids == (f"venv-py311-{PLATFORM}", f"uv-py311-{PLATFORM}", f"uv-py313-{PLATFORM}")
    reasons = {row.id: row.reason for row in found.left_out}
    assert reasons[middle] == "strategy ends: the first and the last value of each axis are in other legs"
    assert reasons[f"venv-py313-{PLATFORM}"] == "no wheels yet"
    assert orders_for(ask(root, only=(middle,))).ids == (middle,)
    leg = orders_for(ask(root, only=(middle,))).orders[0].leg
    write_record(Layout.at(root, {}).record(middle), RunRecord(leg=leg, status="passed", reproduce="x"))
    assert order_for(ask(root), middle).config.check.timeout == "8m", "the matrix has it, so it says how it is made"


def test_nothing_left_is_said(root: Path) -> None:
    with pytest.raises(NothingToDo, match="no leg is left to run"):
        orders_for(ask(root, only=("conda-*",)))


def test_layers_of_configuration_lie_upon_each_other_and_flags_on_top(root: Path) -> None:
    plain, flagged = one(root), one(root, flags={"check": {"timeout": "7m"}, "test": {"command": "pytest"}})
    assert (plain.config.check.timeout, plain.config.check.imports) == ("8m", ("apple",))
    assert plain.config.test.timeout == "9m"
    assert (flagged.config.check.timeout, flagged.config.test.command) == ("7m", "pytest")


def test_a_flag_that_cannot_be_meant_is_refused_before_a_leg_runs(root: Path) -> None:
    with pytest.raises(UsageError, match=r"flags: test\.command: '\|' needs a shell"):
        one(root, flags={"test": {"command": "pytest | tee log"}})


@pytest.mark.parametrize(
    ("environ", "mode", "configured", "expected"),
    [
        ({}, None, "", "auto"),
        ({"CI": "true"}, None, "", "locked"),
        ({"CI": "1"}, None, "", "locked"),
        ({"CI": "false"}, None, "", "auto"),
        ({"CI": "true"}, None, "lock: {mode: update}", "update"),
        ({"CI": "true"}, "frozen", "lock: {mode: update}", "frozen"),
    ],
)
def test_the_lock_policy_is_the_flags_else_the_configurations_else_locked_in_ci(
    root: Path, environ: dict[str, str], mode: Any, configured: str, expected: str
) -> None:
    (root / "ci-envs.yml").write_text(configured, encoding="utf-8")
    assert one(root, environ=environ, mode=mode).policy.mode == expected


def test_as_of_may_be_configured(root: Path) -> None:
    (root / "ci-envs.yml").write_text('lock: {as-of: "2026-01-31"}', encoding="utf-8")
    assert one(root).policy.as_of == "2026-02-01T00:00:00Z"
    assert one(root, as_of="2025-12-31", offline=True).policy.as_of == "2026-01-01T00:00:00Z"


def test_legs_that_run_at_once_share_the_cores(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    workers = [orders_for(ask(root, jobs=jobs)).orders[0].workers for jobs in (1, 2, 100)]
    assert workers == [8, 4, 2]  # there are three legs


def test_a_state_folder_that_is_named_is_taken(root: Path, tmp_path: Path) -> None:
    named_one = orders_for(ask(root, environ={"CI_ENVS_STATE_DIR": str(tmp_path / "elsewhere")})).layout
    assert named_one.state == tmp_path / "elsewhere"


def test_flags_make_legs_without_a_matrix_and_go_with_none(root: Path) -> None:
    words: dict[str, Any] = {"patterns": ("uv",), "pythons": ("3.11",), "groups": ("dev", "docs")}
    assert orders_for(ask(root, **words)).ids == (f"uv-py311-{PLATFORM}-dev.docs",)
    with pytest.raises(UsageError, match="they do not go with a matrix file"):
        orders_for(ask(root, matrix=Path("matrices/default.yml"), **words))


# --- the command that does it again


def test_the_command_to_do_it_again_has_what_was_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    leg = f"uv-py313-{PLATFORM}"
    (root / "-other.yml").write_text(MATRIX, encoding="utf-8")
    here = Path()
    assert one(here).reproduce == f"ci-envs run --only {leg}"
    assert one(here, matrix=Path("-other.yml")).reproduce == f"ci-envs run ./-other.yml --only {leg}"
    asked = one(here, mode="frozen", as_of="2026-01-31", said=("--test-command=pytest -q",))
    assert shlex.split(asked.reproduce) == [
        *("ci-envs", "run", "--lock-mode=frozen", "--as-of=2026-01-31", "--test-command=pytest -q", "--only", leg),
    ]


def test_a_folder_and_flags_are_quoted_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $folder"
    folder.mkdir()
    (order,) = orders_for(ask(folder, patterns=("uv",), pythons=("3.12",), groups=("a b",))).orders
    assert shlex.split(order.reproduce)[2:6] == [
        *(f"--project={folder.as_posix()}", "--pattern=uv", "--python=3.12", "--group=a b"),
    ]


# --- one leg


def test_one_leg_is_had_from_the_matrix(root: Path) -> None:
    assert order_for(ask(root), f"uv-py313-{PLATFORM}").config.test.timeout == "9m"


def test_one_leg_that_the_matrix_has_not_is_had_from_its_record(root: Path) -> None:
    leg = a_leg(pattern="venv", python="3.11")
    write_record(
        Layout.at(root, {}).record(leg.id), RunRecord(leg=leg, status="passed", reproduce="ci-envs run --python=3.11")
    )
    order = order_for(ask(root), leg.id)
    assert (order.leg, order.reproduce) == (leg, "ci-envs run --python=3.11")
    assert order.config.check.imports == ("apple",)


def test_a_leg_that_nobody_knows_is_told_the_nearest(root: Path) -> None:
    with pytest.raises(UsageError, match=f"did you mean 'uv-py313-{PLATFORM}'"):
        order_for(ask(root), f"uv-py31-{PLATFORM}")
    with pytest.raises(UsageError, match=r"there is no leg '\.\./\.\./etc/passwd'"):
        order_for(ask(root), "../../etc/passwd")


def test_a_matrix_that_cannot_be_read_is_no_reason_to_do_without_what_it_configures(root: Path) -> None:
    leg = a_leg(python="3.13", os=machine.os_name(), arch=machine.arch_name())
    write_record(Layout.at(root, {}).record(leg.id), RunRecord(leg=leg, status="passed"))
    assert order_for(ask(root), leg.id).config.test.timeout == "9m"
    (root / "matrices" / "default.yml").write_text("axis: {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown key 'axis'; did you mean 'axes'"):
        order_for(ask(root), leg.id)


def test_a_record_stands_in_where_nothing_describes_an_environment_any_more(tmp_path: Path) -> None:
    leg = a_leg()
    write_record(Layout.at(tmp_path, {}).record(leg.id), RunRecord(leg=leg, status="passed"))
    assert order_for(ask(tmp_path), leg.id).leg == leg
    with pytest.raises(NothingToDo, match="no file here describes an environment"):
        order_for(ask(tmp_path), "uv-py39-linux-x86_64")


# --- words


def test_legs_asked_for_by_name_are_those_without_a_glob(root: Path) -> None:
    asked = replace(ask(root), only=("uv-*", "uv-py312-linux-x86_64", "venv-py31[12]-*", "nix?"))
    assert named(asked) == {"uv-py312-linux-x86_64"}


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("", {"detect"}),
        ("lock", {"detect", "lock"}),
        ("build, check", {"detect", "build", "check"}),
        ("detect,lock,build,check,test,", {"detect", "lock", "build", "check", "test"}),
    ],
)
def test_stages_are_read_from_a_list(text: str, stages: set[str]) -> None:
    assert parse_stages(text) == stages


def test_a_misspelt_stage_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="there is no stage 'tests'; did you mean 'test'"):
        parse_stages("lock,tests")


NOW = datetime(2026, 3, 8, 13, 14, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("2026-01-31", "2026-02-01T00:00:00Z"),
        ("20260131", "2026-02-01T00:00:00Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31 12:00Z", "2026-01-31T12:00:00Z"),
        ("7 days", "2026-03-01T00:00:00Z"),
        ("12h", "2026-03-07T12:00:00Z"),
    ],
)
def test_an_instant_is_a_date_a_moment_or_a_span_back_from_midnight(text: str, expected: str) -> None:
    assert instant(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-02-30", "9999-12-31", "99999999999w", "9" * 400, "2026-13-01T00:00"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no date, instant or span of time") as raised:
        instant(text, NOW)
    assert raised.value.hint == "write 2026-01-31 or '7 days'"


@given(st.text(max_size=20))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        found = instant(text, NOW)
    except UsageError:
        return
    assert not text or datetime.fromisoformat(found).tzinfo is not None
