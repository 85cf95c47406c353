"""Requirements 2, 4, 5 and 8: events, permissions, credentials and secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.workflow_tables import expressions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflow_tables import Table
    from tests.support.workflows import Job, Repository

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "artifacts_are_chosen", "checkouts_keep_no_credentials", "grants_have_reasons", "jobs_name_their_permissions",
    "no_artifact_of_another_run", "no_dangerous_event", "nothing_by_default", "secrets_are_named",
    "secrets_stay_with_publishers",
]  # fmt: skip

#: They run with this repository's token and secrets, for whoever opens a pull request or writes a comment:
#: docs.github.com, "Securely using pull_request_target".
DANGEROUS = ("pull_request_target", "workflow_run", "issue_comment")

_SECRET = re.compile(r"\bsecrets\b(?:\.([\w-]+))?")


def nothing_by_default(repository: Repository) -> Told:
    """``permissions: {}`` at the top of every workflow."""
    for workflow in repository.workflows.values():
        if workflow.table.get("permissions") != {}:
            yield workflow.file, workflow.table.at("permissions"), "the workflow has no `permissions: {}` at its top"


def jobs_name_their_permissions(repository: Repository) -> Told:
    """Every job has its own table of permissions, never ``read-all`` or ``write-all``."""
    for job in repository.jobs:
        if not isinstance(job.table.get("permissions"), dict):
            yield job.file, job.at("permissions"), f"job {job.key} does not say which permissions it needs"


def grants_have_reasons(repository: Repository) -> Told:
    """A comment stands behind every permission."""
    for job in repository.jobs:
        for name in job.permissions:
            line = job.permissions.at(name)
            if not re.search(r"#\s*\w", repository.line(job.file, line)):
                yield job.file, line, f"nothing says why job {job.key} needs {name}"


def no_dangerous_event(repository: Repository) -> Told:
    """None of :data:`DANGEROUS`."""
    for workflow in repository.workflows.values():
        for event in DANGEROUS:
            if event in workflow.on:
                yield workflow.file, workflow.on.at(event), f"{event} runs with this repository's rights for anybody"


def no_artifact_of_another_run(repository: Repository) -> Told:
    """An artifact of another run, or of another repository, is made by whoever ran that."""
    for step in repository.steps:
        for name in ("run-id", "repository", "github-token"):
            if step.action == "actions/download-artifact" and name in step.given:
                yield step.file, step.given.at(name), f"{name} takes an artifact of another run"


def checkouts_keep_no_credentials(repository: Repository) -> Told:
    """``persist-credentials: false`` on every checkout, and no token of its own."""
    for step in repository.steps:
        if step.action != "actions/checkout":
            continue
        if step.given.text("persist-credentials") != "false":
            yield step.file, step.at("uses"), "the checkout leaves the job's token in .git/config"
        for name in ("token", "ssh-key", "allow-unsafe-pr-checkout"):
            if name in step.given:
                yield step.file, step.given.at(name), f"the checkout is given {name}"


def artifacts_are_chosen(repository: Repository) -> Told:
    """An artifact is a folder that was made for it: never the checkout, RUNNER_TEMP or a hidden file."""
    whole = re.compile(
        r"(\.|\./|\*\*.*|.*/\.git\b.*|\.git\b.*|\$\{\{ (runner\.temp|github\.workspace) \}\}(/(\*.*)?)?|~.*)"
    )
    for step in repository.steps:
        if step.action != "actions/upload-artifact":
            continue
        for path in step.given.text("path").split("\n"):
            if whole.fullmatch(path.strip()):
                yield step.file, step.given.at("path"), f"{path.strip()} may hold credentials or what other steps left"
        if step.given.text("include-hidden-files") not in ("", "false"):
            yield step.file, step.given.at("include-hidden-files"), "hidden files may hold credentials"


def secrets_are_named(repository: Repository) -> Told:
    """No ``secrets: inherit``, no secrets as a whole, none that the called workflow does not declare."""
    for workflow in repository.workflows.values():
        declared = workflow.on.sub("workflow_call").sub("secrets")
        for job in workflow.jobs.values():
            if job.table.get("secrets") == "inherit":
                yield job.file, job.at("secrets"), f"job {job.key} hands on every secret there is"
        for name in _secrets(workflow.table):
            if not name:
                yield workflow.file, 1, "secrets are read as a whole"
            elif "workflow_call" in workflow.on and name not in declared:
                yield workflow.file, 1, f"secret {name} is read, and not declared under workflow_call.secrets"
    for action in repository.actions.values():
        if any(_secrets(action.table)):
            yield action.file, 1, "an action of ours reads a secret: it is to be handed over as an input"


def secrets_stay_with_publishers(repository: Repository) -> Told:
    """A job that builds has no secret: only one in an environment does, whose rules guard it."""
    for job in repository.jobs:
        if not job.environment and any(name != "GITHUB_TOKEN" for name in _secrets(job.table)):
            yield job.file, job.line, f"job {job.key} has a secret, and no protected environment"


def _secrets(value: Table | Job) -> Iterator[str]:
    for expression in expressions(value):
        for found in _SECRET.finditer(expression):
            yield found[1] or ""
