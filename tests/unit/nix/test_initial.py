"""What a project's requirements come to in nixpkgs: nothing is left out, whatever is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.projects import write_project

from ci_envs.errors import UsageError
from ci_envs.model.config import Config, TestConfig
from ci_envs.nix.initial import plan_shell, start
from ci_envs.nix.nixpkgs import release
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.nix.templates import Listed, ShellPlan

PYPROJECT = """
[project]
name = "Tide_Table"
version = "1"
requires-python = ">=3.11"
dependencies = ["requests>=2", "python_dateutil"]
[project.optional-dependencies]
plots = ["matplotlib"]
[dependency-groups]
test = ["pytest", "requests[socks]"]
"""


def planned(folder: Path, files: dict[str, str], config: Config | None = None, **more: Any) -> ShellPlan:
    write_project(folder, files)
    return plan_shell(Project(folder), config or Config(), **more)


def required(folder: Path, *lines: str) -> tuple[Listed, ...]:
    return planned(folder, {"requirements.in": "\n".join(lines) + "\n"}).packages


def test_the_runtime_and_the_tests_needs_are_there_each_once_with_its_place(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"pyproject.toml": PYPROJECT})

    assert [one.attribute for one in plan.packages] == ["requests", "python-dateutil", "pytest"]
    assert plan.packages[0].said == "requests>=2 (pyproject.toml:6), requests[socks] (pyproject.toml:10)"
    assert "ps.requests.optional-dependencies.EXTRA" in plan.packages[0].check
    assert plan.read == ("pyproject.toml",)
    assert plan.name == "tide-table"


def test_the_configurations_groups_count(tmp_path: Path) -> None:
    config = Config(test=TestConfig(groups=("plots",)))
    plan = planned(tmp_path, {"pyproject.toml": PYPROJECT}, config)

    assert [one.attribute for one in plan.packages] == ["requests", "python-dateutil", "matplotlib"]


def test_names_that_differ_are_known(tmp_path: Path) -> None:
    found = required(tmp_path, "opencv-python-headless>=4", "PyGObject", "codespell", "3to2")

    assert [(one.of, one.attribute) for one in found] == [
        ("ps", "opencv4"),
        ("ps", "pygobject3"),
        ("pkgs", "codespell"),
        ("ps", "3to2"),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dataclasses", "Python has it"),
        ("pywin32; sys_platform == 'win32'", "none of the systems"),
        ("pyobjc; sys_platform == 'darwin'", "some of the systems"),
        ("tomli; python_version < '3.11'", "none of the systems"),
        ("apple @ https://index.example/apple-1.0-py3-none-any.whl", "an address"),
        ("./vendored", "no name"),
    ],
)
def test_what_nixpkgs_may_not_have_is_said_and_not_left_out(tmp_path: Path, line: str, why: str) -> None:
    write_project(tmp_path, {"vendored/setup.py": ""})
    (one,) = required(tmp_path, line)

    assert one.attribute == ""
    assert why in one.check
    assert one.said.split(" (")[0] in line


def test_a_setup_that_only_a_build_can_read_is_said(tmp_path: Path) -> None:
    (one,) = planned(tmp_path, {"setup.py": "from setuptools import setup\nsetup(install_requires=get())\n"}).packages

    assert one.said == "the dependencies of setup.py"


@pytest.mark.parametrize("name", ['"a b"', '"${builtins.currentTime}"', "'\\'", '"x\\"; evil"'])
def test_a_name_in_poetrys_table_that_is_none_becomes_a_comment(tmp_path: Path, name: str) -> None:
    (one,) = planned(tmp_path, {"pyproject.toml": f'[tool.poetry.dependencies]\n{name} = "^1"\n'}).packages

    assert one.attribute == ""


@pytest.mark.parametrize(
    ("files", "series"),
    [
        ({}, release().python),
        ({".python-version": "3.11.9\n"}, "3.11"),
        ({"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.10"\n'}, release().python),
        ({"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.10,<3.13"\n'}, "3.12"),
        ({"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.12.4,<3.13"\n'}, "3.12"),
        ({"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.90"\n'}, "3.90"),
    ],
)
def test_the_python_is_the_projects_else_the_one_of_nixpkgs(tmp_path: Path, files: dict[str, str], series: str) -> None:
    assert planned(tmp_path, files).python == series


def test_the_python_that_is_asked_for_wins(tmp_path: Path) -> None:
    assert planned(tmp_path, {".python-version": "3.11\n"}, python="3.13").python == "3.13"


def test_a_pypy_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pypy3\.10"):
        planned(tmp_path, {".python-version": "pypy3.10\n"})


@pytest.mark.parametrize(
    ("files", "sources"),
    [
        ({"pyproject.toml": PYPROJECT}, ""),
        ({"setup.py": "", "basket/__init__.py": ""}, "."),
        ({"setup.py": "", "src/basket/__init__.py": ""}, "src"),
    ],
)
def test_a_package_is_imported_from_where_its_sources_are(tmp_path: Path, files: dict[str, str], sources: str) -> None:
    assert planned(tmp_path, files).sources == sources


def test_uv_gets_the_groups_and_no_packages(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"pyproject.toml": PYPROJECT}, installer="uv")

    assert (plan.groups, plan.extras, plan.packages) == (("test",), (), ())


def test_uv_without_a_pyproject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pyproject\.toml"):
        planned(tmp_path, {"requirements.in": "requests\n"}, installer="uv")


def started(folder: Path, **more: Any) -> Any:
    return start(Project(folder), Config(), **{"form": "flake", "installer": "nixpkgs", **more})


def test_a_file_that_is_there_is_never_changed_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    write_project(tmp_path, {"requirements.in": "requests\n", ".envrc": "use mine\n"})

    with pytest.raises(UsageError, match="is there already") as raised:
        started(tmp_path, direnv=True)
    assert raised.value.file == ".envrc"
    assert (tmp_path / ".envrc").read_text() == "use mine\n"
    assert not (tmp_path / "flake.nix").exists()


def test_a_link_that_leads_nowhere_is_there_too(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="is there already"):
        started(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("form", "text"), [("flake", "use flake\n"), ("shell", "use nix\n")])
def test_direnv_is_told_which_form_it_is(tmp_path: Path, form: str, text: str) -> None:
    done = started(tmp_path, form=form, direnv=True)

    assert done.written == (f"{form}.nix", ".envrc")
    assert (tmp_path / ".envrc").read_text().endswith(f"\n{text}")
    assert done.next_steps[-1] == "direnv allow"


def test_in_a_repository_git_is_told_first_since_nix_sees_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    project = tmp_path / "part"
    project.mkdir()

    assert started(project, python="3.12").next_steps == (
        "git add flake.nix",
        "ci-envs lock --pattern nix --python 3.12",
        "ci-envs run --pattern nix --python 3.12",
    )


def test_with_uv_a_lock_that_is_missing_is_the_first_thing_to_make(tmp_path: Path) -> None:
    write_project(tmp_path, {"pyproject.toml": PYPROJECT})

    steps = started(tmp_path, form="shell", installer="uv").next_steps
    assert steps[0] == "uv lock"
