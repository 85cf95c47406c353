"""The reader of shared objects, on files that are made byte by byte."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.elf import AARCH64, S390, X86_64, elf, ld_cache

from ci_envs.resources import shared_objects, shared_objects_text
from ci_envs.resources.shared_objects import MalformedError, System, parse, parse_cache, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these are files of Linux")

#: More than any one read of a sensible file; the file itself may be of any size.
LARGEST_READ = 128 * 1024
MOST_READ = 1024 * 1024


class Reader:
    """Answers reads of a file, and counts what is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked = 0

    def __call__(self, offset: int, size: int) -> bytes:
        assert 0 <= offset < 2**63
        assert 0 <= size <= LARGEST_READ
        self.asked += size
        assert self.asked <= MOST_READ
        return self.data[offset : offset + size]


def read(data: bytes) -> shared_objects.Object | None:
    return parse(Reader(data))


# --- one file


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("little", [True, False])
def test_what_an_object_needs_is_read_in_either_class_and_byte_order(wide: bool, little: bool) -> None:
    found = read(
        elf("liba.so.1", "libb.so", soname="libc.so.2", runpath="$ORIGIN/../lib:/opt", wide=wide, little=little)
    )
    assert found is not None
    assert (found.needed, found.soname, found.rpath) == (["liba.so.1", "libb.so"], "libc.so.2", [])
    assert found.runpath == ["$ORIGIN/../lib", "/opt"]
    assert found.kind == (2 if wide else 1, 1 if little else 2, X86_64)
    assert found.shared


def test_an_executable_is_no_shared_object_and_names_its_loader() -> None:
    found = read(elf("libz.so", rpath="$ORIGIN/../lib", interpreter="/lib/ld-musl-x86_64.so.1", kind=2))
    assert found is not None
    assert (found.shared, found.interpreter, found.rpath) == (False, "/lib/ld-musl-x86_64.so.1", ["$ORIGIN/../lib"])


@pytest.mark.parametrize("data", [b"", b"INPUT(-lncursesw)\n", b"\x7fEL", b"MZ" + bytes(100), bytes(4096)])
def test_what_is_no_elf_file_is_none(data: bytes) -> None:
    assert read(data) is None


def test_a_file_that_is_cut_off_anywhere_is_malformed_or_says_what_it_still_has() -> None:
    whole = elf("liba.so", soname="libb.so", interpreter="/lib/ld.so")
    for end in range(4, len(whole)):
        try:
            found = read(whole[:end])
        except MalformedError:
            continue
        assert found is None or set(found.needed) <= {"liba.so"}


def patched(data: bytes, place: int, form: str, value: int) -> bytes:
    return data[:place] + struct.pack(form, value) + data[place + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        (4, "<B", 9),  # class
        (5, "<B", 0),  # byte order
        (56, "<H", 0xFFFF),  # the number of segments
        (54, "<H", 0xFFFF),  # their size
        (54, "<H", 0),
        (32, "<Q", 2**64 - 1),  # where they are
        (64 + 56 + 8, "<Q", 2**63),  # where the dynamic section is
        (64 + 56 + 32, "<Q", 2**40),  # how long it is
        (64 + 32, "<Q", 0),  # how much is loaded: the strings are nowhere
    ],
)
def test_a_header_that_makes_no_sense_is_malformed(place: int, form: str, value: int) -> None:
    with pytest.raises(MalformedError):
        read(patched(elf("liba.so"), place, form, value))


def test_names_without_end_and_without_number_are_malformed() -> None:
    for data in (elf(*(f"lib{number}.so" for number in range(600))), elf(*(f"{n:04d}" * 200 for n in range(100)))):
        with pytest.raises(MalformedError):
            read(data)


def test_the_same_name_many_times_is_one() -> None:
    found = read(elf(*["liba.so"] * 500))
    assert found is not None
    assert found.needed == ["liba.so"]


@given(st.binary(max_size=400))
@example(b"\x7fELF\x02\x01\x01" + bytes(57))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, b"\x7fELF" + data):
        with contextlib.suppress(MalformedError):
            read(text)


@given(
    changes=st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), min_size=1, max_size=12),
    wide=st.booleans(),
    little=st.booleans(),
)
def test_an_object_with_any_bytes_changed_is_read_or_refused(
    changes: list[tuple[int, int]], wide: bool, little: bool
) -> None:
    data = bytearray(elf("liba.so.1", "libb.so", soname="libc.so", rpath="$ORIGIN:/x", wide=wide, little=little))
    for place, value in changes:
        if place < len(data):
            data[place] = value
    with contextlib.suppress(MalformedError):
        read(bytes(data))


