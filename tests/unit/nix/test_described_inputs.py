"""Inputs that the caller's variables name: where a machine keeps its nixpkgs is in no file of a project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.projects import write_project

from ci_envs.__main__ import main
from ci_envs.asking import Asked, orders_for
from ci_envs.errors import UsageError
from ci_envs.nix.described import describe, inputs_said, nix_text
from ci_envs.project import Project
from ci_envs.settings import NIX_INPUTS, environment_layers

if TYPE_CHECKING:
    from pathlib import Path


def test_each_word_is_an_input() -> None:
    said = inputs_said("nixpkgs=/srv/nixpkgs  'more=/a folder' flake-utils=github:numtide/flake-utils?ref=v1=x")

    assert said == {
        "nixpkgs": "/srv/nixpkgs",
        "more": "/a folder",
        "flake-utils": "github:numtide/flake-utils?ref=v1=x",
    }


@pytest.mark.parametrize("text", ["nixpkgs", "nixpkgs=", "=/srv", "--option=x", "a b=/srv", "'nixpkgs=/srv"])
def test_what_is_no_input_is_refused_with_the_variables_name(text: str) -> None:
    with pytest.raises(UsageError, match=NIX_INPUTS):
        inputs_said(text)


@pytest.mark.parametrize("environ", [{}, {NIX_INPUTS: ""}, {NIX_INPUTS: "  "}])
def test_a_variable_that_says_nothing_is_no_layer(environ: dict[str, str]) -> None:
    assert environment_layers(environ) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A flake that is configured with one folder, and another folder beside it."""
    for name in ("configured", "said"):
        (tmp_path / name).mkdir()
    return write_project(
        tmp_path / "project",
        {
            "flake.nix": "{ outputs = _: { }; }\n",
            "ci-envs.yml": "nix: {inputs: {nixpkgs: ../configured}, pure: false}\n",
            "matrices/default.yml": 'axes: {pattern: [nix], python: ["3.12"]}\n',
        },
    )


def test_the_variable_has_the_last_word_over_the_projects_file_and_changes_nothing_else(project: Path) -> None:
    folder = project.parent / "said"
    (order,) = orders_for(Asked(root=project, environ={NIX_INPUTS: f"nixpkgs={folder}"})).orders

    assert order.config.nix.inputs == {"nixpkgs": str(folder)}
    assert order.config.nix.pure is False
    described = describe(order.leg, Project(project), order.config.nix)
    assert described.words[-3:] == ("--override-input", "nixpkgs", f"path:{folder}")


def test_without_it_the_projects_file_counts(project: Path) -> None:
    (order,) = orders_for(Asked(root=project, environ={})).orders

    assert order.config.nix.inputs == {"nixpkgs": "../configured"}


def test_the_plan_says_where_the_value_comes_from(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(NIX_INPUTS, "nixpkgs=/srv/nixpkgs")

    assert main(["plan", "--project", str(project), "--explain", "--json"]) == 0
    (legs,) = json.loads(capfd.readouterr().out)
    (row,) = [row for row in legs["settings"] if row["key"].startswith("nix.inputs")]
    assert row["source"] == NIX_INPUTS


@given(st.text())
def test_a_text_as_an_expression_ends_where_its_quotes_do(text: str) -> None:
    inner = nix_text(text)[1:-1]
    unescaped = inner.replace("\\\\", "")

    assert '"' not in unescaped.replace('\\"', "")
    assert "${" not in unescaped.replace("\\${", "")
    assert "\r" not in inner
