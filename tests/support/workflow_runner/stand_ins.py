"""The actions that are not run but done here: each does what its action does at the version that we name, no more.

An input that is not known here raises; so does an action that is none of these and no repository of the server.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uv
from tests.support.workflow_runner.artifacts import StandInError
from tests.support.workflow_runner.errors import NotKnownError

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.workflow_runner.artifacts import Artifacts
    from tests.support.workflow_runner.caches import Caches
    from tests.support.workflow_runner.repositories import Repository

__all__ = ["STAND_INS", "Asked", "Done", "stand_in"]


@dataclass(frozen=True)
class Asked:
    """What an action is given: its inputs, and what of the server and the job it needs."""

    inputs: Mapping[str, str]
    #: By name: workspace, temp, home, tools.
    folders: Mapping[str, Path]
    artifacts: Artifacts
    caches: Caches
    repositories: Mapping[str, Repository]
    repository: str
    sha: str
    path: str


@dataclass
class Done:
    """What it leaves for the job."""

    outputs: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


def stand_in(uses: str) -> Callable[[Asked], Done] | None:
    """What does the work of ``actions/cache/save@<commit>``; None where it is no action that is stood in for."""
    known = STAND_INS.get(uses.partition("@")[0])
    if known is None:
        return None
    inputs, do = known

    def checked(asked: Asked) -> Done:
        unknown = asked.inputs.keys() - inputs
        if unknown:
            raise NotKnownError(f"{uses} with {', '.join(sorted(unknown))} is not known here")
        return do(asked)

    return checked


def _checkout(asked: Asked) -> Done:
    inputs = asked.inputs
    if inputs.get("persist-credentials") != "false":
        raise NotKnownError("a checkout that keeps its credentials")
    name = inputs.get("repository") or asked.repository
    repository = asked.repositories.get(name)
    if repository is None:
        raise StandInError(f"Not Found: {name}")
    own = name == asked.repository and not inputs.get("ref")
    sha = asked.sha if own else repository.sha(inputs.get("ref") or repository.default_branch)
    target = asked.folders["workspace"] / inputs.get("path", ".")
    repository.clone(sha, target, int(inputs.get("fetch-depth") or 1))
    return Done({"ref": inputs.get("ref", ""), "commit": sha})


def _upload(asked: Asked) -> Done:
    outputs, warnings = asked.artifacts.upload(asked.inputs, asked.folders["workspace"])
    return Done(outputs, warnings)


def _download(asked: Asked) -> Done:
    return Done(asked.artifacts.download(asked.inputs, asked.folders["workspace"]))


def _restore(asked: Asked) -> Done:
    return Done(asked.caches.restore(asked.inputs, asked.folders))


def _save(asked: Asked) -> Done:
    return Done(warnings=asked.caches.save(asked.inputs, asked.folders))


def _setup_python(asked: Asked) -> Done:
    """An interpreter of this machine, in the place of one of the tool cache."""
    wanted = asked.inputs.get("python-version", "")
    if not re.fullmatch(r"3\.\d+", wanted):
        raise NotKnownError(f"setup-python with python-version {wanted!r}")
    found = _python(wanted, asked)
    if found is None:
        raise StandInError(f"The version '{wanted}' with architecture 'x64' was not found for this operating system.")
    version = run(Command((str(found), "-I", "-c", "import platform; print(platform.python_version())"))).stdout.strip()
    kept = asked.inputs.get("update-environment", "true") == "false"
    outputs = {"python-version": version, "python-path": str(found), "cache-hit": ""}
    folders, env = ([], {}) if kept else ([str(found.parent)], {"pythonLocation": str(found.parent.parent)})
    return Done(outputs, path=folders, env=env)


def _python(version: str, asked: Asked) -> Path | None:
    words = ("python", "find", "--no-project", "--no-python-downloads", "--system", version)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "VIRTUAL_ENV"))}
    outcome = run(Command((uv.find_uv_bin(), *words), cwd=asked.folders["temp"], env=kept, timeout=60))
    return Path(outcome.stdout.strip()) if outcome else None


def _setup_uv(asked: Asked) -> Done:
    """The uv of the machine's own environment, first on PATH."""
    folder = asked.folders["tools"] / "uv"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("uv", "uvx"):
        source = Path(uv.find_uv_bin()).with_name(name)
        if source.is_file():
            shutil.copy2(source, folder / name)
    version = run(Command((str(folder / "uv"), "--version"))).stdout.split()[1]
    outputs = {
        "uv-version": version,
        "uv-path": str(folder / "uv"),
        "uvx-path": str(folder / "uvx"),
        "cache-hit": "false",
    }
    return Done(outputs, path=[str(folder)])


STAND_INS: dict[str, tuple[frozenset[str], Callable[[Asked], Done]]] = {
    "actions/checkout": (
        frozenset(("persist-credentials", "fetch-depth", "repository", "ref", "path")),
        _checkout,
    ),
    "actions/cache/restore": (frozenset(("path", "key")), _restore),
    "actions/cache/save": (frozenset(("path", "key")), _save),
    "actions/upload-artifact": (
        frozenset(("name", "path", "if-no-files-found", "retention-days", "overwrite", "include-hidden-files")),
        _upload,
    ),
    "actions/download-artifact": (frozenset(("name", "path", "pattern", "merge-multiple")), _download),
    "actions/setup-python": (frozenset(("python-version", "update-environment")), _setup_python),
    "astral-sh/setup-uv": (frozenset(("version", "enable-cache", "ignore-empty-workdir")), _setup_uv),
}
