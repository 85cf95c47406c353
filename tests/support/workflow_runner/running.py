"""What stands for GitHub: repositories, caches and runs; and one run of it."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.artifacts import Artifacts
from tests.support.workflow_runner.caches import Caches
from tests.support.workflow_runner.steps import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.workflow_runner.events import Event
    from tests.support.workflow_runner.node import Node
    from tests.support.workflow_runner.repositories import Repository
    from tests.support.workflow_runner.results import JobRun, Walk

__all__ = ["TOKEN", "Run", "Server", "machine_variables"]

#: What ``github.token`` is here: a test may look whether it turns up where it should not.
TOKEN = "ghs_canaryOfTheToken0123456789abcdefghij"

#: Variables of the machine that a runner of it would have, too: where programs are, how the network is reached.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "NIX_PATH", "CONDARC", "DOCKER_HOST")
_KEPT_ENDS = ("_PROXY", "_CA_BUNDLE", "_CERT_FILE", "_CERT_DIR", "_CA_CERTS", "_CAINFO")
_KEPT_BEGINNINGS = ("PIP_", "UV_", "CI_ENVS_NIX_")


def machine_variables() -> dict[str, str]:
    """Of this machine: PATH, proxies, certificates, the index that is set up. Nothing of a job, and no home.

    Settings of pip and uv that lie in the home of whoever runs the tests are named, since a job's home is empty.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.upper().endswith(_KEPT_ENDS) or name.startswith(_KEPT_BEGINNINGS)
    }
    for name, files in _SETTINGS.items():
        found = [path for path in files if (Path.home() / path).is_file()]
        if found and name not in kept:
            kept[name] = str(Path.home() / found[0])
    for name, folder in (("PYENV_ROOT", ".pyenv"), ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python")):
        if (Path.home() / folder).is_dir():
            kept.setdefault(name, str(Path.home() / folder))
    return kept


_SETTINGS = {"PIP_CONFIG_FILE": (".config/pip/pip.conf", ".pip/pip.conf"), "UV_CONFIG_FILE": (".config/uv/uv.toml",)}


@dataclass
class Server:
    """GitHub, as far as a workflow sees it.

    ``share`` names a script, by words in it, that is run in the first job which has it; later jobs have its outputs and
    its files. Making the private environment of ci-envs takes each job 5 to 8 s, and it is the same in all of them.
    """

    node: Node
    folder: Path
    repositories: dict[str, Repository] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=machine_variables)
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    #: What this machine answers to.
    labels: frozenset[str] = frozenset(("ubuntu-latest", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-24.04-arm"))
    #: How many jobs of one matrix run at once, where its max-parallel allows them.
    parallel: int = 2
    #: What the token may do where a workflow says nothing.
    permissions: Mapping[str, str] = field(default_factory=lambda: {"contents": "read", "packages": "read"})
    caches: Caches = field(default_factory=Caches)
    share: str = ""
    shared: Shared | None = None
    _busy: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(9_000_000_001))

    def __post_init__(self) -> None:
        if self.share:
            self.shared = Shared(self.share, threading.Lock())
        for folder in ("actions", "runs"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)

    @property
    def architecture(self) -> str:
        """As the runner names it."""
        return "ARM64" if platform.machine() in ("aarch64", "arm64") else "X64"

    @contextmanager
    def machine_folder(self) -> Iterator[Path]:
        """The folder that a job's workspace lies in: the same one for each job that runs alone.

        A workspace has one path on all machines of the service, and what is kept of it from job to job counts on that.
        """
        with self._lock:
            number = next(number for number in itertools.count() if number not in self._busy)
            self._busy.add(number)
        folder = self.folder / "machines" / str(number)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # of a job that did not come to its end
            with self._lock:
                self._busy.discard(number)

    def tidy(self) -> None:
        """Removes the folders of all jobs but what is shared, as the service does with its machines."""
        kept = {str(value) for value in (self.shared.outputs or {}).values()} if self.shared else set()
        for job in (self.folder / "runs").glob("*/*"):
            if not any(value.startswith(f"{job}/") for value in kept):
                shutil.rmtree(job, ignore_errors=True)

    def start(
        self,
        repository: str,
        workflow: str,
        event: Event,
        *,
        after_job: Callable[[JobRun, Run], None] | None = None,
        again: Walk | None = None,
    ) -> Walk:
        """Runs a workflow of a repository for an event.

        ``after_job`` is called after each job, and may change the artifacts of the run. With ``again`` the jobs of that
        walk that failed are run once more, with all that need them, as its next attempt.
        """
        from tests.support.workflow_runner.walking import walk_run

        number = again.run_id if again is not None else next(self._numbers)
        attempt = again.attempt + 1 if again is not None else 1
        kept = again.artifacts if again is not None and again.artifacts is not None else Artifacts()
        folder = self.folder / "runs" / f"{number}-{attempt}"
        folder.mkdir()
        run = Run(self, self.repositories[repository], workflow, event, folder, number, attempt, kept, after_job, again)
        return walk_run(run)


@dataclass
class Run:
    """One attempt of one run."""

    server: Server
    repository: Repository
    workflow: str
    event: Event
    folder: Path
    number: int
    attempt: int
    artifacts: Artifacts
    after_job: Callable[[JobRun, Run], None] | None = None
    again: Walk | None = None
    jobs: dict[str, JobRun] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Of the jobs' folders.
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def github(self, name: str) -> dict[str, Any]:
        """The ``github`` context ("Contexts reference"), but for what belongs to a job. ``name`` is the workflow's."""
        event, owner = self.event, self.repository.name.partition("/")[0]
        kind, _, short = event.ref.removeprefix("refs/").partition("/")
        ref = f"{self.repository.name}/{self.workflow}@{event.ref}"
        told = {
            "ref": event.ref,
            "ref_name": short,
            "ref_type": "tag" if kind == "tags" else "branch",
            "sha": event.sha,
        }
        told |= {"base_ref": event.base_ref, "head_ref": event.head_ref, "event_name": event.name}
        told |= {
            "repository": self.repository.name,
            "repository_owner": owner,
            "actor": owner,
            "triggering_actor": owner,
        }
        told |= {"run_id": str(self.number), "run_number": "1", "run_attempt": str(self.attempt), "token": TOKEN}
        told |= {"server_url": "https://github.com", "api_url": "https://api.github.com", "workflow": name}
        told |= {"workflow_ref": ref, "workflow_sha": event.sha, "retention_days": "90"}
        return {**told, "event": dict(event.payload)}
