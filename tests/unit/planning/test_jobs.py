from __future__ import annotations

import json
import re
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.plans import PLATFORMS, matrix_of, planner

from ci_envs.errors import UsageError
from ci_envs.model.matrix import Entry, Matrix
from ci_envs.planning.expansion import expand, layers
from ci_envs.planning.jobs import Labels, foreign_labels, read_runs_on


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


@pytest.mark.parametrize("value", ["$(reboot)", "'; rm -rf ~; '", "${{ github.token }}", "--help", "a b", "ü", ""])
def test_no_value_reaches_a_shell_through_the_command_that_reproduces_a_leg(value: str) -> None:
    matrix = Matrix(axes={"variables.v": (value,)}, defaults=Entry(values={"pattern": "uv", "python": "3.12"}))
    (cell,) = expand(matrix, os="linux", arch="x86_64").cells
    words = shlex.split(planner(matrix)(cell).reproduce)
    assert words == ["ci-envs", "run", "my matrix.yml", "--only", cell.leg.id]
    assert re.fullmatch(r"[a-z0-9_.-]+", cell.leg.id)


# --- runners


def test_the_runner_is_the_matrixs_else_that_of_the_flag_else_our_own() -> None:
    matrix = matrix_of("""
axes: {pattern: [uv], python: ["3.11", "3.12"], os: [linux], arch: [x86_64], accelerator: [cpu, cuda12, rocm6]}
include: [{python: "3.11", accelerator: cpu, runs-on: [mine], timeout-minutes: 7}]
""")
    given_runners = {"linux-x86_64": "flag", "linux-x86_64-cuda12": ("self-hosted", "big")}
    make = planner(matrix, runs_on=given_runners, timeout_minutes=9, kept={"uv-py312-linux-x86_64": "why"})
    legs = {leg.id: leg for leg in map(make, expand(matrix, os="linux", arch="x86_64").cells)}
    assert legs["uv-py311-linux-x86_64"].runs_on == ("mine",)
    assert legs["uv-py311-linux-x86_64"].timeout_minutes == 7
    assert legs["uv-py312-linux-x86_64"].runs_on == "flag"
    assert legs["uv-py312-linux-x86_64"].timeout_minutes == 9
    assert legs["uv-py312-linux-x86_64"].kept == "why"
    assert legs["uv-py312-linux-x86_64-cuda12"].runs_on == ("self-hosted", "big")
    # A runner for the platform need not have the accelerator.
    assert legs["uv-py312-linux-x86_64-rocm6"].runs_on == ("self-hosted", "gpu")


def test_runners_are_read_from_json() -> None:
    assert read_runs_on("", PLATFORMS) == {}
    text = '{"linux-x86_64": "a b", "macos-aarch64-mps": ["self-hosted", "${{ x }}"]}'
    assert read_runs_on(text, PLATFORMS) == {"linux-x86_64": "a b", "macos-aarch64-mps": ("self-hosted", "${{ x }}")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linux-x86_64=mine", "--runs-on is not JSON"),
        ("[" * 10_000, "--runs-on is not JSON"),
        ('["mine"]', "--runs-on is no object"),
        ('{"linux-x86-64": "mine"}', "there is no platform 'linux-x86-64'; did you mean 'linux-x86_64'?"),
        ('{"linux-x86_64-cpu": "mine"}', "there is no platform"),
        ('{"linux-x86_64-": "mine"}', "there is no platform"),
        ('{"a\\n::set-output name=x::y": "mine"}', "there is no platform 'a ::set-output name=x::y'"),
        ('{"linux-x86_64": "a", "linux-x86_64": "b"}', "a second time"),
        ('{"linux-x86_64": []}', "has 0 labels"),
        (json.dumps({"linux-x86_64": ["a"] * 21}), "has 21 labels"),
        ('{"linux-x86_64": ""}', "is no label of a runner"),
        ('{"linux-x86_64": 3}', "is no label of a runner"),
        ('{"linux-x86_64": {"group": "x"}}', "is no label of a runner"),
        ('{"linux-x86_64": null}', "is no label of a runner"),
        ('{"linux-x86_64": ["a", ["b"]]}', "is no label of a runner"),
        ('{"linux-x86_64": "a\\nb"}', "is no label of a runner"),
        ('{"linux-x86_64": "a\\u001b[2Jb"}', "is no label of a runner"),
        (json.dumps({"linux-x86_64": "a" * 201}), "is no label of a runner"),
        (json.dumps({"linux-x86_64": "a" * 30_000}), "20000 are the most"),
    ],
)
def test_what_cannot_be_runners_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_runs_on(text, PLATFORMS)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["linux-x86_64", "macos-aarch64"]), inner)
        ),
        max_leaves=6,
    )
)
def test_any_json_is_runners_or_one_of_our_errors(value: Any) -> None:
    try:
        found = read_runs_on(json.dumps(value), PLATFORMS)
    except UsageError as error:
        assert error.message  # noqa: PT017 - any other exception fails the test by itself
    else:
        assert isinstance(value, dict)
        assert set(found) == set(value)


def test_labels_that_are_not_githubs_are_counted() -> None:
    runners: list[Labels] = [
        "ubuntu-24.04",
        "ubuntu-25.04",
        ("self-hosted", "gpu"),
        ("mine", "ubuntu-25.04"),
        "macos-15",
    ]
    assert foreign_labels(runners, PLATFORMS.hosted_labels) == {"ubuntu-25.04": 2, "mine": 1}
