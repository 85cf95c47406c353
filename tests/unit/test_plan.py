from __future__ import annotations

import itertools
import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_envs.documents import load_yaml
from ci_envs.errors import CiEnvsError, NothingToDo, UsageError
from ci_envs.matrix_reader import read_matrix
from ci_envs.model.matrix import AXES, SETTINGS, Entry, Matrix, Value
from ci_envs.model.plan import Cell, Expansion, Plan, PlannedLeg, Platforms
from ci_envs.plan import MAX_OUTPUT_BYTES, Planner, expand, github_matrices, json_chunks, layers, select, shards

CASES = sorted(path.parent for path in Path(__file__).parents[1].glob("cases/plan/*/matrix.yml"))
PATTERNS = ("venv", "uv", "conda", "docker")
PLATFORMS = Platforms(
    runners={"linux-x86_64": "ubuntu-24.04", "macos-aarch64": "macos-15"},
    accelerated_runners={"linux-x86_64": ("self-hosted", "gpu")},
    timeout_minutes=60,
)


def matrix_of(text: str) -> Matrix:
    return read_matrix(load_yaml(text, file="m.yml"), PATTERNS)


def expanded(text: str) -> Expansion:
    return expand(matrix_of(text), os="linux", arch="x86_64")


def ids(cells: list[Cell]) -> list[str]:
    return [cell.leg.id for cell in cells]


def planner(matrix: Matrix, **changes: Any) -> Planner:
    known: dict[str, Any] = {
        "version": "1.0",
        "command": ["ci-envs", "run", "my matrix.yml"],
        "lock_digest": lambda project: f"lock of {project}",
    }
    return Planner(matrix, PLATFORMS, **known | changes)


# --- include and exclude


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_expands_to_the_legs_beside_it(case: Path) -> None:
    expected = json.loads((case / "legs.json").read_text(encoding="utf-8"))
    legs = expanded((case / "matrix.yml").read_text(encoding="utf-8")).legs
    found = [json.loads(msgspec.json.encode(leg)) for leg in legs]
    assert [{key: leg[key] for key in row} for leg, row in zip(found, expected, strict=True)] == expected


def test_there_are_cases() -> None:
    assert len(CASES) >= 12


LETTERS = st.sampled_from("pqr")
VALUES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), LETTERS, max_size=3)


def reference(axes: dict[str, list[str]], exclude: list[dict[str, str]], include: list[dict[str, str]]) -> list[Any]:
    """GitHub's description, sentence by sentence, without a thought for speed."""
    products = itertools.product(*axes.values()) if axes else ()
    originals = [dict(zip(axes, values, strict=True)) for values in products]
    originals = [one for one in originals if not any(rule.items() <= one.items() for rule in exclude)]
    combinations = [dict(one) for one in originals]
    alone = []
    for entry in include:
        added = False
        for original, combination in zip(originals, combinations, strict=True):
            if all(original[key] == value for key, value in entry.items() if key in original):
                combination.update(entry)
                added = True
        if not added:
            alone.append(dict(entry))
    return combinations + alone


@given(
    axes=st.dictionaries(st.sampled_from("abc"), st.lists(LETTERS, min_size=1, unique=True), max_size=3),
    exclude=st.lists(VALUES, max_size=3),
    include=st.lists(VALUES, max_size=5),
)
@settings(max_examples=400)
def test_expansion_agrees_with_a_plain_reading_of_the_rules(
    axes: dict[str, list[str]], exclude: list[dict[str, str]], include: list[dict[str, str]]
) -> None:
    rules = [rule for rule in exclude if rule and rule.keys() <= axes.keys()]
    wanted = reference(axes, rules, include)
    matrix = Matrix(
        file="m.yml",
        axes={f"variables.{name}": tuple(values) for name, values in axes.items()},
        exclude=tuple(Entry(values={f"variables.{k}": v for k, v in rule.items()}) for rule in rules),
        include=tuple(Entry(values={f"variables.{k}": v for k, v in entry.items()}) for entry in include),
        defaults=Entry(values={"pattern": "uv", "python": "3.12"}),
    )
    twins = max(Counter(tuple(sorted(one.items())) for one in wanted).values(), default=0) > 1
    if twins or not (axes or include):
        with pytest.raises(UsageError):
            expand(matrix, os="linux", arch="x86_64")
        return
    expansion = expand(matrix, os="linux", arch="x86_64")
    assert [leg.variables for leg in expansion.legs] == wanted
    assert len(set(ids(expansion.cells))) == len(wanted)
    assert not {row.id for row in expansion.left_out} & set(ids(expansion.cells))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["uv", "venv", "3.12", "3.1", "linux", "."])
)
SECTIONS = ["name", "axes", "variables", "include", "exclude", "defaults"]
WORDS = st.sampled_from([*SECTIONS, *AXES, *SETTINGS, "reason", "runs-on", "timeout-minutes", "timeout", "a"])
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=15
)


