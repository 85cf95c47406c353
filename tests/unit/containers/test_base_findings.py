from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.containers.base_findings import base_findings, secret_findings
from ci_envs.containers.docker_lock import DockerLock, LockedImage
from ci_envs.containers.dockerfile import images_of

if TYPE_CHECKING:
    from ci_envs.model.record import Finding

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
KEY = "docker.io/library/python:3.12-slim"


def _lock(tag: str = "3.12-slim", *, local: bool = False) -> DockerLock:
    when = "2026-11-21T00:00:00Z"
    return DockerLock((LockedImage(image="docker.io/library/python", tag=tag, digest=A, when=when, local=local),))


def _told(found: tuple[Finding, ...]) -> list[tuple[str, str, int]]:
    return [(one.code, one.severity, one.line) for one in found]


def test_a_base_that_nothing_pins_is_a_warning_with_its_line() -> None:
    (finding,) = base_findings(images_of("\nFROM python:3.12-slim"), None, file="d/Dockerfile")

    assert (finding.code, finding.severity, finding.file, finding.line) == ("IMG001", "warning", "d/Dockerfile", 2)
    assert "run `ci-envs lock`" in finding.message


def test_the_message_has_what_to_write_where_a_digest_is_known() -> None:
    (finding,) = base_findings(images_of("FROM python:3.12-slim"), None, {KEY: B})

    assert f"write python:3.12-slim@{B}" in finding.message


def test_a_base_that_the_lock_pins_is_information() -> None:
    (finding,) = base_findings(images_of("FROM python:3.12-slim"), _lock())

    assert (finding.code, finding.severity) == ("IMG001", "info")
    assert f"write python:3.12-slim@{A}" in finding.message


def test_a_base_with_a_digest_is_nothing_to_tell_of() -> None:
    assert base_findings(images_of(f"FROM python:3.12-slim@{A}"), None) == ()
    assert base_findings(images_of(f"FROM python:latest@{A}"), None) == ()
    assert base_findings(images_of("FROM scratch"), None) == ()


@pytest.mark.parametrize(("image", "says"), [("python", "has no tag"), ("python:latest", "whatever was pushed last")])
def test_latest_is_told_of_beside_the_missing_digest(image: str, says: str) -> None:
    found = base_findings(images_of(f"FROM {image}"), None)

    assert _told(found) == [("IMG001", "warning", 1), ("IMG002", "warning", 1)]
    assert says in found[1].message
    assert _told(base_findings(images_of(f"FROM {image}"), _lock("latest"))) == [
        ("IMG001", "info", 1),
        ("IMG002", "info", 1),
    ]


def test_an_image_that_the_lock_lacks_is_told_of() -> None:
    (finding,) = base_findings(images_of("FROM debian:12"), _lock(), {"docker.io/library/debian:12": B})

    assert (finding.code, finding.severity) == ("IMG004", "warning")
    assert f"debian:12 is not in docker.lock: run `ci-envs lock`, or write debian:12@{B}" in finding.message


def test_a_tag_that_has_moved_since_it_was_locked_is_told_of() -> None:
    found = base_findings(images_of("FROM python:3.12-slim"), _lock(), {KEY: B})

    assert _told(found) == [("IMG001", "info", 1), ("IMG003", "warning", 1)]
    assert "was sha256:aaaaaaaaaaaa when it was locked on 2026-11-21" in found[1].message
    assert B in found[1].message
    assert "lock --upgrade" in found[1].message


def test_a_tag_that_is_what_it_was_is_nothing_to_tell_of() -> None:
    assert _told(base_findings(images_of("FROM python:3.12-slim"), _lock(), {KEY: A})) == [("IMG001", "info", 1)]


def test_a_tag_whose_digest_stands_in_the_dockerfile_may_move_too() -> None:
    (finding,) = base_findings(images_of(f"FROM python:3.12-slim@{A}"), None, {KEY: B})

    assert (finding.code, finding.severity) == ("IMG003", "warning")
    assert f"write python:3.12-slim@{B}" in finding.message


def test_an_image_of_this_machine_alone_is_told_of() -> None:
    found = base_findings(images_of("FROM python:3.12-slim"), _lock(local=True), {KEY: B})

    assert _told(found) == [("IMG007", "warning", 1)]


def test_a_variable_without_a_value_and_an_image_that_cannot_be_told_are_told_of() -> None:
    text = f"FROM python:3.12-slim$X@{A}\nCOPY --from=$Y a b\n"

    found = base_findings(images_of(text), None)
    assert _told(found) == [("IMG006", "warning", 1), ("IMG006", "warning", 2)]
    assert "X has no value here" in found[0].message


def test_what_the_target_does_not_need_is_not_told_of() -> None:
    assert base_findings(images_of(f"FROM debian AS x\nFROM $X AS y\nFROM python:3@{A}"), None) == ()


def test_the_same_at_the_same_line_is_told_once() -> None:
    text = f"FROM python:3@{A}\nRUN --mount=from=tools:1,target=/a --mount=from=tools:1,target=/b make\n"

    assert _told(base_findings(images_of(text), None)) == [("IMG001", "warning", 2)]


def test_every_place_of_an_image_is_told_with_its_line() -> None:
    text = "ARG B=python:3.12-slim\nFROM ${B} AS a\nFROM ${B}\nCOPY --from=a / /\nCOPY --from=python:3.12-slim / /\n"

    found = base_findings(images_of(text), None)
    assert _told(found) == [("IMG001", "warning", 2), ("IMG001", "warning", 3), ("IMG001", "warning", 5)]
    assert found[0].message.startswith("${B} (python:3.12-slim) is not pinned")


@pytest.mark.parametrize(
    "line",
    [
        "ARG NPM_TOKEN=abc123",
        "ENV DB_PASSWORD=abc123",
        "ENV DB_PASSWORD abc123",
        "ENV A=b \\\n  api_key='abc123'",
        "ARG TOKEN=$OTHER",
        "ENV AWS_SECRET_ACCESS_KEY=abc123",
        "ONBUILD ENV CLIENT_SECRET=abc123",
        "ENV GIT_CREDENTIALS=abc123",
    ],
)
def test_a_secret_with_a_value_is_told_of_without_the_value(line: str) -> None:
    (finding,) = secret_findings(f"FROM python:3\n{line}\n", file="d/Dockerfile")

    assert (finding.code, finding.severity, finding.file) == ("IMG005", "warning", "d/Dockerfile")
    assert finding.line == 2 + line.count("\n")
    assert "abc123" not in finding.message
    assert "type=secret" in finding.message


@pytest.mark.parametrize(
    "line",
    [
        "ARG NPM_TOKEN",
        "ARG NPM_TOKEN=",
        "ENV NPM_TOKEN=''",
        "ENV TOKEN_FILE=/run/secrets/token",
        "ENV TOKENIZERS_PARALLELISM=false",
        "ENV PUBLIC_KEY=abc",
        "LABEL token=abc",
        "RUN TOKEN=abc make",
    ],
)
def test_what_is_no_secret_or_has_no_value_is_not_told_of(line: str) -> None:
    assert secret_findings(f"FROM python:3\n{line}\n") == ()


def test_a_secret_that_a_build_argument_gives_is_told_of() -> None:
    (finding,) = secret_findings("FROM python:3\nARG NPM_TOKEN\n", build_args={"NPM_TOKEN": "abc123"})

    assert finding.line == 2
    assert "abc123" not in finding.message
