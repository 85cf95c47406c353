"""The build side of the pattern conda, by whole runs: many at once, without a network, on odd disks, and its checks."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.component.conda_programs import CONDA_LEG, SMALL, environment_file, finding, record_of, use_channel, why
from tests.component.program import PACKAGE, ended, leftovers
from tests.component.test_disk import Disk
from tests.support.channel_archive import Member, Package
from tests.support.channel_server import ChannelServer
from tests.support.index import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.component.conda_program_fixtures import MakeConda, MakeCopy
    from tests.component.program import Done, Program
    from tests.support.channel import Channel

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")]
pytest_plugins = ("tests.component.conda_program_fixtures",)

#: Runs that begin at once.
AT_ONCE = 16

#: Where nobody listens (RFC 6335: the discard port).
NOBODY = "http://127.0.0.1:9"

#: A file system of its own on Linux.
MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made under private names


def green(done: Done) -> None:
    assert done.code == 0, done.said


# Many at once.


@pytest.mark.timeout(300)
def test_many_whole_runs_fill_one_cold_cache(
    make_conda: MakeConda, stood: Program, lean_server: ChannelServer, tmp_path: Path
) -> None:
    """Nothing is there for any of them: each locks, and they bring the packages together."""
    programs = [make_conda(f"project {number}", cache=tmp_path / "one cache") for number in range(AT_ONCE)]
    lean_server.heal()
    for done in [ended(process, 250) for process in [program.start("run") for program in programs]]:
        green(done)
    assert {record_of(program).status for program in programs} == {"passed"}
    assert {program.digest for program in programs} == {stood.digest}
    assert len(lean_server.downloads) == len(set(lean_server.downloads)), "each package is fetched once"
    assert leftovers(tmp_path) == []
    assert [path for path in (tmp_path / "one cache/conda").rglob(".*") if path.suffix in (".part", ".gone")] == []


def test_constraints_that_a_folder_above_has_for_uv_do_not_stop_the_pip_part(
    make_copy: MakeCopy, stood: Program, tmp_path: Path
) -> None:
    # uv looks for [tool.uv] in every folder above; told to require hashes, it wants one of each constraint as well.
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nconstraint-dependencies = ["seed<9"]\n', encoding="utf-8")
    program = make_copy("project", stood.cache)
    green(program.run("--fresh"))
    assert program.digest == stood.digest


def test_runs_of_one_leg_at_once_build_it_once(make_copy: MakeCopy, stood: Program) -> None:
    program = make_copy("project", stood.cache)
    said = [ended(process) for process in [program.start("run") for _ in range(4)]]
    for done in said:
        green(done)
    assert sorted(done.said.count("built: it was not there") for done in said) == [0, 0, 0, 1]
    assert program.digest == stood.digest


# Without a network.


def test_offline_what_was_brought_once_is_enough(
    make_conda: MakeConda, stood: Program, lean: Channel, fruit: Path
) -> None:
    with ChannelServer(lean.folder.parent) as server, Index(fruit) as index:
        program = make_conda("project", channel=server.url())
        program.env.update(UV_DEFAULT_INDEX=index.url, PIP_INDEX_URL=index.url)
        green(program.run())
    # Nobody answers any more.
    for words in (("--offline", "--fresh"), ("--offline", "--lock-mode=update", "--fresh")):
        green(program.run(*words))
        assert program.digest == stood.digest


def cut_off(program: Program, cache: Path) -> None:
    """Nobody answers, and nothing is there."""
    use_channel(program, f"{NOBODY}/conda-forge")
    program.env.update(UV_DEFAULT_INDEX=f"{NOBODY}/simple/", PIP_INDEX_URL=f"{NOBODY}/simple/")
    program.env["CI_ENVS_CACHE_DIR"] = str(cache)


def test_offline_what_a_cold_cache_lacks_is_named(make_copy: MakeCopy, tmp_path: Path) -> None:
    program = make_copy("project")
    cut_off(program, tmp_path / "empty")
    done = program.run("--offline")
    assert done.code == 6, done.said
    reason = record_of(program).reason
    assert all(f"{name}-1." in reason for name in ("apple", "hello-native", "seed")), reason
    assert re.search(r"python-3\.\d+\.\d+-0_cpython", reason)
    assert "without --offline" in done.stdout
    assert leftovers(program.root, program.cache) == []


def test_a_channel_that_is_down_is_broken_and_the_old_environment_stays(make_copy: MakeCopy, tmp_path: Path) -> None:
    program = make_copy("project")
    green(program.run())
    expected = program.digest
    cut_off(program, tmp_path / "empty")
    done = program.run("--fresh", timeout=200)
    assert done.code == 6, done.said
    assert record_of(program).status == "broken"
    assert record_of(program).reason.startswith("build: the channel did not give https://conda.anaconda.org/")
    assert program.digest == expected


# Odd disks and paths.


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
@pytest.mark.parametrize("elsewhere", ["CI_ENVS_STATE_DIR", "CI_ENVS_CACHE_DIR"])
def test_cache_and_environment_may_be_on_two_disks(make_copy: MakeCopy, stood: Program, elsewhere: str) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        program = make_copy("project")
        program.env[elsewhere] = folder
        green(program.run())
        assert program.digest == stood.digest
        assert (program.prefix / "share/hello-native/data.txt").stat().st_nlink == 1
        green(program.run("--fresh"))
        assert program.digest == stood.digest


def test_a_prefix_that_no_placeholder_has_room_for_is_said_with_both_lengths(
    make_copy: MakeCopy, tmp_path: Path
) -> None:
    program = make_copy("project")
    state = tmp_path / ("x" * 100) / ("y" * 100)
    program.env["CI_ENVS_STATE_DIR"] = str(state)
    length = len(os.fsencode(program.prefix))
    assert length > 255
    done = program.run()
    assert done.code == 6, done.said
    reason = record_of(program).reason
    assert f"a name of {length} bytes" in reason
    assert "room for 255" in reason
    assert [each.code for each in record_of(program).findings] == [], "the cache is not to blame"
    assert "CI_ENVS_STATE_DIR" in done.stdout
    assert not program.prefix.exists()
    assert leftovers(state) == []


@pytest.mark.parametrize("name", ["it's", 'a "b" c', "$(touch harm)", "back`tick`"])
def test_a_path_that_means_something_to_what_it_is_written_into_is_refused(
    make_copy: MakeCopy, tmp_path: Path, name: str
) -> None:
    """The prefix is put into sources of Python and of the shell as it is."""
    program = make_copy(name)
    done = program.run()
    assert done.code == 6, done.said
    assert "cannot be put into the files of conda packages" in record_of(program).reason
    assert "CI_ENVS_STATE_DIR" in done.stdout
    assert not program.prefix.exists()
    program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "plain")
    green(program.run())
    assert not list(tmp_path.rglob("harm"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk."""
    path = tmp_path / "disk"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


