"""What every test here lives by: component tests on request, and nothing leaks from one test to the next."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A job that a shell started in the background inherits that Ctrl-C is ignored, and so would the programs that these
# tests interrupt; a handler is no such inheritance.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest tells of the running test here, and takes it back later than a fixture ends.
_PYTEST_OWN = "PYTEST_CURRENT_TEST"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-component",
        action="store_true",
        help="Run the tests of real tools too; a tool that is not there is then a failure, never a skip.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-component"):
        return
    named = [_split(config, argument) for argument in config.args if "::" in argument]
    not_asked = pytest.mark.skip(reason="runs a real tool; ask for it with --run-component")
    for item in items:
        if item.get_closest_marker("component") and not any(_is_named(item, *word) for word in named):
            item.add_marker(not_asked)


def _split(config: pytest.Config, argument: str) -> tuple[Path, str]:
    path, _, inside = argument.partition("::")
    return (config.invocation_params.dir / path).resolve(), inside


def _is_named(item: pytest.Item, path: Path, inside: str) -> bool:
    own = item.nodeid.partition("::")[2]
    return item.path == path and (own == inside or own.startswith((f"{inside}::", f"{inside}[")))


@pytest.fixture
def tool() -> Callable[[str], Path]:
    """Finds a program that a component test needs: its absence fails the test."""

    def find(name: str) -> Path:
        found = shutil.which(name)
        if found is None:
            pytest.fail(f"this test needs {name!r}, which is not on PATH")
        return Path(found)

    return find


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fails a test that leaves this process's variables, folder or mask changed for the next one."""
    before, folder, mask = _variables(), Path.cwd(), _mask()
    yield
    console.configure()  # a verb that was told to be quiet means itself
    after = _variables()
    os.environ.update(before)
    for name in after.keys() - before.keys():
        del os.environ[name]
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    left = Path.cwd()
    os.chdir(folder)
    left_mask = _mask()
    os.umask(mask)
    assert not changed, f"the test left these variables changed: {', '.join(changed)}"
    assert left == folder, f"the test left the process in {left}"
    assert left_mask == mask, f"the test left the file mask {left_mask:03o}"


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != _PYTEST_OWN}


def _mask() -> int:
    # The only portable way to read it is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