@given(DATA | st.fixed_dictionaries({"axes": DATA}) | st.fixed_dictionaries({"include": st.lists(DATA, max_size=3)}))
def test_any_document_makes_legs_or_one_of_our_errors(data: Any) -> None:
    try:
        expansion = expanded(json.dumps(data))
    except CiEnvsError as error:
        assert error.message  # noqa: PT017 - any other exception fails the test by itself
    else:
        assert len(set(ids(expansion.cells))) == len(expansion.cells)


def test_what_is_left_out_is_named_with_its_reason() -> None:
    expansion = expanded("""
axes: {pattern: [venv, uv], python: ["3.11", "3.12"]}
exclude:
  - {pattern: venv, reason: described for uv}
  - {python: "3.11"}
""")
    assert ids(expansion.cells) == ["uv-py312-linux-x86_64"]
    assert [(row.id, row.reason) for row in expansion.left_out] == [
        ("venv-py311-linux-x86_64", "described for uv"),
        ("venv-py312-linux-x86_64", "described for uv"),
        ("uv-py311-linux-x86_64", "excluded at m.yml:5"),
    ]


def test_a_combination_that_says_too_little_for_an_id_is_left_out_by_its_values() -> None:
    expansion = expanded("""
axes: {os: [linux, macos]}
exclude: [{os: macos}]
include: [{pattern: uv, python: "3.12"}]
""")
    assert [row.id for row in expansion.left_out] == ["os: macos"]


# --- what is refused


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: nothing", 0, "has no axes and no include"),
        ("axes: {python: ['3.12']}", 0, "the matrix says no pattern"),
        ("axes: {pattern: [uv]}", 0, "the matrix says no python"),
        (
            "axes: {pattern: [uv], python: ['3.12']}\ninclude:\n  - {pattern: venv}\n",
            3,
            "this include entry makes a leg of its own, and says no python",
        ),
        (
            "axes: {pattern: [uv], python: ['3.12'], project: [a-b, a_b]}",
            0,
            "two legs have the id 'uv-py312-linux-x86_64-a_b': project 'a-b' and project 'a_b'",
        ),
        (
            "include:\n  - {pattern: uv, python: '3.12'}\n  - {pattern: uv, python: '3.12'}\n",
            3,
            "one of include, line 2 and one of include, line 3",
        ),
    ],
)
def test_a_matrix_that_makes_no_sense_is_refused(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        expanded(text)
    assert said in caught.value.message
    assert (caught.value.file, caught.value.line) == ("m.yml", line)


def matrix_with(*lengths: int) -> Matrix:
    axes: dict[str, tuple[Value, ...]] = {
        f"variables.v{index}": tuple(map(str, range(length))) for index, length in enumerate(lengths)
    }
    return Matrix(file="m.yml", axes=axes, defaults=Entry(values={"pattern": "uv", "python": "3.12"}))


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((10,) * 7, "has 10,000,000 combinations; 200,000 are the most"),
        ((200_001,), "has 200,001 combinations"),
        # A product of thousands of digits cannot even be printed.
        ((1000,) * 2000, "has more than "),
    ],
)
def test_a_matrix_that_is_too_large_is_refused_before_it_is_expanded(lengths: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        expand(matrix_with(*lengths), os="linux", arch="x86_64")


# --- which legs


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        ([], [], ["venv-py311", "venv-py312", "uv-py311", "uv-py312"]),
        (["uv-*"], [], ["uv-py311", "uv-py312"]),
        (["*-py312-*"], [], ["venv-py312", "uv-py312"]),
        (["uv-*", "*-py312-*"], [], ["venv-py312", "uv-py311", "uv-py312"]),
        (["uv-py311-linux-x86_64"], [], ["uv-py311"]),
        ([], ["venv-*", "*py311*"], ["uv-py312"]),
        (["uv-*"], ["*py311*"], ["uv-py312"]),
        (["uv-py31[12]-*"], [], ["uv-py311", "uv-py312"]),
    ],
)
def test_only_and_skip_are_globs_over_ids(only: list[str], skip: list[str], left: list[str]) -> None:
    expansion = expanded('axes: {pattern: [venv, uv], python: ["3.11", "3.12"]}')
    assert ids(select(expansion, only, skip)) == [f"{name}-linux-x86_64" for name in left]


