"""Jobs in their order: needs, conditions, matrices, called workflows, attempts.

Sources: "Workflow syntax" (jobs.<job_id>.needs, .if, .strategy), "Reuse workflows", "Re-running workflows and jobs",
"Evaluate expressions" (status check functions) on docs.github.com; src/Sdk/WorkflowParser of actions/runner.

Where a called workflow does not fit its caller the service refuses the whole run before a job begins; here the job that
calls it fails, and the others go on. Either is red.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.errors import NotKnownError, RefusedError
from tests.support.workflow_runner.jobs import Place, run_job
from tests.support.workflow_runner.matrix import expand
from tests.support.workflow_runner.node import EvaluationError
from tests.support.workflow_runner.results import JobRun, Walk
from tests.support.workflow_runner.running import TOKEN
from tests.support.workflow_runner.steps import Source
from tests.support.workflow_runner.templates import Expression, Scope
from tests.support.workflow_runner.workflow_file import (
    called_inputs,
    check_event,
    check_keys,
    dispatched_inputs,
    job_order,
    narrowed,
    needs_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.workflow_runner.running import Run

__all__ = ["walk_run"]

#: "You can connect a maximum of ten levels of workflows" ("Reuse workflows").
MOST_LEVELS = 10

#: A job whose matrix, name or inputs GitHub does not accept fails before it begins.
_WRONG = (RefusedError, EvaluationError)


@dataclass
class _Call:
    """One workflow, started by an event or called by a job."""

    run: Run
    place: Place
    document: Mapping[str, Any]
    #: The files and the concurrency groups of those that call it, itself included.
    callers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    #: Whether each job is run again in a new attempt, since one that all of this waits for is.
    anew: bool = False
    #: By the job's id: success, failure, cancelled, skipped; and what has become of its outputs.
    results: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    rerun: set[str] = field(default_factory=set)


def walk_run(run: Run) -> Walk:
    """Runs a workflow from its event on; what GitHub would not start has a ``reason`` and no jobs."""
    walk = Walk(run.jobs, attempt=run.attempt, run_id=run.number, artifacts=run.artifacts)
    try:
        source = Source(run.repository, run.event.sha)
        document = _document(run, source, run.workflow)
        check_event(document, run.event)
        call = _started(run, source, document)
        walk.result = _walk_jobs(call)
        walk.outputs = call.outputs
    except _WRONG as error:
        walk.result, walk.reason = "failure", str(error)
    return walk


def _document(run: Run, source: Source, path: str) -> dict[str, Any]:
    parsed = run.server.node.parse_workflow(path, source.repository.read(source.sha, path))
    if parsed.errors:
        raise RefusedError(f"{path}:{parsed.errors[0]}")
    check_keys("workflow", parsed.document)
    document: dict[str, Any] = parsed.document
    return document


def _started(run: Run, source: Source, document: Mapping[str, Any]) -> _Call:
    name = document.get("name")
    github = run.github(name if isinstance(name, str) else run.workflow)
    inputs = dispatched_inputs(document, run.event)
    secrets = {**run.server.secrets, "GITHUB_TOKEN": TOKEN}
    contexts = {"github": github, "inputs": inputs, "vars": dict(run.server.variables), "secrets": secrets}
    allowed = narrowed(run.server.permissions, document.get("permissions"), called=False)
    place = Place(source, run.workflow, contexts, document.get("env") or {}, permissions=allowed)
    return _grouped(_Call(run, place, document, (f"{source.repository.name}/{run.workflow}",)))


def _grouped(call: _Call, told: Any = None) -> _Call:
    """With the concurrency group of a workflow or of a job; one that waits for itself would never end."""
    told = told if told is not None else call.document.get("concurrency")
    if told is None:
        return call
    value = Scope(call.run.server.node, call.place.contexts).value(told)
    group = value if isinstance(value, str) else value["group"]
    if group in call.groups:
        raise RefusedError(f"Canceling since a deadlock for concurrency group '{group}' was detected")
    return replace(call, groups=(*call.groups, group))


# --- the jobs of a workflow


def _walk_jobs(call: _Call) -> str:
    """Runs them all; the result of the workflow."""
    jobs = call.document["jobs"]
    for name in job_order(jobs):
        _walk_job(call, name, jobs[name])
    results = [call.results[name] for name in jobs]
    for bad in ("failure", "cancelled"):
        if bad in results:
            return bad
    return "skipped" if set(results) == {"skipped"} else "success"


def _walk_job(call: _Call, name: str, job: Mapping[str, Any]) -> None:
    check_keys("call" if "uses" in job else "job", job)
    needs = needs_of(job)
    needed = {one: {"result": call.results[one], "outputs": call.outputs[one]} for one in needs}
    place = call.place.with_contexts(needs=needed, matrix=None, strategy=_STRATEGY)
    scope = Scope(call.run.server.node, place.contexts, _status(call, name))
    call.outputs[name] = {}
    if any(one in call.rerun for one in needs) or call.anew:
        call.rerun.add(name)
    if not scope.holds(job.get("if") or _SUCCESS):
        made = JobRun(call.place.prefix + name, call.place.title + name, "skipped", attempt=call.run.attempt)
        _ended(call.run, made)
        call.results[name] = "skipped"
        return
    try:
        call.results[name] = _run_all(replace(call, place=place), name, job)
    except _WRONG as error:
        made = JobRun(call.place.prefix + name, call.place.title + name, "failure", str(error))
        _ended(call.run, made)
        call.results[name] = "failure"


#: Where there is no strategy ("Contexts reference", ``strategy``).
_STRATEGY = {"fail-fast": True, "job-index": 0, "job-total": 1, "max-parallel": 1}


#: What a job without a condition has.
_SUCCESS = Expression("success()", ("success(0,MAX)",))


def _status(call: _Call, name: str) -> dict[str, bool]:
    """The status functions of a job look at all that it waits for, near and far: one job that was skipped far up is no
    success (actions/runner#491), and "failure() returns true if any ancestor job fails".
    """
    results = {call.results[one] for one in _ancestors(call.document["jobs"], name)}
    # cancelled() is of the run: a matrix that was ended by a job of it that failed is none.
    return {"success": results <= {"success"}, "failure": "failure" in results, "cancelled": False}


def _ancestors(jobs: Mapping[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    for one in needs_of(jobs[name]):
        found |= {one} | _ancestors(jobs, one)
    return found


# --- one job of a workflow, as often as its matrix has it


@dataclass(frozen=True)
class _Cell:
    """One combination of a matrix, or the only one."""

    place: Place
    made: JobRun


def _run_all(call: _Call, name: str, job: Mapping[str, Any]) -> str:
    """Runs each combination; the result of all of them, and their outputs, of which the last one's count."""
    cells, parallel, fail_fast = _cells(call, name, job)
    cancel = threading.Event()
    todo = [cell for cell in cells if not _kept(call, name, cell, call_of_workflow="uses" in job)]

    def do(cell: _Cell) -> None:
        if cancel.is_set():
            cell.made.result = "cancelled"
        elif "uses" in job:
            _call_workflow(call, name, job, cell)
        else:
            run_job(call.run, cell.place, job, cell.made, cancel)
        if fail_fast and cell.made.result in ("failure", "cancelled"):
            cancel.set()
        if "uses" not in job or cell.made.result == "cancelled":
            _ended(call.run, cell.made)

    if len(todo) <= 1 or parallel <= 1:
        for cell in todo:
            do(cell)
    else:
        with ThreadPoolExecutor(parallel) as pool:
            for future in [pool.submit(do, cell) for cell in todo]:
                future.result()
    for cell in cells:
        call.outputs[name] |= cell.made.outputs
    results = {cell.made.result for cell in cells}
    return next(
        (bad for bad in ("failure", "cancelled") if bad in results), "success" if "success" in results else "skipped"
    )


def _cells(call: _Call, name: str, job: Mapping[str, Any]) -> tuple[list[_Cell], int, bool]:
    """The combinations, how many run at once, and whether the first that fails ends the others."""
    told = job.get("strategy") or {}
    check_keys("strategy", told)
    scope = Scope(call.run.server.node, call.place.contexts)
    combinations = expand(scope.value(told["matrix"])) if told.get("matrix") is not None else [None]
    fail_fast, most = scope.value(told.get("fail-fast", True)), scope.value(told.get("max-parallel", len(combinations)))
    _check_types(fail_fast, most)
    cells = [
        _cell(call, name, job, values, {"fail-fast": fail_fast, "job-index": index, "max-parallel": most})
        for index, values in enumerate(combinations)
    ]
    for cell in cells:
        cell.place.contexts["strategy"]["job-total"] = len(cells)
    return cells, min(int(most), call.run.server.parallel), fail_fast


def _check_types(fail_fast: Any, most: Any) -> None:
    if not isinstance(fail_fast, bool):
        raise RefusedError(f"strategy.fail-fast is {fail_fast!r}, and a boolean is meant")
    if isinstance(most, bool) or not isinstance(most, (int, float)) or most < 1:
        raise RefusedError(f"strategy.max-parallel is {most!r}, and a number from 1 on is meant")


def _cell(call: _Call, name: str, job: Mapping[str, Any], values: Any, strategy: dict[str, Any]) -> _Cell:
    matrix = values is not None
    place = call.place.with_contexts(matrix=values, strategy=strategy if matrix else _STRATEGY | {})
    key = f"{name} ({strategy['job-index']})" if matrix else name
    shown = Scope(call.run.server.node, place.contexts).text(job["name"]) if "name" in job else ""
    named = shown or (f"{name} ({', '.join(_flat(values))})" if matrix else name)
    return _Cell(place, JobRun(place.prefix + key, place.title + named, matrix=values, attempt=call.run.attempt))


def _flat(values: Mapping[str, Any]) -> list[str]:
    return [str(value) for value in values.values() if not isinstance(value, (dict, list))]


def _kept(call: _Call, name: str, cell: _Cell, *, call_of_workflow: bool) -> bool:
    """Whether an earlier attempt's job counts: it did not fail, and nothing that it waits for is run again."""
    again = call.run.again
    before = again.jobs.get(cell.made.key) if again is not None else None
    if call_of_workflow or before is None or name in call.rerun or before.result not in ("success", "skipped"):
        if again is not None and not call_of_workflow:
            call.rerun.add(name)
        return False
    for field_name in ("result", "outputs", "steps", "labels", "attempt", "name"):
        setattr(cell.made, field_name, getattr(before, field_name))
    call.run.jobs[cell.made.key] = cell.made
    return True


def _ended(run: Run, made: JobRun) -> None:
    with run.lock:
        run.jobs[made.key] = made
        if run.after_job is not None:
            run.after_job(made, run)


# --- called workflows


def _call_workflow(call: _Call, name: str, job: Mapping[str, Any], cell: _Cell) -> None:
    """Runs the workflow that a job calls; its jobs stand below the job's key."""
    made = cell.made
    called = _called(call, job["uses"])
    if called.file in call.callers:
        raise RefusedError(f"Loops in the workflow tree are not permitted: {called.file}")
    if len(call.callers) >= MOST_LEVELS:
        raise RefusedError(f"{called.file} is nested too deep: {MOST_LEVELS} levels are the most")
    call = _grouped(replace(call, place=cell.place), job.get("concurrency")) if "concurrency" in job else call
    inner = _inner(call, job, cell, called)
    made.result = _walk_jobs(inner)
    if inner.rerun:
        call.rerun.add(name)
    made.outputs = _workflow_outputs(inner)


def _inner(call: _Call, job: Mapping[str, Any], cell: _Cell, called: _Called) -> _Call:
    contexts, document = cell.place.contexts, called.document
    scope = Scope(call.run.server.node, contexts)
    kept = {name: contexts[name] for name in ("github", "vars")}
    given = {name: scope.value(value) for name, value in (job.get("with") or {}).items()}
    inputs = called_inputs(document, given, Scope(scope.node, {**kept, "inputs": {}}))
    # `permissions: {}` of a called workflow is a default, which its jobs may go beyond as far as the caller lets them.
    allowed = narrowed(cell.place.permissions or {}, job.get("permissions"), called=False)
    for told in document["jobs"].values():
        narrowed(allowed, told.get("permissions"), called=True)
    place = Place(
        called.source,
        called.path,
        {**kept, "inputs": inputs, "secrets": _secrets(document, job, scope, contexts["secrets"])},
        document.get("env") or {},
        prefix=f"{cell.made.key}/",
        title=f"{cell.made.name} / ",
        permissions=narrowed(allowed, document.get("permissions"), called=True),
    )
    anew = call.anew or cell.made.key.rpartition("/")[2].partition(" ")[0] in call.rerun
    made = _Call(call.run, place, document, (*call.callers, called.file), call.groups, anew)
    return _grouped(made)


def _secrets(
    document: Mapping[str, Any], job: Mapping[str, Any], scope: Scope, known: Mapping[str, str]
) -> dict[str, str]:
    """A called workflow has the token, and of the other secrets those that it is given."""
    if job.get("secrets") == "inherit":
        return dict(known)
    given = scope.texts(job.get("secrets"))
    call = document["on"].get("workflow_call") or {}
    unknown = given.keys() - (call.get("secrets") or {}).keys()
    if unknown:
        raise RefusedError(f"invalid secret, {', '.join(sorted(unknown))} is not defined in the workflow")
    return {**given, "GITHUB_TOKEN": known["GITHUB_TOKEN"]}


@dataclass(frozen=True)
class _Called:
    """The workflow that a job names."""

    source: Source
    path: str
    document: Mapping[str, Any]

    @property
    def file(self) -> str:
        """With its repository."""
        return f"{self.source.repository.name}/{self.path}"


def _called(call: _Call, uses: str) -> _Called:
    """``$/path`` and ``./path`` are of this file's repository and commit; ``owner/name/path@ref`` of another one."""
    if uses.startswith(("$/", "./")):
        return _Called(call.place.source, uses[2:], _document(call.run, call.place.source, uses[2:]))
    name, _, ref = uses.partition("@")
    owner, repo, *path = name.split("/")
    repository = call.run.server.repositories.get(f"{owner}/{repo}")
    if repository is None:
        raise NotKnownError(f"uses: {uses} is of no repository that is here")
    source = Source(repository, repository.sha(ref))
    return _Called(source, "/".join(path), _document(call.run, source, "/".join(path)))


def _workflow_outputs(call: _Call) -> dict[str, str]:
    call_event = call.document["on"].get("workflow_call") or {}
    jobs = {name: {"result": call.results[name], "outputs": call.outputs[name]} for name in call.document["jobs"]}
    contexts = {name: value for name, value in call.place.contexts.items() if name in ("github", "inputs", "vars")}
    scope = Scope(call.run.server.node, {**contexts, "jobs": jobs})
    outputs = {name: scope.text(told["value"]) for name, told in (call_event.get("outputs") or {}).items()}
    return {name: value for name, value in outputs.items() if value}
