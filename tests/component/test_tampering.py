"""An environment that was changed is not kept, and altered files in a cache do not get into one."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, LEG, Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci_envs.model.record import Finding, RunRecord

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform == "win32", reason="uv copies on Windows, where it hard-links elsewhere"),
]

MODULE = "apple/__init__.py"
TRAP = b'raise SystemExit("trapped")\n'


@pytest.fixture
def program(make_program: Callable[..., Program]) -> Program:
    """A project whose environment stands."""
    made = make_program("project")
    done = made.run()
    assert done.code == 0, done.said
    return made


def record_of(program: Program) -> RunRecord:
    record = program.record
    assert record is not None
    return record


def why_built(program: Program) -> str:
    stage = record_of(program).stage("build")
    assert stage is not None
    return stage.reason


def finding(program: Program, code: str) -> Finding:
    (found,) = (each for each in record_of(program).findings if each.code == code)
    return found


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes in the same inode, so also wherever the file is linked; size and time seem as before."""
    before = path.stat()
    assert len(data) <= before.st_size
    with path.open("r+b") as file:
        file.write(data.ljust(before.st_size, b"#"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(program: Program) -> str:
    path = program.site / MODULE
    path.unlink()
    path.write_bytes(TRAP)
    return MODULE


def delete(program: Program) -> str:
    (program.site / "apple/core.txt").unlink()
    return "apple/core.txt"


def add(program: Program) -> str:
    (program.site / "sitecustomize.py").write_text("print('hello')\n", encoding="utf-8")
    return "sitecustomize.py"


def make_executable(program: Program) -> str:
    (program.site / MODULE).chmod(0o755)
    return MODULE


def lead_elsewhere(program: Program) -> str:
    path = program.site / MODULE
    path.rename(program.root / "elsewhere.py")
    path.symlink_to(program.root / "elsewhere.py")
    return MODULE


@pytest.mark.parametrize("tamper", [edit, delete, add, make_executable, lead_elsewhere], ids=lambda f: f.__name__)
def test_a_changed_environment_is_built_anew_and_the_reason_names_the_file(
    program: Program, tamper: Callable[[Program], str]
) -> None:
    expected = program.digest
    name = tamper(program)
    done = program.run()
    assert done.code == 0, done.said
    assert why_built(program).startswith("built: ")
    assert f"{name} was altered" in why_built(program)
    assert program.digest == expected
    assert program.run().code == 0
    assert why_built(program).startswith("kept: ")


def test_a_change_that_restores_size_and_time_is_found_where_every_byte_is_read(program: Program) -> None:
    expected = program.digest
    (program.site / MODULE).write_bytes((program.site / MODULE).read_bytes())
    program.run()
    path = program.site / MODULE
    data = path.read_bytes()
    path.unlink()  # the cache shall not be touched
    path.write_bytes(data)
    assert program.run().code == 0
    rewrite(path, TRAP)

    done = program.do("check", LEG)
    assert done.code == 7, done.said
    assert MODULE in done.stdout
    assert path.read_bytes().startswith(TRAP), "check mends nothing"

    done = program.run("--deep")
    assert done.code == 0, done.said
    assert MODULE in why_built(program)
    assert program.digest == expected


def test_an_altered_cache_is_found_named_and_fetched_anew(program: Program) -> None:
    """The file is linked from uv's cache: who edits it there has it in every environment to come."""
    expected = program.digest
    rewrite(program.site / MODULE, TRAP)
    done = program.run("--fresh")
    assert done.code == 0, done.said
    assert program.digest == expected
    assert "apple" in finding(program, "ENV119").message
    assert program.run("--fresh").code == 0
    assert [each.code for each in record_of(program).findings if each.code == "ENV119"] == [], "it is old news"


def falsify(program: Program) -> None:
    """A module is altered in the cache, and RECORD says so too: installers and RECORD see nothing wrong."""
    data = (program.site / MODULE).read_bytes()
    (record,) = program.site.glob("apple-*.dist-info/RECORD")
    trap = TRAP.ljust(len(data), b"#")
    said = record.read_text(encoding="utf-8")
    forged = said.replace(row(data), row(trap))
    assert forged != said
    rewrite(program.site / MODULE, trap)
    for path in (record, *program.cache.rglob("apple-*.dist-info/RECORD")):
        path.write_text(forged if path == record else path.read_text("utf-8").replace(row(data), row(trap)), "utf-8")


def row(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{MODULE},sha256={digest},{len(data)}"


def test_a_cache_that_was_altered_with_its_record_is_found_too(program: Program) -> None:
    expected = program.digest
    falsify(program)
    done = program.run("--fresh")
    assert done.code == 0, done.said
    assert program.digest == expected
    assert "apple" in finding(program, "ENV119").message


def test_a_new_environment_of_another_project_is_not_made_of_altered_files(
    program: Program, make_program: Callable[..., Program]
) -> None:
    expected = program.digest
    falsify(program)
    other = make_program("other")
    other.env["CI_ENVS_CACHE_DIR"] = str(program.cache)
    done = other.run()
    assert done.code == 0, done.said
    assert other.digest == expected


def test_a_cache_of_the_user_is_not_trusted_unseen(make_program: Callable[..., Program], tmp_path: Path) -> None:
    """What no run of ours has seen is fetched once past the cache and compared."""
    theirs = make_program("theirs")
    assert theirs.run().code == 0
    expected = theirs.digest
    falsify(theirs)

    ours = make_program("ours")
    ours.env["UV_CACHE_DIR"] = str(theirs.cache / "uv")
    done = ours.run()
    assert done.code == 0, done.said
    assert ours.digest == expected
    assert "apple" in finding(ours, "ENV119").message


def test_offline_an_altered_cache_is_an_error_and_the_old_environment_stays(program: Program) -> None:
    (program.site / "kept.txt").write_text("", encoding="utf-8")
    falsify(program)
    done = program.run("--fresh", "--offline")
    assert done.code == 6, done.said
    assert "ENV113" in record_of(program).reason
    assert "apple" in record_of(program).reason
    assert (program.site / "kept.txt").exists()


def test_tests_that_write_into_the_environment_are_told_of_and_it_is_not_kept(
    make_program: Callable[..., Program],
) -> None:
    writes = (
        "import pathlib, apple\n"
        "folder = pathlib.Path(apple.__file__).parent\n"
        "(folder / 'cached.json').write_text('{}')\n"
        "(folder / 'core.txt').unlink()\n"
    )
    config = "test: {command: python writes.py}\n"
    program = make_program("project", {**FRUIT, "writes.py": writes, "ci-envs.yml": config})
    clean = make_program("clean")
    assert clean.run().code == 0
    for _ in range(2):
        done = program.run()
        assert done.code == 0, done.said
        found = finding(program, "ENV120")
        assert found.severity == "warning"
        assert "apple/cached.json" in found.message
        assert "apple/core.txt" in found.message
        assert program.digest != clean.digest
    assert "was altered" in why_built(program)

    (program.root / "writes.py").write_text("", encoding="utf-8")
    assert program.run().code == 0
    assert [each for each in record_of(program).findings if each.code == "ENV120"] == []
    assert program.digest == clean.digest


def test_running_programs_of_an_environment_does_not_change_it(program: Program) -> None:
    """Their bytecode is kept elsewhere; what someone compiles by hand into __pycache__ is let pass."""
    for words in (("python", "-c", "import apple, plum"), ("eat-apple",), ("python", "-m", "compileall", "-q", ".")):
        done = program.do("exec", f"--project={program.root}", LEG, "--", *words, cwd=program.site)
        assert done.code == 0, done.said
    assert program.run().code == 0
    assert why_built(program).startswith("kept: ")
    done = program.do("check", LEG)
    assert done.code == 0, done.said