def test_globs_do_not_overlook_case() -> None:
    with pytest.raises(NothingToDo):
        select(expanded('axes: {pattern: [uv], python: ["3.12"]}'), ["UV-*"])


def test_a_leg_asked_for_by_name_must_be_there() -> None:
    expansion = expanded("""
axes: {pattern: [venv, uv], python: ["3.12"]}
exclude: [{pattern: venv, reason: too old}]
""")
    with pytest.raises(UsageError, match="did you mean 'uv-py312-linux-x86_64'"):
        select(expansion, ["uv-py321-linux-x86_64"])
    with pytest.raises(UsageError, match="the matrix leaves out 'venv-py312-linux-x86_64': too old"):
        select(expansion, ["venv-py312-linux-x86_64", "uv-*"])


def test_nothing_left_is_said_with_what_there_was() -> None:
    expansion = expanded('axes: {pattern: [uv], python: ["3.12"]}')
    with pytest.raises(NothingToDo) as caught:
        select(expansion, ["conda-*"], ["x*"])
    assert caught.value.exit_code == 3
    assert caught.value.hint == (
        "--only conda-* --skip x* leaves none of 1 legs; their ids look like uv-py312-linux-x86_64"
    )


def test_a_matrix_that_excludes_everything_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDo) as caught:
        select(expanded("axes: {pattern: [uv], python: ['3.12']}\nexclude: [{pattern: uv}]"))
    assert caught.value.hint == "the matrix excludes every combination"


def test_shards_hold_every_leg_once_and_at_most_their_size() -> None:
    names = [f"leg-{number}" for number in range(600)]
    cut = shards(names)
    assert [len(shard) for shard in cut] == [256, 256, 88]
    assert [name for shard in cut for name in shard] == names
    assert shards([]) == []


# --- what a job needs


def test_a_planned_leg_carries_what_its_job_needs() -> None:
    matrix = matrix_of("""
axes: {pattern: [uv], python: ["3.12"], os: [linux, macos], arch: [x86_64], accelerator: [cpu, cuda12]}
exclude: [{os: macos, accelerator: cuda12}]
include:
  - {os: macos, arch: x86_64, runs-on: [mine, big], timeout-minutes: 5, reason: slow, test: {timeout: 1h}}
  - {os: macos, arch: x86_64, reason: and more, test: {command: make test}}
defaults: {test: {timeout: 10m, groups: [dev]}}
""")
    expansion = expand(matrix, os="linux", arch="x86_64")
    plain, gpu, mac = map(planner(matrix), expansion.cells)
    assert (plain.runs_on, plain.timeout_minutes, plain.reason) == ("ubuntu-24.04", 60, "")
    assert plain.settings == {"test": {"timeout": "10m", "groups": ["dev"]}}
    assert plain.reproduce == "ci-envs run 'my matrix.yml' --only uv-py312-linux-x86_64"
    assert gpu.runs_on == ("self-hosted", "gpu")
    assert (mac.runs_on, mac.timeout_minutes, mac.reason) == (("mine", "big"), 5, "slow; and more")
    assert mac.settings == {"test": {"timeout": "1h", "groups": ["dev"], "command": "make test"}}
    assert layers(matrix, expansion.cells[2]) == [
        ("m.yml (defaults)", {"test": {"timeout": "10m", "groups": ["dev"]}}),
        ("m.yml:5 (include)", {"test": {"timeout": "1h"}}),
        ("m.yml:6 (include)", {"test": {"command": "make test"}}),
    ]


