from __future__ import annotations

import json
from typing import Any

import pytest

from ci_envs.nix.output import Live, read_said

DRV = "/nix/store/8d33r7y5akdr7scgknax2mb8n883pvvj-hello-1.0.drv"


def event(action: str, **facts: Any) -> str:
    return f"@nix {json.dumps({'action': action, **facts})}"


def build(number: int = 7, drv: str = DRV) -> str:
    return event("start", id=number, type=105, level=3, text=f"building '{drv}'", fields=[drv, "", 1, 1])


def log_line(text: str, number: int = 7) -> str:
    return event("result", id=number, type=101, fields=[text])


# Reading.


def test_an_error_as_an_event_has_its_sentence_its_places_and_what_was_meant() -> None:
    said = read_said(
        event(
            "msg",
            level=0,
            msg="\x1b[31;1merror:\x1b[0m attribute 'helo' missing\n  at /p/shell.nix:4:16:\n       Did you mean hello?",
            raw_msg="attribute '\x1b[35;1mhelo\x1b[0m' missing",
            file="/p/shell.nix",
            line=4,
            column=16,
            trace=[{"file": "/p/lib.nix", "line": 2, "raw_msg": "while calling"}, {"raw_msg": "from call site"}],
        )
    )

    (error,) = said.errors
    assert (error.said, error.meant) == ("attribute 'helo' missing", "hello")
    assert error.places == (("/p/shell.nix", 4), ("/p/lib.nix", 2))
    assert said.text.startswith("error: attribute 'helo' missing")


def test_warnings_and_errors_that_nix_ignores_are_no_errors() -> None:
    said = read_said(
        "\n".join(
            [
                event("msg", level=1, msg="warning: Git tree '/p' is dirty"),
                event("msg", level=0, msg="error (ignored): error: removing a lock file"),
                "warning: error: unable to download 'https://x'; retrying in 283 ms",
            ]
        )
    )

    assert said.errors == ()
    assert "warning: Git tree '/p' is dirty" in said.text


def test_an_error_that_a_daemon_sends_as_text_is_read_like_text() -> None:
    said = read_said(
        event(
            "msg",
            level=0,
            msg="\x1b[31;1merror:\x1b[0m builder for 'x.drv' failed;\n       last 1 log lines:\n       > no",
        )
    )

    assert [error.said for error in said.errors] == ["builder for 'x.drv' failed;\nlast 1 log lines:\n> no"]


OLD = """\
error: attribute 'helo' missing

       at /p/shell.nix:4:16:

            3|   packages = [
            4|     pkgs.helo
             |     ^

       … while evaluating the attribute 'packages'

       at /p/lib.nix:2:1:
"""
NEW = """\
error:
       … while evaluating the attribute 'packages'
         at /p/lib.nix:2:1:
            1| {
       (stack trace truncated; use '--show-trace' to show the full trace)

       error: attribute 'helo' missing
       at /p/shell.nix:4:16:
            3|   packages = [
"""


@pytest.mark.parametrize("text", [OLD, NEW], ids=["before 2.13", "since 2.13"])
def test_both_layouts_of_a_trace_say_the_same(text: str) -> None:
    (error,) = read_said(text).errors

    assert error.said == "attribute 'helo' missing"
    assert error.places == (("/p/shell.nix", 4), ("/p/lib.nix", 2))


def test_a_message_of_several_lines_stays_whole() -> None:
    (error,) = read_said("error: hash mismatch in 'x':\n         specified: a\n            got:    b\n").errors

    assert error.said == "hash mismatch in 'x':\nspecified: a\ngot:    b"


def test_each_error_of_a_text_is_one() -> None:
    said = read_said("error: one\n       more of it\nerror: two\n")

    assert [error.said for error in said.errors] == ["one\nmore of it", "two"]


def test_a_builders_words_are_kept_by_its_derivation_and_are_no_errors_of_nix() -> None:
    lines = [build(), log_line("error: no such thing"), log_line("\x1b[31mred\x1b[0m"), log_line("of nobody", 8)]

    said = read_said("\n".join(lines))

    assert (said.errors, said.logs) == ((), {DRV: ("error: no such thing", "red")})
    assert "no such thing" not in said.text


