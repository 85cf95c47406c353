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
from ci_envs.model.plan import LeftOut
from ci_envs.model.record import Finding
from ci_envs.model.report import PlanFacts
from ci_envs.plain import one_line
from ci_envs.report.markdown import code, fenced, summary
from ci_envs.report.merge import merge
from ci_envs.report.planned import without_plan

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
    assert "did not pass" not in markdown
    assert markdown.endswith("### The same on your machine\n\n```sh\nci-envs run --only uv-py312-linux-x86_64\n```\n")
    assert "3 passed" in markdown


def test_each_failed_leg_has_its_command() -> None:
    markdown = summary(merge([record(), ended("test", pattern="venv")]))

    assert "```sh\nci-envs run --only venv-py312-linux-x86_64\n```" in markdown
    assert "ci-envs run --only uv" not in markdown


def test_legs_that_ended_for_one_reason_are_said_once() -> None:
    legs = [ended("test", python=f"3.{minor}") for minor in range(8, 13)]
    markdown = summary(merge([*legs, ended("lock", "broken", pattern="venv", reason="no index")]))

    assert (
        "- **failed** 5 legs: `test: because`\n- **broken** `venv-py312-linux-x86_64`: `lock: no index`\n" in markdown
    )
    assert "| `venv-py312-linux-x86_64` | **broken** |" in markdown


def test_a_message_of_many_lines_keeps_them() -> None:
    tree = "no solution:\n├─ a >=2\n└─ b <1"
    found = Finding(code="X", severity="error", title="t", message=tree, file="a.in", line=2)
    markdown = summary(merge([ended("lock", project="app", findings=(found,))]))

    (block,) = [token for token in READER.parse(markdown) if token.type == "fence" and token.info == "text"]
    assert block.content == f"{tree}\n"
    assert "- **error** `X` `t`, in `app/a.in:2` (`uv-py312-linux-x86_64-app`)\n" in markdown


@given(st.text(alphabet="ab`~ \n\t|<>-*#\\") | st.text())
def test_a_message_never_leaves_its_item(text: str) -> None:
    found = Finding(code="X", severity="error", title="t", message=f"a\n{text}\nb")
    tokens = READER.parse(summary(merge([record(findings=(found,))])))

    assert [token.content for token in tokens if token.type == "fence"][-1] == f"{record().reproduce}\n"
    assert sum(token.type == "list_item_open" for token in tokens) == 1
    assert sum(token.type == "heading_open" for token in tokens) == 4
    assert not any(token.type in ("html_block", "code_block") for token in tokens)


def test_a_summary_that_is_too_long_is_cut_between_its_parts_and_says_so() -> None:
    report = merge([ended("test", python=f"3.{minor}") for minor in range(200)])
    whole = summary(report)

    for limit in range(500, 8000, 61):
        text = summary(report, limit=limit)
        before, said, after = text.partition(
            "\n*Cut, since the whole report does not fit here:* the records have all of it.\n"
        )
        assert len(text.encode()) <= limit
        assert said
        assert whole.startswith(before)
        assert after.startswith("\n### To see it on your machine\n\n```sh\nci-envs run --only uv-py30-linux-x86_64\n")
        assert after.endswith(" more.\n")
    assert summary(report, limit=len(whole.encode()) * 2) == whole


def test_what_was_cut_is_in_an_artifact_that_is_named() -> None:
    report = msgspec.structs.replace(
        merge([ended("test", python=f"3.{minor}") for minor in range(200)]), plan=PlanFacts(artifact="`own`")
    )

    assert "the artifact `` `own`-report `` has all of it" in summary(report, limit=2000)


