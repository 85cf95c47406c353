"""A folder under tests/cases/detect is a case: a project, and in expected.json what is found in it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_envs.cli import VERBS, main_group
from ci_envs.detect import BUILT_PATTERNS, KNOWN_PATTERNS, detect, evidence_for, python_wanted, refuse_problems
from ci_envs.detectors import DETECTORS
from ci_envs.errors import CiEnvsError, NothingToDo, UsageError
from ci_envs.model.detect import Detection, Evidence
from ci_envs.project import Project

if TYPE_CHECKING:
    from ci_envs.model.detect import Detected

CASES = Path(__file__).parents[1] / "cases" / "detect"


def _write(root: Path, files: dict[str, str]) -> Project:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Project(root)


def _found(detection: Detection) -> dict[str, Detected]:
    return {found.pattern: found for found in detection.patterns}


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_a_case_is_detected_as_expected(folder: Path) -> None:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    detection = detect(Project(folder))
    evidence = {found.pattern: [str(e) for e in found.evidence] for found in detection.patterns}
    assert evidence == expected["patterns"]
    assert list(evidence) == list(expected["patterns"]), "the order of preference"
    assert (detection.chosen.pattern if detection.chosen else None) == expected["chosen"]
    assert sorted(problem.file for problem in detection.problems) == expected["problems"]
    assert all(found.why for found in detection.patterns)


@pytest.mark.parametrize(
    "folder",
    sorted(path for path in CASES.iterdir() if not path.name.startswith("sick")),
    ids=lambda path: path.name,
)
def test_a_case_asks_for_the_python_expected(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    wanted = python_wanted(Project(folder))
    assert (wanted[0] if wanted else None) == expected["python"]


def test_every_listed_pattern_has_a_case_that_chooses_it() -> None:
    chosen = {json.loads(path.read_text(encoding="utf-8"))["chosen"] for path in CASES.glob("*/expected.json")}
    alone = _one_evidence_each()
    assert chosen | set(alone) >= set(DETECTORS)


def _one_evidence_each() -> dict[str, str]:
    return {"nox": "noxfile.py", "devcontainer": ".devcontainer.json"}


@pytest.mark.parametrize(("pattern", "file"), _one_evidence_each().items())
def test_one_file_alone_is_enough(tmp_path: Path, pattern: str, file: str) -> None:
    detection = detect(_write(tmp_path, {file: ""}))
    assert [(found.pattern, found.chosen) for found in detection.patterns] == [(pattern, True)]


def test_exactly_one_is_chosen_and_it_comes_first_with_its_reason(tmp_path: Path) -> None:
    project = _write(tmp_path, {"uv.lock": "", "environment.yml": "", "Dockerfile": "", "requirements.txt": ""})
    detection = detect(project)
    assert [found.chosen for found in detection.patterns] == [True, False, False, False]
    assert detection.patterns[0].why == "uv.lock is there: a committed lock is the most exact description"
    assert _found(detection)["conda"].why == "not taken: uv has a committed lock"


def test_an_intent_that_wins_says_over_what(tmp_path: Path) -> None:
    project = _write(tmp_path, {"requirements.in": "", "environment.yml": ""})
    why = detect(project).patterns[0].why
    assert why == "environment.yml describes it; no lock is committed, and conda comes before venv"


def test_what_cannot_be_built_is_listed_but_not_taken_where_something_can(tmp_path: Path) -> None:
    project = _write(tmp_path, {"requirements.in": "", "poetry.lock": ""})
    detection = detect(project, buildable=BUILT_PATTERNS)
    assert detection.chosen is not None
    assert detection.chosen.pattern == "venv"
    assert _found(detection)["poetry"].why == "not taken: ci-envs cannot build it yet"


def test_what_cannot_be_built_is_taken_and_said_where_nothing_else_is_described(tmp_path: Path) -> None:
    detection = detect(_write(tmp_path, {"Pipfile": ""}), buildable=BUILT_PATTERNS)
    assert detection.chosen is not None
    assert detection.chosen.pattern == "pipenv"
    assert "cannot build it yet" in detection.chosen.why


def test_the_patterns_that_can_be_built_are_those_of_the_registry() -> None:
    from ci_envs.patterns.registry import ALL_PATTERNS

    assert {name for name, pattern in ALL_PATTERNS.items() if pattern.built} == BUILT_PATTERNS
    assert set(ALL_PATTERNS) == set(KNOWN_PATTERNS)


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("mamba", {"environment.yml": ""}),
        ("micromamba", {"conda-lock.yml": ""}),
        ("virtualenv", {"requirements.in": ""}),
        ("podman", {"Containerfile": ""}),
        ("uv", {"requirements.in": ""}),
    ],
)
def test_a_pattern_asked_for_by_name_goes_by_its_familys_evidence(
    tmp_path: Path, pattern: str, files: dict[str, str]
) -> None:
    project = _write(tmp_path, files)
    assert evidence_for(pattern, project) == tuple(Evidence(file=name) for name in files)
    assert pattern not in _found(detect(project))


def test_nothing_speaks_for_a_pattern_that_the_project_does_not_describe(tmp_path: Path) -> None:
    assert evidence_for("poetry", _write(tmp_path, {"requirements.txt": ""})) == ()


def test_a_pattern_that_nobody_knows_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no pattern 'condaa'; did you mean 'conda'\?"):
        evidence_for("condaa", Project(tmp_path))


def test_a_broken_pyproject_is_an_error_only_where_nothing_else_speaks_for_the_pattern(tmp_path: Path) -> None:
    project = _write(tmp_path, {"pyproject.toml": "[project", "uv.lock": ""})
    assert evidence_for("uv", project) == (Evidence(file="uv.lock"),)
    with pytest.raises(UsageError, match=r"pyproject\.toml: is not valid TOML"):
        evidence_for("venv", project)
    with pytest.raises(UsageError, match=r"pyproject\.toml: is not valid TOML"):
        refuse_problems(detect(project))


def test_a_link_that_leads_out_is_no_evidence_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("idna\n")
    project = _write(tmp_path / "project", {"environment.yml": ""})
    (project.root / "requirements.txt").symlink_to(tmp_path / "outside.txt")
    (project.root / "uv.lock").symlink_to("nowhere")
    (project.root / "binder").symlink_to(tmp_path)
    detection = detect(project)
    assert list(_found(detection)) == ["conda"]
    assert {problem.file for problem in detection.problems} == {"requirements.txt", "uv.lock"}


def test_a_link_to_itself_is_no_evidence_and_is_said(tmp_path: Path) -> None:
    project = _write(tmp_path, {"environment.yml": ""})
    (tmp_path / "requirements.txt").symlink_to("requirements.txt")
    detection = detect(project)
    assert list(_found(detection)) == ["conda"]
    assert [problem.file for problem in detection.problems] == ["requirements.txt"]


def test_a_name_that_json_cannot_hold_is_said_and_left_out(tmp_path: Path) -> None:
    try:
        (tmp_path / "requirements-\udcff.txt").write_text("")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    detection = detect(_write(tmp_path, {"requirements.txt": ""}))
    assert _found(detection)["venv"].evidence == (Evidence(file="requirements.txt"),)
    assert [problem.file for problem in detection.problems] == ["requirements-\\udcff.txt"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3.12", "3.12"),
        ("3.12.4\n3.11\n", "3.12"),
        ("# ours\n\n3.13t\n", "3.13t"),
        ("3.13.1t", "3.13t"),
        ("3.13+freethreaded", "3.13t"),
        ("3.14.0rc2", "3.14"),
        ("cpython-3.11.9-linux-x86_64-gnu", "3.11"),
        ("cpython@3.11", "3.11"),
        ("pypy3.10-7.3.16", "pypy3.10"),
        ("python-3.10.2", "3.10"),
        ("system", None),
        ("my-virtualenv", None),
        ("r-4.1-2020-01-01", None),
        ("3", None),
        ("", None),
    ],
)
def test_python_version_files_are_read_as_their_tools_do(tmp_path: Path, text: str, wanted: str | None) -> None:
    found = python_wanted(_write(tmp_path, {".python-version": text}))
    assert found == (None if wanted is None else (wanted, Evidence(file=".python-version")))


@pytest.mark.parametrize(
    ("specifiers", "wanted"),
    [
        (">=3.9,<4", "3.9"),
        (">=3.8, >=3.10", "3.10"),
        ("~=3.11.2", "3.11"),
        ("==3.12.*", "3.12"),
        (">3.7", "3.7"),
        ("<4", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_lower_bound_of_requires_python_is_wanted(tmp_path: Path, specifiers: str, wanted: str | None) -> None:
    found = python_wanted(_write(tmp_path, {"pyproject.toml": f'[project]\nrequires-python = "{specifiers}"\n'}))
    assert (found[0] if found else None) == wanted


@pytest.mark.parametrize(
    ("dependencies", "wanted"),
    [
        ("[python=3.12]", "3.12"),
        ("[numpy, conda-forge::python >=3.11, 'python <3.12']", "3.11"),
        ("[{sel(linux): python=3.12}]", "3.12"),
        ("[python=3.13, python-freethreading]", "3.13t"),
        ("[python]", None),
        ("[{pip: [python=3.12]}, numpy=3.12, 3.12, null]", None),
        ("python=3.12", None),
        ("[python=3.12", None),
        ("&a [*a]", None),
    ],
)
@pytest.mark.parametrize("file", ["environment.yml", "environment.yaml"])
def test_the_python_of_a_conda_environment_is_wanted(
    tmp_path: Path, file: str, dependencies: str, wanted: str | None
) -> None:
    found = python_wanted(_write(tmp_path, {file: f"dependencies: {dependencies}\n"}))
    assert found == (None if wanted is None else (wanted, Evidence(file=file, key="dependencies")))


def test_a_conda_environment_comes_after_the_package_and_its_lower_bound_after_all(tmp_path: Path) -> None:
    project = _write(tmp_path, {"environment.yml": "dependencies: [python=3.12]\n"})
    with_bound = _write(tmp_path / "b", {"environment.yml": "dependencies: [python>=3.10]\n"})
    assert python_wanted(with_bound) == ("3.10", Evidence(file="environment.yml", key="dependencies"))
    older = {"setup.cfg": "[options]\npython_requires = >=3.9\n"}
    assert _wanted(_write(tmp_path, older)) == "3.12"
    assert _wanted(_write(tmp_path / "b", older)) == "3.9"
    package = {"pyproject.toml": "[project]\nrequires-python = '>=3.11'\n"}
    assert _wanted(_write(tmp_path, package)) == "3.11"
    assert _wanted(project, pattern="uv") == "3.11"
    assert _wanted(project, pattern="micromamba") == "3.12"
    assert _wanted(with_bound, pattern="conda") == "3.9"
    assert _wanted(_write(tmp_path, {".python-version": "3.13\n"})) == "3.13"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("pkgs.python312", "3.12"),
        ("(pkgs.python312.withPackages (ps: [ ps.click ])) pkgs.python312Packages.pip", "3.12"),
        ("with pkgs; [ python313FreeThreading ]", "3.13t"),
        ("pkgs.python312Full # python311 was here\n/* python310 */", "3.12"),
        ("[ pkgs.python311 pkgs.python312 ]", None),
        ("pkgs.python3", None),
        ("pkgs.python27", None),
        ("pkgs.my-python312 pkgs.python312-tools", None),
    ],
)
@pytest.mark.parametrize("file", ["flake.nix", "shell.nix", "default.nix"])
def test_the_python_that_a_nix_shell_names_is_wanted(tmp_path: Path, file: str, said: str, wanted: str | None) -> None:
    project = _write(tmp_path, {file: f"pkgs.mkShell {{ packages = {said}; }}"})
    found = python_wanted(project, pattern="nix")
    assert (found[0] if found else None) == wanted
    assert found is None or (found[1].file, found[1].key[:7]) == (file, "python3")
    assert python_wanted(project, pattern="uv") is None


def test_the_python_of_a_nix_shell_comes_before_what_other_files_say(tmp_path: Path) -> None:
    files = {"flake.nix": "pkgs.python312", "shell.nix": "pkgs.python311", ".python-version": "3.13\n"}
    assert _wanted(_write(tmp_path, files), pattern="nix") == "3.12"
    assert _wanted(_write(tmp_path / "b", files | {"flake.nix": "pkgs.python3"}), pattern="nix") == "3.13"


def _wanted(project: Project, pattern: str = "") -> str | None:
    found = python_wanted(project, pattern=pattern)
    return found[0] if found else None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.lists(st.sampled_from(["[project]", "[tool.tox]", "[a", "x = 1", " y"])).map("\n".join))
def test_whatever_the_files_hold_nothing_but_a_detection_comes_out(tmp_path: Path, text: str) -> None:
    names = ("pyproject.toml", "tox.ini", "setup.cfg", "requirements.txt", ".python-version", "Pipfile", "hatch.toml")
    project = _write(tmp_path, dict.fromkeys((*names, "environment.yml"), text))
    assert "venv" in _found(detect(project))
    with contextlib.suppress(CiEnvsError):
        python_wanted(project)


def test_names_with_odd_characters_are_evidence_like_any_other(tmp_path: Path) -> None:
    names = ["requirements\u202e.in", "requirements é $(x) 'y'.txt", "requirements-|`;.txt"]
    project = _write(tmp_path / "-a 'project' é", dict.fromkeys(["-requirements.txt", *names], ""))
    found = _found(detect(project))["venv"]
    assert {evidence.file for evidence in found.evidence} == set(names)


def test_the_verb_prints_what_the_model_says_as_json(tmp_path: Path) -> None:
    _write(tmp_path, {"uv.lock": ""})
    result = CliRunner().invoke(main_group, ["detect", "--json", "--project", str(tmp_path)], standalone_mode=False)
    assert result.exception is None
    assert json.loads(result.stdout) == {
        "patterns": [
            {
                "pattern": "uv",
                "evidence": [{"file": "uv.lock", "key": ""}],
                "chosen": True,
                "why": "uv.lock is there: a committed lock is the most exact description",
            }
        ],
        "problems": [],
    }


def test_the_verb_shows_a_person_every_pattern_and_why(tmp_path: Path) -> None:
    _write(tmp_path, {"uv.lock": "", "Dockerfile": ""})
    result = CliRunner().invoke(main_group, ["detect", "--project", str(tmp_path)], standalone_mode=False)
    assert "uv (auto)" in result.stdout
    assert "docker" in result.stdout
    assert "a committed lock is the most exact description" in result.stdout


def test_the_verb_ends_with_nothing_to_do_and_names_files_that_it_knows(tmp_path: Path) -> None:
    result = CliRunner().invoke(main_group, ["detect", "--json", "--project", str(tmp_path)], standalone_mode=False)
    assert isinstance(result.exception, NothingToDo)
    assert "requirements.in" in result.exception.hint
    assert json.loads(result.stdout) == {"patterns": [], "problems": []}


def test_the_verb_lists_what_it_found_and_ends_with_the_problem(tmp_path: Path) -> None:
    _write(tmp_path, {"uv.lock": "", "pyproject.toml": "[project"})
    result = CliRunner().invoke(main_group, ["detect", "--json", "--project", str(tmp_path)], standalone_mode=False)
    assert result.return_value == UsageError.exit_code
    assert json.loads(result.stdout)["patterns"][0]["pattern"] == "uv"
    assert "pyproject.toml: is not valid TOML" in result.stderr


def test_the_verbs_help_begins_with_its_line_in_the_list_of_verbs() -> None:
    from ci_envs.cli.detect_verb import command

    assert (command.help or "").splitlines()[0] == VERBS["detect"]
