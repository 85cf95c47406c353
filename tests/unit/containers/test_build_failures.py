"""What builders really said (tests/cases/build-failures), and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci_envs.capture import Outcome
from ci_envs.containers.build_failures import Failed, engine_failure, explained, failure, instruction_lines, may_pass
from ci_envs.containers.build_output import Transcript, reader
from ci_envs.errors import BrokenError, BuildError

_CASES = sorted((Path(__file__).parents[2] / "cases" / "build-failures").iterdir())


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_what_a_builder_said_becomes_a_sentence_with_its_line(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    error = failure(
        Outcome(argv=("builder",), returncode=1),
        transcript_of(case),
        file="Dockerfile",
        text=(case / "Dockerfile").read_text("utf-8"),
        engine="podman 4.3.1" if expected["form"] == "podman" else "docker 26.1.5",
        log="LOG",
    )
    said = {"form": expected["form"], "error": type(error).__name__, "message": str(error), "hint": error.hint}
    assert said == expected


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_what_is_to_blame_is_not_mixed_up(case: Path) -> None:
    world = ("registry-down", "registry-unknown", "registry-fails", "asked-too-often", "disk-full", "engine-")
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    # Without a network nobody can tell that no image has the name of a stage that is not there; and this Podman was
    # not told that the registry speaks no TLS.
    unknowable = ("buildkit-no-such-stage", "podman-base-not-there")
    is_world = any(word in case.name for word in world) or case.name in unknowable
    assert expected["error"] == ("BrokenError" if is_world else "BuildError")


def transcript_of(case: Path) -> Transcript:
    transcript = Transcript()
    take = reader(json.loads((case / "expected.json").read_text("utf-8"))["form"], transcript)
    for line in (case / "output.txt").read_text("utf-8").splitlines(keepends=True):
        take(line)
    return transcript


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_an_instruction_that_could_not_reach_a_server_may_go_through_in_a_moment(case: Path) -> None:
    assert may_pass(transcript_of(case)) is case.name.endswith("pip-cannot-connect")


@pytest.mark.parametrize(
    ("lines", "passing"),
    [
        (["E: Failed to fetch http://deb.example/Packages  Unable to connect to deb.example:http: [IP: ::1 80]"], True),
        (["E: Failed to fetch http://deb.example/InRelease  Temporary failure resolving 'deb.example'"], True),
        (["E: Unable to locate package numpyy"], False),
        (["curl: (6) Could not resolve host: deb.example"], True),
        (["curl: (22) The requested URL returned error: 404"], False),
        (["fatal: unable to access 'https://git.example/': Could not resolve host: git.example"], True),
        (["  cause: dns error: failed to lookup address information"], True),
        (["ERROR: 1 of 3 tests failed"], False),
    ],
)
def test_what_tools_say_of_a_network(lines: list[str], passing: bool) -> None:
    transcript = Transcript()
    transcript.begin("1", "RUN ./setup.sh")
    for line in lines:
        transcript.tell("1", line)
    transcript.end("1", 0.1, error="process did not complete successfully: exit code: 100")
    assert may_pass(transcript) is passing


def test_a_hint_says_where_the_log_is_when_there_is_nothing_better() -> None:
    error = explained(
        Failed(instruction="", line=0, reason="odd things happened"), "Dockerfile", "docker 26", "a/b.log"
    )
    assert str(error) == "Dockerfile: odd things happened"
    assert error.hint == "the log has all of it: a/b.log"


def test_a_builder_that_says_nothing_is_said_to_say_nothing() -> None:
    error = failure(
        Outcome(argv=("x",), returncode=1), Transcript(), file="Dockerfile", text="", engine="docker 26", log="LOG"
    )
    assert str(error) == "Dockerfile: the builder failed and did not say why"


def test_a_build_that_takes_too_long_is_ended_and_says_so() -> None:
    outcome = Outcome(argv=("x",), returncode=-15, seconds=12.4, timed_out=True)
    error = failure(outcome, Transcript(), file="Dockerfile", text="", engine="docker 26", log="LOG")
    assert str(error) == "Dockerfile: the build was ended after 12 s"


def test_a_replaced_bundle_of_certificates_is_told_apart() -> None:
    failed = Failed(
        instruction="RUN ./setup.sh",
        line=3,
        reason="process did not complete successfully: exit code: 1",
        lines=("mv: cannot move 'ca-certificates.crt.new' to 'ca-certificates.crt': Device or resource busy",),
        exit_code=1,
    )
    error = explained(failed, "Dockerfile", "docker 26.1.5", "LOG")
    assert "certificates are mounted over that file" in error.hint


def test_a_file_that_buildah_cannot_read_is_no_engine_that_went_away() -> None:
    reason = 'reading "/context/out": error encoding request for copier subprocess: write |1: broken pipe'
    error = explained(Failed("COPY out /out", 2, reason), "Dockerfile", "podman 4.3.1", "LOG")
    assert str(error).startswith("Dockerfile:2: COPY out /out: out cannot be read from the context")


def test_newer_engines_say_that_the_memory_was_used_up() -> None:
    failed = Failed("RUN make", 2, "ResourceExhausted: process did not complete successfully: cannot allocate memory")
    error = explained(failed, "Dockerfile", "docker 28.0.0", "LOG")
    assert isinstance(error, BuildError)
    assert "memory is used up" in str(error)


def test_an_image_that_the_engine_cannot_take_is_the_engines_fault() -> None:
    full = engine_failure("write /var/lib/docker/x: no space left on device", "docker 26.1.5")
    assert isinstance(full, BrokenError)
    assert str(full) == "the engine's disk is full: write /var/lib/docker/x: no space left on device"
    other = engine_failure("invalid tar header", "docker 26.1.5")
    assert str(other) == "docker 26.1.5 did not take the image: invalid tar header"


@pytest.mark.parametrize(
    ("instruction", "line"),
    [
        ("RUN echo one   && echo two", 3),
        ("RUN echo one && echo two", 3),
        ("COPY a /a", 5),
        ("RUN pip install x", 6),
        ("RUN never", 0),
    ],
)
def test_an_instruction_is_found_by_its_words(instruction: str, line: int) -> None:
    mount = "--mount=type=secret,id=ci-envs-pip,target=/etc/pip.conf,mode=0444"
    text = f"FROM base\n# comment\nRUN echo one \\\n  && echo two\nCOPY a /a\nRUN {mount} pip install x\n"
    assert instruction_lines(text, "Dockerfile")(instruction) == line


def test_of_a_dockerfile_that_cannot_be_read_no_line_is_known() -> None:
    assert instruction_lines("", "Dockerfile")("RUN x") == 0