KB = 1024
ROOM = (0, 40 * KB, 400 * KB, 3000 * KB, 9000 * KB)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["CI_ENVS_STATE_DIR", "CI_ENVS_CACHE_DIR"])
def test_a_full_disk_is_broken_and_the_next_run_with_room_is_green(
    make_copy: MakeCopy, stood: Program, disk: Disk, where: str
) -> None:
    program = make_copy("project")
    program.env[where] = str(disk.path / "there")
    for free in ROOM:
        with disk.with_room_for(free):
            done = program.run()
        assert_full(program, done)
        assert not program.prefix.exists()
        assert leftovers(program.root, program.state, program.cache) == []
    green(program.run())
    assert program.digest == stood.digest
    found = (program.cache / "conda").rglob(".*")
    assert [path for path in found if path.suffix in (".part", ".gone")] == []


@pytest.mark.timeout(300)
def test_a_full_disk_leaves_the_old_environment_as_it_was(make_copy: MakeCopy, stood: Program, disk: Disk) -> None:
    program = make_copy("project")
    program.env["CI_ENVS_STATE_DIR"] = str(disk.path / "there")
    green(program.run())
    for free in ROOM:
        with disk.with_room_for(free):
            done = program.run("--fresh")
        assert_full(program, done)
        assert program.digest == stood.digest
        assert leftovers(program.root, program.state, program.cache) == []
    green(program.run())
    assert why(program).startswith("kept: ")


