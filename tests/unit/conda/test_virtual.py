from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

import pytest
import yaml

from ci_envs.conda.virtual import (
    VirtualPackage,
    for_rattler,
    machine_virtual_packages,
    unmet_here,
    virtual_packages,
)
from ci_envs.errors import UsageError
from ci_envs.model.conda import PLATFORMS, LockedPackage
from ci_envs.model.config import CondaConfig
from ci_envs.project import Project

Table = dict[str, "str | Literal[False]"]


def made_for(
    root: Path,
    platform: str = "linux-64",
    accelerator: str = "cpu",
    table: Table | None = None,
    file: str = "",
    **environ: str,
) -> dict[str, str]:
    """Name -> version and build."""
    if file:
        (root / "virtual-packages.yml").write_text(file)
    found = virtual_packages(
        platform,
        accelerator,
        environ=environ,
        config=CondaConfig(virtual_packages=table or {}),
        project=Project(root),
    )
    return {one.name: one.text for one in found}


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux-64", {"__unix": "0", "__linux": "5.10", "__glibc": "2.28", "__archspec": "1 x86_64"}),
        ("linux-aarch64", {"__unix": "0", "__linux": "5.10", "__glibc": "2.28", "__archspec": "1 aarch64"}),
        ("osx-64", {"__unix": "0", "__osx": "11.0", "__archspec": "1 x86_64"}),
        ("osx-arm64", {"__unix": "0", "__osx": "11.0", "__archspec": "1 arm64"}),
        ("win-64", {"__win": "0", "__archspec": "1 x86_64"}),
    ],
)
def test_each_platform_has_stated_defaults(tmp_path: Path, platform: str, expected: dict[str, str]) -> None:
    assert made_for(tmp_path, platform) == expected


def test_the_defaults_are_those_of_conda_lock_but_for_cuda(tmp_path: Path) -> None:
    # Found and not imported: importing conda_lock takes a second, and sets CONDA_ROOT.
    spec = importlib.util.find_spec("conda_lock")
    if spec is None or spec.origin is None:
        pytest.skip("conda-lock is not installed")
    theirs = yaml.safe_load(Path(spec.origin).with_name("default-virtual-packages.yaml").read_text())["subdirs"]

    for platform in PLATFORMS:
        expected = {name: text for name, text in theirs[platform]["packages"].items() if name != "__cuda"}
        assert made_for(tmp_path, platform) == expected


def test_packages_come_by_name_with_where_they_are_from(tmp_path: Path) -> None:
    found = virtual_packages(
        "linux-64",
        "cuda12",
        environ={"CONDA_OVERRIDE_LINUX": "6.1"},
        config=CondaConfig(virtual_packages={"__glibc": "2.17"}),
        project=Project(tmp_path),
    )

    assert [(one.name, one.source) for one in found] == [
        ("__archspec", "default"),
        ("__cuda", "accelerator"),
        ("__glibc", "conda.virtual-packages"),
        ("__linux", "CONDA_OVERRIDE_LINUX"),
        ("__unix", "default"),
    ]


def test_the_projects_file_replaces_the_defaults_of_the_platforms_it_has(tmp_path: Path) -> None:
    file = (
        "subdirs:\n  linux-64:\n    packages:\n      __glibc: 2.30\n      __unix: '0'\n      __archspec: 1 x86_64_v3\n"
    )

    assert made_for(tmp_path, file=file) == {"__unix": "0", "__glibc": "2.30", "__archspec": "1 x86_64_v3"}
    assert made_for(tmp_path, "osx-arm64", file=file)["__osx"] == "11.0"


def test_the_table_goes_before_the_file_and_variables_before_the_table(tmp_path: Path) -> None:
    file = "subdirs: {linux-64: {packages: {__glibc: '2.17', __linux: '4.18'}}}\n"
    table: Table = {"__glibc": "2.31", "__linux": False}

    assert made_for(tmp_path, table=table, file=file) == {"__glibc": "2.31"}
    assert made_for(tmp_path, table=table, file=file, CONDA_OVERRIDE_GLIBC="2.36") == {"__glibc": "2.36"}


def test_an_empty_variable_takes_a_package_away(tmp_path: Path) -> None:
    assert "__glibc" not in made_for(tmp_path, CONDA_OVERRIDE_GLIBC="")
    assert made_for(tmp_path, CONDA_OVERRIDE_ARCHSPEC="x86_64_v3")["__archspec"] == "1 x86_64_v3"
    assert "__archspec" not in made_for(tmp_path, CONDA_OVERRIDE_ARCHSPEC="")


def test_a_package_of_another_system_is_left_out(tmp_path: Path) -> None:
    table: Table = {"__glibc": "2.31", "__osx": "13.0", "__win": "10", "__special": "1"}

    linux, osx, win = (made_for(tmp_path, platform, table=table) for platform in ("linux-64", "osx-64", "win-64"))

    assert (linux["__glibc"], "__osx" in linux, "__win" in linux) == ("2.31", False, False)
    assert (osx["__osx"], "__glibc" in osx) == ("13.0", False)
    assert (win["__win"], "__glibc" in win, "__unix" in win) == ("10", False, False)
    assert linux["__special"] == osx["__special"] == win["__special"] == "1"


# The accelerator.


@pytest.mark.parametrize("accelerator", ["cpu", "rocm6.2"])
def test_without_cuda_there_is_none_whatever_is_said(tmp_path: Path, accelerator: str) -> None:
    file = "subdirs: {linux-64: {packages: {__unix: '0', __cuda: '12.4'}}}\n"

    found = made_for(tmp_path, accelerator=accelerator, table={"__cuda": "12.4"}, file=file, CONDA_OVERRIDE_CUDA="12.4")

    assert "__cuda" not in found


