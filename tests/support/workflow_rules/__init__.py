"""The fifteen requirements on workflows and actions, as checks over a :class:`~tests.support.workflows.Repository`.

A check is a pure function: a repository in, findings out. :data:`REQUIREMENTS` says what each number stands for, and
which checks see to it; a requirement that is about what this repository has not yet (a release, an image that is
pushed) is checked all the same, so that it holds on the day that brings it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.workflow_rules import hygiene, injection, pins, publishing, rights, running
from tests.support.workflow_rules.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.workflows import Repository

__all__ = ["REQUIREMENTS", "Finding", "Requirement", "find"]


@dataclass(frozen=True)
class Requirement:
    """A sentence, and the checks that prove it; a check yields file, line and what is wrong there."""

    sentence: str
    checks: tuple[Callable[[Repository], Iterator[tuple[str, int, str]]], ...]


REQUIREMENTS: dict[int, Requirement] = {
    1: Requirement(
        "what is used is pinned to a commit, with its version beside it, and so is what that uses",
        (pins.uses_are_pinned, pins.calls_of_ours_exist, pins.others_are_known),
    ),
    2: Requirement(
        "no permission by default; each job names the few it needs, each with its reason",
        (rights.nothing_by_default, rights.jobs_name_their_permissions, rights.grants_have_reasons),
    ),
    3: Requirement(
        "no expression is pasted into what is run",
        (injection.no_expression_in_code, injection.no_expression_decides_what_is_loaded),
    ),
    4: Requirement(
        "no event runs a stranger's code with this repository's rights",
        (rights.no_dangerous_event, rights.no_artifact_of_another_run),
    ),
    5: Requirement(
        "no credential is left in a checkout or in an artifact",
        (rights.checkouts_keep_no_credentials, rights.artifacts_are_chosen),
    ),
    6: Requirement(
        "a cache has an exact key, and nothing that is published comes out of one",
        (running.cache_keys_are_exact, running.nothing_published_is_cached),
    ),
    7: Requirement(
        "who may publish runs no code of others, in an environment, on what another job has made",
        (
            publishing.publishers_run_nothing_foreign,
            publishing.publishers_stand_in_an_environment,
            publishing.artifacts_are_taken_by_digest,
        ),
    ),
    8: Requirement(
        "each secret is declared by name, and no leg has one",
        (rights.secrets_are_named, rights.secrets_stay_with_publishers),
    ),
    9: Requirement(
        "outputs and variables of a job are written by one helper",
        (injection.no_environment_file_is_written, injection.no_insecure_commands),
    ),
    10: Requirement(
        "what is fetched is pinned by a hash",
        (
            pins.images_are_pinned,
            pins.installs_are_hashed,
            pins.locks_are_hashed,
            pins.npm_locks_are_hashed,
            pins.nox_installs_from_locks,
            pins.nothing_is_piped_into_a_shell,
        ),
    ),
    11: Requirement("one index for a package", (pins.no_second_index,)),
    12: Requirement(
        "what is published is attested by one workflow, and verified by its name",
        (publishing.one_workflow_attests, publishing.signers_are_named, publishing.no_secret_is_a_build_argument),
    ),
    13: Requirement(
        "runs are limited in number and time, on runners whose name is fixed",
        (running.runs_are_limited, running.jobs_end, running.runners_are_fixed),
    ),
    14: Requirement(
        "what publishes reaches only the hosts that it names, and no workflow fetches on its own",
        (publishing.publishers_reach_only_what_they_name, running.no_step_fetches),
    ),
    15: Requirement(
        "updates wait, what decides has owners, and what is released can be verified",
        (
            hygiene.updates_wait,
            hygiene.owners_are_named,
            hygiene.faults_can_be_reported,
            hygiene.no_binary_is_committed,
            hygiene.releases_can_be_verified,
            hygiene.addresses_are_encrypted,
        ),
    ),
}


def find(repository: Repository) -> list[Finding]:
    """What breaks a requirement, in the order of the requirements."""
    return [
        Finding(number, *told)
        for number, requirement in REQUIREMENTS.items()
        for check in requirement.checks
        for told in check(repository)
    ]
