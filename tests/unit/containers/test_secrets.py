"""What a configuration says of a build's secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_envs.containers.secrets import LARGEST, Secret, masking, parse_secret
from ci_envs.errors import UsageError


def test_a_secret_comes_from_a_variable() -> None:
    found = parse_secret("id=token,env=MY_TOKEN", Path("/"), {"MY_TOKEN": "hunter22"})
    assert (found.id, found.value) == ("token", "hunter22")
    assert "hunter22" not in repr(found)


@pytest.mark.parametrize("text", ["id=netrc,src=.netrc", "type=file,id=netrc,source=.netrc", 'id=netrc,"src=.netrc"'])
def test_a_secret_comes_from_a_file_below_the_project(tmp_path: Path, text: str) -> None:
    (tmp_path / ".netrc").write_text("x", "utf-8")
    assert parse_secret(text, tmp_path, {}).file == tmp_path / ".netrc"


def test_the_home_may_be_written_as_a_tilde(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("x", "utf-8")
    assert parse_secret("id=n,src=~/.netrc", Path("/project"), {"HOME": str(tmp_path)}).file == tmp_path / ".netrc"


def test_an_id_alone_names_a_variable_or_else_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x", "utf-8")
    assert parse_secret("id=token", tmp_path, {"token": "v"}).value == "v"
    assert parse_secret("id=token", tmp_path, {}).file == tmp_path / "token"


@pytest.mark.parametrize("text", ["", "token", "id=", "id=a,what=b", "id=a b,env=X", "type=ssh,id=a", "id=a\n,env=X"])
def test_what_is_no_secret_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_secret(text, Path("/"), {"X": "1"})
    assert "is no secret" in str(caught.value)
    assert "id=token,env=TOKEN" in caught.value.hint


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is to come from \$TOKEN, which is not set"):
        parse_secret("id=token,env=TOKEN", tmp_path, {})
    with pytest.raises(UsageError, match=r"is to come from gone, which is no file"):
        parse_secret("id=token,src=gone", tmp_path, {})


def test_a_file_that_no_builder_hands_over_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(UsageError, match="larger than 500 KiB"):
        parse_secret("id=big,src=big", tmp_path, {})


def test_logs_show_no_line_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine a.example\nlogin me\npassword correcthorse\n", "utf-8")
    secrets = [
        Secret("a", value="first-line\nsecond-line"),
        Secret("b", file=tmp_path / "netrc"),
        Secret("c", value="index-url = https://u:hunter22@index.example/simple"),
    ]
    mask = masking({"API_TOKEN": "topsecret"}, secrets)
    said = mask("first-line / second-line / correcthorse / hunter22 / topsecret / fine")
    assert said == "*** / *** / *** / *** / *** / fine"


def test_certificates_may_be_shown() -> None:
    assert (
        masking({}, [Secret("ca", value="-----BEGIN CERTIFICATE-----", private=False)])("-----BEGIN CERTIFICATE-----")[
            0
        ]
        == "-"
    )
