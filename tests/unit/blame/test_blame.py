"""What a resolver's words are about, where the folders of cases do not say it."""

from __future__ import annotations

import pytest

from ci_envs.blame import blamed, kind_of, only_file
from ci_envs.blame.terms import same_versions
from ci_envs.model.lock import Requirement

UV = "error: No solution found when resolving dependencies\n  cause: Because {}\n"
END = "we can conclude that your requirements are unsatisfiable."


def asked(*texts: str, file: str = "a.in", group: str = "") -> list[Requirement]:
    """One on each line."""
    names = [text.split(";")[0] for text in texts]
    for mark in "<>=~![ @":
        names = [name.partition(mark)[0] for name in names]
    return [
        Requirement(text=text, name=name, file=file, line=number, group=group)
        for number, (text, name) in enumerate(zip(texts, names, strict=True), 1)
    ]


def lines(said: str, requirements: list[Requirement], limits: list[Requirement] | None = None) -> list[int]:
    return [one.line for one in blamed(said, requirements, limits or (), own="bowl")]


@pytest.mark.parametrize(
    ("said", "texts", "expected"),
    [
        # What is concluded is no line of anybody's.
        (f"a depends on seed<2 and you require a, we can conclude that you require seed<2. {END}", ["seed", "a"], [2]),
        # One name in two lines: the one with these versions, both where they are added up, none where neither fits.
        (f"only seed==1.0 is available and you require seed>2, {END}", ["seed", "seed>2"], [2]),
        (f"only seed==1.0 is available and you require seed>2,<3, {END}", ["seed>2", "seed<3"], [1, 2]),
        (f"only seed==1.0 is available and you require seed>7, {END}", ["seed>2", "seed<3"], []),
        (f"only seed==1.0 is available and you require seed>7, {END}", ["seed ~> 7"], [1]),
        # Names that are part of others, or that follow as the next sentence's.
        (f"you require seed and all versions of all depend on x, {END}", ["seed", "all"], [1]),
        (f"seed-oil was not found in the package registry and you require seed-oil, {END}", ["seed", "seed-oil"], [2]),
        (f"there are no versions of seed and you require seed[jam,oil]>=1, {END}", ["seed[oil, jam]>=1"], [1]),
        (f"your workspace depends on seed, {END}", ["seed"], []),
    ],
)
def test_uv(said: str, texts: list[str], expected: list[int]) -> None:
    assert lines(UV.format(said), asked(*texts)) == expected


def test_uv_draws_a_tree_where_it_thinks_that_a_person_looks() -> None:
    said = (
        "  \u00d7 No solution found when resolving dependencies:\n"
        "  \u2570\u2500\u25b6 Because only seed<=2.0 is available and you require seed>9,\n      we can conclude.\n"
    )
    assert lines(said, asked("pear", "seed>9")) == [2]


def test_uv_names_the_group_or_the_extra() -> None:
    runtime, test = asked("pear", "seed>9"), asked("lime", "sugar", "seed>9", group="Test_All")
    said = UV.format("only seed<=2.0 is available and {} depends on seed>9, we can conclude.")
    for owner, found in (("bowl:test-all", [3]), ("bowl[test-all]", [3]), ("your project", [2]), ("bowl", [2])):
        assert lines(said.format(owner), [*runtime, *test]) == found, owner
    assert lines(said.format("other-bowl"), [*runtime, *test]) == []


def test_a_constraint_is_not_taken_for_a_requirement_of_its_name() -> None:
    limits = asked("# nothing", "seed>=9", file="limits.txt")
    said = UV.format("only seed<=2.0 is available and you require seed>=9, we can conclude.")
    assert [one.file for one in blamed(said, asked("seed"), limits)] == ["limits.txt"]
    assert [one.file for one in blamed(said, asked("seed>=9"), limits)] == ["a.in", "limits.txt"]


PIP = "ERROR: Could not find a version that satisfies the requirement {} (from versions: {})\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (PIP.format("seed>9", "1.0, 2.0"), [2]),
        (PIP.format("seed<1", "none"), [3]),
        (PIP.format("seed", "none"), []),
        (PIP.format("ghost (from haunted)", "none"), []),
        (f"Collecting haunted (from pear->-r a.in (line 1))\n{PIP.format('ghost (from haunted)', 'none')}", [1]),
        (f"Collecting haunted (from ghost)\n{PIP.format('ghost (from haunted)', 'none')}", []),
        (PIP.format("ghost (from haunted->pear->-r a.in (line 1))", "none"), [1]),
        ("Collecting ghost (from pear->-r a.in (line 1))\nno word of a build\n", []),
    ],
)
def test_pip(said: str, expected: list[int]) -> None:
    assert lines(said, asked("pear", "seed>9", "seed<1")) == expected


def test_pip_tells_a_conflict_more_than_once() -> None:
    conflict = (
        "The conflict is caused by:\n    The user requested seed>9\n    {} 1.0 depends on seed<1\n\nTo fix this\n"
    )
    said = f"ERROR: Cannot install\n{conflict.format('ghost')}\n{conflict.format('pear')}"
    assert lines(said, asked("pear", "seed", "seed>9")) == [3, 1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("~=2.0", ">=2.0,<3.dev0", True),
        ("==1.*", ">=1,<2.dev0", True),
        (">=1,<2", "<2, >=1", True),
        (">=1", ">=1.0", True),
        ("==2.1", "==2.1.0", True),
        (">=1", ">1", False),
        (">=1", ">=1.0.1", False),
        ("<2", "<=2", False),
        ("", ">=0", True),
        ("", ">=1", False),
        ("^2", "^2", True),
        ("^2", ">=2,<3", False),
    ],
)
def test_versions_are_compared_by_what_they_allow(one: str, other: str, same: bool) -> None:
    assert same_versions(one, other) is same
    assert same_versions(other, one) is same


def test_the_file_without_a_line_is_the_one_that_holds_or_includes_all() -> None:
    both = [*asked("a"), *asked("b", file="b.in")]
    assert only_file(asked("a", "b")) == "a.in"
    assert only_file(both, ["b.in"]) == "b.in"
    assert only_file(both, ["a.in", "b.in"]) == ""
    assert only_file([]) == ""


def test_a_kind_is_told_by_its_words_and_by_how_many_lines_it_is_about() -> None:
    none = "only seed<=2.0 is available"
    assert kind_of(none, 1).title == "no such version"
    assert kind_of(none, 2).title == "requirements exclude each other"
    assert kind_of("nothing that is known", 0).title == "requirements cannot be locked"
    assert kind_of("only lime==1.0a1 is available", 1).title == "only pre-releases fit"
    assert kind_of("(from versions: 1.0a1, 1.0rc2)", 1).title == "only pre-releases fit"
    assert kind_of("Could not find a version (from versions: 1.0a1, 1.0)", 1).title == "no such version"
