from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.action_runner import read_command_file
from tests.support.records import record

from ci_envs import github
from ci_envs.errors import UsageError
from ci_envs.github import Inputs, action_arguments, annotate, annotation, cache_choice, read_inputs
from ci_envs.model.image import ImageFacts
from ci_envs.model.record import EnvironmentFacts, Finding

if TYPE_CHECKING:
    from pathlib import Path

FINDING = Finding(code="LOCK001", severity="warning", title="a, b: c", message="50%\nmore", file="a,b.txt", line=3)


# --- inputs


def test_inputs_that_are_not_given_have_their_defaults() -> None:
    assert read_inputs({}) == Inputs()
    assert read_inputs({f"INPUT_{name.upper()}": "" for name in Inputs.__dataclass_fields__}) == Inputs()


def test_inputs_are_typed_once() -> None:
    inputs = read_inputs(
        {
            "INPUT_CHECK": "false",
            "INPUT_ACTIVATE_ENVIRONMENT": " true\n",
            "INPUT_GROUPS": "dev, test\n docs",
            "INPUT_PYTHON_VERSION": "3.13t",
        }
    )

    assert inputs == Inputs(
        check=False, activate_environment=True, groups=("dev", "test", "docs"), python_version="3.13t"
    )


@pytest.mark.parametrize(
    ("name", "value", "said", "hint"),
    [
        ("CHECK", "yes", "'check' is 'yes'", "true, false"),
        ("CHECK", "True", "'check' is 'True'", "true, false"),
        ("ENABLE_CACHE", "on", "'enable-cache' is 'on'", "auto, true, false"),
        ("LOCK_MODE", "lock", "'lock-mode' is 'lock'", "locked, auto, frozen, update"),
        ("EXPECT_GPU", "1", "'expect-gpu'", "auto, true, false"),
        ("PYTHON_VERSION", "3", "'python-version' is '3'", "3.12"),
        ("PYTHON_VERSION", "3.12\n3.13", "more than one line", "strategy.matrix"),
        ("PYTHON_VERSION", "$(touch pwned)", "'python-version'", "3.12"),
        ("PYTHON_VERSION", "٣.١٢", "'python-version'", "3.12"),
        ("PATTERN", "--help", "'pattern' is '--help'", "auto"),
        ("PATTERN", "uv\nGITHUB_ENV", "more than one line", "strategy.matrix"),
        ("CACHE_SUFFIX", "a,b", "'cache-suffix'", "letters"),
        ("CACHE_SUFFIX", "x" * 65, "'cache-suffix'", "64"),
        ("GROUPS", "dev,--help", "'groups' is '--help'", "dependency groups"),
        ("GROUPS", "dev $(touch pwned)", "'groups' is '$(touch'", "dependency groups"),
        ("TEST_COMMAND", "a\nb", "more than one line", "script"),
        ("WORKING_DIRECTORY", "a\nb", "more than one line", "one value"),
    ],
)
def test_a_wrong_input_is_named_with_its_choices(name: str, value: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_inputs({f"INPUT_{name}": value})

    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_arguments_are_only_those_that_were_asked_for() -> None:
    assert action_arguments({}) == ["run", "--project=.", "--pattern=auto"]


def test_every_input_becomes_an_argument() -> None:
    arguments = action_arguments(
        {
            "INPUT_PATTERN": "uv",
            "INPUT_PYTHON_VERSION": "3.12",
            "INPUT_WORKING_DIRECTORY": "a folder",
            "INPUT_LOCK_MODE": "frozen",
            "INPUT_GROUPS": "dev,test",
            "INPUT_TEST_COMMAND": "pytest -k 'a or b'",
            "INPUT_EXPECT_GPU": "true",
            "INPUT_CHECK": "false",
        }
    )

    assert arguments == [
        "run",
        "--project=a folder",
        "--pattern=uv",
        "--python=3.12",
        "--lock-mode=frozen",
        "--test-command=pytest -k 'a or b'",
        "--expect-gpu=true",
        "--group=dev",
        "--group=test",
        "--stages=lock,build,test",
    ]


@given(st.text().filter(lambda text: "\n" not in text.strip() and text.strip()))
def test_no_value_can_become_a_flag_of_its_own(text: str) -> None:
    arguments = action_arguments({"INPUT_TEST_COMMAND": text, "INPUT_WORKING_DIRECTORY": text})

    assert all(argument.startswith(("--project=", "--pattern=", "--test-command=")) for argument in arguments[1:])


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main"}, True),
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/1/merge"}, True),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1"}, False),
        ({"GITHUB_EVENT_NAME": "release"}, False),
        ({"GITHUB_EVENT_NAME": "pull_request_target"}, False),
        ({"GITHUB_EVENT_NAME": "workflow_run"}, False),
        ({"GITHUB_EVENT_NAME": "push", "RUNNER_ENVIRONMENT": "self-hosted"}, False),
        ({"GITHUB_EVENT_NAME": "push", "UV_CACHE_DIR": "/elsewhere"}, False),
    ],
)
def test_the_cache_is_left_alone_where_it_could_be_poisoned(environ: dict[str, str], expected: bool) -> None:
    assert cache_choice(Inputs(), environ)[0] is expected
    assert cache_choice(Inputs(enable_cache="true"), environ)[0] is True
    assert cache_choice(Inputs(enable_cache="false"), environ)[0] is False


# --- files that the runner reads


