"""What is read of a tool's words. That these are its words, ``tests/component/test_faults.py`` sees to."""

from __future__ import annotations

import pytest
from tests.support.environments import said

from ci_envs import trouble
from ci_envs.command import Outcome


def failed(stderr: str, *, code: int = 1, timed_out: bool = False) -> Outcome:
    return Outcome(("uv",), code, "", stderr, 12.0, timed_out)


NETWORK = [
    "error: Failed to fetch: `http://index.example/simple/apple/`\n"
    "  Caused by: error sending request for url (http://index.example/simple/apple/)\n"
    "  Caused by: tcp connect error: Connection refused (os error 111)\n",
    "error: Request failed after 3 retries\n  Caused by: operation timed out\n",
    "ERROR: Could not install packages due to an OSError: HTTPConnectionPool(host='index.example', port=80): "
    "Max retries exceeded with url: /simple/apple/ (Caused by NewConnectionError('Connection refused'))\n",
]
DENIED = [
    "error: Failed to fetch: `http://index.example/`\n  Caused by: HTTP status client error (401 Unauthorized)\n",
    "ERROR: 403 Client Error: Forbidden for url: http://index.example/simple/\n",
]
RESOLVER = [
    "  \u00d7 No solution found when resolving dependencies:\n"
    "  ╰─▶ Because only pytest-timeout==2.4.0 is available and you require pytest-timeout>3, we can conclude "
    "that your requirements are unsatisfiable.\n",
    "ERROR: No matching distribution found for connection-reset==9\n",
    "ERROR: Cannot install apple==2.0 and pear==1.0 because these package versions have conflicting dependencies.\n",
]
HASHES = [
    "error: Hash mismatch for `apple==1.0`\n",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
]
DISK = ["error: failed to write\n  Caused by: No space left on device (os error 28)\n", "OSError: [Errno 28] ENOSPC\n"]


@pytest.mark.parametrize("text", NETWORK)
def test_a_network_that_fails_is_the_worlds_trouble_and_may_pass(text: str) -> None:
    assert trouble.world_failed(failed(text)).startswith("the package index did not answer as it should: ")
    assert trouble.is_passing(failed(text))


@pytest.mark.parametrize("text", DENIED)
def test_a_refusal_is_the_worlds_trouble_and_will_not_pass(text: str) -> None:
    assert trouble.world_failed(failed(text)).startswith("the package index refused us: ")
    assert not trouble.is_passing(failed(text))


@pytest.mark.parametrize("text", DISK)
def test_a_full_disk_is_the_worlds_trouble_and_will_not_pass(text: str) -> None:
    assert trouble.world_failed(failed(text)).startswith("the disk is full: ")
    assert not trouble.is_passing(failed(text))


@pytest.mark.parametrize("text", [*RESOLVER, *HASHES, "", "error: something else\n"])
def test_what_the_project_or_its_lock_says_is_not_the_worlds_trouble(text: str) -> None:
    assert trouble.world_failed(failed(text)) == ""
    assert not trouble.is_passing(failed(text))


def test_a_tool_that_was_ended_is_the_worlds_trouble_and_not_tried_again() -> None:
    outcome = failed("", code=-15, timed_out=True)
    assert trouble.world_failed(outcome) == "uv was ended after 12 s"
    assert not trouble.is_passing(outcome)


@pytest.mark.parametrize("text", [*HASHES, *NETWORK, *RESOLVER])
def test_a_hash_that_does_not_match_is_told_from_the_rest(text: str) -> None:
    assert trouble.hash_mismatch(failed(text)) is (text in HASHES)


def test_the_reason_is_one_line_without_advice_and_never_empty() -> None:
    outcome = failed(f"Resolved 3 packages\n{NETWORK[0]}hint: try again\n")
    assert "\n" not in trouble.reason(outcome)
    assert "Connection refused" in trouble.reason(outcome)
    assert "try again" not in trouble.reason(outcome)
    assert trouble.reason(said(code=3)) == "exit code 3"


def test_a_reason_that_fills_pages_is_cut() -> None:
    assert len(trouble.reason(failed("error: " + "because " * 1000))) <= trouble.LONGEST_REASON


TREE = (
    "  \u00d7 Failed to download `apple==1.0`\n  \u251c\u2500\u25b6 Failed to fetch: `http://index.example/a.whl`\n"
    "  \u2570\u2500\u25b6 {}\n"
)


def test_a_tree_is_read_as_lines_are() -> None:
    stalled, gone = (failed(TREE.format(end)) for end in ("operation timed out", "HTTP status client error (404 N)"))
    told = "Failed to download `apple==1.0`: Failed to fetch: `http://index.example/a.whl`: operation timed out"
    assert trouble.reason(stalled) == told
    assert trouble.world_failed(stalled).endswith("operation timed out (http://index.example/a.whl)")
    assert (trouble.world_failed(gone), trouble.gone(gone)) == ("", "apple==1.0")


