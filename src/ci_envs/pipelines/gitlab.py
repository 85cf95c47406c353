"""A plan as a child pipeline of GitLab CI/CD: a job for each leg, then the report.

Sources: docs.gitlab.com, "Downstream pipelines" (dynamic child pipelines) and "CI/CD YAML syntax reference". The YAML
is written by PyYAML, never by hand. What GitLab expands variables in (tags, keys of caches, paths) holds leg ids and
names of runners alone; a dollar in these is written twice, as GitLab wants it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from ci_envs.decoding import decode
from ci_envs.errors import UsageError
from ci_envs.pipelines.holding import held_plan

if TYPE_CHECKING:
    from ci_envs.model.plan import Plan, PlannedLeg, Platforms

__all__ = ["GitlabRunners", "gitlab_pipeline", "gitlab_runners"]

#: The most that GitLab reads of an artifact that a child pipeline is made from.
MAX_BYTES = 5 * 1024 * 1024

_HEAD = "# Made by `ci-envs plan --gitlab`: a child pipeline with a job for each leg, and the report of all.\n"

#: Names of jobs and stages. A leg's id holds a hyphen for sure, so it is neither of them and no keyword of GitLab's.
_LEGS, _REPORT = "legs", "report"


class GitlabRunners(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Tags of runners that anybody has on GitLab.com, by :attr:`Leg.platform`: ``resources/gitlab.json``."""

    tags: dict[str, tuple[str, ...]]
    accelerated_tags: dict[str, tuple[str, ...]]


def gitlab_runners() -> GitlabRunners:
    """What GitLab calls its machines, from the data that ships with the package."""
    return decode(Path(__file__).parents[1].joinpath("resources", "gitlab.json").read_bytes(), GitlabRunners)


def gitlab_pipeline(plan: Plan, platforms: Platforms, runners: GitlabRunners) -> str:
    """The child pipeline as YAML; ``platforms`` tells GitHub's own labels from those that a person has named.

    The report comes in a stage of its own and not by ``needs``, of which GitLab takes 50: a job of a later stage gets
    the artifacts of all jobs before it. It holds the plan, so nothing has to be handed down from the parent pipeline.

    Raises :class:`UsageError` where it is larger than GitLab reads.
    """
    jobs = {leg.id: _leg(leg, plan.artifact, _tags(leg, platforms, runners)) for leg in plan.legs}
    document = {
        # Without rules a child would not run its jobs for merge requests.
        "workflow": {"rules": [{"if": '$CI_PIPELINE_SOURCE == "parent_pipeline"'}]},
        "stages": [_LEGS, _REPORT],
        "variables": {
            "CI_ENVS_STATE_DIR": "$CI_PROJECT_DIR/.ci-envs",
            "CI_ENVS_PACKAGES_DIR": "$CI_PROJECT_DIR/.ci-envs/packages",
        },
        **jobs,
        _REPORT: _report(plan),
    }
    # ASCII: as Unicode, PyYAML writes U+0085 into quotes, where a reader takes it for the end of a line.
    text = _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=4096)
    if len(text) > MAX_BYTES:
        raise UsageError(
            f"{len(plan.legs)} legs make a pipeline of {len(text)} bytes; GitLab reads {MAX_BYTES}",
            hint="plan parts of it with --only, each as a child pipeline of its own",
        )
    return text


def _leg(leg: PlannedLeg, artifact: str, tags: list[str]) -> dict[str, Any]:
    logs = f".ci-envs/logs/{leg.id}"
    return {
        "stage": _LEGS,
        "needs": [],
        **({"tags": tags} if tags else {}),
        "timeout": f"{leg.timeout_minutes} minutes",
        "script": [leg.reproduce],
        "cache": {"key": _literal(leg.cache_key), "paths": [".ci-envs/packages/"]},
        "artifacts": {
            "name": _literal(f"{artifact or 'ci-envs'}-leg-{leg.id}"),
            "when": "always",
            "paths": [f".ci-envs/records/{leg.id}.json", f"{logs}/"],
            "reports": {"junit": f"{logs}/junit.xml"},
        },
    }


def _report(plan: Plan) -> dict[str, Any]:
    report = shlex.join(("ci-envs", "report", "--plan", "plan.json", "--exit-code", "--", ".ci-envs/records"))
    return {
        "stage": _REPORT,
        "when": "always",
        # Where no leg has left a record, there is no folder of them either.
        "script": ["mkdir -p .ci-envs/records", held_plan(plan, "plan.json"), report],
        "artifacts": {"name": _literal(f"{plan.artifact or 'ci-envs'}-plan"), "when": "always", "paths": ["plan.json"]},
    }


def _tags(leg: PlannedLeg, platforms: Platforms, runners: GitlabRunners) -> list[str]:
    """What the matrix or ``--runs-on`` names; where that is a runner of GitHub's, the like of it on GitLab.com.

    The platform itself is the tag where GitLab.com has no such machine: a runner of one's own can bear it.
    """
    accelerated = leg.accelerator != "cpu"
    named = (leg.runs_on,) if isinstance(leg.runs_on, str) else leg.runs_on
    of_github = all(not label or label in platforms.hosted_labels for label in named)
    if not (of_github or (accelerated and named == platforms.accelerated_runners.get(leg.platform))):
        return [_literal(label) for label in named]
    own = runners.accelerated_tags if accelerated else runners.tags
    fallback = (f"{leg.platform}-gpu",) if accelerated else (leg.platform,)
    return list(own.get(leg.platform, fallback))


def _literal(text: str) -> str:
    """A text in which GitLab expands no variable."""
    return text.replace("$", "$$")


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: a list that is met twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True