def test_the_summary_of_a_plan_says_what_was_planned_and_what_was_left_out() -> None:
    left = tuple(LeftOut(id=f"uv-py3{n}-linux-x86_64", reason="ends: pairs are elsewhere") for n in range(7))
    plan = PlanFacts(
        matrix="m.yml", tier="pull-request", strategy="ends", legs=2, combinations=9, left_out=7, examples=left
    )
    markdown = summary(msgspec.structs.replace(merge([record(), record(pattern="venv")]), plan=plan))

    assert "\nPlanned: `m.yml`, tier `pull-request`, strategy `ends`: 2 of 9 legs.\n" in markdown
    assert "7 of the matrix's legs are not run.\n\n- `uv-py30-linux-x86_64`: `ends: pairs are elsewhere`\n" in markdown
    assert "- and 2 more, which the plan names\n" in markdown
    assert "Each other leg: the same with its id.\n\n```sh\nci-envs run --only uv-py312-linux-x86_64\n```\n" in markdown


def test_a_skipped_leg_of_a_plan_has_its_command_too() -> None:
    report = merge([record(), ended("detect", "skipped", pattern="venv")])

    assert "--only venv" not in summary(report)
    assert summary(msgspec.structs.replace(report, plan=PlanFacts())).endswith("--only venv-py312-linux-x86_64\n```\n")


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_plan_gets_out_of_its_code(text: str) -> None:
    plan = PlanFacts(
        matrix=text, tier=text, strategy=text, left_out=1, examples=(LeftOut(id=text, reason=text),), artifact=text
    )
    report = msgspec.structs.replace(merge([ended("test")]), plan=plan, reason=text, warnings=(text,))

    for limit in (1 << 20, 800):
        shown = outside_of_code(summary(report, limit=limit))
        assert not any(word in shown for word in ("evil", "script", "onerror", "everyone", "heading", "tick", "::set"))
        assert "<" not in shown


@given(st.text(), st.text(), st.text())
def test_any_text_makes_only_the_parts_that_we_made(name: str, reason: str, message: str) -> None:
    """What a reader of GitHub's dialect sees in it: no link, image or HTML, and no heading or row of anybody else's."""
    found = Finding(code="X", severity="error", title=name, message=message, file=name)
    report = merge(
        [
            ended("test", reason=reason, reproduce="", findings=(found,), packages={f"p{name}": "1"}),
            record(pattern="venv", packages={f"p{name}": "2"}, reproduce=""),
        ]
    )
    tokens = READER.parse(summary(report))
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}

    assert not kinds & {"link_open", "image", "html_inline", "html_block", "code_block", "hr", "blockquote_open"}
    assert sum(token.type == "heading_open" for token in tokens) == 5
    assert sum(token.type == "tr_open" for token in tokens) == 1 + 2 + 1 + 2


def test_many_legs_with_one_version_are_counted() -> None:
    legs = [record(python=f"3.{minor}", packages={"numpy": "2"}) for minor in range(9, 14)]
    markdown = summary(merge([*legs, record(pattern="venv", packages={"numpy": "1"})]))

    assert "| `numpy` | `1` | `venv-py312-linux-x86_64` |" in markdown
    assert "| `numpy` | `2` | 5 legs |" in markdown


def test_no_legs_make_a_summary_too() -> None:
    assert summary(merge([])) == "## Environments: skipped\n\nno legs\n"


def test_a_run_without_a_plan_is_told_how_to_see_why() -> None:
    assert summary(without_plan("the job that plans\nfailed")) == (
        "## Environments: broken\n\nno legs\n\n`the job that plans failed`\n\n"
        "### To see it on your machine\n\n```sh\nci-envs plan\n```\n"
    )


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
    assert "| note |" not in text


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
    assert sum(token.type == "td_open" for token in tokens) == 8 + 6


def test_packages_of_the_operating_system_do_not_flood_a_report() -> None:
    packages = tuple(Distribution(name=f"lib{n}", version="1", manager="dpkg") for n in range(300))
    others = tuple(msgspec.structs.replace(each, version="2") for each in packages)
    legs = [record(pattern="docker", image=IMAGE, inventory=packages), record(pattern="podman", inventory=others)]

    assert "lib7" not in summary(merge(legs))