def test_the_cache_key_changes_with_all_that_decides_what_is_restored() -> None:
    matrix = matrix_of('axes: {pattern: [uv], python: ["3.12"]}')
    (cell,) = expand(matrix, os="linux", arch="x86_64").cells
    moved = msgspec.structs.replace(matrix, defaults=Entry(runs_on="ubuntu-26.04"))
    keys = {
        "": planner(matrix)(cell).cache_key,
        "version": planner(matrix, version="1.1")(cell).cache_key,
        "lock": planner(matrix, lock_digest=lambda _project: "another")(cell).cache_key,
        "runner": planner(moved)(cell).cache_key,
        "suffix": planner(matrix, suffix="week-3")(cell).cache_key,
    }
    assert len(set(keys.values())) == len(keys)
    assert planner(matrix)(cell).cache_key == keys[""]
    assert all(re.fullmatch(r"ci-envs-uv-py312-linux-x86_64-[0-9a-f]{16}(-week-3)?", key) for key in keys.values())


def test_the_streamed_json_is_a_plan() -> None:
    matrix = matrix_with(600)
    expansion = expand(matrix, os="linux", arch="x86_64")
    make = planner(matrix)
    chunks = list(json_chunks(map(make, expansion.cells), ids(expansion.cells), expansion.left_out, 256))
    assert len(chunks) > 4, "it is written in pieces"
    plan = msgspec.json.decode(b"".join(chunks), type=Plan)
    assert plan.legs == tuple(map(make, expansion.cells))
    assert [len(shard) for shard in plan.shards] == [256, 256, 88]


def github_rows(legs: list[PlannedLeg], **sizes: int) -> list[Any]:
    return [json.loads(text)["include"] for text in github_matrices(legs, **sizes)]


def test_the_github_matrix_is_one_include_list_for_each_shard() -> None:
    matrix = matrix_with(300)
    legs = list(map(planner(matrix), expand(matrix, os="linux", arch="x86_64").cells))
    first, second = github_rows(legs)
    assert (len(first), len(second)) == (256, 44)
    assert first[0] == {
        "id": legs[0].id,
        "pattern": "uv",
        "python": "3.12",
        "project": ".",
        "runs-on": "ubuntu-24.04",
        "timeout-minutes": 60,
        "cache-key": legs[0].cache_key,
    }
    assert [row["id"] for row in first + second] == [leg.id for leg in legs]


def test_the_github_matrix_refuses_what_the_outputs_of_a_job_cannot_hold() -> None:
    matrix = matrix_with(3000)
    legs = list(map(planner(matrix), expand(matrix, os="linux", arch="x86_64").cells))
    fitting = github_matrices(legs[:1500])
    assert sum(len(text.encode("utf-16-le")) for text in fitting) <= MAX_OUTPUT_BYTES
    with pytest.raises(UsageError, match="the outputs of one job hold 1000000"):
        github_matrices(legs)


@pytest.mark.parametrize("value", ["$(reboot)", "'; rm -rf ~; '", "${{ github.token }}", "--help", "a b", "ü", ""])
def test_no_value_reaches_a_shell_through_the_command_that_reproduces_a_leg(value: str) -> None:
    matrix = Matrix(axes={"variables.v": (value,)}, defaults=Entry(values={"pattern": "uv", "python": "3.12"}))
    (cell,) = expand(matrix, os="linux", arch="x86_64").cells
    words = shlex.split(planner(matrix)(cell).reproduce)
    assert words == ["ci-envs", "run", "my matrix.yml", "--only", cell.leg.id]
    assert re.fullmatch(r"[a-z0-9_.-]+", cell.leg.id)


def test_ten_thousand_legs_with_thousands_of_rules_take_no_time() -> None:
    rules = tuple(Entry(values={"variables.v0": str(number)}) for number in range(5, 5000))
    matrix = msgspec.structs.replace(matrix_with(100, 100), exclude=rules, include=rules)
    expansion = expand(matrix, os="linux", arch="x86_64")
    # Five values are left; each of the others is excluded, and added back as a leg of its own.
    assert len(expansion.cells) == 500 + 4995


# --- what the matrix does not say


@pytest.mark.parametrize("machine", ["macos", "windows", "linux"])
def test_containers_are_linux_on_every_machine(machine: str) -> None:
    matrix = matrix_of('axes: {pattern: [uv, docker], python: ["3.12"]}')
    legs = expand(matrix, os=machine, arch="aarch64").legs
    assert [leg.id for leg in legs] == [f"uv-py312-{machine}-aarch64", "docker-py312-linux-aarch64"]


def test_a_matrix_that_names_a_system_is_obeyed() -> None:
    matrix = matrix_of('{axes: {pattern: [docker], python: ["3.12"]}, defaults: {os: windows}}')
    assert expand(matrix, os="linux", arch="x86_64").legs[0].os == "windows"
