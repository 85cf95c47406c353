"""A project with an environment.yml, beside a small channel that stands for conda-forge: for tests of locks.

Its packages are stubs, which a solver takes for real ones: a channel of them is made in a second, for all platforms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from tests.component.running import Ran, run_verb
from tests.support.channel_packages import stub_package, stub_python
from tests.support.projects import write_project

from ci_envs.machine import arch_name, os_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.channel_archive import Package

__all__ = ["ENVIRONMENT", "FORGE", "LEG", "OWN", "SERIES", "CondaProject", "environment", "failed", "use_mirror"]

#: The Python of the legs here; nothing of it is installed.
SERIES = "3.12"
LEG = f"conda-py312-{os_name()}-{arch_name()}"
#: Its lock, where the project does not say which Python.
OWN = "locks/conda-py312.conda-lock.yml"

_PLATFORMS = ("linux-64", "osx-arm64", "win-64")

#: A channel: two Pythons, libraries in two versions, an application that has no use for the newer one, a runner.
FORGE: tuple[Package, ...] = (
    *(stub_python(version, platform) for version in ("3.11.9", "3.12.7") for platform in _PLATFORMS),
    *(stub_package("lib", version) for version in ("1.0", "1.1", "2.0")),
    *(stub_package("sea", version) for version in ("1.0", "1.1")),
    stub_package("app", "1.0", depends=("python >=3.11", "lib >=1,<2")),
    stub_package("pip", "25.0", depends=("python >=3.9", "setuptools")),
    stub_package("setuptools", "80.0", depends=("python >=3.9",)),
    stub_package("pytest", "9.0", depends=("python >=3.9", "pluggy")),
    stub_package("pluggy", "1.6", depends=("python >=3.9",)),
    stub_package("apples", "1.0", platform="osx-arm64"),
)


def environment(*specs: str, **more: Any) -> str:
    """An ``environment.yml``; ``pip`` are lines of that part, the rest are keys of the file."""
    pip = more.pop("pip", ())
    dependencies: list[Any] = [*specs, *([{"pip": list(pip)}] if pip else [])]
    return yaml.safe_dump({"channels": ["conda-forge"], "dependencies": dependencies, **more}, sort_keys=False)


#: ``environment.yml`` by name: ``app`` stands on line 5.
ENVIRONMENT: dict[str, str] = {"environment.yml": environment("python", "app")}


def use_mirror(folder: Path, env: Mapping[str, str], address: str, **more: Any) -> dict[str, str]:
    """Variables under which conda-forge is served from an address; ``more`` are settings of conda's."""
    condarc = folder / "condarc.yml"
    condarc.write_text(json.dumps({"mirrored_channels": {"conda-forge": [address]}, **more}), encoding="utf-8")
    return {**env, "CONDARC": str(condarc)}


def failed(ran: Ran, code: int = 5) -> str:
    """The sentence of the only leg, which failed in its lock stage."""
    assert ran.verdict[:2] == (code, "failed"), ran.output
    return ran.verdict[2].removeprefix("lock: ")


@dataclass
class CondaProject:
    """A project, and verbs over its conda legs."""

    root: Path
    env: dict[str, str]
    files: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)

    def __post_init__(self) -> None:
        write_project(self.root, self.files)

    def do(self, verb: str, *words: str, python: str = SERIES, pattern: str = "conda", **env: str) -> Ran:
        """A verb over one leg; ``env`` are more variables."""
        leg = [f"--pattern={pattern}", f"--python={python}"]
        return run_verb([verb, *leg, *words], {**self.env, **env}, self.root)

    def lock(self, *words: str, **how: str) -> Ran:
        """``lock --json``."""
        return self.do("lock", "--json", *words, **how)

    def check(self, *words: str, **how: str) -> Ran:
        """``lock --check --json``."""
        return self.lock("--check", *words, **how)

    def locked(self, *words: str, **how: str) -> str:
        """The text of the only lock, which this makes or renews."""
        ran = self.lock(*words, **how)
        assert ran.verdict == (0, "passed", ""), ran.output
        return self.text

    @property
    def path(self) -> Path:
        """The only lock."""
        (path,) = (*self.root.glob("conda-lock.yml"), *self.root.glob("locks/*"))
        return path

    @property
    def text(self) -> str:
        """Of the only lock."""
        return self.path.read_text(encoding="utf-8")

    @property
    def packages(self) -> dict[str, dict[str, str]]:
        """What the only lock has: platform -> name -> version."""
        found: dict[str, dict[str, str]] = {}
        for package in yaml.safe_load(self.text)["package"]:
            found.setdefault(package["platform"], {})[package["name"]] = package["version"]
        return found

    def edit(self, name: str, old: str, new: str) -> None:
        """Edits a file, which must have that."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, text
        path.write_text(text.replace(old, new), encoding="utf-8")
