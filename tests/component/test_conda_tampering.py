"""A conda environment that was changed is not kept, and altered files in the package cache do not get into one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.component.conda_programs import CONDA_LEG, finding, record_of, why
from tests.component.program import Program
from tests.component.running import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeCopy

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform == "win32", reason="edits files through hard links of POSIX"),
]
pytest_plugins = ("tests.component.conda_program_fixtures",)

SITE = f"lib/python{PYTHON}/site-packages"
TRAP = b'raise SystemExit("trapped")\n'


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
    return f"conda-meta/{path.name}"


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


@pytest.fixture(scope="module")
def shared(stood: Program, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A second project over the first one's cache."""
    root = tmp_path_factory.mktemp("standing") / "project"
    shutil.copytree(stood.root, root, ignore=shutil.ignore_patterns(".ci-envs"))
    return Program(root, stood.env, words=stood.words, leg=stood.leg)


@pytest.fixture
def standing(shared: Program) -> Program:
    """Its environment stands, whatever the test before has left. What is written to must be another file first."""
    done = shared.run()
    assert done.code == 0, done.said
    return shared


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
    assert f"{name} was altered" in why(standing)
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
def test_an_altered_cache_is_found_named_and_fetched_anew(stood: Program, make_copy: MakeCopy, what: str) -> None:
    program, told = make_copy("project"), CACHED[what]
    file = cached(program, told.package) / told.path
    data = file.read_bytes()
    assert told.change(data) != data
    rewrite(file, told.change(data))
    done = program.run()
    assert done.code == 0, done.said
    assert program.digest == stood.digest
    assert told.package in finding(program, "ENV119").message
    assert (cached(program, told.package) / told.path).read_bytes() == data
    assert program.run("--fresh").code == 0
    assert [each.code for each in record_of(program).findings] == [], "it is old news"


def test_a_file_that_was_edited_in_an_environment_is_edited_in_the_cache(stood: Program, make_copy: MakeCopy) -> None:
    """It is one file. Who writes to it writes to every environment that is made later."""
    program = make_copy("project")
    assert program.run().code == 0
    rewrite(program.site / "apple/__init__.py", TRAP)
    assert (cached(program, "apple") / "site-packages/apple/__init__.py").read_bytes().startswith(TRAP)
    done = program.run("--fresh")
    assert done.code == 0, done.said
    assert program.digest == stood.digest
    assert finding(program, "ENV119").message == (
        "the installer's cache gave altered files of apple; they were fetched anew"
    )


def falsify(program: Program, package: str, path: str, change: Callable[[bytes], bytes]) -> None:
    """A file is altered in the cache, and the package's own list of its files says so."""
    folder = cached(program, package)
    data = change((folder / path).read_bytes())
    (folder / path).write_bytes(data)
    listed = folder / "info/paths.json"
    told = json.loads(listed.read_bytes())
    next(row for row in told["paths"] if row["_path"] == path).update(
        sha256=hashlib.sha256(data).hexdigest(), size_in_bytes=len(data)
    )
    listed.write_text(json.dumps(told))


@pytest.mark.parametrize("what", ["a module", "text with the prefix", "a program with the prefix"])
def test_a_cache_that_was_altered_with_its_list_is_found_too(stood: Program, make_copy: MakeCopy, what: str) -> None:
    program, told = make_copy("project"), CACHED[what]
    falsify(program, told.package, told.path, told.change)
    done = program.run()
    assert done.code == 0, done.said
    assert program.digest == stood.digest
    assert told.package in finding(program, "ENV119").message


def forget_placeholders(folder: Path) -> None:
    """So that nothing tells whether a file is the package's but for the prefix."""
    listed = folder / "info/paths.json"
    told = json.loads(listed.read_bytes())
    for row in told["paths"]:
        row.pop("prefix_placeholder", None)
        row.pop("file_mode", None)
    listed.write_text(json.dumps(told))


def add_file(folder: Path) -> None:
    """One that the package's list knows, too."""
    (folder / "share/added.txt").write_text("added\n")
    listed = folder / "info/paths.json"
    told = json.loads(listed.read_bytes())
    row = {"_path": "share/added.txt", "path_type": "hardlink", "size_in_bytes": 6}
    told["paths"].append(row | {"sha256": hashlib.sha256(b"added\n").hexdigest()})
    listed.write_text(json.dumps(told))


