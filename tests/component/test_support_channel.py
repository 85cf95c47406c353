"""The channel of the tests is a real one to rattler: what is installed from it runs, at any prefix.

Its server and its sick packages are in ``test_support_channel_server.py``.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rattler
from rattler.exceptions import SolverError
from rattler.shell.shell import ActivationVariables, activate
from tests.support import channel_broken as broken
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import PLACEHOLDER, pack, unpack
from tests.support.channel_client import Rattler
from tests.support.channel_forge import SERIES, packable_interpreters
from tests.support.channel_packages import (
    PLATFORMS,
    data_package,
    post_link_package,
    stub_package,
    stub_python,
    tool_package,
    variant_packages,
)
from tests.support.channel_python import python_abi_package, python_package, wheel_package
from tests.support.channel_synthetic import filler_packages, synthetic_repodata
from tests.support.wheels import make_wheel

from ci_envs.command import Command, Outcome, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.channel_server import ChannelServer

pytestmark = pytest.mark.component

PLAIN = stub_package("plain", "1.0")


@pytest.fixture
def conda(tmp_path: Path) -> Rattler:
    return Rattler(tmp_path)


def run_in(prefix: Path, program: str, *arguments: str) -> Outcome:
    outcome = run(Command((str(prefix / "bin" / program), *arguments), timeout=60))
    assert outcome, outcome.tail()
    return outcome


def python(prefix: Path, code: str) -> str:
    return run_in(prefix, "python", "-I", "-c", code).stdout.strip()


# What is installed from the channel runs.


@pytest.mark.parametrize("series", SERIES)
def test_each_python_of_this_machine_runs_with_native_code_and_scripts(
    series: str, channel_server: ChannelServer, conda: Rattler
) -> None:
    if not packable_interpreters([series]):
        pytest.skip(f"no Python {series} here")

    prefix = conda.install(channel_server.url(), f"python {series}.*", "numpy", "pytest", "six", "pip")

    assert python(prefix, "import sys; print(sys.prefix, sys.version_info[:2])") == (
        f"{prefix} {tuple(map(int, series.split('.')))}"
    )
    assert python(prefix, "import numpy, ssl, sqlite3; print(numpy.arange(4).dot(numpy.arange(4)))") == "14"
    assert run_in(prefix, "pytest", "--version").stdout.startswith("pytest ")
    assert run_in(prefix, "pip", "--version").stdout.split()[-1] == f"{series})"
    assert python(prefix, "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))") == str(prefix / "lib")


def test_python_and_tools_run_at_a_prefix_as_long_as_the_placeholder(
    channel_server: ChannelServer, conda: Rattler
) -> None:
    folder = conda.folder / ("x" * 120)
    prefix = folder / ("y" * (len(PLACEHOLDER) - len(str(folder)) - 1))
    assert len(str(prefix)) == 255

    conda.install(channel_server.url(), "python", "pytest", "hello-native", prefix=prefix)

    assert run_in(prefix, "hello-native").stdout == f"hello from {prefix}\n"
    assert python(prefix, "import sys; print(sys.prefix)") == str(prefix)
    assert run_in(prefix, "pytest", "--version").stdout.startswith("pytest ")


def test_nothing_of_the_interpreter_that_was_packed_is_used(channel_server: ChannelServer, conda: Rattler) -> None:
    prefix = conda.install(channel_server.url(), "python 3.12.*")

    loaded = python(prefix, "import ssl, sys; print(open('/proc/self/maps').read(), *sys.path)")

    assert str(prefix) in loaded
    assert packable_interpreters(["3.12"])[0].base_prefix not in loaded


def test_the_tool_has_its_prefix_in_text_and_in_binary_files(channel_server: ChannelServer, conda: Rattler) -> None:
    prefix = conda.install(channel_server.url(), "hello-native 1.0.*", "make")

    assert run_in(prefix, "hello-native").stdout == f"hello from {prefix}\n"
    assert run_in(prefix, "hello-native-script").stdout == f"hello from {prefix}\n"
    assert (prefix / "etc/hello-native/hello-native.conf").read_text().count(f"{prefix}/") == 2
    assert (prefix / "share/hello-native/link.txt").read_text() == "plain data\n"
    assert (prefix / "share/hello-native/link.txt").is_symlink()
    assert (prefix / "share/hello-native/empty").stat().st_size == 0
    assert run_in(prefix, "make", "--version").stdout.startswith("GNU Make")
    left = [path for path in prefix.rglob("*") if path.is_file() and path.parent.name != "conda-meta"]
    assert not [path for path in left if PLACEHOLDER.encode() in path.read_bytes()]


def test_the_tool_is_compiled_where_there_is_a_compiler(tool: Callable[[str], Path]) -> None:
    tool("cc")
    program = next(one for one in tool_package().members if one.path == "bin/hello-native")

    assert program.file_mode == "binary"
    assert program.data.startswith(b"\x7fELF")
    assert program.data.count(PLACEHOLDER.encode() + b"\0") == 1


def test_activating_runs_what_the_tool_brings(channel_server: ChannelServer, conda: Rattler) -> None:
    prefix = conda.install(channel_server.url(), "hello-native")

    told = activate(prefix, ActivationVariables(None, ["/usr/bin", "/bin"]))

    assert f"{prefix}/etc/conda/activate.d/hello-native.sh" in told.script
    assert "HELLO_GREETING" in told.script


def test_a_post_link_script_runs_only_where_that_is_asked_for(channel_server: ChannelServer, conda: Rattler) -> None:
    without = conda.install(channel_server.url(), "linker", prefix=conda.folder / "without")
    with_scripts = conda.install(channel_server.url(), "linker", prefix=conda.folder / "with", scripts=True)

    assert not (without / "share/linker/linked.txt").exists()
    assert (with_scripts / "share/linker/linked.txt").read_text() == "linker 1.0\n"


def test_a_wheel_is_installed_as_conda_forge_would_have_it(channel_server: ChannelServer, conda: Rattler) -> None:
    prefix = conda.install(channel_server.url(), "python 3.12.*", "pytest", "numpy")
    site = prefix / "lib/python3.12/site-packages"

    for name in ("pytest", "numpy"):
        info = next(site.glob(f"{name}-*.dist-info"))
        assert (info / "INSTALLER").read_text() == "conda"
        rows = [row.split(",")[0] for row in (info / "RECORD").read_text().splitlines()]
        assert not [row for row in rows if not (site / row).exists()]
        assert any(row.startswith("../../../bin/") for row in rows)
    told = json.loads(next((prefix / "conda-meta").glob("pytest-*.json")).read_bytes())
    assert told["noarch"] == "python"
    assert [spec for spec in told["depends"] if re.fullmatch(r"pluggy >=[\d.]+,<2", spec)]
    assert not [spec for spec in told["depends"] if spec.startswith(("colorama", "tomli"))]  # their markers do not hold


def test_the_whole_forge_can_be_solved_for_every_platform(forge: Channel, tmp_path: Path) -> None:
    virtual = ["__unix=0", "__glibc=2.36", "__osx=14.0", "__win=10", "__archspec=1"]
    for platform in PLATFORMS:
        records = Rattler(tmp_path, platform).solve(
            forge.url, "python 3.12.*", "numpy", "pytest", "make", "hello-native", "pytorch", virtual=virtual
        )

        assert {"tzdata", "python_abi", "pluggy"} <= {record.name.normalized for record in records}, platform


def test_a_tar_bz2_is_installed_too(conda: Rattler) -> None:
    channel = make_channel(conda.folder / "channel", [replace(tool_package(), suffix=".tar.bz2")])

    prefix = conda.install(channel.url, "hello-native")

    assert run_in(prefix, "hello-native").stdout == f"hello from {prefix}\n"


def test_a_wheel_can_be_packed_for_one_python_only(conda: Rattler) -> None:
    wheel = make_wheel(
        conda.folder,
        "apple",
        "1.0",
        requires=["seed>=1,<2", "sugar; python_version < '3.9'"],
        modules={"apple/__init__.py": "def main():\n    print('crunch')\n"},
        scripts={"eat-apple": "apple:main"},
        data_scripts={"stone-apple": "#!python\nprint('stone')\n"},
    )
    native, noarch = wheel_package(wheel, noarch=False, series="3.12"), wheel_package(wheel)

    assert native.depends == ("python >=3.12,<3.13.0a0", "python_abi 3.12.* *_cp312", "seed >=1,<2")
    assert noarch.depends == ("python >=3.8", "seed >=1,<2")
    assert noarch.entry_points == ("eat-apple = apple:main",)
    one = packable_interpreters(["3.12"])[0]
    for wanted in (native, noarch):
        packages = [wanted, stub_package("seed", "1.0"), python_package(one), python_abi_package("3.12")]
        channel = make_channel(conda.folder / wanted.subdir / "channel", packages)
        prefix = conda.install(channel.url, "apple", "python", prefix=conda.folder / f"prefix of {wanted.subdir}")
        assert run_in(prefix, "eat-apple").stdout == "crunch\n"
        assert run_in(prefix, "stone-apple").stdout == "stone\n"


# CPU and GPU.


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    pythons = [stub_python("3.12.9", platform) for platform in PLATFORMS]
    packages = [*pythons, python_abi_package("3.12"), *variant_packages(platforms=PLATFORMS)]
    return make_channel(tmp_path_factory.mktemp("variants") / "conda-forge", packages)


SYSTEMS = ("__glibc=2.36", "__osx=14.0")


def build_of(records: list[rattler.RepoDataRecord], name: str = "pytorch") -> str:
    return next(str(record.build) for record in records if record.name.normalized == name)


CHOICES = [
    # platform, specs, the system's CUDA, build
    ("linux-64", ["pytorch"], "", "cpu_generic_py312_h6c0bcb4_0"),
    ("linux-64", ["pytorch"], "12.6", "cuda126_py312_h6c0bcb4_200"),
    ("linux-64", ["pytorch", "cuda-version 12.4.*"], "12.6", "cuda124_py312_h6c0bcb4_200"),
    ("linux-64", ["pytorch-cpu"], "12.6", "cpu_generic_py312_h6c0bcb4_0"),
    ("linux-aarch64", ["pytorch-gpu"], "12.8", "cuda126_py312_h6c0bcb4_200"),
    ("osx-arm64", ["pytorch"], "", "cpu_generic_py312_h6c0bcb4_0"),
    ("win-64", ["pytorch"], "12.6", "cuda126_py312_h6c0bcb4_200"),
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice[0]} {choice[1][-1]} {choice[2]}")
def test_the_system_chooses_the_build(
    choice: tuple[str, list[str], str, str], variants: Channel, tmp_path: Path
) -> None:
    platform, specs, cuda, build = choice
    virtual = [*SYSTEMS, f"__cuda={cuda}"] if cuda else SYSTEMS

    records = Rattler(tmp_path, platform).solve(variants.url, *specs, virtual=virtual)

    assert build_of(records) == build
    if platform == "linux-64":
        assert build_of(records, "_openmp_mutex") == "2_gnu"  # the other is newer, and has track_features


@pytest.mark.parametrize("spec", ["pytorch-gpu", "pytorch * cuda126*"])
def test_a_gpu_build_cannot_be_had_without_cuda(spec: str, variants: Channel, conda: Rattler) -> None:
    with pytest.raises(SolverError, match="__cuda"):
        conda.solve(variants.url, spec, virtual=SYSTEMS)


# The same twice.


def test_the_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    def made(folder: Path) -> dict[str, bytes]:
        packages = [tool_package(), post_link_package(), data_package(), *variant_packages(), *filler_packages(2)]
        packages += [python_package(one) for one in packable_interpreters(["3.12"])]
        make_channel(folder, [*packages, replace(PLAIN, suffix=".tar.bz2")])
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = made(tmp_path / "one")
    time.sleep(1.1)  # the clocks of zip and tar tick in seconds
    second = made(tmp_path / "two")

    assert "linux-64/python-3.12" in " ".join(first)
    assert [path for path in first if first[path] != second.get(path)] == []
    assert len(first) == len(second)


def test_packing_a_python_takes_seconds() -> None:
    started = time.monotonic()
    data = pack(python_package(packable_interpreters(["3.12"])[0]))

    assert time.monotonic() - started < 15  # 0.7 s on an idle machine
    held = unpack(data)
    assert "bin/python3.12" in held
    assert not [path for path in held if "site-packages/" in path or "__pycache__" in path or "/test/" in path]
    told = {one["_path"]: one for one in json.loads(held["info/paths.json"])["paths"]}
    assert told["bin/python"]["path_type"] == "softlink"
    assert told["bin/python"]["sha256"] == told["bin/python3.12"]["sha256"]
    assert told["bin/python3.12-config"]["prefix_placeholder"] == PLACEHOLDER


# The channel.


def test_a_package_that_was_removed_is_named_and_gone(conda: Rattler) -> None:
    channel = make_channel(conda.folder / "forge", [PLAIN, stub_package("plain", "0.9")])

    channel.remove(PLAIN.filename)

    assert channel.repodata("noarch")["removed"] == [PLAIN.filename]
    assert [str(record.version) for record in conda.solve(channel.url, "plain")] == ["0.9"]


def test_a_package_can_be_added_and_replaced(conda: Rattler) -> None:
    channel = make_channel(conda.folder / "forge", [PLAIN])
    before = channel.records()[PLAIN.filename]["sha256"]

    channel.add(stub_package("plain", "1.1"), PLAIN.having(*data_package().members))

    assert channel.records()[PLAIN.filename]["sha256"] != before
    prefix = conda.install(channel.url, "plain 1.0.*")
    assert (prefix / "share/zoneinfo/UTC").exists()
    assert [str(record.version) for record in conda.solve(channel.url, "plain")] == ["1.1"]


def test_what_a_test_does_to_its_own_forge_stays_there(forge: Channel, own_forge: Channel) -> None:
    before = {path: path.stat().st_size for path in forge.archives}
    records = forge.records()
    six = next(name for name in records if name.startswith("six-1.17"))

    broken.truncate(own_forge, six, told=True)
    own_forge.add(stub_package("plain", "1.0"))

    assert own_forge.archive(six).stat().st_size == own_forge.records()[six]["size"] == 200
    assert {path: path.stat().st_size for path in forge.archives} == before
    assert forge.records() == records


# Channels for solving and building at scale.


def test_a_synthetic_channel_is_solvable_at_any_size_and_the_same_each_time(tmp_path: Path) -> None:
    made = synthetic_repodata(tmp_path / "one", 5_000)
    again = synthetic_repodata(tmp_path / "two", 5_000)

    assert 5_000 <= len(made.channel.records()) <= 5_050
    for size in (1, 30, 100):
        records = Rattler(tmp_path).solve(made.channel.url, *made.specs(size))
        assert len(records) == size
    assert made.specs(100) == again.specs(100)
    for subdir in ("linux-64", "noarch"):
        paths = [channel.folder / subdir / "repodata.json.zst" for channel in (made.channel, again.channel)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_solver_has_to_step_back_in_a_synthetic_channel(tmp_path: Path) -> None:
    made = synthetic_repodata(tmp_path / "channel", 5_000)
    newest = {name: max((one for one in versions), key=rattler.Version) for name, versions in _versions(made.channel)}

    records = Rattler(tmp_path).solve(made.channel.url, *made.specs(100))

    older = [record for record in records if str(record.version) != newest[record.name.normalized]]
    assert 1 < len(older) < 50


def _versions(channel: Channel) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for record in channel.records().values():
        found.setdefault(record["name"], []).append(record["version"])
    yield from found.items()


def test_a_channel_of_small_packages_is_installed_whole(conda: Rattler) -> None:
    packages = filler_packages(30, files=5)
    channel = make_channel(conda.folder / "channel", packages)

    prefix = conda.install(channel.url, packages[-1].name)

    assert len(list((prefix / "share").iterdir())) == 30
    assert len(list((prefix / "share").rglob("*.txt"))) == 150


# For whoever is no test.


def test_the_command_serves_the_forge_until_it_is_ended(forge: Channel, tmp_path: Path, conda: Rattler) -> None:
    # It was made before: the command makes it once.
    shutil.copytree(forge.folder.parent, tmp_path / "kept" / "channels", copy_function=shutil.copy2)
    port_file = tmp_path / "port"
    argv = [
        sys.executable,
        "-m",
        "tests.support.channel",
        "serve",
        str(tmp_path / "kept"),
        "--port-file",
        str(port_file),
    ]

    with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as process:
        deadline = time.monotonic() + 30
        while not port_file.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        prefix = conda.install(f"http://127.0.0.1:{port_file.read_text().strip()}/conda-forge", "hello-native")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

    assert run_in(prefix, "hello-native").stdout == f"hello from {prefix}\n"