def assert_full(program: Program, done: Done) -> None:
    assert done.code != 0, done.said
    assert "the disk is full" in done.said, done.said
    assert "unexpected" not in done.said, done.said
    record = program.record
    if record is not None and not done.stderr.startswith("error: "):
        assert record.status == "broken", done.said
        assert "the disk is full" in record.reason


# Installed equals locked.


def change_lock(program: Program, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Has somebody edit the packages of the lock."""
    (path,) = (program.root / "locks").iterdir()
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(told["package"])
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")


def take_other_build(lean: Channel) -> Callable[[list[dict[str, Any]]], object]:
    def change(packages: list[dict[str, Any]]) -> None:
        package = next(one for one in packages if one["name"] == "hello-native")
        file = "hello-native-1.0-h5eee18b_0.conda"
        told = lean.records()[file]
        assert package["url"].endswith("_1.conda")
        package["url"] = package["url"].replace("hello-native-1.0-h5eee18b_1.conda", file)
        package["hash"] = {"md5": told["md5"], "sha256": told["sha256"]}
        if "build" in package:
            package["build"] = told["build"]

    return change


def builds(program: Program) -> dict[str, str]:
    return {each.name: each.build for each in record_of(program).inventory if each.manager == "conda"}


def test_a_lock_that_names_another_build_of_the_same_version_is_built(
    make_copy: MakeCopy, stood: Program, lean: Channel
) -> None:
    program = make_copy("project", stood.cache)
    green(program.run())
    assert builds(program)["hello-native"] == "h5eee18b_1"
    change_lock(program, take_other_build(lean))
    green(program.run("--lock-mode=locked"))
    assert why(program).startswith("built: lock")
    assert builds(program)["hello-native"] == "h5eee18b_0"
    assert program.digest != stood.digest


def test_what_pip_did_by_hand_is_named_and_undone(
    make_copy: MakeCopy, stood: Program, fruit: Path, uv_bin: str
) -> None:
    program = make_copy("project", stood.cache)
    green(program.run())
    wheel = fruit / "apple-1.0-py3-none-any.whl"
    words = (uv_bin, "pip", "install", "--no-deps", "--reinstall", str(wheel), "--python", str(program.prefix))
    green(program.do("exec", CONDA_LEG, "--", *words))
    assert (program.site / "apple-1.0.dist-info").is_dir()
    done = program.do("check", CONDA_LEG)
    assert done.code == 7, done.said
    green(program.run())
    assert re.search(r"built: \S+ was altered, and \d+ more files", why(program))
    assert program.digest == stood.digest


def test_a_package_that_both_bring_is_said(make_copy: MakeCopy, stood: Program, fruit: Path) -> None:
    """The lock was edited: below `pip:` there is what conda has, too."""
    program = make_copy("project", stood.cache)

    def change(packages: list[dict[str, Any]]) -> None:
        plum = next(one for one in packages if one["name"] == "plum")
        wheel = fruit / "seed-1.0-py3-none-any.whl"
        url = plum["url"].rpartition("/")[0].replace("/plum", "/seed") + f"/{wheel.name}"
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        told = {**plum, "name": "seed", "version": "1.0", "url": url, "hash": {"sha256": sha256}}
        packages.append(copy.deepcopy(told))

    change_lock(program, change)
    green(program.run("--lock-mode=frozen"))
    assert "seed: conda has installed 1.5 pyhd8ed1ab_0, and uv 1.0 over it" in finding(program, "ENV211").message
    assert [each.code for each in record_of(program).findings if each.severity == "error"] == []


def test_a_dependency_that_the_lock_lacks_is_an_error(make_copy: MakeCopy, stood: Program) -> None:
    program = make_copy("project", stood.cache)
    change_lock(program, lambda packages: packages.remove(next(one for one in packages if one["name"] == "seed")))
    done = program.run("--lock-mode=locked")
    assert done.code == 5, done.said
    assert "seed" in record_of(program).reason
    done = program.run("--lock-mode=frozen")
    assert done.code == 7, done.said
    assert finding(program, "ENV210").message == "apple 1.1 pyhd8ed1ab_0 requires seed >=1, which is not installed"
    assert "apple 1.1 requires seed" in finding(program, "ENV201").message


def test_channels_that_are_mixed_with_defaults_are_said(
    make_copy: MakeCopy, lean_server: ChannelServer, stood: Program
) -> None:
    program = make_copy("project", stood.cache)
    main = "https://repo.anaconda.com/pkgs/main"
    mirrors = {"conda-forge": [lean_server.url()], main: [lean_server.url()]}
    condarc = program.root.parent / "two.condarc"
    condarc.write_text(yaml.safe_dump({"mirrored_channels": mirrors}))
    program.env["CONDARC"] = str(condarc)

    def change(packages: list[dict[str, Any]]) -> None:
        package = next(one for one in packages if one["name"] == "hello-native")
        package["url"] = f"{main}/{'/'.join(package['url'].split('/')[-2:])}"

    change_lock(program, change)
    green(program.run("--lock-mode=frozen"))
    assert finding(program, "ENV212").message.startswith("hello-native of defaults, and ")


# Activation, the project itself.

ACTIVE = """\
import os, sys
prefix = os.environ["CONDA_PREFIX"]
assert prefix == sys.prefix, prefix
assert os.environ["HELLO_HOME"] == f"{prefix}/share/hello-native"
assert os.environ["HELLO_GREETING"] == "hello"
assert os.environ["MINE"] == "of the file"
print("active")
"""


def test_activation_reaches_check_test_and_exec(make_conda: MakeConda, stood: Program) -> None:
    files = {
        **SMALL,
        "environment.yml": f"{SMALL['environment.yml']}variables: {{MINE: of the file}}\n",
        "active.py": ACTIVE,
        "ci-envs.yml": "check: {command: python active.py}\ntest: {command: python active.py}\n",
    }
    program = make_conda("project", files, cache=stood.cache)
    green(program.run())
    done = program.do("exec", CONDA_LEG, "--", "python", "active.py")
    green(done)
    assert done.stdout == "active\n"
    (program.root / "active.py").write_text(ACTIVE.replace("hello", "howdy"))
    assert program.run().code == 7


CONDA_PACKAGE = {
    **PACKAGE,
    "environment.yml": environment_file("python", "apple", pip=("pear",)),
    "ci-envs.yml": 'test:\n  command: python -c "import basket, pear"\n',
}


def test_the_project_is_installed_as_a_wheel_and_is_no_part_of_the_digest(
    make_conda: MakeConda, stood: Program
) -> None:
    program = make_conda("project", CONDA_PACKAGE, cache=stood.cache)
    green(program.run())
    expected = program.digest
    assert (program.site / "basket/__init__.py").is_file()
    assert "basket" in {each.name for each in record_of(program).inventory if each.manager == "python"}
    (program.root / "src/basket/__init__.py").write_text("import pear\n")
    green(program.run())
    assert why(program) == "built: sources changed"
    assert program.digest == expected


def test_what_the_project_requires_is_checked(make_conda: MakeConda, stood: Program) -> None:
    files = {**CONDA_PACKAGE, "environment.yml": environment_file("python", "apple"), "ci-envs.yml": ""}
    program = make_conda("project", files, cache=stood.cache)
    done = program.run()
    assert done.code == 7, done.said
    assert "basket 0.1 requires pear, which is not installed" in finding(program, "ENV201").message


# Scripts and bytecode, as they are configured.

LINKER = {"environment.yml": environment_file("python", "linker"), "ci-envs.yml": ""}


def test_a_script_runs_where_it_is_allowed_by_name(make_conda: MakeConda, stood: Program) -> None:
    program = make_conda("project", LINKER, cache=stood.cache)
    green(program.run())
    assert "post-link-scripts: [linker]" in finding(program, "ENV140").message
    assert not (program.prefix / "share/linker/linked.txt").exists()
    without = program.digest

    (program.root / "ci-envs.yml").write_text("conda: {post-link-scripts: [linker]}\n")
    green(program.run())
    assert why(program) == "built: settings changed"
    assert (program.prefix / "share/linker/linked.txt").read_text() == "linker 1.0\n"
    assert program.digest != without, "what a script has made is there"
    first = program.digest
    green(program.run("--fresh"))
    assert program.digest == first
    green(program.do("check", CONDA_LEG))


def script_that(does: str, name: str = "linker") -> Package:
    """A package whose post-link script does that."""
    script = Member(path=f"bin/.{name}-post-link.sh", data=f"#!/bin/sh\n{does}\n".encode(), mode=0o755)
    data = Member(path=f"share/{name}/data.txt", data=b"data\n")
    return Package(name=name, version="2.0", noarch="generic", members=(script, data))


def test_what_an_allowed_script_makes_may_be_a_program(
    make_conda: MakeConda, stood: Program, own_lean: Channel
) -> None:
    """That is what it was allowed for."""
    own_lean.add(script_that('printf "#!/bin/sh\\necho made\\n" > "$PREFIX/bin/made"; chmod +x "$PREFIX/bin/made"'))
    files = {**LINKER, "ci-envs.yml": "conda: {post-link-scripts: [linker]}\ntest: {command: made}\n"}
    program = make_conda("project", files, channel=own_lean.url, cache=stood.cache)
    green(program.run())
    green(program.do("check", CONDA_LEG))
    (program.prefix / "bin/unmade").write_text("#!/bin/sh\n")
    assert program.do("check", CONDA_LEG).code == 7


def test_an_altered_script_of_the_cache_does_not_run(make_conda: MakeConda, own_lean: Channel) -> None:
    own_lean.add(script_that('echo sound > "$PREFIX/ran"'))
    files = {**LINKER, "ci-envs.yml": "conda: {post-link-scripts: [linker]}\n"}
    program = make_conda("project", files, channel=own_lean.url)
    green(program.run())
    expected = program.digest
    (script,) = (program.cache / "conda/pkgs").glob("*/linker-2.0-*/bin/.linker-post-link.sh")
    script.write_text(f'#!/bin/sh\necho evil > "{program.root}/evil"\n')
    green(program.run("--fresh"))
    assert "linker" in finding(program, "ENV119").message
    assert program.digest == expected
    assert not (program.root / "evil").exists()


def test_bytecode_is_made_where_it_is_asked_for(make_copy: MakeCopy, stood: Program) -> None:
    program = make_copy("project", stood.cache)
    (program.root / "ci-envs.yml").write_text(f"{SMALL['ci-envs.yml']}conda: {{compile-bytecode: true}}\n")
    green(program.run())
    (made,) = program.site.glob("apple/__pycache__/*.pyc")
    assert int.from_bytes(made.read_bytes()[4:8], "little") == 0b11, "checked by the source's hash (PEP 552)"
    assert program.digest == stood.digest
    green(program.do("check", CONDA_LEG))
    green(program.run())
    assert why(program).startswith("kept: ")
