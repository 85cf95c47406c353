"""Which files of a project a container is given: those that the image has are used, what tests need is put beside."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ci_envs.containers.session import ProjectFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ci_envs.environments.container import ContainerEnvironment

__all__ = ["beside_image", "is_of_tests", "located"]

#: Folders in which people keep tests, and files that configure them or check the environment.
_FOLDERS = frozenset(("test", "tests", "testing"))
_FILES = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "noxfile.py"),
    *("check-env.py", "check_env.py", "Makefile", "test_*.py", "*_test.py"),
)


def located(environment: ContainerEnvironment, root: Path, names: Sequence[str]) -> ProjectFiles:
    """Where a project's files are inside: the image's working directory where it has them, else a copy of all."""
    folder = environment.workdir
    inside = environment.has(names, folder) if folder != "/" else frozenset()
    beside = beside_image(names, inside)
    if beside is None:
        return ProjectFiles(root=root, names=names)
    return ProjectFiles(root=root, names=(), inside=folder, beside=beside)


def is_of_tests(name: str, more: Iterable[str] = ()) -> bool:
    """Whether a file, relative to the project, is one that tests need beside the code: no code of the project is.

    ``more`` are further folders, or files, that a test command names.
    """
    parts = name.split("/")
    if any(part in _FOLDERS for part in parts[:-1]) or any(_below(name, folder) for folder in more):
        return True
    return len(parts) == 1 and any(fnmatchcase(name, pattern) for pattern in _FILES)


def beside_image(names: Iterable[str], inside: frozenset[str], more: Iterable[str] = ()) -> tuple[str, ...] | None:
    """What is put beside an image's own copy of a project; ``None`` where the image has none, and all has to be put.

    ``names`` are the project's files, ``inside`` those that the image has below its working directory. A source file
    that a Dockerfile has forgotten is not put there: what is tested is what the image has.
    """
    listed = tuple(names)
    of_tests = tuple(name for name in listed if is_of_tests(name, more))
    code = frozenset(name for name in listed if name.endswith(".py")) - frozenset(of_tests)
    if not code & inside:
        return None
    return tuple(name for name in of_tests if name not in inside)


def _below(name: str, folder: str) -> bool:
    plain = folder.strip("/").removeprefix("./")
    return bool(plain) and (name == plain or name.startswith(f"{plain}/"))