@pytest.mark.parametrize(
    ("accelerator", "table", "variable", "expected"),
    [
        ("cuda12", None, None, "12.9"),
        ("cuda11", None, None, "11.8"),
        ("cuda99", None, None, "99"),
        ("cuda12.4", "12.8", "12.6", "12.4"),
        ("cuda12", "12.4", None, "12.4"),
        ("cuda12", "12.4", "12.6", "12.6"),
        ("cuda11", "12.4", None, "11.8"),
        ("cuda12", "12.4", "11.8", "12.4"),
        ("cuda12", "12", None, "12"),
    ],
)
def test_the_version_is_the_legs_then_what_fits_it_then_the_newest(
    tmp_path: Path, accelerator: str, table: str | None, variable: str | None, expected: str
) -> None:
    environ = {} if variable is None else {"CONDA_OVERRIDE_CUDA": variable}

    found = made_for(tmp_path, accelerator=accelerator, table={"__cuda": table} if table else None, **environ)

    assert found["__cuda"] == expected


def test_there_is_no_cuda_on_a_mac(tmp_path: Path) -> None:
    assert "__cuda" not in made_for(tmp_path, "osx-arm64", "cuda12")
    assert made_for(tmp_path, "win-64", "cuda12")["__cuda"] == "12.9"


def test_taking_away_the_cuda_that_the_leg_names_is_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CONDA_OVERRIDE_CUDA takes __cuda away, and the leg's accelerator is cuda12"):
        made_for(tmp_path, accelerator="cuda12", CONDA_OVERRIDE_CUDA="")
    with pytest.raises(UsageError, match=r"conda\.virtual-packages takes __cuda away"):
        made_for(tmp_path, accelerator="cuda12", table={"__cuda": False})
    said = made_for(tmp_path, accelerator="cuda12", table={"__cuda": False}, CONDA_OVERRIDE_CUDA="12.1")
    assert said["__cuda"] == "12.1"


# What cannot be meant.


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("linux-64: {}\n", 0, "must have a table `subdirs`"),
        ("subdirs:\n  linux-64: {__glibc: '2.17'}\n", 2, "linux-64 must have a table `packages`"),
        ("subdirs:\n  linux-64:\n    packages:\n      glibc: '2.17'\n", 4, "'glibc' is no virtual package"),
        ("subdirs:\n  linux-64:\n    packages:\n      __glibc: new\n", 4, "'new' is no version of __glibc"),
        ("subdirs: [\n", 1, "is not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_told_with_its_line(tmp_path: Path, file: str, line: int, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        made_for(tmp_path, file=file)
    assert caught.value.file == "virtual-packages.yml"
    assert caught.value.line >= line


def test_a_table_and_a_variable_that_cannot_be_meant_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"conda\.virtual-packages: 'glibc' is no virtual package.*'__glibc'"):
        made_for(tmp_path, table={"glibc": "2.17"})
    with pytest.raises(UsageError, match="CONDA_OVERRIDE_GLIBC: 'new' is no version of __glibc"):
        made_for(tmp_path, CONDA_OVERRIDE_GLIBC="new")


# This machine.


def locked(name: str, *depends: str) -> LockedPackage:
    return LockedPackage(name=name, version="1", platform="linux-64", url="https://h.example/x", depends=depends)


HERE = (
    VirtualPackage("__unix", "0"),
    VirtualPackage("__glibc", "2.17"),
    VirtualPackage("__linux", "4.18.0"),
    VirtualPackage("__archspec", "1", "x86_64_v3"),
)


def test_what_a_machine_has_is_not_missed() -> None:
    packages = [
        locked("a", "__glibc >=2.17,<3.0.a0", "__unix", "python >=3.12"),
        locked("b", "__linux >=4", "__archspec 1 x86_64_v2", "__archspec 1 x86_64"),
    ]

    assert unmet_here(packages, HERE) == ()


def test_what_a_machine_lacks_is_told_with_who_asks_for_it() -> None:
    packages = [
        locked("a", "__glibc >=2.28"),
        locked("b", "__cuda >=12", "__glibc >=2.28"),
        locked("c", "__archspec 1 x86_64_v4"),
    ]

    found = unmet_here(packages, HERE)

    assert [(one.spec, one.here, one.packages, one.is_fatal) for one in found] == [
        ("__glibc >=2.28", "2.17", ("a", "b"), True),
        ("__archspec 1 x86_64_v4", "1", ("c",), True),
        ("__cuda >=12", "", ("b",), False),
    ]


def test_processors_of_which_nothing_is_known_are_not_judged() -> None:
    assert unmet_here([locked("a", "__archspec 1 m1")], HERE) == ()


def test_rattler_takes_them() -> None:
    assert [str(one) for one in for_rattler(HERE)] == [
        "__unix=0=0",
        "__glibc=2.17=0",
        "__linux=4.18.0=0",
        "__archspec=1=x86_64_v3",
    ]


def test_this_machine_is_what_it_is_but_for_what_the_user_says() -> None:
    real = {one.name: one for one in machine_virtual_packages({})}
    environ = {"CONDA_OVERRIDE_CUDA": "12.4", "CONDA_OVERRIDE_ARCHSPEC": ""}
    said = {one.name: one for one in machine_virtual_packages(environ)}

    assert {"__archspec"} <= real.keys()
    assert said["__cuda"].version == "12.4"
    assert "__archspec" not in said
