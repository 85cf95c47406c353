"""What engines say of registries that misbehave, and what it means. The sentences were seen."""

from __future__ import annotations

import pytest

from ci_envs.containers.references import parse_reference
from ci_envs.containers.registry_failures import judge
from ci_envs.errors import BrokenError, LockError

PULLING = "Error: initializing source docker://r.example/a:1: "


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ("manifest unknown: manifest unknown", 404, "gone"),
        ("manifest for python:3.99 not found: manifest unknown: manifest unknown", 404, "gone"),
        ("errors:\nname unknown: repository name not known to registry", 404, "gone"),
        (f"{PULLING}reading manifest 1 in r.example/a: manifest unknown", 0, "gone"),
        ("no such object", 404, "gone"),
        ('Head "https://r.example/v2/a/manifests/1": no basic auth credentials', 500, "login"),
        ('unauthorized: {"errors":[{"code":"DENIED","message":"access to the resource is denied"}]}', 401, "login"),
        (
            "pull access denied, repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            404,
            "login",
        ),
        (f"{PULLING}reading manifest 1 in r.example/a: unauthorized: authentication required", 0, "login"),
        (f"{PULLING}Requesting bearer token: invalid status code from registry 403 (Forbidden)", 0, "login"),
        ("error parsing HTTP 403 response body", 403, "login"),
        ("unexpected status from HEAD request to http://r.example:1/v2/a/blobs/sha256:ab: 403 Forbidden", 0, "login"),
        ("toomanyrequests: You have reached your unauthenticated pull rate limit", 429, "limit"),
        ("received unexpected HTTP status: 429 Too Many Requests", 500, "limit"),
        ('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', 500, "passing"),
        ('Get "https://r.example/v2/": dial tcp: lookup r.example on 10.0.0.1:53: no such host', 500, "passing"),
        ("received unexpected HTTP status: 503 Service Unavailable", 500, "passing"),
        ("unexpected status from PUT request to https://r.example/v2/a/manifests/1: 500 Server Error", 0, "passing"),
        (f"{PULLING}pinging container registry r.example: invalid status code from registry 502", 0, "passing"),
        ('Get "https://r.example/v2/": net/http: TLS handshake timeout', 500, "passing"),
        ('Get "https://r.example/v2/": net/http: request canceled (Client.Timeout exceeded)', 500, "passing"),
        ('Get "http://r.example/v2/": read tcp 1->2: read: connection reset by peer', 500, "passing"),
        ('Get "https://r.example/v2/": EOF', 500, "passing"),
        ('Get "https://r.example/v2/": tls: failed to verify certificate: x509: unknown authority', 500, "lasting"),
        ('Get "https://r.example/v2/": http: server gave HTTP response to HTTPS client', 500, "lasting"),
        ("error unmarshalling content: invalid character '<' looking for beginning of value", 500, "lasting"),
        ("", 500, "lasting"),
    ],
)
def test_what_engines_say_is_understood(said: str, status: int, why: str) -> None:
    assert judge(said, parse_reference("r.example/a:1"), engine="docker", status=status).why == why


def test_the_last_error_of_podman_counts_and_not_its_tries() -> None:
    said = f'time="x" level=warning msg="Failed, retrying: connection refused"\n{PULLING}unauthorized'

    failure = judge(said, parse_reference("r.example/a:1"), engine="podman")
    assert failure.why == "login"
    assert "retrying" not in failure.said


@pytest.mark.parametrize("tag", ["404", "401", "500-denials", "timeouts"])
def test_a_tag_that_looks_like_a_reason_is_none(tag: str) -> None:
    said = f"reading manifest {tag} in r.example/a: manifest unknown"

    assert judge(said, parse_reference(f"r.example/a:{tag}"), engine="podman").why == "gone"


@pytest.mark.parametrize(
    ("said", "kind", "says", "hint"),
    [
        ("manifest unknown", LockError, "r.example/a:1 is not in r.example", "which tags a has there"),
        ("unauthorized", LockError, "is not there or needs a login", "`podman login r.example`"),
        ("toomanyrequests", BrokenError, "was asked too often", "`podman login r.example`"),
        ("connection refused", BrokenError, "r.example could not be asked for r.example/a:1", "try again later"),
        ("x509: no", BrokenError, "could not be asked", "certs.d/r.example/ca.crt"),
    ],
)
def test_each_is_a_sentence_with_what_to_do(said: str, kind: type[Exception], says: str, hint: str) -> None:
    error = judge(said, parse_reference("r.example/a:1"), engine="podman").error()

    assert type(error) is kind
    assert says in error.message
    assert hint in error.hint


def test_a_name_without_a_registry_is_docker_hubs() -> None:
    error = judge("manifest unknown", parse_reference("pyhton:3"), engine="docker").error()

    assert "Docker Hub" in error.hint


def test_no_password_is_shown() -> None:
    said = "Get https://user:canary@r.example/v2/: connection refused"

    assert "canary" not in judge(said, parse_reference("r.example/a:1"), engine="docker").error().message
