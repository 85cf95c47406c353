"""The checks and the test stage in real environments, with packages that are sick in every way that imports can be.

A GPU cannot be had here: a program called ``nvidia-smi`` and a tiny package called ``torch`` stand in for one.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, Ran, run_verb
from tests.support.environments import a_context
from tests.support.index import Index
from tests.support.projects import private_environment, write_project
from tests.support.wheels import make_wheel

from ci_envs.checks.installed import MetadataIsConsistent
from ci_envs.command import Command, run
from ci_envs.environments.host import HostEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.component

FAKE_TORCH = """\
import os


class version:
    cuda = "12.4"


class cuda:
    @staticmethod
    def device_count():
        return int(os.environ.get("FAKE_GPUS", "0"))
"""

SICK: dict[str, dict[str, str]] = {
    "segfault": {"segfault.py": "import ctypes\n\nctypes.string_at(0)\n"},
    "quitter": {"quitter.py": "import sys\n\nsys.exit(3)\n"},
    "leaver": {"leaver.py": "import os\n\nos._exit(0)\n"},
    "late": {"late.py": "import atexit\nimport os\n\natexit.register(os.abort)\n"},
    "loud": {"loud.py": "print('hello' * 1000)\n"},
    "py-other-name": {"othername.py": ""},
    "ns-kiwi": {"fruits/kiwi/__init__.py": "", "fruits/kiwi/seeds.py": ""},
    "nothing": {},
    "torch": {"torch/__init__.py": FAKE_TORCH},
}


@pytest.fixture(scope="module")
def packages(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The universe, and what is sick."""
    folder = tmp_path_factory.mktemp("sick")
    shutil.copytree(universe, folder, dirs_exist_ok=True)
    for name, modules in SICK.items():
        make_wheel(folder, name, "1.0", modules=modules)
    return folder


@pytest.fixture(scope="module")
def shelf(packages: Path) -> Iterator[Index]:
    with Index(packages) as running:
        yield running