@given(st.text(alphabet="abc<=\n\r%é:{}$ ") | st.text(alphabet=st.characters(codec="utf-8")))
def test_the_runner_reads_the_output_that_was_set(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("out") / "output"

    github.set_output("first", value, {"GITHUB_OUTPUT": str(path)})
    github.set_output("second", "x<<EOF\nci_envs_0\nEOF", {"GITHUB_OUTPUT": str(path)})

    assert read_command_file(path) == {"first": value, "second": "x<<EOF\nci_envs_0\nEOF"}


def test_outside_of_actions_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    github.set_output("a", "b", {})
    github.export("A", "b", {})
    github.add_path("b", {})
    github.summary("b", {})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["a\nPATH=/evil", "a\rb"])
def test_a_variable_or_folder_with_a_line_end_is_refused(tmp_path: Path, value: str) -> None:
    environ = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_PATH": str(tmp_path / "path")}

    with pytest.raises(ValueError, match="line end"):
        github.export("NAME", value, environ)
    with pytest.raises(ValueError, match="line end"):
        github.add_path(value, environ)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "a<<b", "a\nb", "1a", "a="])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    environ = {"GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_ENV": str(tmp_path / "env")}

    with pytest.raises(ValueError, match="no name"):
        github.set_output(name, "x", environ)
    with pytest.raises(ValueError, match="no name"):
        github.export(name, "x", environ)


def test_a_summary_that_does_not_fit_is_cut_at_a_line(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    github.summary("first", environ)

    github.summary("é line\n" * 200_000, environ)
    github.summary("one more", environ)

    text = (tmp_path / "summary").read_text(encoding="utf-8")
    assert len(text.encode()) <= github.SUMMARY_LIMIT
    assert text.startswith("first\né line\n")
    assert text.endswith("é line\n\n*Cut: the rest does not fit into a step summary.*\n") or text.count("Cut") == 1


# --- workflow commands


def test_an_annotation_escapes_what_ends_a_value() -> None:
    assert (
        annotation(FINDING, "sub") == "::warning file=sub/a%2Cb.txt,line=3,title=LOCK001%3A a%2C b%3A c::50%25%0Amore"
    )


def test_an_annotation_without_a_file_has_no_line() -> None:
    assert annotation(Finding(code="X", severity="info", title="t", message="", line=3)) == "::notice title=X%3A t::t"


@given(st.text())
def test_an_annotation_is_one_line(text: str) -> None:
    shown = annotation(Finding(code=text, severity="error", title=text, message=text, file=text, line=1), text)

    assert len(shown.splitlines()) == 1
    assert shown.startswith("::error ")
    assert shown.partition(" ")[2].count("::") >= 1


def test_no_more_annotations_are_made_than_are_shown() -> None:
    findings = [(FINDING, ".")] * 25 + [(Finding(code="E", severity="error", title="t", message="m"), ".")]

    commands = annotate(findings)

    assert sum(command.startswith("::warning") for command in commands) == 10
    assert sum(command.startswith("::error") for command in commands) == 1


def test_a_group_holds_its_body_whatever_the_body_says() -> None:
    assert (
        github.group("a\nb", "x\n::endgroup::\n##[endgroup]\n")
        == "::group::a b\nx\n: :endgroup::\n## [endgroup]\n::endgroup::"
    )


# --- outputs of the action


def test_outputs_say_where_things_are(tmp_path: Path) -> None:
    root = tmp_path / "repo" / "sub"
    leg = record(
        project="app", environment=EnvironmentFacts(path=".ci-envs/envs/x", python="3.12.4", digest="sha256:d")
    )

    outputs = github.action_outputs(
        leg, root, root / ".ci-envs/records/x.json", {"GITHUB_WORKSPACE": str(tmp_path / "repo")}
    )

    assert outputs == {
        "pattern": "uv",
        "environment-path": str(root / ".ci-envs/envs/x"),
        "python-path": str(root / ".ci-envs/envs/x/bin/python"),
        "python-version": "3.12.4",
        "lock-file": "sub/app/uv.lock",
        "lock-digest": "sha256:" + "1" * 64,
        "environment-digest": "sha256:d",
        "image": "",
        "image-digest": "",
        "record": "sub/.ci-envs/records/x.json",
        "reproduce-command": leg.reproduce,
    }


def test_outputs_of_a_leg_that_was_not_built_are_empty(tmp_path: Path) -> None:
    outputs = github.action_outputs(record(lock=None, environment=None), tmp_path, tmp_path / "x.json", {})

    assert {name for name, value in outputs.items() if not value} == {
        "environment-path", "python-path", "python-version", "lock-file", "lock-digest", "environment-digest",
        "image", "image-digest",
    }  # fmt: skip


def test_an_image_is_told_by_its_name_and_its_manifests_digest(tmp_path: Path) -> None:
    leg = record(
        environment=EnvironmentFacts(image="localhost/ci-envs/0:x", digest="sha256:d"),
        image=ImageFacts(name="localhost/ci-envs/0:x", id="sha256:i", manifest="sha256:m"),
    )

    outputs = github.action_outputs(leg, tmp_path, tmp_path / "x.json", {})

    assert (outputs["image"], outputs["image-digest"]) == ("localhost/ci-envs/0:x", "sha256:m")
    assert (outputs["environment-path"], outputs["environment-digest"]) == ("", "sha256:d")


def test_a_runner_has_a_word_of_its_own() -> None:
    assert github.runner({"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64", "ImageOS": "ubuntu24"}) == "linux-x64-ubuntu24"
    assert github.runner({}) == "unknown"
