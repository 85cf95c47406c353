"""What the tools say is taken from their sources: conda's exceptions as JSON, libmamba's log lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ci_envs.command import Outcome
from ci_envs.conda.tool_output import read_failure

URL = "https://channel.example/forge/noarch/spam-1.0-0.conda"
GOOD, BAD = "1" * 64, "2" * 64


def conda(*errors: dict[str, Any]) -> Outcome:
    told = errors[0] if len(errors) == 1 else {"exception_name": "CondaMultiError", "errors": list(errors)}
    return Outcome(argv=("conda",), returncode=1, stdout=json.dumps(told, indent=2))


def mamba(text: str) -> Outcome:
    return Outcome(argv=("mamba",), returncode=1, stderr=text)


CHECKSUM = {
    "exception_name": "ChecksumMismatchError",
    "message": "Conda detected a mismatch between the expected content and downloaded content",
    "url": URL,
    "checksum_type": "sha256",
    "expected_checksum": GOOD,
    "actual_checksum": BAD,
}
HTTP = {"exception_name": "CondaHTTPError", "message": f"HTTP 404 NOT FOUND for url <{URL}>\nElapsed: 1", "url": URL}


@pytest.mark.parametrize("errors", [(CHECKSUM,), (HTTP, CHECKSUM), ({"errors": [CHECKSUM]}, HTTP)])
def test_condas_wrong_hash_is_read_wherever_it_stands(errors: tuple[dict[str, Any], ...]) -> None:
    failure = read_failure(conda(*errors))
    assert (failure.kind, failure.about) == ("hash", URL)
    assert (failure.expected, failure.actual) == (f"sha256:{GOOD}", f"sha256:{BAD}")


def test_condas_status_is_told() -> None:
    failure = read_failure(conda(HTTP))
    assert (failure.kind, failure.about) == ("download", URL)
    assert failure.said.startswith("status 404: HTTP 404 NOT FOUND")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("OfflineError", "offline"),
        ("PaddingError", "padding"),
        ("NoSpaceLeftError", "disk"),
        ("SafetyError", "damaged"),
        ("CondaVerificationError", "damaged"),
        ("LinkError", "other"),
    ],
)
def test_condas_other_exceptions(name: str, kind: str) -> None:
    failure = read_failure(conda({"exception_name": name, "message": "what it was"}))
    assert (failure.kind, failure.said) == (kind, "what it was")


def test_what_conda_says_before_its_json_is_passed_over() -> None:
    outcome = Outcome(argv=(), returncode=1, stdout=f"WARNING something\n{json.dumps(HTTP)}")
    assert read_failure(outcome).kind == "download"


@pytest.mark.parametrize("what", ["SHA256 sum", "SHA-256", "sha256"])
def test_mambas_wrong_hash(what: str) -> None:
    text = (
        f'error    libmamba File not valid: {what} doesn\'t match expectation "/cache/pkgs/spam-1.0-0.conda"\n'
        f"Expected: {GOOD}\nActual: {BAD}\n\n"
        "critical libmamba Found incorrect downloads. Aborting"
    )
    failure = read_failure(mamba(text))
    assert (failure.kind, failure.about) == ("hash", "spam-1.0-0.conda")
    assert (failure.expected, failure.actual) == (f"sha256:{GOOD}", f"sha256:{BAD}")


def test_mambas_md5_is_called_one() -> None:
    text = f"File not valid: MD5 sum doesn't match expectation /p/spam-1.0-0.conda\nExpected: {'1' * 32}\nActual: x\n"
    assert read_failure(mamba(text)).expected == f"md5:{'1' * 32}"


def test_mambas_download() -> None:
    failure = read_failure(mamba(f"error    libmamba Failed to download package from {URL} (status 404)\nIf you see"))
    assert (failure.kind, failure.about, failure.said) == ("download", URL, "status 404")


def test_a_full_disk_goes_before_everything_that_came_of_it() -> None:
    text = f"Failed to download package from {URL} (status 200)\nwrite: No space left on device\n"
    assert read_failure(mamba(text)).kind == "disk"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("critical libmamba Something else\n", "Something else"),
        ("a\nerror: the last line\n\n", "the last line"),
        ("", "exit code 1"),
    ],
)
def test_what_cannot_be_read_is_told_as_it_was_said(text: str, said: str) -> None:
    failure = read_failure(mamba(text))
    assert (failure.kind, failure.said) == ("other", said)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"errors": [1, null, "x"]}', '{"exception_name": 7}'])
def test_json_that_says_nothing_is_no_reason(text: str) -> None:
    assert read_failure(Outcome(argv=(), returncode=1, stdout=text)).kind == "other"
