from __future__ import annotations

import io
import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.support.records import ended, record

from ci_envs import console
from ci_envs.console import Progress
from ci_envs.errors import UsageError
from ci_envs.model.image import ImageFacts, SystemFacts
from ci_envs.model.record import Finding, Stage
from ci_envs.plain import plain
from ci_envs.report.merge import merge

if TYPE_CHECKING:
    from pathlib import Path

LEG = record().leg


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes both streams one terminal. Called by the test itself: pytest sets its own streams after fixtures."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_an_error_says_what_where_and_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_error(UsageError("unknown axis 'pyton'", hint="did you mean 'python'?", file="m.yml", line=3))

    assert capsys.readouterr() == ("", "error: m.yml:3: unknown axis 'pyton'\nhint: did you mean 'python'?\n")


def test_an_error_of_our_action_is_shown_beside_its_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "CI_ENVS_ACTION": "leg",
        "GITHUB_WORKSPACE": str(tmp_path),
        "INPUT_WORKING_DIRECTORY": str(tmp_path / "sub"),
    }.items():
        monkeypatch.setenv(name, value)

    console.show_error(UsageError("no", file="m.yml", line=3, hint="try"))

    assert capsys.readouterr().out == "::error file=sub/m.yml,line=3,title=ci-envs%3A UsageError::no%0Atry\n"


def test_text_from_outside_carries_no_escape_and_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "\x1b[31mred\x1b]0;title\x07\n::set-output name=a::b\n##[error]x [bold]y[/bold]"

    console.show_text(nasty)
    console.show_note(nasty)
    console.show_error(UsageError(nasty, hint=nasty))
    console.show_table(nasty, ["a"], [[nasty]])

    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "##[" not in out + err
    assert not any(line.lstrip().startswith("::") for line in (out + err).splitlines())
    assert "[bold]y[/bold]" in out


def test_json_is_utf_8_whatever_the_stream_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)

    console.show_json({"name": "Zürich"})

    stream.buffer.seek(0)
    assert json.loads(stream.buffer.read().decode("utf-8")) == {"name": "Zürich"}


def test_a_stream_that_lacks_a_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)

    console.show_text("Zürich")

    stream.buffer.seek(0)
    assert stream.buffer.read() == b"Z\\xfcrich\n"


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console.configure(quiet=True)

    console.show_note("note")
    with Progress() as progress:
        progress.leg_begins(LEG)
        progress.leg_ends(record())
    console.show_report(merge([record()]))
    console.show_error(UsageError("no"))

    assert capsys.readouterr() == ("passed: 1 passed\n", "error: no\n")


def test_details_need_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_detail("hidden")
    console.configure(verbose=1)
    console.show_detail("shown")

    assert capsys.readouterr().err == "shown\n"


def test_a_table_without_a_terminal_is_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("Legs", ["leg", "reason"], [["a", "x" * 200], ["longer", ""]])

    assert capsys.readouterr().out == f"Legs\nleg     reason\na       {'x' * 200}\nlonger\n\n"


def test_a_table_without_rows_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("Parity", ["a"], [])

    assert capsys.readouterr().out == ""


def test_a_report_shows_images_and_what_their_containers_may(capsys: pytest.CaptureFixture[str]) -> None:
    image = ImageFacts(
        name="ci-envs/0123:\x1b[31muv",
        id="sha256:" + "b" * 64,
        bytes=361_234_567,
        relaxed=("privileged",),
        system=SystemFacts(name="Debian GNU/Linux 12 (bookworm)", packages={"dpkg": 89}),
    )

    console.show_report(merge([record(pattern="docker", image=image), record()]))

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("Images") + 2] == (
        "docker-py312-linux-x86_64 ci-envs/0123:uv sha256:bbbbbbbbbbbb 361 MB"
        " Debian GNU/Linux 12 (bookworm), 89 packages"
    )
    assert "docker-py312-linux-x86_64: its containers may do more than others: privileged" in lines


def test_a_report_ends_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(code="LOCK001", severity="warning", title="stale lock", message="m", file="uv.lock", line=3)
    report = merge(
        [record(packages={"numpy": "1"}, findings=(finding,)), ended("test", pattern="venv", packages={"numpy": "2"})]
    )

    console.show_report(report)

    out = capsys.readouterr().out
    assert "venv-py312-linux-x86_64  failed" in out
    assert "warning LOCK001: uv.lock:3: stale lock: m (uv-py312-linux-x86_64)" in out
    assert "numpy    1        uv-py312-linux-x86_64" in out
    assert out.endswith("failed: 1 passed, 1 failed\n")


