"""A conda environment that was changed is not kept, and altered files in the package cache do not get into one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.component.conda_programs import CONDA_LEG, finding, record_of, why
from tests.component.running import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeConda
    from tests.component.program import Program

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform == "win32", reason="edits files through hard links of POSIX"),
]
pytest_plugins = ("tests.component.conda_program_fixtures",)

SITE = f"lib/python{PYTHON}/site-packages"
TRAP = b'raise SystemExit("trapped")\n'


@pytest.fixture
def program(make_conda: MakeConda) -> Program:
    """A project whose environment stands."""
    made = make_conda("project")
    done = made.run()
    assert done.code == 0, done.said
    return made


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes in the same inode, so also wherever the file is linked; size and time seem as before."""
    before = path.stat()
    assert len(data) <= before.st_size
    with path.open("r+b") as file:
        file.write(data.ljust(before.st_size, b"#"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def meta(prefix: Path, name: str) -> Path:
    (path,) = (prefix / "conda-meta").glob(f"{name}-[0-9]*.json")
    return path


def cached(program: Program, name: str) -> Path:
    """A package's folder in the package cache."""
    (folder,) = (program.cache / "conda/pkgs").glob(f"*/{name}-[0-9]*")
    return folder


# An environment that stands.


def replace(path: Path, data: bytes) -> None:
    """Another file of that name; the package cache keeps its own."""
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(data)
    path.chmod(mode)


def edit(prefix: Path) -> str:
    replace(prefix / SITE / "apple/__init__.py", TRAP)
    return f"{SITE}/apple/__init__.py"


def edit_text(prefix: Path) -> str:
    """A file that the prefix was put into."""
    replace(prefix / "bin/hello-native-script", b"#!/bin/sh\necho trapped\n")
    return "bin/hello-native-script"


def edit_program(prefix: Path) -> str:
    path = prefix / "bin/hello-native"
    replace(path, path.read_bytes().replace(b"%s %s\n", b"%s-%s\n"))
    return "bin/hello-native"


def edit_launcher(prefix: Path) -> str:
    path = prefix / "bin/eat-apple"
    replace(path, path.read_bytes().replace(b"import sys\n", b"import sys, os\n"))
    return "bin/eat-apple"


def edit_with_its_record(prefix: Path) -> str:
    """conda-meta says what the file is now."""
    edit(prefix)
    path = meta(prefix, "apple")
    told = json.loads(path.read_bytes())
    row = next(row for row in told["paths_data"]["paths"] if row["_path"].endswith("apple/__init__.py"))
    row |= {"sha256": hashlib.sha256(TRAP).hexdigest(), "sha256_in_prefix": hashlib.sha256(TRAP).hexdigest()}
    path.write_text(json.dumps(told))
    return f"{SITE}/apple/__init__.py"


def delete(prefix: Path) -> str:
    (prefix / "share/hello-native/data.txt").unlink()
    return "share/hello-native/data.txt"


def delete_record(prefix: Path) -> str:
    path = meta(prefix, "seed")
    path.unlink()
    return f"conda-meta/{path.name}"


def add_record(prefix: Path) -> str:
    path = meta(prefix, "seed")
    told = json.loads(path.read_bytes()) | {"name": "evil", "paths_data": {"paths": [], "paths_version": 1}}
    (prefix / "conda-meta/evil-1.5-0.json").write_text(json.dumps(told))
    return "conda-meta/evil-1.5-0.json"


def add_script(prefix: Path) -> str:
    (prefix / "bin/.apple-post-link.sh").write_text("#!/bin/sh\ntrue\n")
    return "bin/.apple-post-link.sh"


def add_activation(prefix: Path) -> str:
    (prefix / "etc/conda/activate.d/zz.sh").write_text("export LD_PRELOAD=evil.so\n")
    return "etc/conda/activate.d/zz.sh"


def set_variables(prefix: Path) -> str:
    (prefix / "conda-meta/state").write_text('{"env_vars": {"LD_PRELOAD": "evil.so"}}')
    return "conda-meta/state"


def lead_elsewhere(prefix: Path) -> str:
    path = prefix / "share/hello-native/link.txt"
    path.unlink()
    path.symlink_to("empty")
    return "share/hello-native/link.txt"


TAMPERS = [
    edit,
    edit_text,
    edit_program,
    edit_launcher,
    edit_with_its_record,
    delete,
    delete_record,
    add_record,
    add_script,
    add_activation,
    set_variables,
    lead_elsewhere,
]


@pytest.fixture
def standing(make_conda: MakeConda, warm_cache: Path) -> Program:
    """A project whose environment stands; its cache is the session's, and not to be tampered with."""
    made = make_conda("standing", cache=warm_cache)
    done = made.run()
    assert done.code == 0, done.said
    return made


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda f: f.__name__)
def test_a_changed_environment_is_told_of_by_check_and_built_anew(
    standing: Program, tamper: Callable[[Path], str]
) -> None:
    expected = standing.digest
    name = tamper(standing.prefix)
    done = standing.do("check", CONDA_LEG)
    assert done.code == 7, done.said
    assert name in done.stdout, done.said

    done = standing.run()
    assert done.code == 0, done.said
    assert why(standing).startswith("built: ")
    assert f"{name} was altered" in why(standing) or (name in why(standing) or "more files" in why(standing))
    assert standing.digest == expected
    assert standing.run().code == 0
    assert why(standing).startswith("kept: ")


@pytest.mark.parametrize("path", [f"{SITE}/apple/core.txt", "bin/hello-native", "etc/hello-native/hello-native.conf"])
def test_a_change_that_restores_size_and_time_is_found_where_every_byte_is_read(standing: Program, path: str) -> None:
    expected = standing.digest
    file = standing.prefix / path
    before, data = file.stat(), file.read_bytes()
    replace(file, data[:-8] + b"trapped\n" if b"\0" not in data else data.replace(b"%s %s\n", b"%s-%s\n"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    done = standing.do("check", CONDA_LEG)
    assert done.code == 7, done.said
    assert path in done.stdout

    done = standing.run("--deep")
    assert done.code == 0, done.said
    assert path in why(standing)
    assert standing.digest == expected


# The package cache.


@dataclass
class Cache:
    """What a test alters: a file of a package in the cache."""

    package: str
    path: str
    change: Callable[[bytes], bytes]


def put_trap(data: bytes) -> bytes:
    return TRAP.ljust(len(data), b"#")


CACHED = {
    "a module": Cache("apple", "site-packages/apple/__init__.py", put_trap),
    "a data file": Cache("hello-native", "share/hello-native/data.txt", lambda data: data.upper()),
    "a library": Cache("hello-native", "lib/libhello-native.so.1", lambda data: data.replace(b"hello", b"howdy")),
    "text with the prefix": Cache(
        "hello-native", "bin/hello-native-script", lambda data: data.replace(b"hello", b"howdy", 1)
    ),
    "a program with the prefix": Cache(
        "hello-native", "bin/hello-native", lambda data: data.replace(b"%s %s\n", b"%s-%s\n")
    ),
    "a module of the standard library": Cache("python", f"lib/python{PYTHON}/textwrap.py", put_trap),
    "a module that every Python begins with": Cache("python", f"lib/python{PYTHON}/os.py", put_trap),
    "the interpreter": Cache("python", f"bin/python{PYTHON}", lambda data: b"\x7fELF" + bytes(len(data) - 4)),
}


@pytest.mark.parametrize("what", CACHED)
def test_an_altered_cache_is_found_named_and_fetched_anew(program: Program, what: str) -> None:
    """Files are linked from it: who edits one in an environment has it in every one to come."""
    expected, told = program.digest, CACHED[what]
    file = cached(program, told.package) / told.path
    data = file.read_bytes()
    assert told.change(data) != data
    rewrite(file, told.change(data))
    done = program.run("--fresh")
    assert done.code == 0, done.said
    assert program.digest == expected
    assert told.package in finding(program, "ENV119").message
    assert (cached(program, told.package) / told.path).read_bytes() == data
    assert program.run("--fresh").code == 0
    assert [each.code for each in record_of(program).findings] == [], "it is old news"
