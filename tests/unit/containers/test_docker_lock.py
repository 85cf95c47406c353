from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.containers.docker_lock import (
    DockerLock,
    LockedImage,
    Stale,
    as_lock,
    merged,
    pinned_arguments,
    pinned_text,
    pins,
    read_docker_lock,
    staleness,
    write_docker_lock,
)
from ci_envs.containers.dockerfile import images_of
from ci_envs.errors import LockError
from ci_envs.model.lock import Pin

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WHEN = "2026-11-21T00:00:00Z"


def _locked(image: str, tag: str, digest: str = A, **more: Any) -> LockedImage:
    told = {"image": image, "tag": tag, "digest": digest, "when": WHEN, **more}
    return LockedImage(**told)


PYTHON = _locked("docker.io/library/python", "3.12-slim", platforms=("linux/amd64", "linux/arm64/v8"))
UV = _locked("ghcr.io/astral-sh/uv", "0.8", B)
LOCK = DockerLock((PYTHON, UV))
TEXT = """\
{
  "version": 1,
  "images": [
    {
      "image": "docker.io/library/python",
      "tag": "3.12-slim",
      "digest": "%s",
      "platforms": [
        "linux/amd64",
        "linux/arm64/v8"
      ],
      "when": "2026-11-21T00:00:00Z"
    },
    {
      "image": "ghcr.io/astral-sh/uv",
      "tag": "0.8",
      "digest": "%s",
      "when": "2026-11-21T00:00:00Z"
    }
  ]
}
""" % (A, B)  # noqa: UP031 - the braces of JSON
DOCKERFILE = "FROM python:3.12-slim AS a\nCOPY --from=ghcr.io/astral-sh/uv:0.8 /uv /bin/\nFROM a\n"


# Reading and writing


def test_a_lock_is_written_sorted_indented_and_with_a_last_line_end() -> None:
    assert write_docker_lock(DockerLock((UV, PYTHON))) == TEXT


def test_what_is_written_is_read_back() -> None:
    assert read_docker_lock(TEXT) == LOCK
    local = DockerLock((_locked("localhost/base", "dev", local=True),))
    assert read_docker_lock(write_docker_lock(local)) == local
    assert read_docker_lock(write_docker_lock(DockerLock())) == DockerLock()


def _with(**changes: Any) -> str:
    return _entries({"image": "docker.io/library/python", "tag": "3", "digest": A, "when": WHEN} | changes)


def _entries(*entries: Any, **top: Any) -> str:
    return json.dumps({"version": 1, "images": list(entries), **top})


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("", "is not JSON", 1),
        ('{"version": 1,\n"images": [,]}', "is not JSON", 2),
        ("[]", "Expected object, got array", 0),
        ("1" * 5000, "is not read", 0),
        ("[" * 100_000, "nested too deeply", 0),
        ('{"version": NaN, "images": []}', "NaN is no value of JSON", 0),
        ('{"version": 1, "version": 1, "images": []}', "the key 'version' stands twice", 0),
        ('{"version": 1, "images": [{"tag": "1", "tag": "2"}]}', "the key 'tag' stands twice", 0),
        ("{\n<<<<<<< ours\n}", "marks of a merge", 2),
        ('{"images": []}', "version", 0),
        ('{"version": true, "images": []}', "version: Expected int, got bool", 0),
        ('{"version": "1", "images": []}', "version: Expected int, got str", 0),
        ('{"version": 2, "images": []}', "is of version 2; this ci-envs reads version 1", 0),
        ('{"version": 0, "images": []}', "is of version 0", 0),
        ('{"version": 1, "images": {}}', "images: Expected array, got object", 0),
        (_entries(more=1), "unknown field more", 0),
        (_entries(1), "images[0]: Expected object, got int", 0),
        (_with(digest=1), "images[0].digest: Expected str, got int", 0),
        (_with(digest="sha256:abc"), "images[0]: 'sha256:abc' is no digest", 0),
        (_with(digest=A.upper()), "is no digest", 0),
        (_with(image="python"), "is not in its normal form, 'docker.io/library/python' and '3'", 0),
        (_with(image="docker.io/library/Python"), "upper case", 0),
        (_with(image="docker.io/library/python@" + A), "images[0]", 0),
        (_with(tag=""), "its tag is empty", 0),
        (_with(tag="3@" + A), "is not in its normal form", 0),
        (_with(tag="a b"), "'a b' is no tag", 0),
        (_with(platforms=["amd64"]), "'amd64' is no platform", 0),
        (_with(platforms="linux/amd64"), "platforms: Expected array", 0),
        (_with(when="yesterday"), "'yesterday' is no time", 0),
        (_with(when="2026-02-30T00:00:00Z"), "is no time", 0),
        (_with(when="2026-2-3T00:00:00Z"), "is no time", 0),
        (_with(extra=1), "unknown field extra", 0),
        (_with(local="yes"), "local: Expected bool", 0),
        (_entries(*[json.loads(_with())["images"][0]] * 2), "two entries for docker.io/library/python:3", 0),
        (" " * 5_000_000, "are the most that is read", 0),
    ],
)
def test_what_is_no_lock_is_refused_with_the_file(text: str, says: str, line: int) -> None:
    with pytest.raises(LockError) as caught:
        read_docker_lock(text, path="sub/docker.lock")

    assert says in caught.value.message
    assert (caught.value.file, caught.value.line) == ("sub/docker.lock", line)
    assert caught.value.hint


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from([A, WHEN, "a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["image", "tag", "x"]), inner),
    max_leaves=6,
)
_IMAGES = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(("image", "tag", "digest", "when"), _JSON), optional={"platforms": _JSON, "local": _JSON}
    ),
    max_size=2,
)


