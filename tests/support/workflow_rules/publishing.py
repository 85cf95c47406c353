"""Requirements 7, 12 and 14: who publishes, what, and how it is proved. A job publishes if it may write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.workflow_rules.scripts import commands, dockerfiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflows import Job, Repository, Step

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "artifacts_are_taken_by_digest", "no_secret_is_a_build_argument", "one_workflow_attests",
    "publishers_reach_only_what_they_name", "publishers_run_nothing_foreign", "publishers_stand_in_an_environment",
    "signers_are_named",
]  # fmt: skip

#: Our own actions that run a project's code, and the commands that do.
_BUILDERS = frozenset({"$/actions/leg", "$/"})
_FOREIGN = re.compile(
    r"\b(pip3?|uvx?|nox|tox|make|pytest|poetry|pdm|hatch|conda|mamba|pixi|nix(-\w+)?|npm|npx|docker (build|run|buildx)"
    r"|podman|python -m build|setup\.py)\b|(^|\s)\.(/|ci/)"
)
_PUBLISH = re.compile(r"\.github/workflows/publish-[\w-]+\.ya?ml")
_SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL|PRIVATE_?KEY", re.IGNORECASE)


def _runs_foreign(step: Step) -> bool:
    return step.action in _BUILDERS or bool(_FOREIGN.search(step.run))


def publishers_run_nothing_foreign(repository: Repository) -> Told:
    """No job has both the code of others and the right to write."""
    for job in repository.jobs:
        for step in job.steps:
            if job.writes and _runs_foreign(step):
                what = " and ".join(sorted(job.writes))
                yield job.file, step.table.line, f"job {job.key} may write {what}, and runs code that is not ours"


def publishers_stand_in_an_environment(repository: Repository) -> Told:
    """A publishing job waits for another one, in an environment with rules of its own."""
    for job in repository.jobs:
        if not job.writes or job.uses:
            continue
        if not job.environment:
            yield job.file, job.line, f"job {job.key} may write, and stands in no protected environment"
        if not job.needs:
            yield job.file, job.line, f"job {job.key} may write, and waits for no job that has verified anything"


def artifacts_are_taken_by_digest(repository: Repository) -> Told:
    """What was uploaded under another digest is refused, as download-artifact does if nobody tells it otherwise."""
    for step in repository.steps:
        told = step.given.text("digest-mismatch")
        if step.action == "actions/download-artifact" and told not in ("", "error"):
            yield step.file, step.given.at("digest-mismatch"), "an artifact that was changed on its way is taken"


def one_workflow_attests(repository: Repository) -> Told:
    """``attestations: write`` and ``id-token: write`` only in ``publish-*.yml``, which is called and never started."""
    for workflow in repository.workflows.values():
        for job in workflow.jobs.values():
            yield from _attesting(job, called=set(workflow.on) == {"workflow_call"})


def _attesting(job: Job, *, called: bool) -> Told:
    for name in sorted(job.writes & {"attestations", "id-token"}):
        line = job.permissions.at(name)
        if job.uses.startswith("$/.github/workflows/publish-"):
            continue
        if not _PUBLISH.fullmatch(job.file) or not called:
            yield job.file, line, f"{name}: write outside of a reusable publish-*.yml: anything could sign here"
        elif not any(step.action.startswith("actions/attest") for step in job.steps):
            yield job.file, line, f"job {job.key} may sign, and attests nothing"


def signers_are_named(repository: Repository) -> Told:
    """Who verifies says whose signature it must be, in full."""
    for file, line, text in commands(repository):
        if re.search(r"\bgh attestation verify\b", text) and "--signer-workflow" not in text:
            yield file, line, "any workflow of the repository would do as the signer: name it with --signer-workflow"
        if re.search(r"\bcosign verify", text) and not re.search(r"--certificate-identity[ =]", text):
            yield file, line, "any identity would do as the signer: name it with --certificate-identity"


def no_secret_is_a_build_argument(repository: Repository) -> Told:
    """Build arguments stand in the image's provenance and history."""
    for step in repository.steps:
        told = step.given.text("build-args")
        if "secrets." in told or _SECRET_NAME.search(told):
            yield step.file, step.given.at("build-args"), "a secret is a build argument: provenance shows it"
    for path in dockerfiles(repository):
        for number, line in enumerate(repository.files[path].splitlines(), 1):
            if re.match(r"\s*ARG\s", line) and _SECRET_NAME.search(line):
                yield path, number, "a secret is a build argument: the image's history shows it"


def publishers_reach_only_what_they_name(repository: Repository) -> Told:
    """The first step of a publishing job shuts the network but for the hosts that it names."""
    for job in repository.jobs:
        if not job.writes or job.uses:
            continue
        first = job.steps[0] if job.steps else None
        guarded = first is not None and first.action == "step-security/harden-runner"
        if not guarded or first is None:
            yield job.file, job.line, f"job {job.key} may write, and its first step does not shut the network"
        elif first.given.text("egress-policy") != "block" or not first.given.text("allowed-endpoints"):
            yield job.file, first.at("with"), "egress-policy is to be block, with allowed-endpoints"
