"""One lock gives one environment digest: at any path, under any mask, on any day, whoever links the packages."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.conda_programs import CONDA_LEG, SMALL, environment_file, record_of, use_channel
from tests.component.program import Program
from tests.component.running import PYTHON, run_verb
from tests.component.test_same_digest import FAKETIME
from tests.support.projects import private_environment, write_project
from tests.support.stand_in_conda import stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeConda, MakeCopy
    from tests.support.channel import Channel
    from tests.support.channel_server import ChannelServer
    from tests.support.index import Index

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="masks of POSIX")]
pytest_plugins = ("tests.component.conda_program_fixtures",)

#: Text and binary placeholders, entry points, a compiled tool, native code, a ``pip:`` part with a script.
RICH: dict[str, str] = {
    "environment.yml": environment_file(
        "python",
        "numpy",
        "pytest",
        "hello-native",
        "make",
        pip=("plum[jam]", "melon", "apple"),
        more="variables: {A: b}",
    ),
    "ci-envs.yml": 'test:\n  command: python -c "import numpy, pytest, plum"\n',
}

REBUILDS = 5


@pytest.fixture(scope="module")
def rich_env(
    forge: Channel, session_channel_server: ChannelServer, fruit_index: Index, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Variables with one cache for the module."""
    folder = tmp_path_factory.mktemp("rich")
    env = private_environment(fruit_index.url, folder / "home", folder / "cache")
    condarc = folder / "condarc"
    condarc.write_text(json.dumps({"mirrored_channels": {"conda-forge": [session_channel_server.url()]}}))
    return {**env, "CONDARC": str(condarc)}


@pytest.fixture(scope="module")
def rich(rich_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its lock, and a digest to compare with in ``digest``."""
    project = write_project(tmp_path_factory.mktemp("rich") / "project", RICH)
    ran = run_verb(["run", "--pattern=conda", f"--python={PYTHON}"], rich_env, project)
    assert ran.code == 0, ran.output
    assert ran.record.environment is not None
    (project / "digest").write_text(ran.record.environment.digest)
    return project


def deep(folder: Path, length: int) -> Path:
    """A folder whose environments have names of so many bytes."""
    missing = length - len(os.fsencode(folder / ".ci-envs/envs" / CONDA_LEG)) - 1
    while missing > 0:
        folder /= "x" * min(missing, 100)
        missing -= 101
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", ["p", "with blanks in it", "Ωμέγα-ü", 200])
def test_rebuilds_give_one_digest_wherever_they_are(
    rich: Path, rich_env: dict[str, str], tmp_path: Path, place: str | int
) -> None:
    folder = tmp_path / place if isinstance(place, str) else deep(tmp_path, place)
    project = shutil.copytree(rich, folder, ignore=shutil.ignore_patterns(".ci-envs"))
    words = ["run", "--pattern=conda", f"--python={PYTHON}", "--lock-mode=locked"]
    for number in range(REBUILDS):
        more = ["--stages=lock,build"] if number else ["--stages=lock,build,check,test"]
        ran = run_verb([*words, *more, "--fresh"], rich_env, project)
        assert ran.code == 0, ran.output
        assert ran.record.environment is not None
        assert ran.record.environment.digest == (rich / "digest").read_text()
        assert [each.code for each in ran.record.findings] == []


# The same in other circumstances, with less in the environment.


def elsewhere(program: Program, folder: Path, env: Mapping[str, str] | None = None) -> Program:
    """The same files in another folder, with a cache and a home of their own."""
    own = {"CI_ENVS_CACHE_DIR": str(folder / "cache"), "HOME": str(folder / "home")}
    shutil.copytree(program.root, folder / "project", ignore=shutil.ignore_patterns(".ci-envs"))
    return Program(
        folder / "project",
        {**program.env, **own, **(env or {})},
        words=(*program.words, "--lock-mode=locked"),
        leg=program.leg,
        started=program.started,
    )


def digest(program: Program, *words: str, **how: Any) -> str:
    done = program.run(*words, **how)
    assert done.code == 0, done.said
    environment = record_of(program).environment
    assert environment is not None
    assert environment.digest == program.digest
    assert [each.code for each in record_of(program).findings if each.severity == "error"] == []
    return environment.digest


def mode(program: Program) -> str:
    return oct((program.prefix / "bin/hello-native-script").stat().st_mode & 0o777)


def test_masks_time_zones_and_languages_give_one_digest(stood: Program, tmp_path: Path) -> None:
    env = {"TZ": "Pacific/Kiritimati", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "7", "USER": "another"}
    assert digest(elsewhere(stood, tmp_path / "near"), umask=0o077) == stood.digest
    assert digest(elsewhere(stood, tmp_path / "far away", env), umask=0o002) == stood.digest


def test_another_day_builds_the_same_digest(stood: Program, tmp_path: Path) -> None:
    if not FAKETIME:
        pytest.fail("this test needs libfaketime (apt install faketime)")
    env = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+400d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    assert digest(elsewhere(stood, tmp_path / "then", env)) == stood.digest


def test_a_folder_for_a_channel_gives_the_same_lock_and_digest(
    stood: Program, lean: Channel, make_conda: MakeConda
) -> None:
    program = make_conda("by file", channel=lean.url)
    assert digest(program) == stood.digest
    locks = [next(each.root.glob("locks/*")).read_bytes() for each in (program, stood)]
    assert locks[0] == locks[1], "a mirror's address is no part of a lock"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_mirror_that_moves_changes_nothing(
    stood: Program, lean: Channel, tmp_path: Path, scheme: str, lean_server: ChannelServer
) -> None:
    other = elsewhere(stood, tmp_path / "mirrored")
    use_channel(other, lean.url if scheme == "file" else lean_server.url())
    assert digest(other) == stood.digest


@pytest.mark.parametrize("name", ["micromamba", "mamba", "conda"])
def test_another_front_end_gives_the_same_digest(stood: Program, tmp_path: Path, name: str) -> None:
    """By a stand-in, which leaves what the sources of the tool of that name say."""
    stand_in(tmp_path / "bin", name)
    path = os.pathsep.join((str(tmp_path / "bin"), stood.env["PATH"]))
    other = elsewhere(stood, tmp_path / "by another", {"PATH": path})
    with (other.root / "ci-envs.yml").open("a", encoding="utf-8") as file:
        file.write(f"conda: {{frontend: {name}}}\n")
    assert digest(other) == stood.digest
    assert record_of(other).tools[name]
    assert digest(other, "--fresh") == stood.digest


def test_another_build_of_the_same_version_gives_another_digest(stood: Program, make_conda: MakeConda) -> None:
    files = {**SMALL, "environment.yml": SMALL["environment.yml"].replace("hello-native ==1.0", "hello-native=1.0=*_0")}
    assert files != SMALL
    assert digest(make_conda("older", files)) != stood.digest


def test_variables_of_the_environment_are_part_of_it(stood: Program, make_conda: MakeConda) -> None:
    files = {**SMALL, "environment.yml": f"{SMALL['environment.yml']}variables: {{A: b}}\n"}
    assert digest(make_conda("with variables", files)) != stood.digest


def test_bytecode_and_what_runs_inside_are_no_part_of_it(stood: Program, make_copy: MakeCopy) -> None:
    program = make_copy("compiled")
    with (program.root / "ci-envs.yml").open("a", encoding="utf-8") as file:
        file.write("conda: {compile-bytecode: true}\n")
    assert digest(program) == stood.digest
    assert list(program.site.glob("apple/__pycache__/__init__*.pyc"))
