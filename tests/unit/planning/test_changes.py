from __future__ import annotations

import pytest
from tests.support.plans import expanded

from ci_envs.planning.changes import Changes, concerned, concerns_all

LEGS = expanded('axes: {pattern: [uv], python: ["3.12"], project: [".", a, a/b, c, "d e"]}').legs
PROJECTS = {leg.project: leg.project for leg in LEGS}


def kept(*files: str, prefix: str = "", projects: dict[str, str] = PROJECTS) -> dict[str, str]:
    sieve = concerned(Changes(files=files, prefix=prefix, base="main"), projects)
    return {leg.project: why for leg in LEGS if leg.project in projects for fits, why in [sieve(leg)] if fits}


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("README.md", ["."]),
        ("src/x.py", ["."]),
        ("a/x.py", ["a"]),
        ("a/src/deep/x.py", ["a"]),
        ("a/b/x.py", ["a/b"]),
        ("a/bb/x.py", ["a"]),
        ("ab/x.py", ["."]),
        ("d e/x.py", ["d e"]),
        ("c/$(reboot)\n::error::x", ["c"]),
        # A link or a submodule that a project is in.
        ("a", [".", "a", "a/b"]),
    ],
)
def test_a_file_belongs_to_the_deepest_project_that_contains_it(file: str, whose: list[str]) -> None:
    found = kept(file)
    assert list(found) == whose
    assert all("\n" not in why and why.endswith(" changed") for why in found.values())


def test_a_file_of_no_project_concerns_none() -> None:
    assert kept("README.md", projects={"a": "a"}) == {}


def test_the_reason_names_one_file_and_counts_the_others() -> None:
    assert kept("c/one.py", "c/two.py", "c/three.py") == {"c": "c/one.py and 2 more changed"}


def test_a_lock_above_concerns_the_projects_below() -> None:
    assert kept("uv.lock") == {
        ".": "uv.lock changed",
        **dict.fromkeys(["a", "a/b", "c", "d e"], "uv.lock changed, which may lock it"),
    }
    assert kept("a/pylock.dev.toml")["a/b"] == "a/pylock.dev.toml changed, which may lock it"
    assert list(kept("c/uv.lock")) == ["c"]


def test_the_root_may_be_a_folder_of_the_repository() -> None:
    assert list(kept("a/x.py", "elsewhere/x.py", prefix="sub/")) == []
    assert kept("sub/a/x.py", prefix="sub/") == {"a": "sub/a/x.py changed"}
    assert list(kept("sub/x.py", prefix="sub/")) == ["."]
    # A workspace's lock beside the root.
    assert len(kept("uv.lock", prefix="sub/")) == len(LEGS)


def test_a_project_behind_a_link_changes_with_what_the_link_leads_to() -> None:
    projects = {"c": "real/c", "a": "a"}
    assert kept("real/c/x.py", projects=projects) == {"c": "real/c/x.py changed"}
    assert kept("c", projects=projects) == {"c": "c changed"}


BESIDE = {
    "a": {"libs/core": "a/pyproject.toml", "base.txt": "a/requirements.in"},
    "c": {"": "c/pyproject.toml", "libs/core": "libs/more/pyproject.toml"},
}


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("libs/core/x.py", {"a": "a/pyproject.toml names libs/core", "c": "libs/more/pyproject.toml names libs/core"}),
        ("base.txt", {"a": "a/requirements.in names base.txt"}),
        ("src/x.py", {"c": "c/pyproject.toml names the folder that it is in"}),
        ("libs/more/x.py", {"c": "c/pyproject.toml names the folder that it is in"}),
        ("d e/x.py", {"d e": ""}),
    ],
)
def test_a_file_of_what_a_project_names_concerns_that_project(file: str, whose: dict[str, str]) -> None:
    projects = {name: name for name in ("a", "c", "d e")}
    sieve = concerned(Changes(files=(file,), base="main"), projects, BESIDE)
    found = {leg.project: why for leg in LEGS if leg.project in projects for fits, why in [sieve(leg)] if fits}
    assert found == {name: f"{file} changed{f', and {why}' if why else ''}" for name, why in whose.items()}


def test_a_leg_that_is_left_out_is_told_why() -> None:
    sieve = concerned(Changes(files=(), base="the base branch (123)"), PROJECTS)
    assert sieve(LEGS[0]) == (False, "no file of the root has changed since the base branch (123)")
    assert sieve(LEGS[1]) == (False, "no file of a has changed since the base branch (123)")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["a/x"], ""),
        (["ci-envs.yml"], ""),
        (["sub/m.yml"], "m.yml changed, which says what the legs are"),
        (["beside.yml"], "../beside.yml changed, which says what the legs are"),
        (["x", "sub/ci-envs.yml"], "ci-envs.yml changed"),
        ([".github/workflows/ci.yml"], ".github/workflows/ci.yml changed"),
        ([".github/CODEOWNERS", "sub/.github/workflows/ci.yml"], ""),
    ],
)
def test_what_says_how_legs_are_made_concerns_all(files: list[str], reason: str) -> None:
    changes = Changes(files=tuple(files), prefix="sub/")
    assert concerns_all(changes, ["m.yml", "../beside.yml"], ["ci-envs.yml"]) == reason


def test_a_hundred_thousand_files_are_sorted_quickly() -> None:
    files = tuple(f"a/b/{number}/x/y/z.py" for number in range(100_000))
    assert list(kept(*files)) == ["a/b"]