@given(st.binary(max_size=300))
def test_any_cache_is_read(data: bytes) -> None:
    parse_cache(data)
    parse_cache(b"glibc-ld.so.cache1.1" + data)
    parse_cache(b"glibc-ld.so.cache1.1" + b"\xff" * 4 + data)


def test_a_cache_is_read_behind_one_in_the_older_format_too() -> None:
    libraries = {"liba.so.1": "/usr/lib/liba.so.1", "libb.so": "/opt/libb.so"}
    for before in (b"", b"ld.so-1.7.0\0" + bytes(20)):
        assert parse_cache(ld_cache(libraries, before=before)) == {name: [path] for name, path in libraries.items()}
    assert parse_cache(b"") == {}


# --- an environment


class Machine:
    """A machine with a loader's files, and one environment."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        self.prefix = folder / "env"
        self.site = self.prefix / "lib/python3.12/site-packages"
        self.site.mkdir(parents=True)
        self.root.mkdir()

    def put(self, path: str, data: bytes | str) -> Path:
        target = self.prefix / path if not path.startswith("/") else self.root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
        return target

    def answer(self, environ: Mapping[str, str] | None = None, loader: str = "/lib64/ld-linux-x86-64.so.2") -> Any:
        program = self.put("/bin/python", elf(kind=2, interpreter=loader))
        return scan([str(self.prefix)], System(dict(environ or {}), root=str(self.root), executable=str(program)))

    def missing(self, environ: Mapping[str, str] | None = None, **more: str) -> set[tuple[str, str]]:
        return {(row["object"], row["library"]) for row in self.answer(environ, **more)["missing"]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PKG = "lib/python3.12/site-packages/pkg"


def test_a_library_that_is_nowhere_is_missing_and_told_with_who_needs_it(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libnowhere-at-all.so.1"))
    machine.put(f"{PKG}/other.so.3", elf("libnowhere-at-all.so.1"))
    machine.put("lib/python3.12/site-packages/pkg-1.2.dist-info/RECORD", "pkg/_core.so,sha256=x,1\n")
    assert machine.answer() == {
        "objects": 2,
        "foreign": 0,
        "malformed": 0,
        "missing": [
            {"library": "libnowhere-at-all.so.1", "object": f"{PKG}/_core.so", "owner": "pkg", "version": "1.2"},
            {"library": "libnowhere-at-all.so.1", "object": f"{PKG}/other.so.3", "owner": "", "version": ""},
        ],
        "more": 0,
    }


@pytest.mark.parametrize(
    "lines",
    ["pkg/_core.so,sha256=x,1", '"pkg/_core.so",sha256=x,1', "../site-packages/pkg/_core.so,,", "\r\npkg/_core.so,,"],
)
def test_a_record_names_its_files_in_many_ways(machine: Machine, lines: str) -> None:
    machine.put(f"{PKG}/_core.so", elf("libnowhere-at-all.so.1"))
    machine.put("lib/python3.12/site-packages/pkg-1.2.dist-info/RECORD", f"pkg/__init__.py,,\n{lines}\n")
    assert machine.answer()["missing"][0]["owner"] == "pkg"


def test_a_conda_package_is_an_owner_too(machine: Machine) -> None:
    machine.put("lib/libx.so", elf("libnowhere-at-all.so.1"))
    machine.put("conda-meta/broken.json", "{")
    told = {"name": "x", "version": "2", "files": ["lib/libx.so", 7]}
    machine.put("conda-meta/x-2-0.json", json.dumps(told, indent=1))
    (row,) = machine.answer()["missing"]
    assert (row["owner"], row["version"]) == ("x", "2")


@pytest.mark.parametrize("path", ["$ORIGIN/../pkg.libs", "${ORIGIN}/../pkg.libs", "/nowhere:$ORIGIN/../pkg.libs:"])
@pytest.mark.parametrize("kind", ["rpath", "runpath"])
def test_a_library_is_found_beside_what_needs_it(machine: Machine, path: str, kind: str) -> None:
    # The folder's link has a name that no file of the environment has, so that it is found by its path alone.
    library = machine.put("/outside/libown-1234.so.1", elf())
    folder = machine.prefix / "lib/python3.12/site-packages/pkg.libs"
    folder.symlink_to(library.parent)
    machine.put(
        f"{PKG}/_core.so",
        elf("libown-1234.so.1", rpath=path if kind == "rpath" else "", runpath=path if kind == "runpath" else ""),
    )
    assert machine.missing() == set()


def test_an_rpath_does_not_count_beside_a_runpath(machine: Machine) -> None:
    folder = machine.put("/outside/libown-1234.so.1", elf()).parent
    machine.put(f"{PKG}/_core.so", elf("libown-1234.so.1", rpath=str(folder), runpath="/nowhere"))
    assert machine.missing() == {(f"{PKG}/_core.so", "libown-1234.so.1")}
    assert machine.missing(loader="/lib/ld-musl-x86_64.so.1") == set(), "musl takes both"


@pytest.mark.parametrize("named", ["nvidia/cublas/lib/libcublas.so.12", "nvidia/cublas/lib/libcublas.so.12.8.4"])
def test_a_library_that_another_package_brings_counts_as_found(machine: Machine, named: str) -> None:
    machine.put(f"{PKG}/_core.so", elf("libcublas.so.12"))
    machine.put(f"lib/python3.12/site-packages/{named}", elf(soname="libcublas.so.12"))
    assert machine.missing() == set()


def test_a_link_of_the_name_counts_and_one_that_leads_nowhere_or_round_does_not(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libone.so.1", "libtwo.so.1", "libthree.so.1"))
    machine.put(f"{PKG}/libone-real.so.1.2", elf())
    folder = machine.prefix / PKG
    (folder / "libone.so.1").symlink_to("libone-real.so.1.2")
    (folder / "libtwo.so.1").symlink_to("gone.so")
    (folder / "libthree.so.1").symlink_to("libthree.so.1")
    (folder / "again").symlink_to(folder)
    assert machine.missing() == {(f"{PKG}/_core.so", "libtwo.so.1"), (f"{PKG}/_core.so", "libthree.so.1")}


def test_the_loaders_variable_and_its_cache_are_looked_at(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libcached-1234.so.1", "libset-1234.so.1"))
    cached = machine.put("/cached/libcached-1234.so.1", elf())
    told = machine.put("/told/libset-1234.so.1", elf())
    assert len(machine.missing()) == 2
    machine.put("/etc/ld.so.cache", ld_cache({"libcached-1234.so.1": str(cached)}))
    assert machine.missing({"LD_LIBRARY_PATH": f"/x::{told.parent}"}) == set()
    cached.unlink()
    assert machine.missing({"LD_LIBRARY_PATH": str(told.parent)}) == {(f"{PKG}/_core.so", "libcached-1234.so.1")}


def test_the_loaders_configuration_counts_where_there_is_no_cache(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libconf-1234.so.1"))
    folder = machine.put("/conf/libconf-1234.so.1", elf()).parent
    machine.put("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\ninclude ld.so.conf\n")
    machine.put("/etc/ld.so.conf.d/one.conf", f"# ours\n{folder}  # here\n")
    assert machine.missing() == set()
    machine.put("/etc/ld.so.cache", ld_cache({"libother.so": "/other/libother.so"}))
    assert machine.missing() == {(f"{PKG}/_core.so", "libconf-1234.so.1")}


def test_musl_looks_where_its_own_file_says_and_is_itself_the_c_library(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libc.so.6", "libm.so.6", "libmusl-1234.so.1"))
    folder = machine.put("/musl/libmusl-1234.so.1", elf()).parent
    machine.put("/etc/ld-musl-x86_64.path", f"/lib:{folder}\n")
    assert machine.missing(loader="/lib/ld-musl-x86_64.so.1") == set()


def test_an_executables_rpath_is_that_of_all_that_it_loads(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libconda-1234.so.1"))
    machine.put("/lib/libconda-1234.so.1", elf())
    program = machine.put("/bin/python", elf(kind=2, rpath="$ORIGIN/../lib"))
    assert scan([str(machine.prefix)], System({}, root=str(machine.root), executable=str(program)))["missing"] == []


@pytest.mark.parametrize(
    "other", [elf(machine=AARCH64), elf(wide=False), elf(little=False, machine=S390), b"no library"]
)
def test_a_library_of_another_kind_is_none(machine: Machine, other: bytes) -> None:
    folder = machine.put("/outside/libown-1234.so.1", other).parent
    machine.put(f"{PKG}/libown-1234.so.1", other)
    machine.put(f"{PKG}/_core.so", elf("libown-1234.so.1", runpath=str(folder)))
    assert machine.missing() == {(f"{PKG}/_core.so", "libown-1234.so.1")}


def test_what_no_process_of_this_machine_loads_is_not_judged(machine: Machine) -> None:
    machine.put(f"{PKG}/android.so", elf("libnowhere-at-all.so", machine=AARCH64))
    machine.put(f"{PKG}/stubs/libcuda.so", elf("libnowhere-at-all.so"))
    machine.put(f"{PKG}/program.so", elf("libnowhere-at-all.so", kind=2))
    machine.put(f"{PKG}/script.so", "INPUT(-lx)")
    machine.put(f"{PKG}/broken.so", elf("libx.so")[:100])
    answer = machine.answer()
    assert (answer["objects"], answer["foreign"], answer["malformed"], answer["missing"]) == (0, 1, 1, [])


def test_a_stub_is_no_library(machine: Machine) -> None:
    machine.put(f"{PKG}/stubs/libcuda.so.1", elf(soname="libcuda.so.1"))
    machine.put(f"{PKG}/_core.so", elf("libcuda.so.1"))
    assert machine.missing() == {(f"{PKG}/_core.so", "libcuda.so.1")}


def test_a_path_in_place_of_a_name_is_a_path(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("$ORIGIN/libhere.so", "/nowhere/at/all.so", "../pkg/libhere.so"))
    machine.put(f"{PKG}/libhere.so", elf())
    assert machine.missing() == {(f"{PKG}/_core.so", "/nowhere/at/all.so")}


def test_other_environments_and_downloads_of_conda_are_not_this_one(machine: Machine) -> None:
    machine.put("conda-meta/history", "")
    for folder in ("pkgs/x/lib", "envs/other/lib"):
        machine.put(f"{folder}/libx.so", elf("libnowhere-at-all.so"))
    assert machine.answer()["objects"] == 0
    (machine.prefix / "conda-meta/history").unlink()
    (machine.prefix / "conda-meta").rmdir()
    assert machine.answer()["objects"] == 2


def test_what_the_base_interpreter_has_is_seen_where_the_environment_sees_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    series = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = base / "lib" / series / "site-packages/nvidia/libbase-1234.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(elf("libnowhere-at-all.so"))
    monkeypatch.setattr(sys, "base_prefix", str(base))
    machine.put(f"{PKG}/_core.so", elf("libbase-1234.so"))
    machine.put("pyvenv.cfg", "include-system-site-packages = false\n")
    assert len(machine.missing()) == 1
    machine.put("pyvenv.cfg", "home = /x\ninclude-system-site-packages = true\n")
    assert machine.missing() == set()


def test_pipes_and_devices_are_not_read(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf("libpipe.so"))
    os.mkfifo(machine.prefix / PKG / "libpipe.so")
    (machine.prefix / PKG / "libnull.so").symlink_to("/dev/zero")
    assert machine.missing() == {(f"{PKG}/_core.so", "libpipe.so")}


def test_names_that_are_no_text_are_shown_all_the_same(machine: Machine) -> None:
    machine.put(
        f"{PKG}/_core.so", elf("libé-1234.so".encode("latin-1").decode("utf-8", "surrogateescape")[:3] + "\n.so")
    )
    Path(os.fsdecode(os.fsencode(machine.prefix / PKG) + b"/\xff.so")).write_bytes(elf("libnowhere-at-all.so"))
    told = json.loads(json.dumps(shared_objects.clean(machine.answer())))
    assert sorted(row["object"] for row in told["missing"]) == [f"{PKG}/\\udcff.so", f"{PKG}/_core.so"]
    assert json.dumps(told, ensure_ascii=False).encode()


def test_a_folder_in_another_is_read_once(machine: Machine) -> None:
    machine.put(f"{PKG}/_core.so", elf())
    system = System({}, root=str(machine.root))
    twice = [str(machine.site), str(machine.prefix), str(machine.prefix), str(machine.site / "pkg")]
    assert scan(twice, system)["objects"] == 1
    assert scan([], system)["objects"] == 0


def test_an_answer_has_an_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_objects, "_MOST_ROWS", 5)
    machine.put(f"{PKG}/_core.so", elf(*(f"libnowhere-{number}.so" for number in range(12))))
    answer = machine.answer()
    assert (len(answer["missing"]), answer["more"]) == (5, 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    paths=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30), max_size=5),
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_any_path_and_name_in_an_object_is_looked_for(machine: Machine, paths: list[str], name: str) -> None:
    machine.put(f"{PKG}/_core.so", elf(name, runpath=":".join(paths)))
    json.dumps(shared_objects.clean(machine.answer()))


def test_it_is_written_for_python_38_and_its_standard_library() -> None:
    text = shared_objects_text()
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"glob", "json", "os", "stat", "struct", "sys"}
