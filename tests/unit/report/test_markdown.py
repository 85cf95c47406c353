from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.support.records import ended, record

from ci_envs.model.image import ImageFacts, SystemFacts
from ci_envs.model.inventory import Distribution
from ci_envs.model.record import Finding
from ci_envs.plain import one_line
from ci_envs.report.markdown import code, fenced, summary
from ci_envs.report.merge import merge

# The reader that rich brings; it reads tables and raw HTML as GitHub does.
READER = MarkdownIt("commonmark", {"html": True}).enable("table")

NASTY = (
    "a | b",
    r"a \| b",
    r"a \\| b",
    "`tick` ``two``",
    "`",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[text](https://evil.example)",
    "![](https://evil.example/pixel.png)",
    "@everyone and @org/team",
    "https://evil.example",
    "line\n\n# heading\n\n| x |",
    "\x1b[31mred",
    "--- | ---",
    "trailing \\",
    "```\n::set-output name=a::b\n```",
    "<!-- -->",
)


def spans(markdown: str) -> list[str]:
    """The contents of all code spans."""
    return [
        child.content
        for token in READER.parse(markdown)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def outside_of_code(markdown: str) -> str:
    """What a reader sees as text, links, HTML: everything but code."""
    return "\n".join(
        child.content + "".join(map(str, child.attrs.values()))
        for token in READER.parse(markdown)
        for child in [token, *(token.children or ())]
        if child.type not in ("code_inline", "fence", "inline")
    )


@pytest.mark.parametrize("text", NASTY)
def test_text_from_outside_stays_inside_of_code(text: str) -> None:
    finding = Finding(code=text, severity="error", title=text, message=text, file=text, line=3)
    report = merge(
        [
            ended("test", reason=text, reproduce=text, findings=(finding,), packages={text: "1"}),
            record(pattern="venv", packages={text: text}),
        ]
    )

    markdown = summary(report)

    shown = outside_of_code(markdown)
    assert not any(word in shown for word in ("evil", "script", "onerror", "everyone", "heading", "tick", "::set"))
    assert "<" not in shown
    rows = [token for token in READER.parse(markdown) if token.type == "tr_open"]
    assert len(rows) == 1 + 2 + 1 + 2  # two tables with their heads: no cell broke a row, no text became one


@given(st.text())
def test_a_code_span_shows_the_line_it_was_given(text: str) -> None:
    line = one_line(text, 2000)

    assert spans(code(text)) == ([line] if line else [])


@given(st.text(alphabet="a`|\\ <@"))
def test_a_cell_never_adds_a_column_and_shows_its_text(text: str) -> None:
    head = "| a | b |\n| --- | --- |\n"
    markdown = f"{head}| {code(text, cell=True)} | end |\n"

    tokens = READER.parse(markdown)
    assert sum(token.type == "td_open" for token in tokens) == 2
    # Backslashes before a bar come out doubled: a table cannot say them otherwise.
    seen = [re.sub(r"\\+\|", "|", span) for span in spans(markdown)]
    line = re.sub(r"\\+\|", "|", one_line(text, 300))
    assert seen == ([line] if line else [])


@given(st.text())
def test_a_fenced_block_is_one_block(text: str) -> None:
    tokens = READER.parse(fenced(text, "sh"))

    assert [token.type for token in tokens] == ["fence"]


def test_the_summary_of_a_good_run_says_so() -> None:
    markdown = summary(merge([record()]))

    assert markdown.startswith("## Environments: passed\n\n1 passed\n")
    assert "To see it" not in markdown
    assert "3 passed" in markdown


def test_each_failed_leg_has_its_command() -> None:
    markdown = summary(merge([record(), ended("test", pattern="venv")]))

    assert "```sh\nci-envs run --only venv-py312-linux-x86_64\n```" in markdown
    assert "ci-envs run --only uv" not in markdown


def test_a_summary_that_is_too_long_is_cut_between_its_parts_and_says_so() -> None:
    report = merge([ended("test", python=f"3.{minor}") for minor in range(200)])
    whole = summary(report)

    for limit in range(400, 4000, 61):
        cut = summary(report, limit=limit)
        assert len(cut.encode()) <= limit
        assert cut.endswith("The records have all of it.*\n")
        assert whole.startswith(cut.rpartition("\n*Cut")[0])
    assert summary(report, limit=len(whole.encode()) + 200) == whole


def test_many_legs_with_one_version_are_counted() -> None:
    legs = [record(python=f"3.{minor}", packages={"numpy": "2"}) for minor in range(9, 14)]
    markdown = summary(merge([*legs, record(pattern="venv", packages={"numpy": "1"})]))

    assert "| `numpy` | `1` | `venv-py312-linux-x86_64` |" in markdown
    assert "| `numpy` | `2` | 5 legs |" in markdown


def test_no_legs_make_a_summary_too() -> None:
    assert summary(merge([])) == "## Environments: skipped\n\nno legs\n"


IMAGE = ImageFacts(
    name="ci-envs/0123:uv",
    id="sha256:" + "b" * 64,
    manifest="sha256:" + "a" * 64,
    bytes=361_234_567,
    relaxed=("privileged",),
    system=SystemFacts(name="Debian GNU/Linux 12 (bookworm)", packages={"dpkg": 89}),
)


def test_an_image_is_told_in_one_row() -> None:
    text = summary(merge([record(pattern="docker", image=IMAGE), record()]))

    assert (
        "### Images\n\n"
        "| leg | image | digest | size | system | relaxed |\n"
        "| --- | --- | --- | ---: | --- | --- |\n"
        "| `docker-py312-linux-x86_64` | `ci-envs/0123:uv` | `sha256:aaaaaaaaaaaa` | `361 MB` "
        "| `Debian GNU/Linux 12 (bookworm), 89 packages` | `privileged` |\n"
    ) in text
    assert text.count("uv-py312-linux-x86_64") == 1


def test_a_report_without_images_has_no_table_of_them() -> None:
    assert "Images" not in summary(merge([record()]))


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_an_image_gets_out_of_its_cell(text: str) -> None:
    nasty = msgspec.structs.replace(IMAGE, name=text, relaxed=(text,), system=SystemFacts(name=text, note=text))

    markdown = summary(merge([record(pattern="docker", image=nasty)]))

    shown = outside_of_code(markdown)
    assert not any(word in shown for word in ("evil", "script", "onerror", "everyone", "heading", "tick", "::set"))
    assert "<" not in shown
    tokens = READER.parse(markdown)
    assert sum(token.type == "tr_open" for token in tokens) == 2 * 2
    assert sum(token.type == "td_open" for token in tokens) == 9 + 6


def test_packages_of_the_operating_system_do_not_flood_a_report() -> None:
    packages = tuple(Distribution(name=f"lib{n}", version="1", manager="dpkg") for n in range(300))
    others = tuple(msgspec.structs.replace(each, version="2") for each in packages)
    legs = [record(pattern="docker", image=IMAGE, inventory=packages), record(pattern="podman", inventory=others)]

    assert "lib7" not in summary(merge(legs))
