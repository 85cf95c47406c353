from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci_envs.errors import NothingToDo, UsageError
from ci_envs.model.plan import MAX_LEFT_OUT, Plan
from ci_envs.plan_making import Made, Wanted, make_plan

DEFAULT = """
axes: {pattern: [venv, uv, conda], python: ["3.11", "3.12", "3.13", "3.14"], os: [linux], arch: [x86_64]}
exclude: [{pattern: conda, python: "3.14", reason: not yet}]
"""
SMALL = 'axes: {pattern: [uv], python: ["3.12"], os: [linux], arch: [x86_64]}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "default", DEFAULT)
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    path = root / "matrices" / f"{name}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def made(root: Path, **wanted: Any) -> Made:
    return make_plan(Wanted(root=root, **{"environ": {}, **wanted}))


def names(plan: Made) -> list[str]:
    return [name.removesuffix("-linux-x86_64") for name in plan.ids]


def pull_request(root: Path, *labels: str, event: str = "pull_request", **more: str) -> dict[str, str]:
    path = root / "event.json"
    path.write_text(json.dumps({"pull_request": {"labels": [{"name": label} for label in labels]}}), encoding="utf-8")
    return {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(path), **more}


# --- tiers


def test_a_tier_takes_its_own_matrix_else_the_default_one(root: Path) -> None:
    write(root, "nightly", SMALL)
    nightly = made(root, tier="nightly")
    assert (nightly.head.matrix, nightly.head.tier, names(nightly)) == ("matrices/nightly.yml", "nightly", ["uv-py312"])
    release = made(root, tier="release")
    assert (release.head.matrix, release.head.strategy, len(release.cells)) == ("matrices/default.yml", "all", 11)
    assert nightly.plan.legs[0].reproduce.endswith("matrices/nightly.yml --only uv-py312-linux-x86_64")
    assert "matrices" not in release.plan.legs[0].reproduce.replace(str(root), "")


def test_a_pull_request_without_a_matrix_of_its_own_is_the_ends_of_the_default_one(root: Path) -> None:
    plan = made(root, tier="pull-request")
    assert names(plan) == ["venv-py311", "venv-py314", "uv-py311", "uv-py314", "conda-py311"]
    assert (plan.head.strategy, plan.head.combinations) == ("ends", 11)
    assert plan.head.coverage == "every pair of first and last values is covered"
    assert made(root, tier="pull-request", strategy="all").head.strategy == "all"
    write(root, "pull-request", SMALL)
    assert names(made(root, tier="pull-request")) == ["uv-py312"]


def test_a_matrix_that_is_named_wins_over_the_tier(root: Path) -> None:
    write(root, "pull-request", SMALL)
    plan = made(root, tier="pull-request", matrix=root / "matrices/default.yml")
    assert (len(plan.cells), plan.head.strategy, plan.head.matrix) == (11, "all", "matrices/default.yml")


@pytest.mark.parametrize(
    ("event", "tier", "legs"),
    [("pull_request", "pull-request", 5), ("schedule", "nightly", 1), ("push", "all", 11), ("release", "release", 11)],
)
def test_auto_goes_by_the_event(root: Path, event: str, tier: str, legs: int) -> None:
    write(root, "nightly", SMALL)
    plan = made(root, tier="auto", environ={"GITHUB_EVENT_NAME": event})
    assert (plan.head.tier, len(plan.cells)) == (tier, legs)


def test_the_strategy_of_a_file_holds_and_the_flag_is_stronger(root: Path) -> None:
    write(root, "default", "strategy: ends" + DEFAULT)
    assert made(root).head.strategy == "ends"
    assert made(root, strategy="pairwise").head.strategy == "pairwise"
    assert made(root, strategy="all").head.coverage == ""


# --- labels


def test_labels_of_a_pull_request_choose(root: Path) -> None:
    plan = made(root, tier="auto", environ=pull_request(root, "bug", "envs:uv"))
    assert names(plan) == ["uv-py311", "uv-py314"]
    assert plan.plan.legs[0].kept == "label envs:uv"
    assert plan.head.coverage == "", "the other pairs are gone"
    both = made(root, tier="auto", environ=pull_request(root, "envs:uv", "envs:conda", "envs:py311"))
    assert names(both) == ["uv-py311", "conda-py311"]


