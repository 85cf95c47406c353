"""Runs verbs of ci-envs over a project: in this process, which is quick, or in one of their own."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import sources
from ci_envs.__main__ import main
from ci_envs.command import Command, run
from ci_envs.model.report import Report
from ci_envs.record_files import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.model.record import Finding, RunRecord, Stage

__all__ = ["PYTHON", "Ran", "run_process", "run_verb", "snapshot"]

#: The series that runs these tests: the one Python that is surely here.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Ran:
    """What a verb left."""

    code: int
    #: By leg id, as they lie on disk after the verb.
    records: dict[str, RunRecord]
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that was said."""
        return self.stdout + self.stderr

    @property
    def record(self) -> RunRecord:
        """Of the only leg."""
        (record,) = self.records.values()
        return record

    def stage(self, name: str) -> Stage:
        """A stage of the only leg; it must have been reached."""
        stage = self.record.stage(name)
        assert stage is not None, f"{name} was not reached: {self.record.reason}"
        return stage

    def finding(self, code: str) -> Finding:
        """The one finding with this code, of the only leg."""
        (finding,) = (each for each in self.record.findings if each.code == code)
        return finding

    @property
    def report(self) -> Report:
        """What the verb printed with ``--json``: ``lock`` leaves no records."""
        return msgspec.json.decode(self.stdout, type=Report)

    @property
    def verdict(self) -> tuple[int, str, str]:
        """Exit code, and status and reason of the only leg of :attr:`report`."""
        (leg,) = self.report.legs
        return self.code, leg.status, leg.reason

    @property
    def pins(self) -> dict[str, str]:
        """Names and versions that the lock of the only leg has."""
        assert self.record.lock is not None
        return {pin.name: pin.version for pin in self.record.lock.pins}

    @property
    def installed(self) -> dict[str, str]:
        """Names and versions that are in the environment of the only leg."""
        return {each.name: each.version for each in self.record.inventory}


def run_verb(words: list[str], env: Mapping[str, str], cwd: Path) -> Ran:
    """A verb in this process, as if it had been started in ``cwd`` with these variables and no others."""
    sources.fingerprint.cache_clear()  # taken once a run, which is once a process elsewhere
    said = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, encoding="utf-8", write_through=True) for stream in said)
    with (
        _variables(env),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    stdout, stderr = (stream.getvalue().decode() for stream in said)
    return Ran(code, _records(words, env, cwd), stdout, stderr)


def run_process(words: list[str], env: Mapping[str, str], cwd: Path, *, timeout: float = 100) -> Ran:
    """The same in a process of its own."""
    outcome = run(Command((sys.executable, "-m", "ci_envs", *words), cwd=cwd, env=env, timeout=timeout))
    return Ran(outcome.returncode, _records(words, env, cwd), outcome.stdout, outcome.stderr)


def snapshot(folder: Path, *, state: bool = False) -> dict[str, str]:
    """Every file below a folder with the digest of its bytes; what ci-envs keeps for itself only on request."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and (state or not name.startswith(".ci-envs/")) and "__pycache__" not in name:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@contextlib.contextmanager
def _variables(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(env)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _records(words: list[str], env: Mapping[str, str], cwd: Path) -> dict[str, RunRecord]:
    root = next((Path(word.removeprefix("--project=")) for word in words if word.startswith("--project=")), Path())
    state = Path(env["CI_ENVS_STATE_DIR"]) if "CI_ENVS_STATE_DIR" in env else cwd / root / ".ci-envs"
    return {path.stem: read_record(path) for path in sorted(state.glob("records/*.json"))}
