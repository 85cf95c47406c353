"""What builders say, as steps and as lines of a log."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.containers.build_output import Form, Transcript, reader, without_our_mounts

_AT = "2026-01-02T03:04:0{}Z"


def _event(indent: int | None = 2, **parts: Any) -> list[str]:
    return json.dumps(parts, indent=indent).splitlines(keepends=True)


def _vertex(name: str, **more: Any) -> dict[str, Any]:
    return {"digest": f"sha256:{name}", "name": name, **more}


def _read(lines: list[str], form: Form = "rawjson") -> tuple[Transcript, str, list[str]]:
    steps: list[str] = []
    transcript = Transcript(steps.append)
    take = reader(form, transcript)
    return transcript, "".join(take(line if line.endswith("\n") else f"{line}\n") for line in lines), steps


def _data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("indent", [2, None], ids=["over many lines", "on one line"])
def test_the_log_of_a_build_reads_like_buildkits_text(indent: int | None) -> None:
    run = "[deps 2/3] RUN pip install x"
    lines = [
        *_event(indent, vertexes=[_vertex(run)]),
        *_event(indent, vertexes=[_vertex(run, started=_AT.format("0.5"))]),
        *_event(
            indent,
            logs=[{"vertex": f"sha256:{run}", "stream": 1, "data": _data("one\n"), "timestamp": _AT.format("1.75")}],
        ),
        *_event(indent, vertexes=[_vertex(run, started=_AT.format("0.5"), completed=_AT.format("2.75"))]),
    ]
    transcript, log, steps = _read(lines)
    assert log == f"\n#1 {run}\n#1 1.250 one\n#1 DONE 2.2s\n"
    assert steps == [run]
    assert transcript.failed is None


def test_a_step_that_was_there_already_is_said_to_be_cached() -> None:
    done = {"started": _AT.format(0), "completed": _AT.format(0), "cached": True}
    transcript, log, _ = _read(_event(vertexes=[_vertex("[1/1] RUN x", **done)]))
    assert log == "\n#1 [1/1] RUN x\n#1 CACHED\n"
    assert transcript.steps["sha256:[1/1] RUN x"].cached


def test_the_builders_own_steps_are_logged_and_not_shown() -> None:
    _, log, steps = _read(_event(vertexes=[_vertex("[internal] load build context", started=_AT.format(0))]))
    assert log == "\n#1 [internal] load build context\n"
    assert steps == []


def test_a_step_that_failed_is_told_from_those_that_were_ended_with_it() -> None:
    ended = {"started": _AT.format(0), "completed": _AT.format(1)}
    vertexes = [
        _vertex("[a 1/1] RUN false", **ended, error="exit code: 1"),
        _vertex("[b 1/1] RUN sleep", **ended, error="context canceled: context canceled"),
    ]
    transcript, _, _ = _read(_event(vertexes=vertexes))
    assert transcript.failed is not None
    assert transcript.failed.instruction == "RUN false"


def test_lines_are_put_together_from_their_pieces_and_a_last_one_needs_no_end() -> None:
    name = "[1/1] RUN x"
    logs = [
        {"vertex": f"sha256:{name}", "data": _data(piece), "timestamp": _AT.format(1)}
        for piece in ("be", "gun\r\n10%\r100%\nl", "ast")
    ]
    lines = [
        *_event(vertexes=[_vertex(name, started=_AT.format(0))]),
        *_event(logs=logs),
        *_event(vertexes=[_vertex(name, started=_AT.format(0), completed=_AT.format(2))]),
    ]
    transcript, _, _ = _read(lines)
    assert list(transcript.steps[f"sha256:{name}"].lines) == ["begun", "100%", "last"]


def test_what_stands_outside_of_the_objects_is_the_builders_own_word() -> None:
    transcript, log, _ = _read(["ERROR: failed to solve: x", "{ this is no JSON", "}", "more"])
    assert list(transcript.said) == ["ERROR: failed to solve: x", "{ this is no JSON", "}", "more"]
    assert log.splitlines() == list(transcript.said)


def test_nothing_that_a_build_says_moves_the_cursor() -> None:
    name = "[1/1] RUN \x1b[31mred"
    logs = [{"vertex": f"sha256:{name}", "data": _data("\x1b]0;title\x07\x1b[2Ktext\n"), "timestamp": _AT.format(1)}]
    lines = [*_event(vertexes=[_vertex(name, started=_AT.format(0))]), *_event(logs=logs)]
    _, log, steps = _read(lines)
    assert steps == ["[1/1] RUN red"]
    assert log == "\n#1 [1/1] RUN red\n#1 1.000 text\n"


def test_secrets_are_masked_in_names_lines_and_errors() -> None:
    transcript = Transcript(redact=lambda text: text.replace("hunter22", "***"))
    take = reader("rawjson", transcript)
    name = "[1/1] RUN login hunter22"
    told = {"started": _AT.format(0), "completed": _AT.format(1), "error": "hunter22 is wrong"}
    logs = [{"vertex": f"sha256:{name}", "data": _data("got hunter22\n"), "timestamp": _AT.format(1)}]
    lines = [
        *_event(vertexes=[_vertex(name, started=_AT.format(0))]),
        *_event(logs=logs),
        *_event(vertexes=[_vertex(name, **told)]),
    ]
    log = "".join(map(take, [*lines, "ERROR: hunter22\n"]))
    assert "hunter22" not in log
    assert log.count("***") == 4


def test_mounts_that_nobody_wrote_are_shown_to_nobody() -> None:
    ours = "--mount=type=secret,id=ci-envs-ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444"
    theirs = "--mount=type=secret,id=token"
    assert without_our_mounts(f"RUN {ours} {theirs} make") == f"RUN {theirs} make"
    _, log, steps = _read(_event(vertexes=[_vertex(f"[1/1] RUN {ours} make", started=_AT.format(0))]))
    assert log == "\n#1 [1/1] RUN make\n"
    assert steps == ["[1/1] RUN make"]


def test_the_text_of_older_builders_is_read_as_well() -> None:
    lines = [
        '#0 building with "default" instance using docker driver',
        "",
        "#4 [deps 2/3] RUN true",
        "#4 CACHED",
        "",
        "#5 [deps 3/3] RUN false",
        "#5 0.147 looking",
        "#5 ERROR: process did not complete successfully: exit code: 1",
        "#6 [b 1/1] RUN sleep",
        "#6 CANCELED",
        "Dockerfile:4",
    ]
    transcript, log, _ = _read(lines, "plain")
    assert transcript.failed is not None
    assert transcript.failed.instruction == "RUN false"
    assert list(transcript.failed.lines) == ["looking"]
    assert list(transcript.said) == ["Dockerfile:4"]
    assert "#3 0.147 looking\n" in log


def test_podmans_steps_have_the_names_of_their_stages() -> None:
    lines = [
        "[1/2] STEP 1/2: FROM base AS deps",
        "[1/2] STEP 2/2: RUN make",
        "--> Using cache 0123456789ab",
        "[2/2] STEP 1/2: FROM deps",
        "[2/2] STEP 2/2: RUN false",
        "looking",
        'Error: building at STEP "RUN false": while running runtime: exit status 1',
    ]
    transcript, log, steps = _read(lines, "podman")
    assert steps == [
        "[deps 1/2] FROM base AS deps",
        "[deps 2/2] RUN make",
        "[stage-2 1/2] FROM deps",
        "[stage-2 2/2] RUN false",
    ]
    assert "#2 CACHED\n" in log
    assert transcript.failed is not None
    assert transcript.failed.instruction == "RUN false"
    assert list(transcript.failed.lines) == ["looking"]


@given(st.lists(st.text(max_size=40), max_size=20), st.sampled_from(["rawjson", "plain", "podman"]))
def test_no_output_makes_a_reader_raise(lines: list[str], form: Form) -> None:
    _read(lines, form)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["vertexes", "logs", "statuses", "digest", "vertex", "started", "completed", "data"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_object_makes_a_reader_raise(value: Any) -> None:
    _read(json.dumps({"vertexes": value, "logs": value, "statuses": [value]}, indent=2).splitlines())
