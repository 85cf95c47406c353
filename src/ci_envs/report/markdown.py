"""A report as GitHub Flavored Markdown (https://github.github.com/gfm/): the step summary. Pure.

Text from outside stands in code spans and fenced blocks only. In them nothing is a link, a mention, an image or HTML,
and what could end them is known: a longer run of backticks, and in a table the bar.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.model.record import STAGES
from ci_envs.plain import one_line, plain
from ci_envs.report.images import short_digest, size, system
from ci_envs.report.parity import by_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.model.report import LegFinding, LegResult, Parity, Report

__all__ = ["SUMMARY_LIMIT", "code", "fenced", "summary"]

#: What GitHub takes for the summary of one step, in bytes ("Workflow commands", adding a job summary).
SUMMARY_LIMIT = 1024 * 1024

_CUT = "\n*Cut: the whole report does not fit here. The records have all of it.*\n"

# Characters of one code span: in a table, and elsewhere.
_LONGEST_CELL = 300
_LONGEST_LINE = 2000

# More legs than this with one version are counted, not listed.
_LISTED_LEGS = 3


def summary(report: Report, *, title: str = "Environments", limit: int = SUMMARY_LIMIT) -> str:
    """The whole report, at most ``limit`` bytes of UTF-8; where it is cut, a last line says so."""
    room = limit - len(_CUT.encode())
    kept: list[str] = []
    for piece in _pieces(report, title):
        room -= len(piece.encode())
        if room < 0:
            return "".join([*kept, _CUT])
        kept.append(piece)
    return "".join(kept)


def code(text: str, *, cell: bool = False) -> str:
    """One line of outside text as a code span; in a table's cell, bars are escaped too. Nothing for nothing."""
    line = one_line(text, _LONGEST_CELL if cell else _LONGEST_LINE)
    if not line:
        return ""
    if cell:
        # The table is split before spans are read, and an even run of backslashes before a bar leaves it bare.
        line = re.sub(r"(\\*)\|", r"\1\1\\|", line)
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(text: str, language: str = "") -> str:
    """Outside text of any number of lines as a fenced code block, with the line end behind it."""
    body = plain(text).strip("\n")
    fence = "`" * max(3, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _pieces(report: Report, title: str) -> Iterator[str]:
    """Parts that can each be the last one: a table's row, a finding, a command."""
    counts = [f"{report.count(status)} {status}" for status in ("passed", "failed", "broken", "skipped")]
    yield f"## {title}: {report.status}\n\n{', '.join(c for c in counts if not c.startswith('0 ')) or 'no legs'}\n"
    yield from _legs(report.legs)
    yield from _images(report.legs)
    yield from _reproduce(report.legs)
    yield from _findings(report.findings)
    yield from _parity(report.parity)


def _legs(legs: Sequence[LegResult]) -> Iterator[str]:
    if not legs:
        return
    yield (
        "\n"
        + _row("leg", "status", *STAGES, "tests", "reason")
        + _row("---", "---", *("---:",) * len(STAGES), *("---",) * 2)
    )
    for leg in legs:
        seconds = {stage.name: f"{stage.seconds:.1f} s" for stage in leg.stages}
        stages = [seconds.get(name, "") for name in STAGES]
        status = f"**{leg.status}**" if leg.status in ("failed", "broken") else leg.status
        yield _row(code(leg.id, cell=True), status, *stages, _tests(leg), code(leg.reason, cell=True))


def _images(legs: Sequence[LegResult]) -> Iterator[str]:
    images = [(leg.id, leg.image) for leg in legs if leg.image]
    if images:
        yield "\n### Images\n\n" + _row("leg", "image", "digest", "size", "system", "relaxed")
        yield _row("---", "---", "---", "---:", "---", "---")
    for leg, image in images:
        cells = (
            leg,
            image.name,
            short_digest(image.digest),
            size(image.bytes),
            system(image),
            ", ".join(image.relaxed),
        )
        yield _row(*(code(cell, cell=True) for cell in cells))


def _tests(leg: LegResult) -> str:
    if leg.tests is None:
        return ""
    counts = ((leg.tests.passed, "passed"), (leg.tests.failed, "failed"), (leg.tests.skipped, "skipped"))
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _reproduce(legs: Sequence[LegResult]) -> Iterator[str]:
    ended = [leg for leg in legs if leg.status in ("failed", "broken") and leg.reproduce]
    if ended:
        yield "\n### To see it on your machine\n"
    for leg in ended:
        yield f"\n{code(leg.id)}\n\n{fenced(leg.reproduce, 'sh')}"


def _findings(findings: Sequence[LegFinding]) -> Iterator[str]:
    if findings:
        yield "\n### Findings\n\n"
    for finding in findings:
        where = f"{finding.file}:{finding.line}" if finding.line else finding.file
        parts = [f"**{finding.severity}** {code(finding.code)} {code(finding.title)}"]
        parts += [code(finding.message)] if finding.message else []
        parts += [f"in {code(where)}"] if where else []
        yield f"- {', '.join(parts)} ({_some(finding.legs)})\n"


def _parity(rows: Sequence[Parity]) -> Iterator[str]:
    if rows:
        yield "\n### Parity\n\nPackages whose version is not the same in all legs.\n\n"
        yield _row("package", "version", "legs") + _row("---", "---", "---")
    for row in rows:
        name = code(row.package, cell=True) + (f" of {code(row.project, cell=True)}" if row.project != "." else "")
        for version, legs in by_version(row):
            yield _row(name, code(version, cell=True), _some(legs, cell=True))


def _some(legs: Sequence[str], *, cell: bool = False) -> str:
    if len(legs) > _LISTED_LEGS:
        return f"{len(legs)} legs"
    return ", ".join(code(leg, cell=cell) for leg in legs)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
