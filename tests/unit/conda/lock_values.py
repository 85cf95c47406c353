"""What the tests of conda locks share: packages and locks as values, and the cases on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tests
from msgspec.structs import replace

from ci_envs.conda.lock_reading import read_lock
from ci_envs.errors import LockError
from ci_envs.model.conda import CondaLock, LockedPackage, MatchLine, PipLine

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = sorted((Path(tests.__path__[0]) / "cases/conda/locks").glob("*.yml"))
CHANNEL = "https://channel.example/conda-forge"
FILES = "https://files.example/packages"
COMMIT = "3f07f990ac74f1e1691ba17ef8c14007f05846ab"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def conda(name: str, version: str = "1.0", *depends: str, build: str = "h1_0", **fields: Any) -> LockedPackage:
    subdir, platform = fields.pop("subdir", "linux-64"), fields.pop("platform", "linux-64")
    url = f"{fields.pop('channel', CHANNEL)}/{subdir}/{name}-{version}-{build}.conda"
    given = {"md5": sha(url)[:32], "sha256": sha(url)} | fields
    return LockedPackage(
        name=name, version=version, platform=platform, url=url, build=build, subdir=subdir, depends=depends, **given
    )


def pip(name: str, version: str = "1.0", *depends: str, **fields: Any) -> LockedPackage:
    url = fields.pop("url", f"{FILES}/{name.replace('-', '_')}-{version}-py3-none-any.whl")
    given = {"sha256": sha(url), "platform": "linux-64"} | fields
    return LockedPackage(name=name, version=version, manager="pip", url=url, depends=depends, **given)


def lock(*packages: LockedPackage, **fields: Any) -> CondaLock:
    platforms = tuple(sorted({package.platform for package in packages} or {"linux-64"}))
    given = {"path": "conda-lock.yml", "format": "conda-lock", "platforms": platforms, "channels": (CHANNEL,)} | fields
    return CondaLock(packages=packages, **given)


def spec(text: str, line: int = 1, **fields: Any) -> MatchLine:
    name = text.rpartition("::")[2].split()[0].partition("[")[0].partition("=")[0]
    given: dict[str, Any] = {"file": "environment.yml", "line": line} | fields
    return MatchLine(text=text, name=name, **given)


def line(text: str, number: int = 20, **fields: Any) -> PipLine:
    return PipLine(text=text, file="environment.yml", line=number, **fields)


def case(name: str) -> str:
    return next(path.read_text("utf-8") for path in CASES if path.stem == name)


def without_findings(read: CondaLock) -> CondaLock:
    return replace(read, findings=())


def refusal(text: str, path: str = "conda-lock.yml") -> LockError:
    """The error of ours that reading a text ends with; anything else is the test's failure."""
    return refused(lambda: read_lock(text, path=path))


def refused(call: Callable[[], object]) -> LockError:
    try:
        call()
    except LockError as error:
        return error
    raise AssertionError("nothing was refused")
