from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_envs.errors import CiEnvsError, UsageError
from ci_envs.project import Project
from ci_envs.requirement_files import MAX_DEPTH, Option, Reference, read_requirements

if TYPE_CHECKING:
    from pathlib import Path


def _project(root: Path, text: str, **others: str) -> Project:
    for name, content in {"requirements.in": text, **others}.items():
        (root / name).write_text(content, encoding="utf-8", newline="")
    return Project(root)


def test_options_are_kept_apart_by_their_long_names_and_without_credentials(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        "-i https://user:hunter22@index.example/simple --pre\n"
        "--extra-index-url=https://token@two.example/simple\n"
        "-f wheels\n--no-binary :all:\n--require-hashes\n-c https://who:what@files.example/limits.txt\n",
    )
    found = read_requirements(project, "requirements.in")
    assert found.requirements == []
    assert [(option.name, option.value, option.line) for option in found.options] == [
        ("--index-url", "https://index.example/simple", 1),
        ("--pre", "", 1),
        ("--extra-index-url", "https://two.example/simple", 2),
        ("--find-links", "wheels", 3),
        ("--no-binary", ":all:", 4),
        ("--require-hashes", "", 5),
        ("--constraint", "https://files.example/limits.txt", 6),
    ]
    assert isinstance(found.options[0], Option)


def test_a_requirement_never_carries_the_password_of_its_address(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        "a @ https://user:hunter22@files.example/a-1.zip ; python_version > '3'\n"
        "https://user:hunter22@files.example/b-1.0-py3-none-any.whl\n"
        "-e git+https://hunter22@git.example/c.git\n",
    )
    found = read_requirements(project, "requirements.in")
    assert [r.text for r in found.requirements] == [
        "a @ https://files.example/a-1.zip ; python_version > '3'",
        "b @ https://files.example/b-1.0-py3-none-any.whl",
    ]
    assert found.references == [Reference("git+https://git.example/c.git", True, "requirements.in", 3)]


def test_the_message_about_nonsense_hides_passwords(tmp_path: Path) -> None:
    project = _project(tmp_path, "a = https://user:hunter22@files.example/a.zip\n")
    with pytest.raises(UsageError) as caught:
        read_requirements(project, "requirements.in")
    assert "hunter22" not in str(caught.value)
    assert "***" in str(caught.value)


def test_constraints_and_what_they_include_are_no_requirements(tmp_path: Path) -> None:
    others = {"limits.txt": "b<2\n-r more.txt\n", "more.txt": "c<3\n"}
    found = read_requirements(_project(tmp_path, "a\n-climits.txt\n-rmore.txt\n", **others), "requirements.in")
    assert [(r.text, r.file) for r in found.requirements] == [("a", "requirements.in"), ("c<3", "more.txt")]
    assert [(r.text, r.file) for r in found.constraints] == [("b<2", "limits.txt"), ("c<3", "more.txt")]
    assert found.files == ["requirements.in", "limits.txt", "more.txt", "more.txt"]


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    project = _project(tmp_path, "a\n-r two.in\n-r requirements.in\n", **{"two.in": "b\n-r requirements.in\n"})
    found = read_requirements(project, "requirements.in")
    assert [r.name for r in found.requirements] == ["a", "b"]


def test_a_chain_of_includes_has_an_end(tmp_path: Path) -> None:
    others = {f"f{i}.in": f"-r f{i + 1}.in\n" for i in range(MAX_DEPTH + 2)}
    with pytest.raises(UsageError, match=f"the {MAX_DEPTH}th file in a chain of includes"):
        read_requirements(_project(tmp_path, "-r f0.in\n", **others), "requirements.in")


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret-package\n")
    root = tmp_path / "project"
    root.mkdir()
    project = _project(root, "-r link.txt\n")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UsageError, match=r"requirements\.in:1: 'link\.txt' lies outside the project"):
        read_requirements(project, "requirements.in")


def test_a_file_address_inside_the_project_is_a_requirement(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    project = _project(tmp_path, f"a @ file://{tmp_path}/wheels/a-1.zip\nb @ ./wheels/b-1.zip\n")
    assert [r.name for r in read_requirements(project, "requirements.in").requirements] == ["a", "b"]


@pytest.mark.parametrize("line", ["-r a\0b", "./a\0b", "a @ file:///a\0b", f"./{'x' * 5000}", f"-r {'x' * 5000}"])
def test_paths_that_no_system_takes_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"requirements\.in:1: "):
        read_requirements(_project(tmp_path, line + "\n"), "requirements.in")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_every_kind_of_line_end_is_one(tmp_path: Path, end: str) -> None:
    found = read_requirements(_project(tmp_path, f"a \\{end or chr(10)}  >=1{end}"), "requirements.in")
    assert [(r.name, r.line) for r in found.requirements] == [("a", 1)]


def test_a_continuation_at_the_end_of_the_file_is_whole(tmp_path: Path) -> None:
    found = read_requirements(_project(tmp_path, "a \\\n --hash=sha256:00 \\"), "requirements.in")
    assert [r.text for r in found.requirements] == ["a"]


_WORDS = st.sampled_from(
    (
        *(
            "-r",
            "-e",
            "-c ",
            "--hash=",
            "\\\n",
            "\n",
            " ",
            "#",
            " ; ",
            "@",
            "file:",
            "git+",
            "https://",
            "[",
            "]",
            "..",
        ),
        *("/", "idna", "==1", "python_version<'3'", "'", '"', "#egg=", "requirements.in", ".whl", "http://[", "%00"),
        *("\0", "${X}", "-1.0.zip"),
    )
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.lists(_WORDS, max_size=12).map("".join))
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path: Path, text: str) -> None:
    project = _project(tmp_path, text)
    with contextlib.suppress(CiEnvsError):
        found = read_requirements(project, "requirements.in")
        assert all(r.name and r.file and r.line for r in [*found.requirements, *found.constraints])