def test_progress_without_a_terminal_is_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=1) as progress:
        progress.leg_begins(LEG)
        progress.stage_begins(LEG, "lock")
        progress.stage_ends(LEG, Stage(name="lock", status="passed", reason="3 pins", seconds=1.25))
        progress.leg_ends(record())

    assert capsys.readouterr() == (
        "",
        "uv-py312-linux-x86_64: lock passed in 1.2 s: 3 pins\n[1/1] uv-py312-linux-x86_64: passed in 7.5 s\n",
    )


@pytest.mark.parametrize("variable", [("CI", "true"), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_it_plain_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    terminal = terminal_of_80_columns(monkeypatch)
    monkeypatch.setenv(*variable)

    with Progress() as progress:
        progress.leg_begins(LEG)
        progress.leg_ends(record())
    console.show_report(merge([record()]))

    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().startswith("uv-py312-linux-x86_64: passed in 7.5 s\n")


def test_legs_in_threads_never_share_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(20)))
    legs = [ended("test", python=f"3.{minor}") for minor in range(8)]

    with Progress(lambda _leg, _stage: log) as progress:

        def run(leg_record: object) -> None:
            for _ in range(25):
                progress.leg_begins(legs[0].leg)
                progress.leg_ends(leg_record)  # type: ignore[arg-type]  # threads take objects

        threads = [threading.Thread(target=run, args=(leg,)) for leg in legs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = capsys.readouterr().err.splitlines()
    heads = [index for index, line in enumerate(lines) if " failed in " in line]
    assert len(heads) == 200
    assert all(lines[i + 1 : i + 21] == [f"  | line {number}" for number in range(20)] for i in heads)


def test_a_failed_leg_shows_the_end_of_its_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def log(leg: str, stage: str) -> Path:
        asked.append((leg, stage))
        path = tmp_path / "test.log"
        path.write_text("".join(f"line {number}\n" for number in range(100)) + "::error::x\n\x1b[31mred\n")
        return path

    with Progress(log) as progress:
        progress.leg_ends(ended("test"))

    err = capsys.readouterr().err
    assert asked == [("uv-py312-linux-x86_64", "test")]
    assert err.startswith("uv-py312-linux-x86_64: failed in 0.5 s: test: because\n  | line 62\n")
    assert err.endswith(f"  | : :error::x\n  | red\n  the whole log: {tmp_path / 'test.log'}\n")


def test_in_actions_the_end_of_a_log_is_one_group(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (tmp_path / "test.log").write_text("one\n::endgroup::\n")

    with Progress(lambda _leg, _stage: tmp_path / "test.log") as progress:
        progress.leg_ends(ended("test"))

    assert capsys.readouterr().err == (
        "uv-py312-linux-x86_64: failed in 0.5 s: test: because\n"
        "::group::uv-py312-linux-x86_64: the end of the log of test\none\n: :endgroup::\n::endgroup::\n"
    )


def test_a_log_that_is_not_there_is_not_missed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Progress(lambda _leg, _stage: tmp_path / "none.log") as progress:
        progress.leg_ends(ended("test"))
        progress.leg_ends(record(status="broken", reason="no such tool", stages=()))
    (tmp_path / "empty.log").touch()
    with Progress(lambda _leg, _stage: tmp_path / "empty.log") as progress:
        progress.leg_ends(ended("test"))

    assert capsys.readouterr().err.count("\n") == 3


def test_a_terminal_shows_legs_at_work_and_takes_them_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of_80_columns(monkeypatch)
    with Progress(total=2) as progress:
        progress.leg_begins(LEG)
        progress.stage_begins(LEG, "build")
        progress.stage_ends(LEG, Stage(name="build", status="passed", seconds=1))
        progress.leg_ends(ended("check", reason="[red]no markup[/red]"))

    shown = terminal.getvalue()
    assert "[1/2] uv-py312-linux-x86_64: \x1b[31mfailed\x1b[0m in 0.5 s: check: [red]no markup[/red]" in shown
    assert "build passed" not in shown
    assert "1 of 2 legs done" in shown
    assert shown.rstrip("\n").endswith("\x1b[2K\x1b[?25h") or "\x1b[?25h" in shown  # the cursor is back


def test_a_table_in_a_terminal_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of_80_columns(monkeypatch)
    console.show_report(merge([ended("test", reason="a long reason " * 20), record(pattern="venv")]))

    lines = plain(terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("venv-py312-linux-x86_64" in line and "passed" in line for line in lines)


def test_an_import_of_the_console_imports_no_rich() -> None:
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(console))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]

    assert not any("rich" in ast.unparse(node) for node in top)
