"""A project's folder may be called anything: its name reaches no shell, is no option, and breaks no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, LEG, PACKAGE, Program, leftovers
from tests.component.running import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="POSIX names, and bash")]

NAMES = [
    'it\'s a "quoted" one',
    "grün-日本-🙂",
    "-leading --dash",
    "$(touch pwned) `touch pwned`",
    "semi;colon & pipe|touch pwned",
    "100% {brace} [x] # ~ * ? ! back\\slash",
]


def program_in(make_program: Callable[..., Program], name: str, files: Mapping[str, str]) -> Program:
    """Run from the folder above, which names the project as a person would."""
    program = make_program(name, files, warm=True)
    bin_folder = str(Path(sys.executable).parent)
    program.env["PATH"] = f"{bin_folder}{os.pathsep}{program.env['PATH']}"
    return program


@pytest.mark.parametrize(
    ("name", "files"), [*((name, PACKAGE) for name in NAMES), *((name, FRUIT) for name in (NAMES[0], NAMES[3]))]
)
def test_every_verb_works_in_a_folder_of_any_name(
    make_program: Callable[..., Program], name: str, files: dict[str, str], tmp_path: Path
) -> None:
    program = program_in(make_program, name, files)
    here = f"--project={name}"

    done = program.do("detect", here, "--json", cwd=tmp_path)
    assert done.code == 0, done.said
    found = {each["pattern"] for each in json.loads(done.stdout)["patterns"]}
    assert ("uv" if files is PACKAGE else "venv") in found

    done = program.run(here, cwd=tmp_path)
    assert done.code == 0, done.said
    record = program.record
    assert record is not None
    assert record.status == "passed"
    assert record.environment is not None
    assert record.environment.digest == program.digest
    assert record.environment.path == f".ci-envs/envs/{LEG}"

    words = ("--", "python", "-c", "import sys, apple; print(sys.prefix); sys.exit(7)")
    done = program.do("exec", here, LEG, *words, cwd=tmp_path)
    assert (done.code, done.stdout) == (7, f"{program.prefix}\n")
    done = program.do("exec", here, LEG, "--", "eat-apple", cwd=tmp_path)
    assert done.code == 0, done.said
    assert done.stdout.startswith("crunch")

    reproduced = pasted(record.reproduce, program, tmp_path)
    assert reproduced.returncode == 0, reproduced.stderr
    again = program.record
    assert again is not None
    build = again.stage("build")
    assert build is not None
    assert build.reason.startswith("kept: ")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "home"])
    assert leftovers(program.root) == []
    assert not list(tmp_path.rglob("pwned"))


def pasted(command: str, program: Program, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command as bash reads it from a person."""
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=program.env, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_plan_names_commands_that_can_be_pasted(make_program: Callable[..., Program], tmp_path: Path) -> None:
    name = NAMES[3]
    program = program_in(make_program, name, PACKAGE)
    done = program.do("plan", f"--project={name}", "--json", cwd=tmp_path)
    assert done.code == 0, done.said
    command = json.loads(done.stdout)["legs"][0]["reproduce"]
    done_again = pasted(command, program, tmp_path)
    assert done_again.returncode == 0, done_again.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_a_matrix_may_name_projects_of_any_name(make_program: Callable[..., Program]) -> None:
    files = {f"{name}/{path}": text for name in NAMES[:4] for path, text in FRUIT.items()}
    projects = "".join(f"    - {json.dumps(name, ensure_ascii=False)}\n" for name in NAMES[:4])
    axes = f"axes:\n  pattern: [uv]\n  python: ['{PYTHON}']\n  project:\n{projects}"
    program = make_program("root", {**files, "matrices/default.yml": axes}, warm=True)
    program.words = ()
    done = program.run("--json")
    assert done.code == 0, done.said
    legs = json.loads(done.stdout)["legs"]
    assert [leg["project"] for leg in legs] == NAMES[:4]
    assert len({leg["id"] for leg in legs}) == 4
    for leg in legs:
        done = program.do("exec", leg["id"], "--", "python", "-c", "import apple")
        assert done.code == 0, done.said
    assert not list(program.root.rglob("pwned"))


@pytest.mark.parametrize(
    ("name", "said"), [("a:b", "separates folders on PATH"), ("new\nline", "the first line of a script")]
)
def test_a_folder_that_no_environment_can_lie_in_is_told(
    make_program: Callable[..., Program], tmp_path: Path, name: str, said: str
) -> None:
    program = make_program(name, PACKAGE, warm=True)
    done = program.run()
    assert done.code == 2, done.said
    assert said in done.stderr
    program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "state")
    done = program.run()
    assert done.code == 0, done.said
    assert program.do("exec", LEG, "--", "eat-apple").code == 0


def test_a_folder_whose_name_is_no_text_is_told(make_program: Callable[..., Program], tmp_path: Path) -> None:
    program = make_program("plain")
    raw = os.fsencode(tmp_path) + b"/latin-\xe9"
    program.root = program.root.rename(os.fsdecode(raw))
    done = program.run()
    assert done.code == 2, done.said
    assert "is not UTF-8" in done.stderr
    assert "Traceback" not in done.said


@pytest.mark.parametrize(
    ("project", "said"),
    [("../outside", "outside"), ("link", "link"), ("inner/link", "link"), ("/absolute", ""), ("nowhere", "")],
)
def test_a_project_outside_or_through_a_link_is_refused(
    make_program: Callable[..., Program], tmp_path: Path, project: str, said: str
) -> None:
    make_program("outside")
    absolute = project.replace("/absolute", str(tmp_path / "outside"))
    axes = f"axes:\n  pattern: [uv]\n  python: ['{PYTHON}']\n  project: [{json.dumps(absolute)}]\n"
    program = make_program("root", {"matrices/default.yml": axes, "inner/x": ""})
    program.words = ()
    for link in (program.root / "link", program.root / "inner/link"):
        link.symlink_to(tmp_path / "outside")
    done = program.run()
    assert done.code == 2, done.said
    assert said in done.stderr
    assert "matrices/default.yml" in done.stderr
    assert not (tmp_path / "outside" / "locks").exists()
    assert not program.state.exists(), "nothing is written before all is read"


def test_a_lock_is_not_written_through_a_link(make_program: Callable[..., Program], tmp_path: Path) -> None:
    program = make_program("project")
    (tmp_path / "elsewhere").mkdir()
    (program.root / "locks").symlink_to(tmp_path / "elsewhere")
    done = program.run()
    assert done.code != 0, done.said
    assert "outside the project" in done.said
    assert list((tmp_path / "elsewhere").iterdir()) == []
