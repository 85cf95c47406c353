from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ci_envs.github.workflow_commands import annotate, annotation, group
from ci_envs.model.record import Finding

FINDING = Finding(code="LOCK001", severity="warning", title="a, b: c", message="50%\nmore", file="a,b.txt", line=3)


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


def test_the_last_annotation_that_is_shown_says_how_many_more_there_are() -> None:
    error = Finding(code="E", severity="error", title="t", message="m")

    commands = annotate([(FINDING, ".")] * 25 + [(error, ".")] * 10)

    assert [command.partition(" ")[0] for command in commands] == ["::error"] * 10 + ["::warning"] * 10
    assert commands[9] == "::error title=E%3A t::m"
    assert commands[-1] == "::warning title=and 16 more::The summary has all of them."


def test_a_group_holds_its_body_whatever_the_body_says() -> None:
    assert (
        group("a\nb", "x\n::endgroup::\n##[endgroup]\n")
        == "::group::a b\nx\n: :endgroup::\n## [endgroup]\n::endgroup::"
    )