def test_labels_that_are_given_take_the_place_of_the_pull_requests(root: Path) -> None:
    plan = made(root, tier="auto", labels=("envs:venv",), environ=pull_request(root, "envs:uv"))
    assert names(plan) == ["venv-py311", "venv-py314"]


def test_who_does_not_ask_for_the_event_is_not_told_its_labels(root: Path) -> None:
    assert len(made(root, environ=pull_request(root, "envs:skip")).cells) == 11
    acting = {"GITHUB_ACTIONS": "true", "CI_ENVS_ACTION": "plan"}
    assert not made(root, environ=pull_request(root, "envs:skip", **acting)).cells


def test_all_is_the_whole_matrix(root: Path) -> None:
    plan = made(root, tier="auto", environ=pull_request(root, "envs:all"))
    assert (len(plan.cells), plan.head.tier, plan.head.strategy) == (11, "all", "all")
    write(root, "pull-request", SMALL)
    named = made(root, tier="auto", environ=pull_request(root, "envs:all", "envs:conda"))
    assert names(named) == ["conda-py311", "conda-py312", "conda-py313"]
    ends = write(root, "mine", "strategy: ends" + DEFAULT)
    assert len(made(root, matrix=ends, labels=("envs:all",)).cells) == 11


def test_the_label_all_is_stronger_than_the_workflows_strategy(root: Path) -> None:
    plan = made(root, tier="pull-request", strategy="pairwise", labels=("envs:all",))
    assert (len(plan.cells), plan.head.strategy) == (11, "all")


def test_an_unknown_label_where_there_is_no_default_matrix_leaves_nothing_out(root: Path) -> None:
    write(root, "pull-request", SMALL)
    (root / "matrices/default.yml").unlink()
    plan = made(root, tier="pull-request", labels=("envs:conda",))
    assert names(plan) == ["uv-py312"]
    assert plan.notes[0].startswith("label 'envs:conda' names no pattern")


def test_a_label_for_legs_that_the_tier_has_not_brings_the_whole_matrix(root: Path) -> None:
    plan = made(root, tier="pull-request", labels=("envs:py312",))
    assert names(plan) == ["venv-py312", "uv-py312", "conda-py312"]
    assert plan.notes == ("label 'envs:py312' is for legs of the whole matrix, so that is taken",)
    write(root, "pull-request", SMALL)
    assert names(made(root, tier="pull-request", labels=("envs:conda", "envs:py313"))) == ["conda-py313"]


def test_skip_is_a_plan_that_says_so(root: Path) -> None:
    plan = made(root, labels=("envs:skip", "envs:all"))
    assert (plan.head.status, plan.head.reason, plan.cells) == ("skipped", "label envs:skip", [])
    assert {row.reason for row in plan.head.left_out} == {"label envs:skip", "not yet"}
    assert plan.plan.shards == ()


def test_an_unknown_label_is_named_and_leaves_nothing_out(root: Path) -> None:
    plan = made(root, labels=("envs:cnda", "other:uv"))
    assert len(plan.cells) == 11
    (note,) = plan.notes
    assert "'envs:cnda'" in note
    assert note.endswith("; did you mean 'conda'?")
    # Beside a known one, that one chooses.
    assert len(made(root, labels=("envs:cnda", "envs:uv")).cells) == 4


def test_labels_that_no_leg_has_together_leave_nothing(root: Path) -> None:
    plan = made(root, labels=("envs:conda", "envs:py314"))
    assert plan.head.status == "skipped"
    assert plan.head.reason == "none of 11 legs is left: not meant by label envs:conda, envs:py314"


# --- filters


