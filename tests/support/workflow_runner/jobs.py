"""One job: its folders, its contexts, its steps, its outputs."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.errors import NotKnownError
from tests.support.workflow_runner.log_commands import Annotation, Masks
from tests.support.workflow_runner.node import EvaluationError
from tests.support.workflow_runner.results import JobRun, StepRun
from tests.support.workflow_runner.stand_ins import Asked
from tests.support.workflow_runner.steps import Frame, JobState, Source, run_steps
from tests.support.workflow_runner.templates import Scope
from tests.support.workflow_runner.workflow_file import check_keys, narrowed

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.workflow_runner.running import Run

__all__ = ["MOST_OUTPUT", "Place", "run_job"]

#: "Outputs can be a maximum of 1 MB per job", measured as UTF-16 ("Workflow syntax", jobs.<job_id>.outputs).
MOST_OUTPUT = 1024 * 1024

#: What hosted runners tell of the image that they are made from.
_IMAGE = {"ImageOS": "ubuntu24", "ImageVersion": "20261101.1.0"}


@dataclass(frozen=True)
class Place:
    """Where a job is written: the file, what is known there, and who may do what."""

    source: Source
    path: str
    #: ``github``, ``inputs``, ``vars``, ``secrets``; for a job ``needs``, ``strategy``, ``matrix``, too.
    contexts: Mapping[str, Any]
    env: Mapping[str, Any]
    #: Of the caller's job, and what stands before the keys of these jobs: ``envs/``.
    prefix: str = ""
    #: The same for names: ``Environments / ``.
    title: str = ""
    permissions: Mapping[str, str] | None = None

    def with_contexts(self, **more: Any) -> Place:
        """The same place with more that is known."""
        return replace(self, contexts={**self.contexts, **more})


def run_job(run: Run, place: Place, job: Mapping[str, Any], made: JobRun, cancel: threading.Event) -> None:
    """Runs it on this machine; ``made`` gets the result, the steps and the outputs."""
    check_keys("job", job)
    scope = Scope(run.server.node, place.contexts)
    made.labels = _labels(scope.value(job["runs-on"]))
    unknown = set(made.labels) - run.server.labels
    if unknown:
        raise NotKnownError(f"runs-on {', '.join(sorted(unknown))}: this machine has none of these labels")
    made.permissions = narrowed(place.permissions or {}, job.get("permissions"), called=False)
    made.timeout_minutes = float(scope.value(job.get("timeout-minutes", 360)))
    with run.server.machine_folder() as machine:
        state = _state(run, place, job, made, cancel=cancel, machine=machine)
        frame = Frame(place.source, {})
        made.steps = run_steps(state, frame, job["steps"])
        shutil.move(machine, state.folders["temp"].parent / "work")  # to be looked at, and out of the next job's way
    _set_outputs(state, frame, job, made)
    made.result = state.status
    if made.result == "failure" and scope.value(job.get("continue-on-error", False)):
        made.result = "success"


def _labels(told: Any) -> tuple[str, ...]:
    if isinstance(told, str):
        return (told,)
    if isinstance(told, list):
        return tuple(told)
    raise NotKnownError(f"runs-on: {told}")


def _state(
    run: Run, place: Place, job: Mapping[str, Any], made: JobRun, *, cancel: threading.Event, machine: Path
) -> JobState:
    server = run.server
    folders = _folders(run, made, machine)
    made.folder = folders["temp"].parent
    contexts = {**place.contexts, **_contexts(run, place, made, folders)}
    asked = Asked(
        {}, folders, run.artifacts, server.caches, server.repositories, run.repository.name, run.event.sha, ""
    )
    env = Scope(server.node, contexts).texts(place.env)
    env |= Scope(server.node, contexts).texts(job.get("env"))
    return JobState(
        node=server.node,
        machine={**server.machine, **_IMAGE, "HOME": str(folders["home"]), "USERPROFILE": str(folders["home"])},
        folders=folders,
        repositories=server.repositories,
        masks=Masks({name: value for name, value in place.contexts["secrets"].items() if value}),
        contexts=contexts,
        env=env,
        deadline=time.monotonic() + made.timeout_minutes * 60,
        cancel=cancel,
        asked=lambda inputs: replace(asked, inputs=inputs),
        actions=server.folder / "actions",
        defaults=_defaults(Scope(server.node, contexts), job),
        shared=server.shared,
    )


def _defaults(scope: Scope, job: Mapping[str, Any]) -> dict[str, str]:
    told = job.get("defaults") or {}
    check_keys("defaults", told)
    check_keys("defaults.run", told.get("run") or {})
    return scope.texts(told.get("run"))


def _folders(run: Run, made: JobRun, machine: Path) -> dict[str, Path]:
    slug = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in made.key)
    root = run.folder / f"{next(run.numbers)}-{slug[:60]}"
    name = run.repository.name.partition("/")[2]
    folders = {"home": root / "home", "temp": root / "temp", "tools": root / "tools"}
    folders |= {"workspace": machine / name / name, "commands": root / "temp" / "_runner_file_commands"}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return folders


def _contexts(run: Run, place: Place, made: JobRun, folders: Mapping[str, Path]) -> dict[str, Any]:
    """What a job knows more than the workflow: "Contexts reference", ``github``, ``job`` and ``runner``."""
    event = folders["temp"] / "_github_workflow" / "event.json"
    event.parent.mkdir()
    event.write_text(json.dumps(run.event.payload), encoding="utf-8")
    job_id = made.key.rpartition("/")[2].partition(" ")[0]
    github = {"workspace": str(folders["workspace"]), "event_path": str(event), "job": job_id, "action": "__run"}
    source = place.source
    file = {"workflow_repository": source.repository.name, "workflow_sha": source.sha, "workflow_file_path": place.path}
    file["workflow_ref"] = f"{source.repository.name}/{place.path}@{source.sha}"
    runner = {"name": "runner", "os": "Linux", "arch": run.server.architecture, "environment": "github-hosted"}
    runner |= {"temp": str(folders["temp"]), "tool_cache": str(folders["tools"])}
    return {"github": {**place.contexts["github"], **github}, "job": {"status": "success", **file}, "runner": runner}


def _set_outputs(state: JobState, frame: Frame, job: Mapping[str, Any], made: JobRun) -> None:
    """Of a job that failed, too; what is empty is left out, and so is what holds a secret (JobExtension.cs)."""
    scope = Scope(state.node, {**state.contexts, "steps": frame.steps, "env": state.env})
    told = StepRun("Complete job", outcome="success", conclusion="success")
    made.steps.append(told)
    try:
        outputs = scope.texts(job.get("outputs"))
    except EvaluationError as error:
        told.annotations.append(Annotation("error", f"Fail to evaluate job outputs: {error}"))
        state.status = "failure"
        return
    for name, value in outputs.items():
        if state.masks(value) != value:
            told.annotations.append(Annotation("warning", f"Skip output '{name}' since it may contain secret."))
        elif value:
            made.outputs[name] = value
    size = sum(len(value.encode("utf-16-le")) for value in made.outputs.values())
    if size > MOST_OUTPUT:
        told.annotations.append(Annotation("error", f"the outputs have {size} bytes, and {MOST_OUTPUT} are the most"))
        state.status = "failure"
        made.outputs.clear()