@given(st.one_of(st.text(), st.fixed_dictionaries({"version": st.just(1), "images": _IMAGES | _JSON}).map(json.dumps)))
def test_any_text_is_a_lock_or_a_lock_error(text: str) -> None:
    with contextlib.suppress(LockError):
        lock = read_docker_lock(text)
        assert read_docker_lock(write_docker_lock(lock)) == lock


# What it means


def test_pins_are_what_the_needed_images_are_pinned_to() -> None:
    text = f"{DOCKERFILE}COPY --from=alpine:3@{B} / /\nFROM debian:12 AS unneeded\n"

    assert pins(LOCK, images_of(text, target="1")) == (
        Pin(name="docker.io/library/alpine", version="3", source="image", hashes=(B,)),
        Pin(name="docker.io/library/python", version="3.12-slim", source="image", hashes=(A,)),
        Pin(name="ghcr.io/astral-sh/uv", version="0.8", source="image", hashes=(B,)),
    )


def test_a_digest_alone_is_its_own_version() -> None:
    (pin,) = pins(DockerLock(), images_of(f"FROM python@{A}"))

    assert (pin.name, pin.version, pin.hashes) == ("docker.io/library/python", A, (A,))


def test_the_dockerfiles_own_digest_stands_above_the_lock() -> None:
    (pin,) = pins(LOCK, images_of(f"FROM python:3.12-slim@{B}"))

    assert pin.hashes == (B,)


def test_an_image_that_nothing_pins_is_an_error_with_its_line() -> None:
    with pytest.raises(LockError, match=r"\$\{B\} \(debian:12\) is not in docker.lock") as caught:
        pins(LOCK, images_of("ARG B=debian:12\nFROM ${B}\n"), file="d/Dockerfile")

    assert (caught.value.file, caught.value.line) == ("d/Dockerfile", 2)


def test_a_lock_of_images_has_the_digest_of_its_file() -> None:
    lock = as_lock(TEXT, LOCK, images_of(DOCKERFILE))

    assert (lock.path, lock.format, len(lock.pins)) == ("docker.lock", "docker", 2)
    assert lock.sha256 != as_lock(TEXT + "\n", LOCK, images_of(DOCKERFILE)).sha256
    assert all(pin.manager == "image" for pin in lock.pins)


def _stale(text: str, lock: DockerLock = LOCK, platform: str = "") -> list[tuple[str, str, int]]:
    return [(one.kind, one.key, one.line) for one in staleness(lock, images_of(text), platform=platform)]


def test_a_lock_in_sync_is_not_stale() -> None:
    assert staleness(LOCK, images_of(DOCKERFILE), platform="linux/amd64") == ()


def test_what_is_missing_is_told_once_with_its_line_and_what_is_unused_comes_last() -> None:
    text = "FROM python:3.13 AS a\nFROM python:3.13\nCOPY --from=a / /\nCOPY --from=ghcr.io/astral-sh/uv:0.8 / /\n"

    assert staleness(LOCK, images_of(text)) == (
        Stale("missing", "docker.io/library/python:3.13", "python:3.13 is not in docker.lock", 1),
        Stale("unused", PYTHON.key, f"docker.lock has {PYTHON.key}, which is not named"),
    )