def test_of_a_long_log_the_end_is_kept() -> None:
    said = read_said("\n".join([build(), *(log_line(f"line {number}") for number in range(100))]))

    assert said.logs[DRV][0] == "line 75"
    assert said.logs[DRV][-1] == "line 99"


def test_what_others_say_is_told_apart() -> None:
    said = read_said("fatal: unable to access 'https://x'\nerror: program 'git' failed with exit code 128\n")

    assert said.others == ("fatal: unable to access 'https://x'",)
    assert [error.said for error in said.errors] == ["program 'git' failed with exit code 128"]


@pytest.mark.parametrize("line", ["@nix {", "@nix 1", '@nix {"action": 3}', '@nix {"action": "msg", "level": "x"}'])
def test_a_line_that_is_no_event_is_text(line: str) -> None:
    said = read_said(line)

    assert (said.errors, said.text) == ((), line)


def test_an_event_of_a_later_nix_does_no_harm() -> None:
    said = read_said(event("start", id=1, type=999, level=3, text="dancing", fields=["x"], parent=0, new={"a": 1}))

    assert (said.errors, said.text) == ((), "")


# As it comes.


def test_a_log_has_messages_what_begins_and_what_builders_say_as_text() -> None:
    live = Live(lambda _text: None)
    lines = [
        event("start", id=1, type=102, level=0, text=""),
        event("start", id=2, type=0, level=6, text="querying info about missing paths"),
        build(),
        log_line("\x1b[31mone\x1b[0m"),
        event("stop", id=7),
        event("msg", level=0, msg="\x1b[31;1merror:\x1b[0m no\n"),
    ]

    told = "".join(live(f"{line}\n") for line in lines)

    assert told == f"building '{DRV}'\nhello-1.0> one\nerror: no\n"


def test_what_is_no_event_stands_in_the_log_as_it_is_but_without_escapes() -> None:
    live = Live(lambda _text: None)

    assert live("fatal: \x1b]0;title\x07no\n") == "fatal: no\n"


def test_progress_tells_what_is_built_how_far_it_is_and_its_phase() -> None:
    told: list[str] = []
    live = Live(told.append)

    for line in [
        event("start", id=3, type=104, level=0, text=""),
        event("result", id=3, type=105, fields=[0, 0, 0, 0]),
        build(),
        event("result", id=3, type=105, fields=[2, 5, 1, 0]),
        event("result", id=7, type=104, fields=["buildPhase"]),
        event("start", id=8, type=100, level=3, text="copying path", fields=[DRV.removesuffix(".drv"), "a", "b"]),
        event("start", id=9, type=101, level=4, text="downloading", fields=["https://cache.example/x.narinfo"]),
        event("start", id=9, type=112, level=4, text="fetching git input 'git+https://git.example/x'"),
    ]:
        live(line)

    assert told == [
        "building hello-1.0",
        "[2/5] building hello-1.0: buildPhase",
        "[2/5] fetching hello-1.0",
        "[2/5] downloading https://cache.example/x.narinfo",
        "[2/5] fetching git input 'git+https://git.example/x'",
    ]


@pytest.mark.parametrize(
    ("where", "word"),
    [
        (["https://cache.example", "local"], "fetching"),
        (["file:///kept", "daemon"], "fetching"),
        (["local", "file:///kept"], "keeping"),
        (["daemon", "ssh-ng://builder"], "sending"),
        ([], "fetching"),
    ],
)
def test_a_copy_is_told_by_where_it_goes(where: list[str], word: str) -> None:
    told: list[str] = []

    Live(told.append)(event("start", id=8, type=100, level=3, fields=[DRV.removesuffix(".drv"), *where]))

    assert told == [f"{word} hello-1.0"]


def test_progress_is_one_plain_line() -> None:
    told: list[str] = []
    live = Live(told.append)

    live(build())
    live(event("result", id=7, type=104, fields=["\x1b[2Jevil\nphase" + "x" * 300]))

    assert told[1].startswith("building hello-1.0: evil phase")
    assert len(told[1]) <= 120
