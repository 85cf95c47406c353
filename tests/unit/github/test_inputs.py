"""The inputs of every action and of the two workflows: what the YAML says and what Python reads are one."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hostile import HOSTILE

from ci_envs.cli import main_group
from ci_envs.errors import UsageError
from ci_envs.github.input_values import CHOICES
from ci_envs.github.inputs import (
    CollectInputs,
    EnvironmentInputs,
    LegInputs,
    PlanInputs,
    ReportInputs,
    ShardInputs,
    environment_arguments,
    leg_arguments,
    plan_arguments,
    read_inputs,
    report_arguments,
    shard_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
WORKFLOWS = (ROOT / ".github/workflows/build-envs.yml", ROOT / ".github/workflows/build-shard.yml")

#: By action: what reads its inputs, and what makes arguments of them.
ACTIONS: dict[str, tuple[type[Any], Callable[[Any], list[str]]]] = {
    "action.yml": (EnvironmentInputs, environment_arguments),
    "actions/leg/action.yml": (LegInputs, leg_arguments),
    "actions/plan/action.yml": (PlanInputs, plan_arguments),
    "actions/shard/action.yml": (ShardInputs, shard_arguments),
    "actions/report/action.yml": (ReportInputs, report_arguments),
}

#: Of the workflow alone: GitHub reads them as numbers and booleans, and takes nothing else.
GITHUBS_OWN = {"fail-fast", "max-parallel", "retention-days"}

#: Flags that stand alone; every other argument is ``--name=value``, or the one that follows ``--``.
ALONE = {"--changed-only", "--exit-code", "--github"}

#: What each required input may be, where a test is about another.
GIVEN = {"leg": "uv-py312-linux-x86_64", "plan": "plan.json", "records": "records", "shard": "3"}

# What would happen if a value reached a shell, an expression, a command file or the program's flags.
HOSTILE_HERE = (
    *HOSTILE,
    "::set-output name=record::pwned",
    "!--help",
)


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return loaded


def variables(kind: type[Any], **given: str) -> dict[str, str]:
    named = {name: value for name, value in GIVEN.items() if name in kind.__dataclass_fields__}
    return {f"INPUT_{name.upper()}": value for name, value in {**named, **given}.items()}


def read_inputs_of(action: str, **given: str) -> Any:
    kind, _ = ACTIONS[action]
    return read_inputs(kind, variables(kind, **given))


# --- what the YAML says is what is read


@pytest.mark.parametrize("name", ACTIONS)
def test_every_input_of_an_action_is_read_and_has_the_default_that_it_says(name: str) -> None:
    said = document(name)["inputs"]
    kind, _ = ACTIONS[name]

    assert {one.replace("-", "_") for one in said} == set(kind.__dataclass_fields__)
    defaults = {one.replace("-", "_"): str(spec["default"]) for one, spec in said.items() if "default" in spec}
    assert read_inputs_of(name, **defaults) == read_inputs_of(name)
    assert {one for one, spec in said.items() if spec.get("required")} == GIVEN.keys() & said.keys()


@pytest.mark.parametrize("name", ACTIONS)
def test_what_reads_an_input_has_its_variable(name: str) -> None:
    # `prepare` is the first step that reads, and reads all: so a wrong value ends the job before anything is done.
    steps = [step for step in document(name)["runs"]["steps"] if "CI_ENVS_ACTION" in step.get("env", {})]
    said = {f"INPUT_{one.upper().replace('-', '_')}" for one in document(name)["inputs"]}

    handed = {variable for variable in steps[0]["env"] if variable.startswith("INPUT_")}
    assert handed == said
    for step in steps:
        for variable, value in step["env"].items():
            if variable.startswith("INPUT_"):
                assert value == f"${{{{ inputs.{variable.removeprefix('INPUT_').lower().replace('_', '-')} }}}}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_input_of_a_workflow_is_typed_and_described_and_read_by_python(path: Path) -> None:
    # YAML 1.1 reads the key `on` as a boolean.
    triggers = yaml.safe_load(path.read_text(encoding="utf-8"))[True]
    known = {field.replace("_", "-") for kind, _ in ACTIONS.values() for field in kind.__dataclass_fields__}

    for trigger in triggers.values():
        for name, spec in trigger["inputs"].items():
            assert spec["type"] in ("string", "boolean", "number"), name
            assert spec["description"].endswith("."), name
            assert spec.get("required") or "default" in spec, name
            assert name in known | GITHUBS_OWN | {"artifact"}, name


def test_a_dispatched_run_takes_what_a_call_takes() -> None:
    triggers = yaml.safe_load(WORKFLOWS[0].read_text(encoding="utf-8"))[True]

    assert triggers["workflow_dispatch"]["inputs"] == triggers["workflow_call"]["inputs"]


@pytest.mark.parametrize("name", [*ACTIONS, ".github/workflows/build-envs.yml", ".github/workflows/build-shard.yml"])
def test_a_description_names_every_choice(name: str) -> None:
    loaded = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    inputs = loaded["inputs"] if "inputs" in loaded else loaded[True]["workflow_call"]["inputs"]

    for one, spec in inputs.items():
        # `enable-cache` says by its sentence that it is yes or no; its third word is what a reader must be told.
        choices = [word for word in CHOICES.get(one.replace("-", "_"), ()) if word not in ("true", "false")]
        assert [word for word in choices if not re.search(rf"\b{word}\b", spec["description"])] == [], one


# --- how a set of inputs is read


@pytest.mark.parametrize("kind", [kind for kind, _ in ACTIONS.values()])
def test_an_empty_input_is_the_same_as_none(kind: type[Any]) -> None:
    empty = {f"INPUT_{name.upper()}": " \n" for name in kind.__dataclass_fields__ if name not in GIVEN}

    assert read_inputs(kind, {**empty, **variables(kind)}) == read_inputs(kind, variables(kind))


def test_inputs_are_typed_once() -> None:
    given = {
        "check": "false",
        "activate_environment": " true\n",
        "groups": "dev, test\n docs",
        "python_version": "3.13t",
    }

    assert read_inputs_of("action.yml", **given) == EnvironmentInputs(
        check=False, activate_environment=True, groups=("dev", "test", "docs"), python_version="3.13t"
    )


REQUIRED = [(kind, name) for kind, _ in ACTIONS.values() for name in GIVEN if name in kind.__dataclass_fields__]


@pytest.mark.parametrize(("kind", "name"), [*REQUIRED, (CollectInputs, "leg")])
def test_a_required_input_that_is_not_given_is_named(kind: type[Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"input '{name}' is not given"):
        read_inputs(kind, variables(kind, **{name: ""}))


# --- the arguments


def test_arguments_are_only_those_that_were_asked_for() -> None:
    assert environment_arguments(EnvironmentInputs()) == ["run", "--project=.", "--pattern=auto"]
    assert leg_arguments(LegInputs(leg="uv-py312-linux-x86_64")) == [
        "run",
        "--project=.",
        "--only=uv-py312-linux-x86_64",
    ]
    assert plan_arguments(PlanInputs()) == [
        "plan", "--project=.", "--tier=auto", "--max-legs=256", "--artifact-name=ci-envs",
    ]  # fmt: skip


def test_every_input_of_one_environment_becomes_an_argument() -> None:
    inputs = EnvironmentInputs(
        pattern="uv", python_version="3.12", working_directory="a folder", lock_mode="frozen", groups=("dev", "test"),
        test_command="pytest -k 'a or b'", expect_gpu="true", check=False,
    )  # fmt: skip

    assert environment_arguments(inputs) == [
        "run", "--project=a folder", "--pattern=uv", "--lock-mode=frozen", "--test-command=pytest -k 'a or b'",
        "--expect-gpu=true", "--python=3.12", "--group=dev", "--group=test", "--stages=lock,build,test",
    ]  # fmt: skip


def test_every_input_of_a_leg_becomes_an_argument() -> None:
    inputs = LegInputs(
        leg="uv-py312-linux-x86_64", matrix="matrices/nightly.yml", working_directory="sub/", lock_mode="auto",
        as_of="7 days", test_command="pytest", expect_gpu="auto",
    )  # fmt: skip

    assert leg_arguments(inputs) == [
        "run", "--project=sub/", "--only=uv-py312-linux-x86_64", "--lock-mode=auto", "--as-of=7 days",
        "--test-command=pytest", "--expect-gpu=auto", "--", "sub/matrices/nightly.yml",
    ]  # fmt: skip


def test_every_input_of_a_plan_becomes_an_argument() -> None:
    inputs = PlanInputs(
        matrix="--help", tier="nightly", strategy="pairwise", matrix_filter=("uv-*", "!*-windows-*"),
        labels=("envs:all", "good first issue"), changed_only=True, runs_on='{"linux-aarch64": "arm"}',
        timeout_minutes=30, max_legs=100, artifact_name="app",
    )  # fmt: skip

    assert plan_arguments(inputs) == [
        "plan", "--project=.", "--tier=nightly", "--max-legs=100", "--artifact-name=app", "--timeout-minutes=30",
        "--strategy=pairwise", '--runs-on={"linux-aarch64": "arm"}', "--changed-only", "--only=uv-*",
        "--skip=*-windows-*", "--label=envs:all", "--label=good first issue", "--", "--help",
    ]  # fmt: skip


def test_a_shard_and_a_report_read_the_plan() -> None:
    assert shard_arguments(ShardInputs(plan="p", shard=0)) == ["plan", "--from=p", "--shard=0", "--github"]
    assert report_arguments(ReportInputs(plan="p", records="-r")) == ["report", "--plan=p", "--exit-code", "--", "-r"]


@pytest.mark.parametrize("name", ACTIONS)
def test_no_value_of_any_input_becomes_a_flag_or_a_second_argument(name: str) -> None:
    kind, arguments_of = ACTIONS[name]
    for field in kind.__dataclass_fields__:
        for value in HOSTILE_HERE:
            with contextlib.suppress(UsageError):
                _assert_told_apart(arguments_of(read_inputs(kind, variables(kind, **{field: value}))))


@given(data=st.data())
def test_no_text_at_all_becomes_a_flag_or_a_second_argument(data: st.DataObject) -> None:
    kind, arguments_of = ACTIONS[data.draw(st.sampled_from(list(ACTIONS)))]
    given = data.draw(st.dictionaries(st.sampled_from(list(kind.__dataclass_fields__)), st.text(min_size=1)))

    with contextlib.suppress(UsageError):
        _assert_told_apart(arguments_of(read_inputs(kind, variables(kind, **given))))


def _assert_told_apart(arguments: list[str]) -> None:
    """Every option is one of the verb's own and has its value; no more than one word is left, behind ``--``."""
    verb, *words = arguments
    cut = words.index("--") if "--" in words else len(words)
    for word in words[:cut]:
        assert word in ALONE or re.match(r"--[a-z-]+=", word), word
    assert len(words[cut:]) in (0, 2)
    assert all(len(word.splitlines()) <= 1 for word in words)
    assert {word.partition("=")[0] for word in words[:cut]} <= _options(verb)


def _options(verb: str) -> set[str]:
    command = main_group.get_command(click.Context(main_group), verb)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}
