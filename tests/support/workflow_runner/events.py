"""Events that start a workflow, with as much of their payloads as a job may read ("Webhook events and payloads")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.repositories import Repository, git

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Event", "pull_request", "push", "release", "schedule", "workflow_dispatch"]


@dataclass(frozen=True)
class Event:
    """What happened, to which commit; ``inputs`` are those of a workflow that was started by hand, as texts."""

    name: str
    ref: str
    sha: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    base_ref: str = ""
    head_ref: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


def push(repository: Repository, ref: str = "refs/heads/main", before: str = "0" * 40) -> Event:
    """A push of a branch or a tag."""
    sha = repository.sha(ref)
    commits = {"before": before, "after": sha, "ref": ref, "head_commit": {"id": sha}}
    return Event("push", ref, sha, {**commits, "repository": _described(repository)})


def pull_request(
    repository: Repository, head: str, *, number: int = 7, labels: Iterable[str] = (), action: str = "synchronize"
) -> Event:
    """A pull request of a branch into ``main``; the commit is the merge of both, as the service makes it."""
    folder = repository.folder
    base, tip = repository.sha("main"), repository.sha(head)
    git(folder, "checkout", "-q", "--detach", base)
    git(folder, "merge", "-q", "--no-ff", "-m", f"Merge {tip} into {base}", tip)
    sha = repository.sha("HEAD")
    ref = f"refs/pull/{number}/merge"
    git(folder, "update-ref", ref, sha)
    git(folder, "checkout", "-q", "main")
    request = {
        "number": number,
        "labels": [{"name": label} for label in labels],
        "base": {"ref": "main", "sha": base, "repo": _described(repository)},
        "head": {"ref": head, "sha": tip, "repo": _described(repository)},
    }
    payload = {"action": action, "number": number, "pull_request": request, "repository": _described(repository)}
    return Event("pull_request", ref, sha, payload, base_ref="main", head_ref=head)


def workflow_dispatch(repository: Repository, inputs: Mapping[str, str] | None = None, ref: str = "main") -> Event:
    """Started by hand. Values are texts, whatever their types: so they arrive ("Contexts reference", ``inputs``)."""
    told = dict(inputs or {})
    payload = {"inputs": told, "ref": f"refs/heads/{ref}", "repository": _described(repository)}
    return Event("workflow_dispatch", f"refs/heads/{ref}", repository.sha(ref), payload, inputs=told)


def schedule(repository: Repository, cron: str = "0 3 * * *") -> Event:
    """A night: the last commit of the default branch."""
    sha = repository.sha(repository.default_branch)
    payload = {"schedule": cron, "repository": _described(repository)}
    return Event("schedule", f"refs/heads/{repository.default_branch}", sha, payload)


def release(repository: Repository, tag: str) -> Event:
    """A release that was published."""
    payload = {"action": "published", "release": {"tag_name": tag}, "repository": _described(repository)}
    return Event("release", f"refs/tags/{tag}", repository.sha(tag), payload)


def _described(repository: Repository) -> dict[str, Any]:
    owner, _, name = repository.name.partition("/")
    described = {"name": name, "full_name": repository.name, "owner": {"login": owner}, "fork": False}
    return {**described, "default_branch": repository.default_branch}
