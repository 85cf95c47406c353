from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci_envs.containers.references import Reference, is_digest, parse_reference
from ci_envs.errors import UsageError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "name", "tag", "familiar"),
    [
        ("python:3.12", "docker.io/library/python", "3.12", "python:3.12"),
        ("python", "docker.io/library/python", "latest", "python:latest"),
        ("docker.io/python:3", "docker.io/library/python", "3", "python:3"),
        ("index.docker.io/library/python:3", "docker.io/library/python", "3", "python:3"),
        ("bitnami/redis:7", "docker.io/bitnami/redis", "7", "bitnami/redis:7"),
        ("library/distros/x:1", "docker.io/library/distros/x", "1", "library/distros/x:1"),
        ("ghcr.io/astral-sh/uv:0.8", "ghcr.io/astral-sh/uv", "0.8", "ghcr.io/astral-sh/uv:0.8"),
        ("localhost/app:dev", "localhost/app", "dev", "localhost/app:dev"),
        ("localhost:5000/app", "localhost:5000/app", "latest", "localhost:5000/app:latest"),
        ("registry.example:5000/a/b/c:T_1.x-y", "registry.example:5000/a/b/c", "T_1.x-y", None),
        ("[::1]:5000/app:1", "[::1]:5000/app", "1", None),
        ("Registry.Example/app:1", "Registry.Example/app", "1", None),
        ("a__b/c--d.e_f:1", "docker.io/a__b/c--d.e_f", "1", "a__b/c--d.e_f:1"),
        # Without a slash nothing is a registry, not even with a port.
        ("localhost:5000", "docker.io/library/localhost", "5000", "localhost:5000"),
        ("x:" + "t" * 128, "docker.io/library/x", "t" * 128, None),
    ],
)
def test_a_name_is_brought_into_its_normal_form(text: str, name: str, tag: str, familiar: str | None) -> None:
    reference = parse_reference(text)

    assert (reference.name, reference.tag, reference.digest) == (name, tag, "")
    assert reference.key == f"{name}:{tag}"
    assert reference.familiar == (familiar or text)


def test_a_missing_tag_is_latest_and_is_told_apart_from_one_that_is_written() -> None:
    assert parse_reference("python").tagless
    assert not parse_reference("python:latest").tagless
    assert parse_reference("python").is_latest
    assert parse_reference("python:latest").is_latest
    assert not parse_reference("python:3").is_latest


def test_a_digest_alone_has_no_tag() -> None:
    reference = parse_reference(f"python@{DIGEST}")

    assert (reference.tag, reference.digest, reference.is_latest) == ("", DIGEST, False)
    assert reference.key == "docker.io/library/python"
    assert reference.familiar == f"python@{DIGEST}"


def test_a_tag_and_a_digest_stay_together() -> None:
    text = f"ghcr.io/astral-sh/uv:0.8@{DIGEST}"

    assert parse_reference(text).familiar == text
    assert str(parse_reference(text)) == text


def test_a_digest_can_be_added_and_must_be_one() -> None:
    assert parse_reference("python:3.12").with_digest(DIGEST).familiar == f"python:3.12@{DIGEST}"
    with pytest.raises(UsageError, match="is no digest"):
        parse_reference("python:3.12").with_digest("sha256:abc")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("", "is empty", ""),
        ("  ", "is empty", ""),
        ("Python:3.12", "'Python' has upper case letters", "write 'python:3.12'"),
        ("MyTeam/app", "'MyTeam' has upper case letters", "write 'myteam/app'"),
        ("registry.example/App:1", "'App' has upper case letters", "write 'registry.example/app:1'"),
        ("python:", "its tag is empty", "leave the colon out"),
        ("python:3.12 slim", "'3.12 slim' is no tag", "letters, digits"),
        ("python:-x", "'-x' is no tag", ""),
        ("x:" + "t" * 129, "more than 128 characters", "shorten it"),
        ("a/" * 200 + "b", "more than 255 characters", "shorten it"),
        ("python:$VERSION", "'$VERSION' is no tag", ""),
        ("${BASE}", "holds a variable", "give the variable a value"),
        ("a//b", "a part of it is empty", "both sides of a slash"),
        ("a/", "a part of it is empty", ""),
        (":3", "a part of it is empty", ""),
        ("/a", "a part of it is empty", ""),
        ("a___b", "'a___b' is no part", "one or two '_'"),
        ("a..b", "'a..b' is no part", ""),
        ("-a", "'-a' is no part", ""),
        ("pythön", "'pythön' is no part", ""),
        ("python\n", "is no part", ""),
        ("-x.example/app", "is no address of a registry", "host:port"),
        ("host:port/app", "is no address of a registry", ""),
        ("https://registry.example/app", "begins with a scheme", "leave 'https://' out"),
        ("docker://python:3", "begins with a scheme", "leave 'docker://' out"),
        ("0123456789abcdef" * 4, "is an image's id", "name it as its registry does"),
        ("python@", "'' is no digest", "64 digits"),
        ("python@sha256:abc", "'sha256:abc' is no digest", "64 digits"),
        ("python@" + DIGEST.upper(), "is no digest", ""),
        ("python@md5:" + "a" * 64, "is no digest", ""),
        (f"python@{DIGEST}@{DIGEST}", "is no digest", ""),
    ],
)
def test_what_is_no_name_is_refused_with_what_is_wrong(text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)

    assert says in caught.value.message
    assert hint in caught.value.hint


def test_a_message_shows_no_escapes_and_has_an_end() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("\x1b[31mred" + "x!" * 1000)

    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


def test_digests_of_the_registered_algorithms_are_known() -> None:
    assert is_digest("sha512:" + "a" * 128)
    assert is_digest("sha384:" + "a" * 96)
    assert not is_digest("sha512:" + "a" * 64)
    assert not is_digest("a" * 64)


@given(st.one_of(st.text(), st.text("abcA/:.@-_$[]0123456789 ", max_size=40)))
@example("a" * 10_000 + "!")
@example("a-" * 10_000 + "!")
def test_any_text_is_a_reference_that_reads_back_or_an_error_with_a_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        reference = parse_reference(text)
        for form in (str(reference), reference.familiar):
            again = parse_reference(form)
            assert (again.name, again.tag, again.digest) == (reference.name, reference.tag, reference.digest)


_PARTS = st.from_regex(r"[a-z0-9]{1,6}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)


@given(
    st.sampled_from(["docker.io", "ghcr.io", "localhost", "127.0.0.1:5000", "a-b.example"]),
    st.lists(_PARTS, min_size=2, max_size=3),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.sampled_from(["", DIGEST]),
)
def test_every_reference_that_there_is_reads_back(registry: str, parts: list[str], tag: str, digest: str) -> None:
    reference = Reference(registry, "/".join(parts), tag, digest)

    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference
