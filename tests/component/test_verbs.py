"""The verbs that follow a run, over what a real run has left."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, LEG, Program, ended, leftovers, wait_for
from tests.support.projects import private_environment
from tests.support.wheels import make_sdist

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]


@pytest.fixture
def program(make_program: Callable[..., Program]) -> Program:
    """A project whose environment stands."""
    made = make_program("project", warm=True)
    done = made.run()
    assert done.code == 0, done.said
    return made


def python(source: str) -> tuple[str, ...]:
    return (LEG, "--", "python", "-c", source)


# --- exec


@pytest.mark.parametrize("code", [0, 1, 2, 42, 130])
def test_exec_ends_with_the_code_of_its_command(program: Program, code: int) -> None:
    assert program.do("exec", *python(f"raise SystemExit({code})")).code == code


def test_exec_says_which_signal_ended_its_command_as_a_shell_does(program: Program) -> None:
    done = program.do("exec", *python("import os; os.kill(os.getpid(), 9)"))
    assert done.code == 128 + signal.SIGKILL


def test_exec_needs_no_terminal_and_hands_on_what_is_piped(program: Program) -> None:
    process = program.start("exec", *python("print(input().upper())"), stdin=subprocess.PIPE)
    assert process.communicate("piped\n", timeout=20) == ("PIPED\n", "")
    done = program.do("exec", *python("import sys; print(repr(sys.stdin.read()))"))
    assert done.stdout == "''\n"


def test_exec_runs_where_you_stand_with_the_environment_first_on_path(program: Program, tmp_path: Path) -> None:
    source = (
        "import os, shutil, sys; print(os.getcwd(), shutil.which('eat-apple'), os.environ['CI_ENVS_LEG'], sys.argv)"
    )
    done = program.do(
        "exec", f"--project={program.root}", *python(source), "-x", "--json", "$(y) z", cwd=tmp_path, umask=0o022
    )
    assert done.code == 0, done.said
    assert done.stdout == f"{tmp_path} {program.prefix}/bin/eat-apple {LEG} ['-c', '-x', '--json', '$(y) z']\n"


@pytest.mark.parametrize(
    ("leg", "code", "said"),
    [
        ("uv-py299-linux-x86_64", 6, "ci-envs run --only uv-py299-linux-x86_64"),
        ("../../etc", 6, "there is no environment"),
        ("$(touch pwned)", 6, "there is no environment"),
    ],
)
def test_exec_in_no_environment_says_how_to_build_it(program: Program, leg: str, code: int, said: str) -> None:
    done = program.do("exec", leg, "--", "true")
    assert done.code == code, done.said
    assert said in done.stderr.replace("'", "")


def test_exec_of_a_program_that_is_not_there_says_so(program: Program) -> None:
    done = program.do("exec", LEG, "--", "no-such-program", "-x")
    assert done.code == 4, done.said
    assert "there is no program 'no-such-program' here" in done.stderr
    (program.root / "plain.txt").write_text("", encoding="utf-8")
    done = program.do("exec", LEG, "--", "./plain.txt")
    assert done.code == 4, done.said
    assert "cannot be run here" in done.stderr


def test_exec_hands_a_signal_on_and_lets_its_command_answer_an_interrupt(program: Program) -> None:
    source = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(33))\n"
        "pathlib.Path('begun').touch()\n"
        "time.sleep(60)\n"
    )
    process = program.start("exec", *python(source))
    wait_for((program.root / "begun").exists)
    os.kill(process.pid, signal.SIGINT)  # alone: a terminal sends it to the command, too, and that one decides
    process.send_signal(signal.SIGTERM)
    assert ended(process, 20).code == 33


# --- check


def test_check_reads_every_byte_and_writes_no_record(program: Program) -> None:
    before = program.record_file.read_bytes()
    done = program.do("check", LEG, "--json")
    assert done.code == 0, done.said
    report = json.loads(done.stdout)
    assert [stage["name"] for stage in report["legs"][0]["stages"]] == ["detect", "lock", "build", "check"]
    assert program.record_file.read_bytes() == before

    shutil.rmtree(program.site / "pear")
    done = program.do("check", LEG)
    assert done.code == 7, done.said
    assert "pear/__init__.py" in done.stdout
    assert "build it again with" in done.stdout.lower()
    assert program.record_file.read_bytes() == before
    assert not (program.site / "pear").exists()


def test_check_of_an_environment_that_is_not_there_builds_none(make_program: Callable[..., Program]) -> None:
    program = make_program("project")
    assert program.run("--stages=lock").code == 0
    done = program.do("check", LEG)
    assert done.code == 7, done.said
    assert "it was not there" in done.stdout
    assert not program.prefix.exists()
    done = program.do("check", "no-such-leg")
    assert done.code in (2, 3), done.said


# --- verify


def test_two_builds_of_one_lock_are_the_same(program: Program) -> None:
    record = program.record
    assert record is not None
    assert record.environment is not None
    before = program.record_file.read_bytes()
    done = program.do("verify", LEG, "--json")
    assert done.code == 0, done.said
    verdict = json.loads(done.stdout)
    assert verdict == {
        "leg": LEG,
        "same": True,
        "first": record.environment.digest,
        "second": record.environment.digest,
        "differences": [],
        "notes": [],
    }
    assert program.record_file.read_bytes() == before
    assert not (program.state / "verify").exists()
    assert leftovers(program.root) == []


def with_the_time_in_it(sdist: Path) -> None:
    """Its backend writes the time of the build into a module."""
    with tarfile.open(sdist) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}  # type: ignore[union-attr]  # regular files have one
    name = next(name for name in members if name.endswith("tiny_backend.py"))
    line = b"    files = {path"
    assert line in members[name]
    stamp = b'    import time\n    (root / "clock" / "made.py").write_text(f"when = {time.time_ns()}\\n")\n'
    members[name] = members[name].replace(line, stamp + line, 1)
    with tarfile.open(sdist, "w:gz") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_a_build_that_is_not_the_same_twice_is_told_with_its_files(own_index: Index, tmp_path: Path) -> None:
    """uv keeps the wheel that it has built, so two environments from one cache would be the same."""
    with_the_time_in_it(make_sdist(own_index.folder, "clock", "1.0"))
    env = private_environment(own_index.url, tmp_path / "home", tmp_path / "cache")
    program = Program(tmp_path / "project", env, files={**FRUIT, "requirements.in": "apple\npear\nclock\n"})
    done = program.run()
    assert done.code == 0, done.said
    assert program.run("--fresh").code == 0
    done = program.do("verify", LEG)
    assert done.code == 9, done.said
    assert "clock/made.py" in done.stdout
    assert "apple/__init__.py" not in done.stdout
    assert program.run().code == 0

    done = program.do("verify", LEG, "--json")
    assert done.code == 9, done.said
    verdict = json.loads(done.stdout)
    assert not verdict["same"]
    assert [path.split("site-packages/")[1] for path, _kind, _reason in verdict["differences"]] == ["clock/made.py"]


def test_verify_leaves_the_environment_that_stands_there_alone(make_program: Callable[..., Program]) -> None:
    """Its altered file, and the cache's, which is the same one, are none of the two builds'."""
    program = make_program("project")
    assert program.run().code == 0
    path = program.site / "apple/core.txt"
    with path.open("r+b") as file:
        file.write(b"EATEN")
    done = program.do("verify", LEG)
    assert done.code == 0, done.said
    assert path.read_bytes().startswith(b"EATEN")
    assert program.run().code == 0


def test_a_verify_that_is_interrupted_leaves_nothing(program: Program) -> None:
    process = program.start("verify", LEG)
    wait_for((program.state / "verify").exists, pause=0)
    process.send_signal(signal.SIGINT)
    done = ended(process, 20)
    assert done.code == 130, done.said
    assert not (program.state / "verify").exists()


# --- clean


def test_clean_removes_one_leg_or_all_and_leaves_the_lock(program: Program) -> None:
    other = program.prefix.with_name(f"{LEG}-prod")
    assert program.run("--group=prod").code == 0
    assert other.exists()
    done = program.do("clean", LEG)
    assert done.code == 0, done.said
    assert not program.prefix.exists()
    assert not program.record_file.exists()
    assert other.exists()
    assert list((program.state / "bytecode" / other.name).rglob("*.pyc")), "the other leg's is left alone"
    done = program.do("clean", "--json")
    assert json.loads(done.stdout) == {"removed": [".ci-envs"]}
    assert not program.state.exists()
    assert len(list((program.root / "locks").iterdir())) == 2
    assert program.do("clean").stdout == "nothing to remove\n"


def test_clean_leaves_a_folder_alone_that_is_not_ours(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "mine")
    done = program.do("clean")
    assert done.code == 2, done.said
    assert "was not made by ci-envs" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").exists()
    for leg in ("../mine", "..", ".", "-x", "a/b"):
        done = program.do("clean", "--", leg)
        assert done.code == 2, done.said


# --- diff, report


def test_records_are_compared_and_merged_where_there_is_no_project(program: Program, tmp_path: Path) -> None:
    """A laptop, a downloaded artifact, three JSON files."""
    away = tmp_path / "away"
    away.mkdir()
    shutil.copy(program.record_file, away / "first.json")
    (program.root / "requirements.in").write_text("apple==1.0\npear\n", encoding="utf-8")
    assert program.run().code == 0
    shutil.copy(program.record_file, away / "second.json")
    assert program.run("--group=prod").code == 0
    shutil.copy(program.record_file.with_name(f"{LEG}-prod.json"), away / "third.json")
    (program.root / "ci-envs.yml").write_text("test: {command: python -c 'raise SystemExit(3)'}\n", encoding="utf-8")
    assert program.run().code == 8
    shutil.copy(program.record_file, away / "fourth.json")
    shutil.rmtree(program.root)
    program.root = away

    done = program.do("diff", "first.json", "second.json")
    assert done.code == 0, done.said
    assert "apple" in done.stdout
    assert "1.1" in done.stdout
    assert "plum" in done.stdout
    assert program.do("diff", "--exit-code", "first.json", "second.json").code == 9
    assert program.do("diff", "--exit-code", "first.json", "first.json").code == 0

    done = program.do("report", "second.json", "third.json", "--json", "--exit-code")
    assert done.code == 0, done.said
    report = json.loads(done.stdout)
    assert report["status"] == "passed"
    assert [leg["id"] for leg in report["legs"]] == [LEG, f"{LEG}-prod"]
    done = program.do("report", "third.json", "fourth.json", "--markdown", "--exit-code")
    assert done.code == 8, done.said
    assert "failed" in done.stdout
    done = program.do("report", "third.json", f"--expect={LEG}", "--exit-code")
    assert done.code != 0, "a leg that left no record is no pass"
    assert "broken" in done.stdout
    assert sorted(path.name for path in away.iterdir()) == ["first.json", "fourth.json", "second.json", "third.json"]
