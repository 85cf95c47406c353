"""What all verbs share: help, options, how errors end, what goes to which stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from tests.support.projects import write_project
from tests.support.records import record
from tests.support.work import a_leg

import ci_envs.cli
from ci_envs import __version__, machine
from ci_envs.__main__ import main
from ci_envs.cli import VERBS, main_group
from ci_envs.layout import Layout
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_envs.model.record import RunRecord

HERE = f"{machine.os_name()}-{machine.arch_name()}"

#: Legs of a machine that this one is not: they are skipped at once, and start nothing.
OTHER = "linux" if machine.os_name() == "windows" else "windows"
MATRIX = f"""
axes: {{pattern: [uv], python: ["3.12"], os: [{OTHER}], arch: [x86_64]}}
"""
LEG = f"uv-py312-{OTHER}-x86_64"


class Said:
    """What one call of the program left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*words: str) -> Said:
        capfd.readouterr()
        code = main(list(words))
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a matrix, where the person stands."""
    write_project(tmp_path, {"matrices/default.yml": MATRIX, "requirements.txt": "apple==1.0\n"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command_of(verb: str) -> click.Command:
    found = main_group.get_command(click.Context(main_group), verb)
    assert found is not None
    return found


# --- help


def test_every_verbs_module_is_in_the_list_and_the_other_way_round() -> None:
    modules = {path.stem.removesuffix("_verb") for path in Path(ci_envs.cli.__file__).parent.glob("*_verb.py")}
    assert modules == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_begins_with_its_line(verb: str) -> None:
    assert (command_of(verb).help or "").splitlines()[0] == VERBS[verb]
    assert command_of(verb).name == verb


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_common_options(verb: str) -> None:
    options = {option for parameter in command_of(verb).params for option in parameter.opts}
    assert {"--project", "--json", "-q", "--quiet", "-v", "--verbose"} <= options


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_is_for(verb: str) -> None:
    for parameter in command_of(verb).params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{verb} {parameter.name}"


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_printed_without_a_project(verb: str, call: Callable[..., Said]) -> None:
    for option in ("--help", "-h"):
        said = call(verb, option)
        assert (said.code, said.err) == (0, "")
        assert VERBS[verb].split(",")[0].split(";")[0] in " ".join(said.out.split())


def test_the_programs_help_names_every_verb_and_its_version_is_one_line(call: Callable[..., Said]) -> None:
    said = call("--help")
    assert said.code == 0
    assert all(f"\n  {verb} " in said.out for verb in VERBS)
    assert call("--version").out == f"ci-envs {__version__}\n"


# --- words that cannot be meant


def test_a_misspelt_verb_is_told_the_nearest(call: Callable[..., Said]) -> None:
    said = call("pln")
    assert (said.code, said.out) == (2, "")
    assert "there is no verb 'pln'; did you mean 'plan'?" in said.err


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "exec"])
def test_a_misspelt_option_is_told_the_nearest(verb: str, call: Callable[..., Said], root: Path) -> None:
    said = call(verb, "--projet=.", *(["a", "b"] if verb == "diff" else []))
    assert (said.code, said.out) == (2, "")
    assert "--projet" in said.err
    assert "--project" in said.err.partition("--projet")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_a_project_that_is_not_there_is_told(verb: str, call: Callable[..., Said], root: Path) -> None:
    said = call(verb, "--project", "nowhere")
    assert (said.code, said.out) == (2, "")
    assert "'nowhere' does not exist" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--stages", "bild"], "there is no stage 'bild'; did you mean 'build'?"),
        (["run", "--lock-mode", "lockd"], "'lockd' is not one of"),
        (["run", "--jobs", "0"], "0 is not in the range"),
        (["run", "--jobs", "many"], "'many' is not a valid integer"),
        (["run", "--as-of", "whenever"], "'whenever' is no date, instant or span of time"),
        (["run", "--only", LEG.replace("312", "31")], f"did you mean '{LEG}'"),
        (["run", "--test-command", "a && b"], "test.command: '&&' needs a shell"),
        (["run", "--pattern", "uvv"], "there is no pattern 'uvv'; did you mean 'uv'"),
        (["run", "--pattern", "uv", "matrices/default.yml"], "they do not go with a matrix file"),
        (["run", "nowhere.yml"], "nowhere.yml"),
        (["lock", "--check", "--upgrade"], "--check writes nothing and --upgrade does"),
        (["clean", "--cache", LEG], "it does not go with single legs"),
        (["clean", "../.."], "'../..' is no id of a leg"),
        (["exec", "--json", LEG, "--", "true"], "exec has nothing to say in JSON"),
        (["check", "no-such-leg"], "there is no leg 'no-such-leg'"),
        (["verify", "no-such-leg"], "there is no leg 'no-such-leg'"),
        (["diff", "a.json", "b.json"], "a.json: there is no such record"),
        (["report", "nowhere.json"], "nowhere.json: there is no such record"),
        (["report", "--json", "--markdown", "."], "--json and --markdown exclude each other"),
        (["schema", "recrod"], "there is no schema 'recrod'; did you mean 'record'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_ends_with_2_one_message_and_nothing_written(
    words: list[str], told: str, call: Callable[..., Said], root: Path
) -> None:
    before = sorted(root.rglob("*"))
    said = call(*words)
    assert (said.code, said.out) == (2, "")
    assert told in " ".join(said.err.split())
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("words", [["check"], ["verify"], ["exec"], ["exec", LEG], ["diff"], ["diff", "a.json"]])
def test_a_missing_argument_is_named(words: list[str], call: Callable[..., Said]) -> None:
    said = call(*words)
    assert said.code == 2
    assert "Missing argument" in said.err


def test_exec_needs_an_environment(call: Callable[..., Said], root: Path) -> None:
    for leg in (LEG, "../../etc"):
        said = call("exec", leg, "--", "true")
        assert said.code == 6
        assert f"there is no environment of '{leg}'" in said.err
        assert "hint: build it with: ci-envs run --only" in said.err


# --- exit codes and streams


def test_nothing_to_do_is_no_success(call: Callable[..., Said], root: Path) -> None:
    said = call("run", "--skip", "*")
    assert (said.code, said.out) == (3, "")
    assert "no leg is left to run" in said.err


def test_a_run_whose_legs_were_all_skipped_did_nothing(call: Callable[..., Said], root: Path) -> None:
    assert call("run").code == 3


def test_a_leg_that_was_asked_for_by_name_may_not_be_skipped(call: Callable[..., Said], root: Path) -> None:
    said = call("run", "--only", LEG)
    assert said.code == 4
    assert f"this machine is {HERE}, the leg is {OTHER}-x86_64" in said.out + said.err


@pytest.mark.parametrize(
    "words",
    [
        ["detect", "--json"],
        ["plan", "--json"],
        ["run", "--json"],
        ["run", "--json", "-v"],
        ["lock", "--json", "--check"],
        ["check", "--json", LEG],
        ["report", "--json", "."],
        ["schema", "--json"],
        ["schema", "record"],
        ["clean", "--json"],
    ],
    ids=" ".join,
)
def test_json_is_all_that_is_printed(words: list[str], call: Callable[..., Said], root: Path) -> None:
    write_record(root / "one.json", record())
    said = call(*words)
    assert said.out.endswith("\n")
    assert said.json


def test_a_diff_in_json_says_what_differs_and_ends_as_asked(call: Callable[..., Said], root: Path) -> None:
    write_record(root / "a.json", record(packages={"numpy": "2.1.0"}))
    write_record(root / "b.json", record(packages={"numpy": "2.2.0"}))
    assert call("diff", "--json", "a.json", "b.json").json
    assert call("diff", "a.json", "b.json").code == 0
    assert call("diff", "--exit-code", "a.json", "b.json").code == 9
    assert call("diff", "--exit-code", "a.json", "a.json").code == 0


def test_quiet_leaves_the_verdict_and_errors(call: Callable[..., Said], root: Path) -> None:
    said = call("run", "-q")
    assert said.out.splitlines() == ["skipped: 1 skipped"]
    assert said.err == ""


def test_a_run_leaves_a_record_and_a_part_of_it_does_not(call: Callable[..., Said], root: Path) -> None:
    path = Layout.at(root, {}).record(LEG)
    call("lock", "--check")
    assert not path.exists()
    call("run")
    assert path.is_file()


def test_the_summary_is_written_where_it_was_asked_for(call: Callable[..., Said], root: Path) -> None:
    call("run", "--markdown", "out/summary.md")
    assert LEG in (root / "out" / "summary.md").read_text(encoding="utf-8")


def test_a_summary_that_cannot_be_written_is_told(call: Callable[..., Said], root: Path) -> None:
    (root / "file").write_text("", encoding="utf-8")
    said = call("run", "--markdown", "file/summary.md")
    assert said.code == 2
    assert "--markdown file/summary.md cannot be written" in said.err


def test_cleaning_says_what_it_removed(call: Callable[..., Said], root: Path) -> None:
    call("run")
    assert call("clean", LEG).out.splitlines() == [
        f"removed .ci-envs/records/{LEG}.json",
        f"removed .ci-envs/logs/{LEG}",
    ]
    assert call("clean").out == "removed .ci-envs\n"
    assert call("clean").out == "nothing to remove\n"
    assert call("clean", "--json").json == {"removed": []}


def test_detecting_nothing_is_nothing_to_do(call: Callable[..., Said], tmp_path: Path) -> None:
    said = call("detect", f"--project={tmp_path}")
    assert said.code == 3
    assert "no file here describes an environment" in said.err


def test_a_file_that_cannot_be_read_is_an_error_beside_what_the_others_say(
    call: Callable[..., Said], root: Path
) -> None:
    (root / "pyproject.toml").write_text("[project\n", encoding="utf-8")
    said = call("detect")
    assert said.code == 2
    assert "pyproject.toml" in said.err
    assert "requirements.txt" in said.out


def test_an_older_record_can_be_compared_by_its_place_in_the_project(call: Callable[..., Said], root: Path) -> None:
    one: RunRecord = record()
    path = Layout.at(root, {}).record(one.leg.id)
    write_record(path, one)
    name = path.relative_to(root).as_posix()
    assert call("diff", name, name).code == 0
    assert call("report", "--json").json["legs"][0]["id"] == one.leg.id
    assert a_leg().id == one.leg.id
