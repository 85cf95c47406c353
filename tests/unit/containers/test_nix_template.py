from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.nix_template import FINAL, TELLING, NixPlan, fits, render_nix, values_beside
from ci_envs.containers.references import parse_reference
from ci_envs.errors import UsageError

BASE = parse_reference("docker.io/nixos/nix:2.34.7@sha256:" + "a" * 64)


def a_plan(**more: Any) -> NixPlan:
    usual: dict[str, Any] = {
        "base": BASE,
        "locks": ("flake.lock", "docker.lock"),
        "tree": "/ci-envs/tree/fruit",
        "words": ("path:/ci-envs/tree/fruit", "--no-update-lock-file"),
    }
    return NixPlan(**{**usual, **more})


PLANS = {
    "flake": a_plan(),
    "anew": a_plan(cached=False),
    "below": a_plan(below="examples/fruit"),
    "inputs": a_plan(inputs=(("ci-envs-input-0", "/ci-envs/inputs/0/nixpkgs"),)),
    "classic": a_plan(kind="impure", as_nix_shell=True, variables={"PATH": "/nix/store/a/bin", "A": "b"}),
    "whole": a_plan(
        variables={"A": "b", "LINES": "1\n2"}, labels={"org.example.a": "b"}, health=("python", "check.py")
    ),
}


def stage(plan: NixPlan, name: str) -> str:
    parts = re.split(r"^(?=FROM )", render_nix(plan), flags=re.MULTILINE)
    return next(part for part in parts if re.match(rf"FROM \S+ AS {name}\n", part))


@pytest.mark.parametrize("name", PLANS)
def test_the_reader_of_dockerfiles_finds_known_instructions_only(name: str) -> None:
    found = {one.name for one in read_dockerfile(render_nix(PLANS[name]), file="Dockerfile").instructions}
    assert found <= {
        "FROM",
        "RUN",
        "ENV",
        "ARG",
        "COPY",
        "WORKDIR",
        "USER",
        "STOPSIGNAL",
        "CMD",
        "LABEL",
        "HEALTHCHECK",
    }


@pytest.mark.parametrize("name", PLANS)
def test_no_line_ends_in_a_blank_or_swallows_another_instruction(name: str) -> None:
    text = render_nix(PLANS[name])
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert not re.search(r"\\\n\s*(?:\n|#|FROM |RUN |COPY )", text)


def test_the_last_stage_is_the_image_and_what_tells_is_no_part_of_it() -> None:
    froms = [line.split() for line in render_nix(a_plan()).splitlines() if line.startswith("FROM ")]
    assert [words[-1] for words in froms] == ["base", "shell", TELLING, FINAL]
    assert "nix print-dev-env" not in stage(a_plan(), FINAL)
    assert "NIX_CONFIG" not in stage(a_plan(), FINAL)
    assert "ENV" not in stage(a_plan(), "shell"), "what is enabled is enabled for the calls alone"


def test_where_things_lie_is_mounted_and_nothing_of_it_is_copied_into_the_shells_stage() -> None:
    text = stage(PLANS["inputs"], "shell")
    assert "--mount=type=bind,target=/ci-envs/tree/fruit \\\n" in text
    assert "--mount=type=bind,from=ci-envs-input-0,target=/ci-envs/inputs/0/nixpkgs \\\n" in text
    assert "COPY" not in text
    kept = "--mount=type=bind,from=ours,target=/ci-envs/binary-cache \\\n"
    assert kept in stage(a_plan(kept="ours"), "shell")
    assert kept not in render_nix(a_plan())
    below = PLANS["below"]
    assert stage(below, "shell").count("--mount=type=bind,source=examples/fruit,target=/app,rw") == 2
    assert 'COPY --chown=10001:10001 ["examples/fruit", "/app"]' in stage(below, FINAL)


def test_what_was_built_before_is_used_unless_all_is_to_be_built_anew() -> None:
    assert "id=ci-envs-nix-paths" in stage(a_plan(), "shell")
    anew = stage(a_plan(cached=False), "shell")
    assert "id=ci-envs-nix-paths" not in anew
    assert "nix copy" not in anew


def test_in_nix_shell_is_said_while_nix_evaluates_a_file_and_not_a_flake() -> None:
    assert "export IN_NIX_SHELL=impure; \\\n" in stage(PLANS["classic"], "shell")
    assert "IN_NIX_SHELL" not in stage(PLANS["flake"], "shell")


def test_an_impure_shell_has_the_images_programs_behind_its_own() -> None:
    assert 'PATH="/nix/store/a/bin":$PATH' in stage(PLANS["classic"], FINAL)
    assert 'PATH="/nix/store/a/bin"' in stage(a_plan(variables={"PATH": "/nix/store/a/bin"}), FINAL)
    assert ":$PATH" not in stage(a_plan(variables={"PATH": "/nix/store/a/bin"}), FINAL)


def test_a_value_that_no_line_can_hold_is_an_argument_of_the_build() -> None:
    variables = {"A": "plain $x", "B": "two\nlines", "C": "two\nlines", "D": "x" * 20_000, "E": "\x1b[0m"}
    beside = values_beside(variables)
    assert sorted(beside.values()) == sorted({"two\nlines", "x" * 20_000, "\x1b[0m"})
    text = stage(a_plan(variables=variables), FINAL)
    names = {value: name for name, value in beside.items()}
    assert f"    B=${names['two' + chr(10) + 'lines']} \\\n" in text
    assert f"ARG {names['x' * 20_000]}\n" in text
    assert 'A="plain \\$x"' in text
    assert text.index("ARG ") < text.index("ENV ")


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text()))
def test_whatever_a_variable_is_it_adds_no_instruction(variables: dict[str, str]) -> None:
    fitting = {name: value for name, value in variables.items() if fits(name, value)}
    instructions = read_dockerfile(render_nix(a_plan(variables=fitting)), file="Dockerfile").instructions
    arguments = len(values_beside(fitting))
    assert len(instructions) == len(read_dockerfile(render_nix(a_plan()), file="Dockerfile").instructions) + arguments


@pytest.mark.parametrize(
    ("name", "value", "fit"),
    [
        ("A", "b", True),
        ("A", "b\n", True),
        ("A", "\0", False),
        ("A", "x" * 100_000, False),
        ("BASH_FUNC_x%%", "", False),
    ],
)
def test_what_an_image_cannot_be_given(name: str, value: str, fit: bool) -> None:
    assert fits(name, value) is fit


@pytest.mark.parametrize("plan", [{"below": "my project"}, {"tree": "/ci-envs/tree/a,b"}, {"below": "a\nRUN b"}])
def test_a_folder_that_cannot_be_mounted_is_refused(plan: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="cannot be mounted in a build"):
        render_nix(a_plan(**plan))


@pytest.mark.parametrize("word", ["a\nRUN b", "path:x <<EOF", "a\0"])
def test_a_word_that_is_more_than_a_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a Dockerfile"):
        render_nix(a_plan(words=(word,)))


def test_a_word_is_quoted_for_the_shell_that_reads_it() -> None:
    assert "'path:/a b#$(id)'" in stage(a_plan(words=("path:/a b#$(id)",)), "shell")