def test_filters_leave_out_with_reasons(root: Path) -> None:
    plan = made(root, only=("uv-*", "conda-*"), skip=("*-py311-*",))
    reasons = {row.id.removesuffix("-linux-x86_64"): row.reason for row in plan.head.left_out}
    assert reasons["conda-py314"] == "not yet"
    assert reasons["venv-py312"] == "matches no --only uv-* --only conda-*"
    assert reasons["uv-py311"] == "--skip *-py311-*"
    assert len(reasons) + len(plan.cells) == 12


def test_a_leg_that_is_named_whole_is_found_past_the_tier(root: Path) -> None:
    plan = made(root, tier="pull-request", only=("uv-py312-linux-x86_64",))
    assert names(plan) == ["uv-py312"]
    with pytest.raises(UsageError, match="the matrix leaves out 'conda-py314-linux-x86_64': not yet"):
        made(root, only=("conda-py314-linux-x86_64",))


def test_what_has_changed_is_not_known_without_an_event(root: Path) -> None:
    plan = made(root, changed_only=True)
    assert len(plan.cells) == 11
    assert plan.notes == (
        "every leg is kept, since it is not known what has changed: nothing says what it could be compared with",
    )


def test_nothing_left_by_filters_is_skipped_and_nothing_in_the_matrix_is_an_error(root: Path) -> None:
    plan = made(root, only=("nix-*",))
    assert plan.head.reason == "none of 11 legs is left: matches no --only nix-*"
    empty = write(root, "empty", "axes: {pattern: [uv], python: ['3.12']}\nexclude: [{pattern: uv}]\n")
    with pytest.raises(NothingToDo) as caught:
        made(root, matrix=empty)
    assert caught.value.hint == "the matrix excludes every combination"


# --- the rest


def test_the_plan_says_whose_run_it_is_of(root: Path) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "77"}
    plan = made(root, artifact="mine", environ=environ).plan
    assert (plan.run, plan.artifact, plan.status, plan.reason) == ("o/r/77", "mine", "planned", "")
    assert made(root).plan.run == ""


def test_the_matrix_is_named_from_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    inner = Path(root.name)
    assert made(inner, matrix=inner / "matrices/default.yml").head.matrix == "matrices/default.yml"
    assert made(inner).head.matrix == "matrices/default.yml"
    beside = root.parent / "beside.yml"
    beside.write_text(SMALL, encoding="utf-8")
    assert made(inner, matrix=Path("beside.yml")).head.matrix == "../beside.yml"
    assert made(inner, matrix=inner / "../beside.yml").head.matrix == "../beside.yml"


def test_foreign_runner_labels_are_named(root: Path) -> None:
    plan = made(root, runs_on='{"linux-x86_64": "ubuntu-25.04"}')
    (note,) = plan.notes
    assert note.startswith("runner label 'ubuntu-25.04' (11 legs) is none of GitHub's own")
    assert made(root, runs_on='{"linux-x86_64": ["self-hosted", "mine"]}').notes == ()
    many = made(root, runs_on=json.dumps({"linux-x86_64": [f"l{number}" for number in range(9)]}))
    assert len(many.notes) == 4


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a/b", "a\nb", "x" * 65, "ü", "$(id)"])
def test_a_name_that_cannot_begin_artifacts_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--artifact-name"):
        made(root, artifact=name)


def test_no_more_than_ten_thousand_rows_are_left_out_by_name(root: Path) -> None:
    numbers = ", ".join(map(str, range(150)))
    text = f'axes: {{pattern: [uv], python: ["3.12"]}}\nvariables: {{a: [{numbers}], b: [{numbers}]}}\n'
    plan = made(root, matrix=write(root, "large", text), strategy="ends")
    assert len(plan.cells) == 4
    assert (len(plan.head.left_out), plan.head.left_out_more) == (MAX_LEFT_OUT, 22_500 - 4 - MAX_LEFT_OUT)


def test_the_chunks_are_the_plan(root: Path) -> None:
    import msgspec

    plan = made(root, labels=("envs:uv",), max_legs=3)
    assert msgspec.json.decode(b"".join(plan.chunks), type=Plan) == plan.plan
    assert [len(shard) for shard in plan.plan.shards] == [3, 1]
