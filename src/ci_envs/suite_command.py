"""How a project's tests are run, found in its files.

The first of these: tox's command, where it is one plain line of pytest or unittest that the environment can run;
pytest, where the environment has it and there is something for it to run; unittest's discovery, where there are test
cases of its kind, none of the tests needs pytest, and one discovery finds them all. A part of the tests is never taken
for the whole.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from itertools import islice
from typing import TYPE_CHECKING, Any

from ci_envs.errors import UsageError
from ci_envs.ini import lines_of, read_ini
from ci_envs.model.detect import Evidence, TestCommand
from ci_envs.tox_files import read_tox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.project import Project

__all__ = ["test_command"]

#: Options of pytest that a plugin brings: without it, pytest refuses the whole command line.
_PLUGIN_OPTIONS = {
    "--benchmark": "pytest-benchmark",
    "--cov": "pytest-cov",
    "--dist": "pytest-xdist",
    "--numprocesses": "pytest-xdist",
    "--reruns": "pytest-rerunfailures",
    "--timeout": "pytest-timeout",
    "-n": "pytest-xdist",
}

_FOLDERS = ("", "tests", "test", "tests/*", "test/*", "*/tests", "src/*/tests", "*/tests/*", "src/*/tests/*")

# Test cases by the name of their base, which people keep for bases of their own: django.test.TestCase, StoreTestCase.
_TEST_CASE = re.compile(r"^[ \t]*class\s+\w+\s*\([^)]{0,500}TestCase\b", re.MULTILINE)
_PYTEST = re.compile(r"^[ \t]*(?:import|from)\s+pytest\b", re.MULTILINE)

#: Past this many files nothing new is learned about which runner they are for.
_MAX_TEST_FILES = 2000


def test_command(project: Project, pins: frozenset[str]) -> TestCommand | None:
    """How the tests are run in an environment with these packages (normalised names); ``None`` where nothing says so.

    ``-n auto`` is added where pytest-xdist is there and the project does not say itself how many processes it wants.
    """
    return _from_tox(project, pins) or (_pytest(project, pins) if "pytest" in pins else _unittest(project))


def _from_tox(project: Project, pins: frozenset[str]) -> TestCommand | None:
    tox = read_tox(project)
    if tox is None:
        return None
    why = f"it is the command of {tox.evidence}"
    match tox.command:
        case ("pytest" | "py.test", *words) | ("python" | "python3", "-m", "pytest", *words):
            if "pytest" not in pins or _lacks_plugin(words, pins):
                return None
            argv = ("python", "-m", "pytest", *_processes(project, pins, words), *words)
            own = tox.command[0].startswith("python")
            return TestCommand(argv=argv, runner="pytest", evidence=(tox.evidence,), why=why, as_written=own)
        case ("python" | "python3", "-m", "unittest", *words):
            argv = ("python", "-m", "unittest", *words)
            return TestCommand(argv=argv, runner="unittest", evidence=(tox.evidence,), why=why)
        case _:
            return None


def _lacks_plugin(words: Sequence[str], pins: frozenset[str]) -> bool:
    wanted = {plugin for option, plugin in _PLUGIN_OPTIONS.items() if any(word.startswith(option) for word in words)}
    return not wanted <= pins


def _pytest(project: Project, pins: frozenset[str]) -> TestCommand | None:
    evidence = next(_signs_of_tests(project), None)
    if evidence is None:
        return None
    argv = ("python", "-m", "pytest", *_processes(project, pins, ()))
    why = f"pytest is in the environment, and {evidence} is there"
    return TestCommand(argv=argv, runner="pytest", evidence=(evidence,), why=why)


def _processes(project: Project, pins: frozenset[str], words: Sequence[str]) -> tuple[str, ...]:
    if "pytest-xdist" not in pins:
        return ()
    configured = next((addopts for _, addopts in _pytest_settings(project)), "")
    said = [*words, *_split(configured)]
    if any(word.startswith(("-n", "--numprocesses", "--dist")) or word.endswith("no:xdist") for word in said):
        return ()
    return ("-n", "auto")


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _signs_of_tests(project: Project) -> Iterator[Evidence]:
    yield from (evidence for evidence, _ in _pytest_settings(project))
    yield from (Evidence(file=folder) for folder in ("tests", "test") if project.names(folder))
    yield from (Evidence(file=file) for file in _test_files(project))


def _pytest_settings(project: Project) -> Iterator[tuple[Evidence, str]]:
    """Where pytest is configured, in its own order, with the ``addopts`` found there.

    https://docs.pytest.org/en/stable/reference/customize.html
    """
    for file in ("pytest.toml", ".pytest.toml"):
        if project.exists(file):
            yield Evidence(file=file), _addopts(project.toml(file).get("pytest"))
    for file in ("pytest.ini", ".pytest.ini"):
        if project.exists(file):
            yield Evidence(file=file), " ".join(lines_of(read_ini(project, file), "pytest", "addopts"))
    if table := project.table("tool", "pytest"):
        nested = "ini_options" in table
        key = "tool.pytest.ini_options" if nested else "tool.pytest"
        yield Evidence(file="pyproject.toml", key=key), _addopts(table["ini_options"] if nested else table)
    for file, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = read_ini(project, file)
        if parser.has_section(section):
            yield Evidence(file=file, key=f"[{section}]"), " ".join(lines_of(parser, section, "addopts"))


def _addopts(table: Any) -> str:
    value = table.get("addopts", "") if isinstance(table, dict) else ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _test_files(project: Project) -> Iterator[str]:
    """Files that both runners would look into, hidden folders left out."""
    for folder in _FOLDERS:
        for pattern in ("test_*.py", "*_test.py"):
            for file in project.glob(f"{folder}/{pattern}" if folder else pattern):
                if not file.startswith(".") and "/." not in file:
                    yield file


def _unittest(project: Project) -> TestCommand | None:
    texts = {file: _source(project, file) for file in islice(_test_files(project), _MAX_TEST_FILES)}
    files = [file for file, text in texts.items() if _TEST_CASE.search(text)]
    if not files or any(map(_PYTEST.search, texts.values())):
        return None
    where = _discovery(project, files)
    if where is None:
        return None
    argv = ("python", "-m", "unittest", "discover", *where)
    why = f"pytest is not in the environment, and {files[0]} holds test cases of unittest"
    return TestCommand(argv=argv, runner="unittest", evidence=(Evidence(file=files[0]),), why=why)


def _source(project: Project, file: str) -> str:
    try:
        return project.text(file) or ""
    except UsageError:  # Python source may have another encoding; the runner will read it
        return ""


def _discovery(project: Project, files: Sequence[str]) -> tuple[str, ...] | None:
    """The arguments with which one ``unittest discover`` finds all the files; ``None`` where none does.

    It goes down into packages only: https://docs.python.org/3/library/unittest.html#test-discovery
    """
    tops = {_top(project, posixpath.dirname(file)) for file in files}
    usual = {posixpath.basename(file).startswith("test") for file in files}
    if len(tops) != 1 or len(usual) != 1:
        return None
    pattern = () if usual.pop() else ("-p", "*_test.py")
    if top := tops.pop():
        return ("-s", top, *pattern)
    first = {file.partition("/")[0] for file in files}
    # Packages of the root: the one folder is enough, and spares unittest the import of all the others.
    start = first.pop() if len(first) == 1 and "/" in files[0] else ""
    return ("-s", start, "-t", ".", *pattern) if start else pattern


def _top(project: Project, folder: str) -> str:
    """The nearest folder upwards that is no package itself; empty for the root."""
    while folder and project.exists(f"{folder}/__init__.py"):
        folder = posixpath.dirname(folder)
    return folder