@pytest.fixture
def env(shelf: Index, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for ci-envs, with one cache for this module."""
    cache = tmp_path_factory.getbasetemp() / "cache-of-checks"
    return private_environment(shelf.url, tmp_path / "home", cache)


def go(root: Path, env: Mapping[str, str], *words: str) -> Ran:
    return run_verb(["run", "--pattern=uv", f"--python={PYTHON}", *words], env, root)


def told(ran: Ran) -> dict[str, str]:
    """Codes of the errors by message, in their order."""
    return {finding.message: finding.code for finding in ran.record.findings if finding.severity == "error"}


# --- what becomes of an import


def test_each_way_an_import_can_end_is_told_and_none_ends_the_others(tmp_path: Path, env: dict[str, str]) -> None:
    named = ["apple", "rotten", "bomb", "stuck", *(name for name in SICK if name != "torch")]
    files = {"requirements.in": "\n".join(named), "ci-envs.yml": "check: {timeout: 3s}\n"}
    ran = go(write_project(tmp_path / "project", files), env, "--stages=build,check")
    assert ran.code == 7
    messages = "\n".join(f"{code} {message}" for message, code in told(ran).items())
    assert re.sub(r"after [34] s", "after 3 s", messages).splitlines() == [
        "ENV303 the interpreter was ended by SIGABRT during the import of bomb",
        "ENV303 the interpreter was ended by SIGABRT after the import of late",
        "ENV303 the interpreter exited with 0 during the import of leaver",
        "ENV301 import of quitter failed: SystemExit: 3",
        "ENV301 import of rotten failed: ImportError: rotten to the core",
        "ENV303 the interpreter was ended by SIGSEGV during the import of segfault",
        "ENV302 import of stuck was ended after 3 s (check.timeout)",
    ]
    log = (tmp_path / "project" / ".ci-envs" / "logs" / ran.record.leg.id / "check.log").read_text(encoding="utf-8")
    assert {"othername", "fruits.kiwi", "loud"} <= set(re.findall(r"^\$ python -s - import (\S+)$", log, re.MULTILINE))
    assert "check.skip-imports leaves one out" in ran.stage("check").reason


def test_what_is_skipped_by_configuration_is_well(tmp_path: Path, env: dict[str, str]) -> None:
    files = {
        "requirements.in": "rotten\nbomb\napple\n",
        "ci-envs.yml": "check: {skip-imports: [rotten, bomb], imports: [apple, json]}\n",
    }
    ran = go(write_project(tmp_path, files), env)
    assert (ran.code, ran.stage("check").reason) == (0, "18 checks")
    assert ran.stage("test").reason == "no test command found"


# --- what is installed


def test_a_package_that_somebody_added_or_took_away_is_found(tmp_path: Path, env: dict[str, str], uv_bin: str) -> None:
    root = write_project(tmp_path, {"requirements.in": "apple<2\n"})
    ran = go(root, env, "--stages=build,check")
    assert ran.code == 0
    prefix = root / ".ci-envs" / "envs" / ran.record.leg.id
    for words in (("install", "--no-deps", "melon", "seed==1.0"), ("uninstall", "apple")):
        assert run(Command((uv_bin, "pip", *words, "--python", str(prefix)), env=env, timeout=60))
    verdict = run_verb(["check", ran.record.leg.id, "--json"], env, root)
    assert verdict.code == 7
    assert "not as it was built" in verdict.stdout


@pytest.fixture
def broken(tmp_path: Path, env: dict[str, str], uv_bin: str) -> HostEnvironment:
    """An environment whose packages do not go together; each was installed without what it requires."""
    prefix = tmp_path / "env"
    make_wheel(
        tmp_path / "more",
        "mango",
        "1.0",
        requires=["Sugar>=1,<2", "no.such_thing", "wine; sys_platform == 'nowhere'", "jam; extra == 'sweet'", "seed"],
    )
    for words in (
        ("venv", "-q", "--python", sys.executable, str(prefix)),
        ("pip", "install", "-q", "--no-deps", "--python", str(prefix), "apple==2.0", "pear", "plum[jam]", "berry"),
        ("pip", "install", "-q", "--no-deps", "--python", str(prefix), "--find-links", str(tmp_path / "more"), "mango"),
        ("pip", "install", "-q", "--no-deps", "--python", str(prefix), "seed==1.5", "sugar==2.0a1"),
    ):
        outcome = run(Command((uv_bin, *words), env=env, timeout=60))
        assert outcome, outcome.output
    return HostEnvironment(prefix, caller=env)


PIP_SAYS = re.compile(r"^(\S+) \S+ (?:has requirement|requires) ([\w.-]+)", re.MULTILINE)
UV_SAYS = re.compile(r"^The package `([\w.-]+)` requires `([\w.-]+)", re.MULTILINE)
WE_SAY = re.compile(r"^(\S+) \S+ requires ([\w.-]+)", re.MULTILINE)


def test_metadata_is_judged_as_pip_check_and_uv_pip_check_do(
    broken: HostEnvironment, tmp_path: Path, env: dict[str, str], uv_bin: str, pip_python: Path
) -> None:
    context = a_context(tmp_path)
    object.__setattr__(context, "inventory", broken.inventory())
    ours = "\n".join(finding.message for finding in MetadataIsConsistent().run(context))
    uv = run(Command((uv_bin, "pip", "check", "--python", str(broken.prefix)), env=env, timeout=60))
    pip = run(Command((str(pip_python), "-m", "pip", "--python", str(broken.python), "check"), env=env, timeout=60))
    assert not uv
    assert not pip

    def pairs(pattern: re.Pattern[str], text: str) -> set[tuple[str, str]]:
        return {(who.lower(), re.sub(r"[-_.]+", "-", what).lower()) for who, what in pattern.findall(text)}

    expected = {("apple", "seed"), ("mango", "sugar"), ("mango", "no-such-thing")}
    assert pairs(WE_SAY, ours) == expected
    assert pairs(PIP_SAYS, pip.stdout) == expected
    assert pairs(UV_SAYS, uv.stderr) == expected


# --- the project's own check


def test_a_projects_own_check_ends_the_leg_and_is_told_with_its_words(tmp_path: Path, env: dict[str, str]) -> None:
    check = "import apple, sys\nprint(apple.__version__)\nsys.exit('apple 1.1 is rotten')\n"
    ran = go(write_project(tmp_path, {"requirements.in": "apple<2\n", "check-env.py": check}), env)
    assert ran.code == 7
    assert told(ran) == {"python check-env.py exited with 1: 1.1\n\napple 1.1 is rotten": "ENV401"}
    assert ran.record.stage("test") is None


def test_an_own_check_is_run_again_when_a_file_that_it_reads_has_changed(tmp_path: Path, env: dict[str, str]) -> None:
    files = {"requirements.in": "seed\n", "check-env.py": "import helper\n", "helper.py": ""}
    root = write_project(tmp_path, files)
    assert go(root, env).stage("check").reason == "18 checks"
    assert go(root, env).stage("check").reason == "18 checks, unchanged"
    write_project(root, {"helper.py": "raise SystemExit('changed')\n"})
    assert go(root, env).code == 7


def test_a_check_sees_the_legs_variables_and_no_other_environment(tmp_path: Path, env: dict[str, str]) -> None:
    check = """\
import os, sys
assert os.environ["CI_ENVS_VAR_MPI"] == "openmpi"
assert os.environ["VIRTUAL_ENV"] == sys.prefix
assert "PYTHONPATH" not in os.environ
"""
    matrix = f'axes: {{pattern: [uv], python: ["{PYTHON}"]}}\nvariables: {{mpi: [openmpi]}}\n'
    root = write_project(tmp_path, {"requirements.in": "seed\n", "check-env.py": check, "matrices/default.yml": matrix})
    ran = run_verb(["run"], {**env, "PYTHONPATH": str(tmp_path), "VIRTUAL_ENV": str(tmp_path)}, root)
    assert ran.code == 0, ran.output


def test_what_a_check_leaves_in_the_temporary_folder_is_told_and_removed(tmp_path: Path, env: dict[str, str]) -> None:
    check = "import tempfile\nwith open(tempfile.mkstemp()[1], 'wb') as file:\n    file.write(b'0' * 2_000_000)\n"
    test = 'python -c "import tempfile, os; print(tempfile.gettempdir()); assert not os.listdir(tempfile.gettempdir())"'
    root = write_project(tmp_path, {"requirements.in": "seed\n", "check-env.py": check})
    ran = go(root, env, f"--test-command={test}")
    assert ran.code == 0, ran.output
    (finding,) = (each for each in ran.record.findings if each.code == "ENV601")
    assert finding.severity == "warning"
    assert finding.message.startswith("2000000 bytes in 1 files")
    log = (root / ".ci-envs" / "logs" / ran.record.leg.id / "test.log").read_text(encoding="utf-8")
    assert str(root / ".ci-envs" / "tmp") in log, "tests have the leg's own TMPDIR"
    assert not list((root / ".ci-envs" / "tmp").iterdir())


# --- accelerators


def gpu_project(tmp_path: Path, config: str = "") -> Path:
    matrix = f'axes: {{pattern: [uv], python: ["{PYTHON}"], accelerator: [cuda12]}}\n'
    files = {"requirements.in": "torch\n", "matrices/default.yml": matrix, "ci-envs.yml": config}
    return write_project(tmp_path / "project", files)


def with_smi(env: dict[str, str], tmp_path: Path, script: str) -> dict[str, str]:
    """The variables of a machine whose ``nvidia-smi`` is this shell script."""
    program = tmp_path / "driver" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return {**env, "PATH": f"{program.parent}{os.pathsep}{env['PATH']}"}


ONE_GPU = 'test "$1" = --list-gpus && echo "GPU 0: NVIDIA H100 (UUID: GPU-0)"'
NONE = "echo 'No devices were found' >&2; exit 6"

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@needs_shell
def test_no_gpu_is_said_and_is_a_failure_where_one_is_expected(tmp_path: Path, env: dict[str, str]) -> None:
    root, here = gpu_project(tmp_path), with_smi(env, tmp_path, NONE)
    ran = run_verb(["run"], here, root)
    assert ran.code == 0, ran.output
    said = "18 checks, skipped accelerator: no GPU on this machine (nvidia-smi says: No devices were found)"
    assert ran.stage("check").reason == said
    assert run_verb(["run"], here, root).stage("check").reason == said, "a GPU is looked for each time"
    expected = run_verb(["run", "--expect-gpu=true"], here, root)
    assert expected.code == 7
    assert list(told(expected).values()) == ["ENV501"]


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have a GPU")
def test_a_machine_without_a_driver_is_one_without_a_gpu(tmp_path: Path, env: dict[str, str]) -> None:
    ran = run_verb(["run"], env, gpu_project(tmp_path))
    assert ran.stage("check").reason == "18 checks, skipped accelerator: no GPU on this machine"


@needs_shell
def test_a_gpu_that_the_framework_sees_is_well_and_one_that_it_does_not_see_is_not(
    tmp_path: Path, env: dict[str, str]
) -> None:
    root, here = gpu_project(tmp_path), with_smi(env, tmp_path, ONE_GPU)
    seen = run_verb(["run"], {**here, "FAKE_GPUS": "1"}, root)
    assert (seen.code, seen.stage("check").reason) == (0, "18 checks")
    blind = run_verb(["run"], here, root)
    assert blind.code == 7
    assert told(blind) == {"torch sees no GPU on a machine that has one": "ENV501"}


@needs_shell
def test_another_cuda_is_told_without_a_gpu(tmp_path: Path, env: dict[str, str]) -> None:
    root = gpu_project(tmp_path, "check: {expect: {cuda: '11.8', torch: '==1.*'}}\n")
    ran = run_verb(["run"], with_smi(env, tmp_path, NONE), root)
    assert ran.code == 7
    assert told(ran) == {"torch was built for CUDA 12.4; CUDA 11.8 was asked for": "ENV502"}


# --- the project's tests


def with_tests(folder: Path, env: dict[str, str], text: str, *words: str, requirements: str = "pytest\n") -> Ran:
    files = {"requirements.in": "seed\n", "requirements-test.in": requirements, "tests/test_it.py": text}
    return go(write_project(folder, files), env, *words)


def test_tests_are_counted_in_a_folder_with_an_odd_name_and_under_the_callers_options(
    tmp_path: Path, env: dict[str, str]
) -> None:
    text = """\
import pytest

def test_good(): pass

@pytest.mark.parametrize("number", [1, 2])
def test_numbers(number): assert number

@pytest.mark.skip(reason="later")
def test_later(): pass

@pytest.mark.xfail(strict=True)
def test_known(): assert False
"""
    folder = tmp_path / 'it\'s a "$project" ü'
    options = {**env, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    ran = with_tests(folder, options, text, requirements="pytest\npytest-xdist\n")
    assert ran.code == 0, ran.output
    tests = ran.record.tests
    assert tests is not None
    assert (tests.passed, tests.failed, tests.skipped) == (3, 0, 2)
    assert tests.command == "python -m pytest -n auto"
    assert [evidence.file for evidence in tests.evidence] == ["tests"]
    assert "testcase" in (folder / tests.junit).read_text(encoding="utf-8")
    assert ran.stage("test").reason == "3 passed, 2 skipped"
    assert not (folder / ".pytest_cache").exists(), "the caller's options count"
    selection = ran.record.selection
    assert selection is not None
    assert selection.files == ("requirements.in", "requirements-test.in")
    assert [evidence.file for evidence in selection.evidence] == ["requirements-test.in"]


@pytest.mark.parametrize(
    ("text", "words", "code", "reason"),
    [
        (
            "def test_bad(): assert 0\ndef test_good(): pass\n",
            [],
            8,
            "1 of 2 tests failed; python -m pytest exited with 1",
        ),
        ("import nowhere\n", [], 8, "1 of 1 tests failed; python -m pytest exited with 2"),
        ("import os\ndef test_crash(): os.abort()\n", [], 8, "python -m pytest was ended by SIGABRT"),
        ("def helper(): pass\n", [], 0, "python -m pytest found no tests"),
        ("import pytest\npytest.skip('no', allow_module_level=True)\n", [], 0, "all 1 tests were skipped"),
        ("def test_good(): pass\n", ["--test-command=pytest -k nothing"], 0, "pytest -k nothing found no tests"),
        ("def test_good(): pass\n", ["--test-command=pytest --junitxml=r.xml"], 0, "1 passed"),
        (
            "def test_good(): pass\n",
            ["--test-command=no-such-runner"],
            4,
            "the tests cannot be run: there is no program",
        ),
        (
            "def test_good(): pass\n",
            ["--test-command=python -c pass"],
            0,
            "the command exited with 0; its tests are not",
        ),
    ],
    ids=["failure", "error", "crash", "none", "all-skipped", "deselected", "own-report", "no-runner", "not-counted"],
)
def test_how_tests_end_is_told(  # noqa: PLR0917 - a table's columns
    tmp_path: Path, env: dict[str, str], text: str, words: list[str], code: int, reason: str
) -> None:
    ran = with_tests(tmp_path, env, text, *words)
    assert ran.stage("test").reason.startswith(reason), ran.output
    assert ran.code == code


def test_tests_that_never_end_are_ended(tmp_path: Path, env: dict[str, str]) -> None:
    write_project(tmp_path, {"ci-envs.yml": "test: {timeout: 3s}\n"})
    ran = with_tests(tmp_path, env, "import time\ndef test_long(): time.sleep(60)\n")
    assert ran.code == 8
    assert re.match(r"python -m pytest was ended after [345] s \(test\.timeout\)", ran.stage("test").reason)


def test_unittest_is_found_run_and_counted(tmp_path: Path, env: dict[str, str]) -> None:
    text = """\
import unittest

class Fruit(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    @unittest.skip("later")
    def test_later(self): pass
"""
    ran = with_tests(tmp_path, {**env, "FORCE_COLOR": "1"}, text, requirements="sugar\n")
    assert ran.code == 8
    tests = ran.record.tests
    assert tests is not None
    assert (tests.passed, tests.failed, tests.skipped, tests.junit) == (1, 1, 1, "")
    assert ran.stage("test").reason.startswith(
        "1 of 2 tests failed; python -m unittest discover -s tests exited with 1"
    )


def test_what_unittest_says_of_no_tests_is_no_pass(tmp_path: Path, env: dict[str, str]) -> None:
    ran = with_tests(tmp_path, env, "", "--test-command=python -m unittest discover -s tests", requirements="sugar\n")
    assert (ran.code, ran.stage("test").status) == (0, "skipped")
    assert ran.record.reason == "tests skipped: python -m unittest discover -s tests found no tests"
