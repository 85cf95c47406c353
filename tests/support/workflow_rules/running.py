"""Requirements 6, 13 and 14: caches, limits, runners, and what a step fetches."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.support.workflow_rules.scripts import commands
from tests.support.workflows import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflows import Job, Repository, Step, Workflow

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "cache_keys_are_exact", "jobs_end", "no_step_fetches", "nothing_published_is_cached", "runners_are_fixed",
    "runs_are_limited",
]  # fmt: skip

_PLATFORMS = json.loads((ROOT / "src/ci_envs/resources/platforms.json").read_text(encoding="utf-8"))
#: The names of GitHub's runners that stand for one image each; ``-latest`` is another one some day.
RUNNERS = frozenset(_PLATFORMS["runners"].values())

#: A key that our own code made says all of this; one that is written here must.
_MADE = re.compile(r"\$\{\{ steps\.[\w-]+\.outputs\.[\w-]*cache-key \}\}")
_PARTS = ("hashFiles(", "runner.os", "runner.arch")

#: What a leg's row says of its runner comes from a matrix file, which is reviewed; see its own ``runs-on``.
_FROM_THE_PLAN = "${{ matrix.runs-on }}"

LONGEST = 360  # minutes, which is where GitHub ends a job by itself


def _caches(step: Step) -> bool:
    return step.action == "actions/cache" or step.action.startswith("actions/cache/")


def cache_keys_are_exact(repository: Repository) -> Told:
    """No key that is a prefix of others, and none without lock, system and architecture."""
    for step in repository.steps:
        if _caches(step):
            if "restore-keys" in step.given:
                yield step.file, step.given.at("restore-keys"), "restore-keys takes the cache of another lock"
            key = step.given.text("key")
            if not _MADE.fullmatch(key) and not all(part in key for part in _PARTS):
                yield step.file, step.given.at("key"), "the key lacks the lock's hash, the system or the architecture"
        elif re.match(r"[\w-]+/setup-", step.action) and step.given.text("cache"):
            yield step.file, step.given.at("cache"), f"{step.action} restores by a key that names no tool's version"


def nothing_published_is_cached(repository: Repository) -> Told:
    """A cache can be written by any job of the branch: nothing that is released passes through one."""
    for workflow in repository.workflows.values():
        released = bool({"release", "registry_package"} & workflow.on.keys()) or "tags" in workflow.on.sub("push")
        named = re.search(r"/(release|publish)[^/]*$", workflow.file)
        for job in workflow.jobs.values():
            if not (released or named or job.publishes):
                continue
            yield from ((job.file, line, f"job {job.key} publishes, and restores a cache") for line in _restored(job))


def _restored(job: Job) -> Iterator[int]:
    ours = re.compile(r"\$/(actions/leg|\.github/workflows/build-(envs|shard)\.yml)?")
    for step in job.steps:
        told = step.given.text("enable-cache") or ("auto" if ours.fullmatch(step.action) else "false")
        if _caches(step) or step.given.text("cache") or told != "false":
            yield step.at("uses")
    if job.uses and ours.fullmatch(job.uses) and job.given.text("enable-cache") != "false":
        yield job.at("uses")


def runs_are_limited(repository: Repository) -> Told:
    """Every workflow says which runs stand beside each other; what publishes is never cut off."""
    for workflow in repository.workflows.values():
        told = workflow.table.sub("concurrency")
        if not told.text("group"):
            yield workflow.file, workflow.table.at("concurrency"), "nothing says which runs exclude each other"
        elif told.text("cancel-in-progress") != "false" and _publishes(workflow):
            yield workflow.file, told.at("cancel-in-progress"), "a newer run may cut off what publishes"


def _publishes(workflow: Workflow) -> bool:
    return any(job.publishes for job in workflow.jobs.values())


def jobs_end(repository: Repository) -> Told:
    """Every job with steps has ``timeout-minutes``; a called workflow's jobs have theirs."""
    for job in repository.jobs:
        told = job.table.text("timeout-minutes")
        if job.uses:
            continue
        if not told:
            yield job.file, job.line, f"job {job.key} has no timeout-minutes"
        elif told.isdigit() and not 0 < int(told) <= LONGEST:
            yield job.file, job.at("timeout-minutes"), f"job {job.key} may run for {told} minutes"


def runners_are_fixed(repository: Repository) -> Told:
    """A hosted runner by its full name, written here, in the job's own matrix, or in the plan of a matrix file."""
    for job in repository.jobs:
        if job.uses:
            continue
        told = job.table.get("runs-on", "")
        wrong = [label for label in _labels(job, told) if label not in RUNNERS]
        for label in wrong:
            yield job.file, job.at("runs-on"), f"job {job.key} runs on {label or 'nothing'}, no fixed hosted runner"


def _labels(job: Job, told: object) -> list[str]:
    if not isinstance(told, str):
        return [str(one) for one in told] if isinstance(told, list) else ["a group"]
    axis = re.fullmatch(r"\$\{\{ matrix\.([\w-]+) \}\}", told)
    values = job.table.sub("strategy").sub("matrix").get(axis[1]) if axis else None
    if isinstance(values, list):
        return [str(value) for value in values]
    planned = "fromJSON(needs.plan.outputs." in job.table.sub("strategy").text("matrix")
    return [] if told == _FROM_THE_PLAN and planned else [told]


def no_step_fetches(repository: Repository) -> Told:
    """What a run needs comes by a lock: no step of a workflow and no script of an action downloads by itself."""
    fetching = re.compile(r"\b(curl|wget|Invoke-WebRequest|iwr|aria2c|git clone|gh release download|docker pull)\b")
    for file, line, text in commands(repository):
        if file.startswith((".github/", "action")) and (found := fetching.search(text)):
            yield file, line, f"{found[0]} fetches what no lock names"
