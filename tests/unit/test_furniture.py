"""What stands around the code says what the code does: locks, exit codes, verbs, the Makefile."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

import ci_envs.cli
from ci_envs import errors
from ci_envs.cli import VERBS
from ci_envs.locks.insync import in_sync
from ci_envs.locks.requirements import read_requirements
from ci_envs.model.lock import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TOOLS = ROOT / "src/ci_envs/resources/tools"

#: The dependency groups that each of our locks holds beside the runtime dependencies, and the extras.
GROUPS: dict[str, tuple[str, ...]] = {
    "ci-envs": (),
    "conda": (),
    "docker": (),
    "dev": ("dev",),
    "tests": ("dev", "tests"),
    "lint": ("dev", "tests", "lint"),
}
EXTRAS = {
    "ci-envs": (),
    "conda": ("conda",),
    "docker": ("conda", "docker"),
    "dev": ("conda", "docker", "nox"),
    "tests": ("conda", "docker"),
    "lint": ("conda", "docker"),
}
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
LOCKS = [
    *sorted(ROOT.glob("requirements/*.txt")),
    *sorted(TOOLS.glob("*.txt")),
    *sorted(ROOT.glob("examples/*/locks/*.txt")),
]


def markers(python: str, platform: str) -> dict[str, str]:
    """All PEP 508 markers of a CPython."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        **PLATFORMS[platform],
    }


def asked(lines: list[str], file: str) -> Iterator[Requirement]:
    for text in lines:
        yield Requirement(text=text, name=canonicalize_name(Parsed(text).name), file=file)


def input_lines(path: Path) -> list[str]:
    bare = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in bare if line]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", GROUPS)
def test_our_locks_hold_what_pyproject_asks_for_and_nothing_else(name: str, python: str, platform: str) -> None:
    path = ROOT / f"requirements/{name}.txt"
    lines = [*PYPROJECT["project"]["dependencies"]]
    lines += [line for group in GROUPS[name] for line in PYPROJECT["dependency-groups"][group]]
    lines += [line for extra in EXTRAS[name] for line in PYPROJECT["project"]["optional-dependencies"][extra]]
    here = markers(python, platform)
    read = read_requirements(path.read_text("utf-8"), path=relative(path), markers=here)
    direct = list(asked(lines, "pyproject.toml"))
    verdict = in_sync(read, direct, markers=here, hashes=True, project="repro-envs")
    assert not verdict.stale
    assert verdict.judged == "annotations"


def test_every_lock_of_ours_is_looked_at() -> None:
    assert {path.stem for path in ROOT.glob("requirements/*.txt")} == set(GROUPS)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_lock_of_pip_tools_is_whole_for_every_python_of_a_leg(python: str, platform: str) -> None:
    path, here = TOOLS / "pip-tools.txt", markers(python, platform)
    read = read_requirements(path.read_text("utf-8"), path=relative(path), markers=here)
    direct = list(asked(input_lines(TOOLS / "pip-tools.in"), "pip-tools.in"))
    verdict = in_sync(read, direct, markers=here, hashes=True)
    assert not verdict.stale


@pytest.mark.parametrize("path", LOCKS, ids=relative)
def test_a_committed_lock_is_hashed_and_names_no_place(path: Path) -> None:
    text = path.read_text("utf-8")
    python = re.search(r"-py3(\d+)-", path.name)
    here = markers(f"3.{python[1]}" if python else "3.12", "linux")
    read = read_requirements(text, path=relative(path), markers=here)
    assert read.lock.pins
    assert read.lock.hashed
    assert {pin.source for pin in read.lock.pins} == {"index"}
    assert not read.options
    assert "://" not in text
    assert not re.search(r"(^|\s)(/|~|[A-Za-z]:\\)", text, re.MULTILINE)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("pattern", ["venv", "uv"])
def test_the_datascience_example_is_locked_for_each_python(pattern: str, python: str) -> None:
    example = ROOT / "examples/datascience"
    path = example / f"locks/{pattern}-py{python.replace('.', '')}-linux-x86_64.txt"
    here = markers(python, "linux")
    read = read_requirements(path.read_text("utf-8"), path=path.name, markers=here)
    names = ("requirements.in", "requirements-dev.in")
    direct = [one for name in names for one in asked(input_lines(example / name), name)]
    assert not in_sync(read, direct, markers=here, hashes=True).stale


def test_one_package_has_one_version_in_all_our_locks() -> None:
    here = markers("3.12", "linux")
    versions: dict[str, set[str]] = {}
    for path in sorted(ROOT.glob("requirements/*.txt")):
        for pin in read_requirements(path.read_text("utf-8"), path=path.name, markers=here).lock.pins:
            versions.setdefault(pin.name, set()).add(pin.version)
    assert {name: sorted(found) for name, found in versions.items() if len(found) > 1} == {}


def exit_codes() -> dict[int, str]:
    """Code by error, from ``errors.py``: those that carry a code of their own."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CiEnvsError)]
    pairs = [(kind.exit_code, kind.__name__) for kind in kinds if "exit_code" in vars(kind)]
    assert len(pairs) == len(dict(pairs)), "two errors share one exit code"
    return dict(pairs)


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)? *\|", page, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a code stands twice in the table"
    assert {int(code): name for code, name in rows} == {0: "", **exit_codes()}


def verb_modules() -> list[str]:
    return [name for _, name, _ in pkgutil.iter_modules(ci_envs.cli.__path__) if name.endswith("_verb")]


def test_every_verb_has_a_module_and_every_module_a_verb() -> None:
    assert verb_modules() == sorted(f"{verb}_verb" for verb in VERBS)


@pytest.mark.parametrize("module", verb_modules())
def test_help_of_a_verb_begins_with_the_line_that_the_program_shows(module: str) -> None:
    command = importlib.import_module(f"ci_envs.cli.{module}").command
    assert isinstance(command, click.Command)
    assert (command.help or "").strip().splitlines()[0] == VERBS[module.removesuffix("_verb")]


def test_make_calls_sessions_that_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    sessions = {"patterns", *re.findall(r"^@nox\.session\ndef (\w+)", noxfile, re.MULTILINE)}
    called = set(re.findall(r"\$\(NOX\) (\w+)", makefile))
    assert called >= {"patterns", "tests", "lint"}
    assert called <= sessions


def committed_texts() -> Iterator[tuple[str, str]]:
    """Every text file of the checkout; what tools leave behind is skipped."""
    left_behind = {".git", ".venv", ".nox", ".ci-envs", "__pycache__", "node_modules", "dist"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in left_behind and not name.endswith(("_cache", ".egg-info", ".hypothesis"))
        ]
        # The locks that git ignores (.gitignore): the examples' first runs make them.
        made = ("uv.lock", "conda-lock.yml")
        for path in (Path(folder, name) for name in files if not name.endswith(made)):
            data = path.read_bytes()
            if b"\0" not in data:
                yield relative(path), data.decode("utf-8", "replace")


def test_no_file_names_the_host_of_a_registry() -> None:
    # A class of one character keeps this line from finding itself.
    hosts = re.compile(r"python[h]osted|pypi[.]org|npmjs[.]|deb[.]debian")
    found = [(name, match[0]) for name, text in committed_texts() if (match := hosts.search(text))]
    assert found == []


@pytest.mark.parametrize("path", [Path(".ci/run")], ids=str)
def test_what_is_run_by_path_can_be_run(path: Path) -> None:
    assert os.access(ROOT / path, os.X_OK)
