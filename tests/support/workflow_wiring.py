"""Whether what is handed over is taken, and what is read is written: inputs, outputs, steps, jobs, axes.

Both sides are read: a workflow or an action of ours from its own file, one of others from
:data:`~tests.support.third_party_actions.THIRD_PARTY`, a step that runs ``ci_envs.action`` from the modules that set
its outputs.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.third_party_actions import THIRD_PARTY
from tests.support.workflow_tables import Table, leaves
from tests.support.workflows import ROOT, Action, Job, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.workflows import Repository, Step

__all__ = ["ROW", "WRITERS", "problems", "written_by"]

#: What a row of a planned ``strategy.matrix`` holds.
ROW = frozenset({"id", "pattern", "python", "project", "runs-on", "timeout-minutes"})

#: The modules that set the outputs of each step of ``python -m ci_envs.action``.
WRITERS: dict[str, tuple[str, ...]] = {
    "prepare": ("action/preparing.py",),
    "run": ("github/outputs.py",),
    "plan": ("action/planning.py",),
    "shard": ("action/planning.py",),
    "collect": ("action/collecting.py",),
    "report": ("action/reporting.py",),
}

_READ = re.compile(r"\b(inputs|needs|steps|jobs|matrix)\.([\w-]+)(?:\.outputs\.([\w-]+))?")
_STEP = re.compile(r"-m ci_envs\.action (\w+)")
_SCRIPT = re.compile(r'bash "\$GITHUB_ACTION_PATH/(.*?)"')


class Callee(NamedTuple):
    """What is called: the inputs that it takes and must have, and the outputs that it gives."""

    inputs: frozenset[str]
    required: frozenset[str]
    outputs: frozenset[str]


def problems(repository: Repository) -> list[str]:
    """Everything that does not fit, as ``file:line: what``."""
    found: list[str] = []
    for workflow in repository.workflows.values():
        found += _workflow(repository, workflow)
    for action in repository.actions.values():
        found += _action(repository, action)
    return found


def _workflow(repository: Repository, workflow: Workflow) -> Iterator[str]:
    declared = {*workflow.inputs(), *workflow.inputs("workflow_dispatch")}
    read: set[str] = set()
    for line, text in leaves(workflow.on.sub("workflow_call").sub("outputs"), 0):
        for _, name, output in _references(text, "jobs"):
            if output not in _job_outputs(repository, workflow, name):
                yield f"{workflow.file}:{line}: jobs.{name}.outputs.{output} is not written by that job"
    for job in workflow.jobs.values():
        yield from _job(repository, workflow, job)
    for line, text in leaves(workflow.table, 0):
        names = {name for _, name, _ in _references(text, "inputs")}
        read |= names
        yield from (f"{workflow.file}:{line}: inputs.{name} is not declared" for name in names - declared)
    yield from (f"{workflow.file}: nothing reads the input {name}" for name in sorted(declared - read))


def _job(repository: Repository, workflow: Workflow, job: Job) -> Iterator[str]:
    if job.uses:
        yield from _handed(job.file, job.at("uses"), job.uses, job.given, _callee(repository, job.uses))
    for line, text in leaves(job.table, job.line):
        for _, name, output in _references(text, "needs"):
            if name not in job.needs:
                yield f"{job.file}:{line}: job {job.key} reads needs.{name}, and does not wait for it"
            elif output and output not in _job_outputs(repository, workflow, name):
                yield f"{job.file}:{line}: needs.{name}.outputs.{output} is not written by that job"
        for _, name, _ in _references(text, "matrix"):
            if name not in _axes(job):
                yield f"{job.file}:{line}: matrix.{name} is no axis of job {job.key}"
    yield from _steps(repository, job.steps, job.outputs)


def _action(repository: Repository, action: Action) -> Iterator[str]:
    read: set[str] = set()
    for line, text in leaves(action.table, 0):
        names = {name for _, name, _ in _references(text, "inputs")}
        read |= names
        yield from (f"{action.file}:{line}: inputs.{name} is not declared" for name in names - action.inputs.keys())
    yield from (f"{action.file}: nothing reads the input {name}" for name in sorted(action.inputs.keys() - read))
    yield from _steps(repository, action.steps, action.outputs)


def _steps(repository: Repository, steps: tuple[Step, ...], outputs: Table) -> Iterator[str]:
    """What each step is handed and reads; ``outputs`` are those of the job or the action, read after all of them."""
    before: dict[str, Step] = {}
    for step in steps:
        if step.uses:
            yield from _handed(step.file, step.at("uses"), step.uses, step.given, _callee(repository, step.uses))
        yield from _read_of_steps(repository, step.file, step.table, before)
        if step.id:
            before[step.id] = step
    yield from _read_of_steps(repository, steps[0].file if steps else "", outputs, before)


def _read_of_steps(repository: Repository, file: str, table: Table, before: Mapping[str, Step]) -> Iterator[str]:
    for line, text in leaves(table, table.line):
        for _, name, output in _references(text, "steps"):
            if name not in before:
                yield f"{file}:{line}: steps.{name} is no step before this"
            elif output and output not in _step_outputs(repository, before[name]):
                yield f"{file}:{line}: steps.{name}.outputs.{output} is not written by that step"


def _references(text: str, context: str) -> Iterator[tuple[str, str, str]]:
    for found in _READ.finditer(text):
        if found[1] == context:
            yield found[1], found[2], found[3] or ""


def _handed(file: str, line: int, uses: str, given: Table, callee: Callee | None) -> Iterator[str]:
    if callee is None:
        yield f"{file}:{line}: nobody knows what {uses} takes"
        return
    for name in given.keys() - callee.inputs:
        yield f"{file}:{given.at(name)}: {uses} has no input {name}"
    for name in sorted(callee.required - given.keys()):
        yield f"{file}:{line}: {uses} must be given {name}"


def _callee(repository: Repository, uses: str) -> Callee | None:
    path = uses.removeprefix("$/")
    if path in repository.workflows:
        workflow = repository.workflows[path]
        return _ours(workflow.inputs(), workflow.outputs)
    if uses.startswith("$/") and path in repository.actions:
        return _ours(repository.actions[path].inputs, repository.actions[path].outputs)
    known = THIRD_PARTY.get(uses.partition("@")[0])
    return Callee(known.inputs, known.required, known.outputs) if known else None


def _ours(inputs: Table, outputs: Table) -> Callee:
    required = frozenset(name for name in inputs if inputs.sub(name).text("required") == "true")
    return Callee(frozenset(inputs), required, frozenset(outputs))


def _job_outputs(repository: Repository, workflow: Workflow, name: str) -> frozenset[str]:
    job = workflow.jobs.get(name)
    if job is None:
        return frozenset()
    called = _callee(repository, job.uses) if job.uses else None
    return called.outputs if called else frozenset(job.outputs)


def _axes(job: Job) -> frozenset[str]:
    matrix = job.table.sub("strategy").get("matrix")
    return frozenset(matrix) if isinstance(matrix, Table) else ROW if matrix else frozenset()


def _step_outputs(repository: Repository, step: Step) -> frozenset[str]:
    if step.uses:
        called = _callee(repository, step.uses)
        return called.outputs if called else frozenset()
    if found := _STEP.search(step.run):
        return written_by(found[1])
    if found := _SCRIPT.search(step.run):
        path = (Path("/", step.file).parent / found[1]).resolve().relative_to("/").as_posix()
        return frozenset(re.findall(r"printf '([\w-]+)=.*>>\"\$GITHUB_OUTPUT\"", repository.files.get(path, "")))
    return frozenset()


@cache
def written_by(step: str) -> frozenset[str]:
    """The outputs that a step of ``ci_envs.action`` may set: names that its modules hand to ``set_output``.

    They stand there as the first argument of that call, or as keys of a dictionary that is written down.
    """
    names: set[str] = set()
    for module in WRITERS[step]:
        path = ROOT / "src/ci_envs" / module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else ():
            told = [word.value for word in _said(node) if isinstance(word, ast.Constant)]
            names |= {word for word in told if isinstance(word, str)}
    return frozenset(names)


def _said(node: ast.AST) -> list[ast.expr | None]:
    """Where a name may stand: a dictionary's keys, what its keys are made from, the first argument of the call."""
    if isinstance(node, ast.Dict):
        return list(node.keys)
    if isinstance(node, ast.DictComp):
        return [word for loop in node.generators if isinstance(loop.iter, ast.Tuple) for word in loop.iter.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "set_output":
        return list(node.args[:1])
    return []
