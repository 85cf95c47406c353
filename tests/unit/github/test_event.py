from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_envs.github.event import Base, change_bases, pull_request_labels, tier_by_event

if TYPE_CHECKING:
    from pathlib import Path

MERGE, HEAD, OLD = "a" * 40, "b" * 40, "c" * 40


def event(tmp_path: Path, name: str, payload: Any, **more: str) -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_bytes(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path), **more}


@pytest.mark.parametrize(
    ("name", "ref", "tier"),
    [
        ("pull_request", "refs/pull/1/merge", "pull-request"),
        ("pull_request_target", "refs/heads/main", "pull-request"),
        ("schedule", "refs/heads/main", "nightly"),
        ("release", "refs/tags/v1", "release"),
        ("push", "refs/tags/v1", "release"),
        ("push", "refs/heads/main", "all"),
        ("merge_group", "refs/heads/gh-readonly-queue/main/pr-1", "all"),
        ("workflow_dispatch", "refs/heads/main", "all"),
        ("", "", "all"),
    ],
)
def test_the_tier_goes_by_the_event(name: str, ref: str, tier: str) -> None:
    assert tier_by_event({"GITHUB_EVENT_NAME": name, "GITHUB_REF": ref}) == tier


def test_the_labels_are_those_of_a_pull_request(tmp_path: Path) -> None:
    payload = {"pull_request": {"labels": [{"name": "envs:all"}, {"name": "a\n::error::b"}]}}
    assert pull_request_labels(event(tmp_path, "pull_request", payload)) == ("envs:all", "a\n::error::b")
    # An issue's labels, and those of a pull request that some other event speaks of, are not asked for.
    assert pull_request_labels(event(tmp_path, "issue_comment", payload)) == ()


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", {"pull_request": []}, {"pull_request": {"labels": 3}},
        {"pull_request": {"labels": [None, 3, {}, {"name": 3}]}},
    ],
)  # fmt: skip
def test_what_is_no_event_has_no_labels_and_no_base(tmp_path: Path, payload: Any) -> None:
    environ = event(tmp_path, "pull_request", payload)
    assert pull_request_labels(environ) == ()
    assert change_bases(environ) == ()


def test_a_file_that_is_not_there_or_too_large_is_no_event(tmp_path: Path) -> None:
    environ = event(tmp_path, "pull_request", b'{"pull_request": {"labels": [{"name": "x"}]}}')
    with (tmp_path / "event.json").open("ab") as stream:
        stream.write(b" " * 26 * 1024 * 1024)
    assert pull_request_labels(environ) == ()
    (tmp_path / "event.json").unlink()
    assert pull_request_labels(environ) == ()
    assert pull_request_labels({"GITHUB_EVENT_NAME": "pull_request"}) == ()


def test_a_pull_request_is_its_merge_else_its_head(tmp_path: Path) -> None:
    payload = {"pull_request": {"head": {"sha": HEAD}, "base": {"sha": OLD}}}
    own = Base(HEAD, OLD, "the base branch")
    assert change_bases(event(tmp_path, "pull_request", payload, GITHUB_SHA=MERGE)) == (
        Base(MERGE, "HEAD^1", "the base branch", of_merge=True),
        own,
    )
    # There the event's commit is the base itself: that it has no changes says nothing.
    assert change_bases(event(tmp_path, "pull_request_target", payload, GITHUB_SHA=OLD)) == (own,)


def test_a_push_is_held_against_the_one_before(tmp_path: Path) -> None:
    environ = event(tmp_path, "push", {"before": OLD, "after": HEAD})
    assert change_bases(environ) == (Base(HEAD, OLD, "the push before"),)
    assert change_bases(event(tmp_path, "push", {"before": "0" * 40, "after": HEAD})) == ()
    assert change_bases(event(tmp_path, "push", {"before": "--output=x", "after": HEAD})) == ()
    assert change_bases(event(tmp_path, "merge_group", {"merge_group": {"head_sha": HEAD, "base_sha": OLD}})) == (
        Base(HEAD, OLD, "the head of the queue"),
    )
    assert change_bases(event(tmp_path, "schedule", {"before": OLD, "after": HEAD})) == ()


KEYS = st.sampled_from(["pull_request", "labels", "name", "head", "base", "sha", "before", "after"])
VALUES = st.recursive(
    st.none() | st.text() | st.integers() | st.just(HEAD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(payload=VALUES, name=st.sampled_from(["push", "pull_request", "pull_request_target"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_payload_is_an_error(tmp_path: Path, payload: Any, name: str) -> None:
    environ = event(tmp_path, name, payload)
    assert all(isinstance(label, str) for label in pull_request_labels(environ))
    for base in change_bases(environ):
        assert (base.head, base.revision) == (HEAD, HEAD)
