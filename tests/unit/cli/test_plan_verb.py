from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from ci_envs import machine
from ci_envs.cli import VERBS, main_group
from ci_envs.cli.plan_verb import MANY_LEGS, command
from ci_envs.errors import CiEnvsError, NothingToDo, UsageError
from ci_envs.model.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

MATRIX = """
axes: {pattern: [venv, uv], python: ["3.12", "3.13"], os: [linux], arch: [x86_64]}
exclude: [{pattern: venv, python: "3.13", reason: no wheels yet}]
include: [{pattern: uv, python: "3.13", test: {timeout: 9m}, reason: slow}]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "default.yml").write_text(MATRIX, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*arguments: str) -> Result:
    result = CliRunner().invoke(main_group, ["plan", *arguments], catch_exceptions=True)
    if isinstance(result.exception, CiEnvsError):
        raise result.exception
    return result


def plan_json(*arguments: str) -> Any:
    return json.loads(plan("--json", *arguments).stdout)


def test_the_help_begins_with_the_line_of_the_verb() -> None:
    assert (command.help or "").splitlines()[0] == VERBS["plan"]


def test_a_person_gets_the_legs_and_what_was_left_out(root: Path) -> None:
    result = plan()
    assert result.exit_code == 0
    assert "uv-py313-linux-x86_64    ubuntu-24.04  60       slow" in result.stdout
    assert "venv-py313-linux-x86_64  no wheels yet" in result.stdout
    assert result.stderr == "3 legs, 1 left out\n"


def test_json_is_a_plan_and_nothing_else_is_printed(root: Path) -> None:
    result = plan("--json", "--max-legs", "2")
    made = msgspec.json.decode(result.stdout, type=Plan, strict=True)
    assert [leg.id for leg in made.legs] == [
        "venv-py312-linux-x86_64",
        "uv-py312-linux-x86_64",
        "uv-py313-linux-x86_64",
    ]
    assert [len(shard) for shard in made.shards] == [2, 1]
    assert [row.reason for row in made.left_out] == ["no wheels yet"]
    assert made.legs[2].settings == {"test": {"timeout": "9m"}}


def test_many_legs_are_streamed_to_the_same_plan(root: Path) -> None:
    many = MANY_LEGS + 1
    numbers = ", ".join(map(str, range(many)))
    (root / "many.yml").write_text(
        f'axes: {{pattern: [uv], python: ["3.12"]}}\nvariables: {{n: [{numbers}]}}\n', encoding="utf-8"
    )
    made = msgspec.json.decode(plan("--json", "many.yml").stdout, type=Plan)
    assert len(made.legs) == many
    assert [leg.variables["n"] for leg in made.legs[-2:]] == [str(many - 2), str(many - 1)]
    assert sum(map(len, made.shards)) == many
    ids = plan("many.yml").stdout.split()
    assert ids == [leg.id for leg in made.legs]


def test_only_and_skip_choose(root: Path) -> None:
    legs = plan_json("--only", "uv-*", "--skip", "*py313*")["legs"]
    assert [leg["id"] for leg in legs] == ["uv-py312-linux-x86_64"]
    with pytest.raises(NothingToDo):
        plan("--only", "nix-*")


@pytest.mark.parametrize("name", ["my matrix.yml", "-m.yml", "a;b.yml", "ü'.yml"])
def test_the_reproducing_command_names_the_files_as_they_were_named(root: Path, name: str) -> None:
    (root / name).write_text(MATRIX, encoding="utf-8")
    made = plan_json("--project", str(root), "--", name)
    words = shlex.split(made["legs"][0]["reproduce"])
    shown = f"./{name}" if name.startswith("-") else name
    assert words == ["ci-envs", "run", "--project", str(root), shown, "--only", "venv-py312-linux-x86_64"]


def test_github_gets_one_line_for_each_shard(root: Path) -> None:
    lines = plan("--github", "--max-legs", "2").stdout.splitlines()
    rows = [json.loads(line)["include"] for line in lines]
    assert [[row["id"] for row in shard] for shard in rows] == [
        ["venv-py312-linux-x86_64", "uv-py312-linux-x86_64"],
        ["uv-py313-linux-x86_64"],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--github", "--json"], "--github stands alone"),
        (["--github", "--explain"], "--github stands alone"),
        (["--github", "--max-legs", "257"], "at most 256 jobs"),
        (["--cache-suffix", "a,b"], "--cache-suffix"),
        (["--cache-suffix", "$(id)"], "--cache-suffix"),
        (["none.yml"], "there is no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(root: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("$", r"\$")):
        plan(*arguments)


def test_the_suffix_ends_the_cache_key(root: Path) -> None:
    (leg,) = plan_json("--only", "venv-*", "--cache-suffix", "week-3")["legs"]
    assert leg["cache_key"].endswith("-week-3")


def test_a_new_lock_gives_a_new_cache_key(root: Path) -> None:
    before = plan_json("--only", "venv-*")["legs"][0]["cache_key"]
    (root / "uv.lock").write_text("x", encoding="utf-8")
    assert plan_json("--only", "venv-*")["legs"][0]["cache_key"] != before


def test_explain_says_where_each_value_comes_from(root: Path) -> None:
    (root / "ci-envs.yml").write_text("check: {imports: [numpy]}\ntest: {timeout: 5m}\n", encoding="utf-8")
    groups = plan_json("--explain")
    assert [group["legs"] for group in groups] == [
        ["venv-py312-linux-x86_64", "uv-py312-linux-x86_64"],
        ["uv-py313-linux-x86_64"],
    ]
    plain, slow = ({row["key"]: row for row in group["settings"]} for group in groups)
    assert plain["test.timeout"] == {"key": "test.timeout", "value": "5m", "source": "ci-envs.yml"}
    assert slow["test.timeout"] == {"key": "test.timeout", "value": "9m", "source": "matrices/default.yml:4 (include)"}
    assert plain["lock.format"]["source"] == "default"
    shown = plan("--explain", "--only", "uv-py313*").stdout
    assert re.search(r'^check\.imports +\["numpy"\] +ci-envs\.yml$', shown, re.MULTILINE)


def test_without_a_matrix_the_detected_pattern_is_planned_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.in").write_text("numpy\n", encoding="utf-8")
    (tmp_path / ".python-version").write_text("3.12\n", encoding="utf-8")
    (leg,) = plan_json()["legs"]
    assert leg["id"] == f"venv-py312-{machine.os_name()}-{machine.arch_name()}"
    assert leg["reproduce"] == f"ci-envs run --only {leg['id']}"


# --- strategies, labels, runners


def test_a_strategy_says_how_many_of_how_many(root: Path) -> None:
    pythons = ", ".join(f'"3.{minor}"' for minor in range(8, 16))
    axes = f"axes: {{pattern: [venv, uv], python: [{pythons}], os: [linux, macos], arch: [x86_64, aarch64]}}"
    (root / "m.yml").write_text(axes, encoding="utf-8")
    result = plan("m.yml", "--strategy", "pairwise")
    assert result.stderr == "16 of 64 legs: every pair of values is covered; 48 left out\n"
    # So many legs of one reason are one row.
    assert "48 legs  strategy pairwise: every pair of its values is in another leg" in result.stdout
    fewer = plan("m.yml", "--strategy", "pairwise", "--skip", "venv-*")
    assert fewer.stderr == "8 of 64 legs, 56 left out\n"


def test_labels_and_runners_are_shown(root: Path) -> None:
    result = plan("--label", "envs:venv", "--label", "envs:vnv", "--runs-on", '{"linux-x86_64": "mine"}')
    assert "venv-py312-linux-x86_64  mine    60       label envs:venv" in result.stdout
    assert "note: label 'envs:vnv' names no pattern and no Python of the matrix, and is ignored" in result.stderr
    assert "did you mean 'venv'?" in result.stderr
    assert "note: runner label 'mine' (1 leg) is none of GitHub's own" in result.stderr


def test_a_time_limit_is_of_legs_whose_matrix_says_none(root: Path) -> None:
    (root / "m.yml").write_text(MATRIX.replace("reason: slow", "timeout-minutes: 7"), encoding="utf-8")
    legs = plan_json("m.yml", "--timeout-minutes", "9")["legs"]
    assert [leg["timeout_minutes"] for leg in legs] == [9, 9, 7]


@pytest.mark.parametrize(
    "words", [["--label", "envs:skip"], ["--skip", "*"], ["--label=envs:venv", "--label=envs:py313"]]
)
def test_nothing_left_is_an_error_for_a_person(root: Path, words: list[str]) -> None:
    with pytest.raises(NothingToDo, match="no leg is left to run: "):
        plan(*words)


# --- plans as files


def test_a_plan_is_written_whole_and_read_again(root: Path) -> None:
    shown = plan("--max-legs", "2", "--output", "made/plan.json", "--artifact-name", "mine").stdout
    made = msgspec.json.decode((root / "made/plan.json").read_bytes(), type=Plan)
    assert made == msgspec.json.decode(plan("--json", "--max-legs", "2", "--artifact-name", "mine").stdout, type=Plan)
    assert (made.artifact, made.matrix, made.combinations, made.status) == (
        "mine",
        "matrices/default.yml",
        3,
        "planned",
    )
    assert sorted(path.name for path in (root / "made").iterdir()) == ["plan.json"]
    assert plan("--from", "made/plan.json").stdout == shown
    assert plan("--from", "made").stdout == shown, "the folder that an artifact was downloaded into"
    assert plan_json("--from", "made") == json.loads((root / "made/plan.json").read_text("utf-8"))


def test_a_shard_of_a_plan_is_a_matrix(root: Path) -> None:
    plan("--max-legs", "2", "--output", "plan.json")
    whole = plan("--github", "--max-legs", "2").stdout.splitlines()
    shards = [plan("--from", "plan.json", "--shard", str(number), "--github").stdout for number in (0, 1)]
    assert shards == [f"{line}\n" for line in whole]
    assert [leg["id"] for leg in plan_json("--from", "plan.json", "--shard", "1")["legs"]] == ["uv-py313-linux-x86_64"]
    with pytest.raises(UsageError, match="there is no shard 2: the plan has 2, from 0"):
        plan("--from", "plan.json", "--shard", "2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "0"], "--shard goes with --from"),
        (["--base", "main"], "--base goes with --changed-only"),
        (["--changed-only", "--base=--upload-pack=x"], "is no revision"),
        (["--from", "none.json"], "there is no such plan"),
        (["--from", "matrices/default.yml"], "is not a plan"),
        (["--from", "plan.json", "matrices/default.yml"], "matrix cannot change it"),
        (["--from", "plan.json", "--only", "uv-*"], "--only cannot change it"),
        (["--from", "plan.json", "--label", "envs:all"], "--label cannot change it"),
        (["--output", "matrices"], "matrices' is a directory"),
        (["--output", "matrices/default.yml/x"], "cannot be written"),
        (["--artifact-name", "a/b"], "--artifact-name 'a/b' cannot begin a name"),
        (["--runs-on", "mine"], "--runs-on is not JSON"),
        (["--runs-on", '{"linux-arm64": "x"}'], "there is no platform 'linux-arm64'"),
    ],
)
def test_what_goes_with_nothing_is_refused(root: Path, words: list[str], said: str) -> None:
    (root / "plan.json").write_text("{}", encoding="utf-8")
    try:
        result = plan(*words)
    except UsageError as error:
        assert said in f"{error.message}"  # noqa: PT017 - the other way is click's own refusal
    else:
        assert result.exit_code == 2
        assert said in result.stderr


def test_more_legs_than_a_run_can_have_are_refused_with_advice(root: Path) -> None:
    values = ", ".join(f"v{number}" for number in range(257))
    text = f"axes: {{pattern: [uv], python: ['3.12']}}\nvariables: {{a: [{values}], b: [{values}]}}\n"
    (root / "huge.yml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="66,049 legs need 259 shards of 256; a run can have 256") as caught:
        plan("huge.yml", "--github")
    assert "pairwise" in caught.value.hint
    # Another CI system may have more, and a person may look.
    assert plan("huge.yml", "-q").stdout.count("\n") == 66_049


def test_words_of_a_matrix_that_would_speak_to_a_runner_do_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (root / "m.yml").write_text(
        "axes: {pattern: [uv], python: ['3.12']}\n"
        "include: [{runs-on: '::set-output name=x::y', reason: \"a\\n::error::b ##[error]c\"}]\n",
        encoding="utf-8",
    )
    result = plan("m.yml")
    assert result.exit_code == 0
    for line in result.output.splitlines():
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