def test_a_digest_in_the_dockerfile_needs_no_lock_and_makes_no_entry_unused() -> None:
    assert _stale(f"FROM python:3.12-slim@{B}\nCOPY --from=ghcr.io/astral-sh/uv:0.8 / /\n") == []
    assert _stale(f"FROM debian:12@{B}\n", DockerLock()) == []


def test_what_no_stage_needs_is_not_missing() -> None:
    assert _stale("FROM debian:12 AS x\nFROM python:3.12-slim\n", DockerLock((PYTHON,))) == []


@pytest.mark.parametrize(
    ("platform", "stale"),
    [("linux/amd64", 0), ("linux/arm64", 0), ("linux/arm64/v8", 0), ("linux/arm64/v9", 1), ("linux/arm", 1)],
)
def test_a_platform_that_a_tag_does_not_have_is_stale(platform: str, stale: int) -> None:
    lock = DockerLock((PYTHON,))

    assert len(_stale("FROM python:3.12-slim", lock, platform)) == stale
    assert len(_stale(f"FROM --platform={platform} python:3.12-slim", lock, "linux/amd64")) == stale
    assert _stale("FROM python:3.12-slim", DockerLock((_locked(PYTHON.image, PYTHON.tag),)), platform) == []


def test_a_frontend_is_for_the_machine_that_builds() -> None:
    lock = DockerLock((_locked("docker.io/docker/dockerfile", "1", platforms=("linux/amd64",)), PYTHON))

    assert _stale("# syntax=docker/dockerfile:1\nFROM python:3.12-slim", lock, "linux/arm64") == []


def test_merging_keeps_when_a_tag_was_locked_where_it_is_the_same() -> None:
    later = "2027-01-01T00:00:00Z"
    same = _locked(PYTHON.image, PYTHON.tag, A, platforms=PYTHON.platforms, when=later)
    moved = _locked(UV.image, UV.tag, A, when=later)
    new = _locked("docker.io/library/debian", "12", when=later)

    assert merged(LOCK, [same, moved, new]).images == (new, PYTHON, moved)


def test_an_image_of_this_machine_does_not_take_the_place_of_a_registrys() -> None:
    own, now = _locked(UV.image, UV.tag, A, local=True), _locked(UV.image, UV.tag, A)

    assert merged(LOCK, [own]) == LOCK
    assert merged(DockerLock((own,)), [now]).images == (now,)
    assert merged(DockerLock((own,)), [_locked(UV.image, UV.tag, B, local=True)]).images[0].digest == B


def test_merging_keeps_what_others_may_need_unless_it_is_told_what_is_used() -> None:
    assert merged(LOCK, []) == LOCK
    assert merged(LOCK, [], used={UV.key}).images == (UV,)


def test_a_local_image_is_pinned_where_the_engine_can_find_it() -> None:
    lock = DockerLock((_locked("localhost/base", "dev", local=True), UV))

    assert lock.digests() == {UV.key: B}
    assert lock.digests(local=True) == {"localhost/base:dev": A, UV.key: B}


def test_digests_are_written_behind_images_and_nowhere_else() -> None:
    text = f"{DOCKERFILE}# python:3.12-slim\nRUN echo python:3.12-slim\n"

    assert pinned_text(text, images_of(text), LOCK.digests()) == (
        f"FROM python:3.12-slim@{A} AS a\nCOPY --from=ghcr.io/astral-sh/uv:0.8@{B} /uv /bin/\nFROM a\n"
        "# python:3.12-slim\nRUN echo python:3.12-slim\n"
    )


def test_what_has_no_digest_is_left_as_it_is() -> None:
    text = "FROM debian:12\nFROM python:3.12-slim"

    assert pinned_text(text, images_of(text), LOCK.digests()) == f"FROM debian:12\nFROM python:3.12-slim@{A}"
    assert pinned_text(text, images_of(text), {}) == text


def test_a_full_name_stays_as_it_is_written() -> None:
    text = "FROM docker.io/library/python:3.12-slim"

    assert pinned_text(text, images_of(text), LOCK.digests()) == f"{text}@{A}"


def test_a_frontend_of_a_build_argument_is_pinned_there() -> None:
    arguments = {"BUILDKIT_SYNTAX": "docker/dockerfile:1", "X": "y"}
    images = images_of("FROM python:3.12-slim", build_args=arguments)

    found = pinned_arguments(arguments, images, {"docker.io/docker/dockerfile:1": A})
    assert found == {"BUILDKIT_SYNTAX": f"docker/dockerfile:1@{A}", "X": "y"}
    assert pinned_arguments(arguments, images, {}) == arguments