def test_a_quiet_pip_is_understood_by_its_log() -> None:
    log = (
        "2026-01-01T00:00:00,1 Getting page http://index.example/simple/apple/\n"
        "2026-01-01T00:00:00,2   Could not fetch URL http://index.example/simple/apple/: 503 Server Error - skipping\n"
        "2026-01-01T00:00:00,3   The conflict is caused by:\n2026-01-01T00:00:00,3       apple 2.0 depends on seed>=2\n"
        "2026-01-01T00:00:00,3   \n2026-01-01T00:00:00,3   To fix this you could try to:\n"
    )
    kept = trouble.from_pip_log(log)
    assert kept.splitlines() == [
        "Could not fetch URL http://index.example/simple/apple/: 503 Server Error - skipping",
        "The conflict is caused by:",
        "    apple 2.0 depends on seed>=2",
    ]
    missing = "pip.DistributionNotFound: No matching distribution found for apple\n"
    assert "503 Server Error" in trouble.world_failed(failed(missing + kept.partition("\n")[0]))
    assert trouble.world_failed(failed("ERROR: Cannot install a and b: conflicting dependencies.\n" + kept)) == ""


def test_what_pip_calls_a_conflict_is_the_worlds_trouble_where_it_saw_no_version_at_all() -> None:
    """With a constraint it says so of whatever it finds nothing for, also where no index answers."""
    page = "Could not fetch URL http://index.example/simple/Apple_pie/: connection error: Connection refused - skipping"
    log = (
        f"2026-01-01T00:00:00,1 {page}\n"
        "2026-01-01T00:00:00,2 Given no hashes to check {} links for project 'apple-pie': discarding no candidates\n"
        "2026-01-01T00:00:00,3   The conflict is caused by:\n2026-01-01T00:00:00,3       The user requested apple-pie\n"
        "2026-01-01T00:00:00,3       The user requested (constraint) apple-pie<2\n"
    )
    quiet = "ERROR: Cannot install apple-pie because these package versions have conflicting dependencies.\n"
    nowhere, elsewhere = (failed(quiet + trouble.from_pip_log(log.format(count))) for count in (0, 3))
    assert trouble.world_failed(nowhere).endswith(": connection error: Connection refused")
    assert trouble.is_passing(nowhere)
    assert trouble.world_failed(elsewhere) == "", "another index has versions of it"


def test_a_page_that_is_not_there_is_no_broken_index() -> None:
    line = "Could not fetch URL http://index.example/apple/: 404 Client Error: Not Found for url: http://i/ - skipping"
    assert trouble.world_failed(failed(f"ERROR: No matching distribution found for apple\n{line}")) == ""


PIP_LOG = """\
2026-01-01T00:00:00,001 Looking in indexes: http://index.example/simple/
2026-01-01T00:00:00,002   Collecting apple (from -r requirements.in (line 1))
2026-01-01T00:00:00,003   Collecting seed (from apple->-r requirements.in (line 1))
2026-01-01T00:00:00,004   Skipping link: none of the wheel's tags (cp39-cp39-win_amd64) are compatible (run pip): http://x
2026-01-01T00:00:00,005     Traceback (most recent call last):
2026-01-01T00:00:00,006       File "tiny_backend.py", line 2, in build_wheel
2026-01-01T00:00:00,007     RuntimeError: thorns
2026-01-01T00:00:00,008     ERROR: Preparing metadata (pyproject.toml) exited with 1
"""


def test_pips_log_tells_who_asked_for_what_and_what_a_build_raised() -> None:
    assert trouble.from_pip_log(PIP_LOG).splitlines() == [
        "Collecting apple (from -r requirements.in (line 1))",
        "Collecting seed (from apple->-r requirements.in (line 1))",
        "Skipping link: none of the wheel's tags (cp39-cp39-win_amd64) are compatible (run pip): http://x",
        "The build said: RuntimeError: thorns",
    ]


def test_a_build_that_pip_has_seen_fail_is_told_with_what_it_raised() -> None:
    ended = "    error: subprocess-exited-with-error\n"
    quiet = f"{ended}    \u00d7 Preparing metadata did not run successfully.\n    note: a\n"
    outcome = failed(f"{quiet}{trouble.from_pip_log(PIP_LOG)}\n")
    assert trouble.reason(outcome) == "Preparing metadata did not run successfully: RuntimeError: thorns"
    assert trouble.reason(failed(quiet)) == "Preparing metadata did not run successfully"


def test_what_pip_has_left_out_is_told_where_it_found_nothing() -> None:
    none = "ERROR: Could not find a version that satisfies the requirement guava (from versions: none)\n"
    ignored = (
        "  ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python >=4\n"
    )
    said = none.removeprefix("ERROR: ").strip()
    assert trouble.reason(failed(none)) == said
    assert (
        trouble.reason(failed(ignored + none)) == f"{said}; {ignored.strip().removeprefix('ERROR: I').join(['i', ''])}"
    )
    assert (
        trouble.reason(failed(f"{PIP_LOG.splitlines()[3][24:]}\n{none}"))
        == f"{said}; its wheels are for cp39-cp39-win_amd64"
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("error: Failed to download `apple-pie==1.0`\n  Caused by: Hash mismatch for `apple-pie==1.0`\n", "apple-pie"),
        ("ERROR: THESE\n    apple==1.1 from http://index.example/apple.whl:\n        Expected sha256 00\n", "apple"),
        ("error: Failed to build `thorn==1.0`\n", "thorn"),
        ("ERROR: No matching distribution found for pear==1.1\n", "pear"),
        ("error: something else\n", ""),
    ],
)
def test_the_pin_that_an_installer_names(text: str, name: str) -> None:
    assert trouble.about_pin(failed(text)) == name