def pass_for_another_kind(folder: Path) -> None:
    """A virtual environment has no conda packages that could be compared."""
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    data = folder / "share/hello-native/data.txt"
    data.write_text("altered\n")
    listed = folder / "info/paths.json"
    told = json.loads(listed.read_bytes())
    sha256 = hashlib.sha256((folder / "pyvenv.cfg").read_bytes()).hexdigest()
    told["paths"].append({"_path": "pyvenv.cfg", "path_type": "hardlink", "size_in_bytes": 16, "sha256": sha256})
    listed.write_text(json.dumps(told))


def make_executable(folder: Path) -> None:
    (folder / "share/hello-native/data.txt").chmod(0o755)


def redirect_link(folder: Path) -> None:
    path = folder / "share/hello-native/link.txt"
    path.unlink()
    path.symlink_to("empty")


def remove_file(folder: Path) -> None:
    (folder / "share/hello-native/data.txt").unlink()


@pytest.mark.parametrize(
    "tamper",
    [forget_placeholders, add_file, make_executable, redirect_link, pass_for_another_kind],
    ids=lambda f: f.__name__,
)
def test_a_package_in_the_cache_that_is_another_one_is_fetched_anew(
    stood: Program, make_copy: MakeCopy, tamper: Callable[[Path], None]
) -> None:
    program = make_copy("project")
    tamper(cached(program, "hello-native"))
    done = program.run()
    assert done.code == 0, done.said
    assert program.digest == stood.digest
    assert "hello-native" in finding(program, "ENV119").message


def test_placeholders_that_no_package_of_the_cache_tells_of_are_missed(stood: Program, make_copy: MakeCopy) -> None:
    program = make_copy("project")
    for folder in (program.cache / "conda/pkgs").glob("*/*"):
        forget_placeholders(folder)
    done = program.run()
    assert done.code == 0, done.said
    assert program.digest == stood.digest
    assert "hello-native" in finding(program, "ENV119").message


def test_a_file_that_the_cache_has_lost_is_brought_back(stood: Program, make_copy: MakeCopy) -> None:
    program = make_copy("project")
    remove_file(cached(program, "hello-native"))
    assert program.run().code == 0
    assert program.digest == stood.digest


def test_a_stranger_in_a_packages_folder_gets_nowhere(stood: Program, make_copy: MakeCopy) -> None:
    program = make_copy("project")
    folder = cached(program, "apple")
    (folder / "site-packages/apple/evil.py").write_text("evil\n")
    (folder / "bin").mkdir()
    (folder / "bin/.apple-post-link.sh").write_text("#!/bin/sh\ntouch $PREFIX/evil\n")
    assert program.run().code == 0
    assert program.digest == stood.digest
    assert list(program.prefix.rglob("*evil*")) == []


def test_a_new_environment_of_another_project_is_not_made_of_altered_files(stood: Program, make_copy: MakeCopy) -> None:
    first = make_copy("first")
    told = CACHED["a program with the prefix"]
    file = cached(first, told.package) / told.path
    rewrite(file, told.change(file.read_bytes()))
    second = make_copy("second", first.cache)
    done = second.run()
    assert done.code == 0, done.said
    assert second.digest == stood.digest


def test_offline_an_altered_cache_is_an_error_and_the_old_environment_stays(make_copy: MakeCopy) -> None:
    program = make_copy("project")
    assert program.run().code == 0
    (program.prefix / "share/kept.txt").write_text("")
    rewrite(cached(program, "hello-native") / "share/hello-native/data.txt", b"altered")
    done = program.run("--fresh", "--offline")
    assert done.code == 6, done.said
    assert "ENV130 hello-native 1.0: not what the conda package has: share/hello-native/data.txt" in done.stdout
    assert (program.prefix / "share/kept.txt").exists()


def test_running_programs_of_an_environment_does_not_change_it(standing: Program) -> None:
    for words in (("python", "-c", "import apple, json, email.message"), ("eat-apple",), ("hello-native",)):
        done = standing.do("exec", f"--project={standing.root}", CONDA_LEG, "--", *words, cwd=standing.site)
        assert done.code == 0, done.said
    assert standing.run().code == 0
    assert why(standing).startswith("kept: ")
    done = standing.do("check", CONDA_LEG)
    assert done.code == 0, done.said
