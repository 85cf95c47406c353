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
    from collections.abc import Iterable, Iterator, Sequence

    from ci_envs.model.record import Status
    from ci_envs.model.report import LegFinding, LegResult, Parity, PlanFacts, Report

__all__ = ["SUMMARY_LIMIT", "code", "fenced", "summary"]

#: What GitHub takes for the summary of one step, in bytes ("Workflow commands", adding a job summary).
SUMMARY_LIMIT = 1024 * 1024

# What a fenced block and a line behind it take beside what is in them.
_FENCES = 64

# Characters of one code span: in a table, and elsewhere.
_LONGEST_CELL = 300
_LONGEST_LINE = 2000

# More legs than this with one version, or one reason, are counted, not listed.
_LISTED_LEGS = 3

_BAD = ("failed", "broken")

# Lines of a finding's message, and legs that were left out.
_MOST_LINES = 20
_MOST_EXAMPLES = 5


def summary(report: Report, *, title: str = "Environments", limit: int = SUMMARY_LIMIT) -> str:
    """The whole report, at most ``limit`` bytes of UTF-8, with the commands that make its legs again at its end.

    Where it is cut, a line before the commands says so and says where all of it is.
    """
    end = _end(report, limit // 3)
    cut = _cut(report)
    room = limit - len(end.encode()) - len(cut.encode())
    kept: list[str] = []
    for piece in _pieces(report, title):
        room -= len(piece.encode())
        if room < 0:
            return f"{''.join(kept)}{cut}{end}"
        kept.append(piece)
    return f"{''.join(kept)}{end}"


def _cut(report: Report) -> str:
    if report.plan and report.plan.artifact:
        where = f"the artifact {code(f'{report.plan.artifact}-report')} has all of it"
    else:
        where = "the records have all of it"
    return f"\n*Cut, since the whole report does not fit here:* {where}.\n"


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
    """Parts that can each be the last one: a table's row, a finding, a package. What a person must know comes first."""
    counts = [f"{report.count(status)} {status}" for status in ("failed", "broken", "passed", "skipped")]
    said = ", ".join(c for c in counts if not c.startswith("0 ")) or "no legs"
    yield f"## {title}: {report.status}\n\n{said}\n"
    if report.reason:
        yield f"\n{code(report.reason)}\n"
    yield from _plan(report.plan)
    yield from _bad(report)
    yield from _findings(report.findings)
    yield from _warnings(report.warnings)
    yield from _legs(report.legs)
    yield from _images(report.legs)
    yield from _parity(report.parity)
    yield from _left_out(report.plan)


def _plan(plan: PlanFacts | None) -> Iterator[str]:
    if plan is None:
        return
    parts = [code(plan.matrix) if plan.matrix else "the legs that the project's files describe"]
    parts += [f"{word} {code(value)}" for word, value in (("tier", plan.tier), ("strategy", plan.strategy)) if value]
    legs = "1 leg" if plan.legs == 1 else f"{plan.legs} legs"
    of = f"{plan.legs} of {plan.combinations} legs" if plan.combinations > plan.legs else legs
    yield f"\nPlanned: {', '.join(parts)}: {of}.\n"


def _bad(report: Report) -> Iterator[str]:
    """What ended badly and why, once for each reason: ten legs that cannot reach one index are one piece of news."""
    alike: dict[tuple[Status, str], list[str]] = {}
    for leg in report.legs:
        if leg.status in _BAD:
            alike.setdefault((leg.status, leg.reason), []).append(leg.id)
    if alike:
        yield "\n### What did not pass\n\n"
        if report.plan and report.plan.artifact:
            yield "The logs of a leg are in the artifact whose name ends with its id.\n\n"
    for (status, reason), legs in alike.items():
        yield f"- **{status}** {_some(legs)}: {code(reason) or 'it says no reason'}\n"


def _warnings(warnings: Sequence[str]) -> Iterator[str]:
    if warnings:
        yield "\n### Records\n\n"
    for text in warnings:
        yield f"- {code(text)}\n"


def _left_out(plan: PlanFacts | None) -> Iterator[str]:
    if plan is None or not plan.left_out:
        return
    yield f"\n### Left out\n\n{plan.left_out} of the matrix's legs are not run.\n\n"
    for row in plan.examples[:_MOST_EXAMPLES]:
        yield f"- {code(row.id)}: {code(row.reason) or 'excluded'}\n"
    more = plan.left_out - len(plan.examples[:_MOST_EXAMPLES])
    if more > 0:
        yield f"- and {more} more, which the plan names\n"


def _legs(legs: Sequence[LegResult]) -> Iterator[str]:
    if not legs:
        return
    # Why a leg ended badly stands above, where there is room for it.
    notes = [leg.reason if leg.status not in _BAD else "" for leg in legs]
    last = ("note",) if any(notes) else ()
    heads = ("leg", "status", *STAGES, "tests", *last)
    lines = ("---", "---", *("---:",) * len(STAGES), "---", *("---" for _ in last))
    yield "\n### Legs\n\n" + _row(*heads) + _row(*lines)
    for leg, note in zip(legs, notes, strict=True):
        seconds = {stage.name: f"{stage.seconds:.1f} s" for stage in leg.stages}
        status = f"**{leg.status}**" if leg.status in _BAD else leg.status
        cells = (code(leg.id, cell=True), status, *(seconds.get(name, "") for name in STAGES), _tests(leg))
        yield _row(*cells, *(code(note, cell=True) for _ in last))


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


def _end(report: Report, room: int) -> str:
    """The commands that make legs again, as many as fit into so many bytes."""
    title, note, commands = _commands(report)
    if not commands:
        return ""
    head = f"\n### {title}\n\n{note}"
    kept: list[str] = []
    room -= len(head.encode()) + _FENCES
    for command in commands:
        room -= len(command.encode()) + 1
        if room < 0:
            break
        kept.append(command)
    if not kept:
        return ""
    more = f"\n... and {len(commands) - len(kept)} more.\n" if len(kept) < len(commands) else ""
    return head + fenced("\n".join(kept), "sh") + more


def _commands(report: Report) -> tuple[str, str, list[str]]:
    """The commands for the legs that did not pass; where all did, that for the first: under what, with which words."""
    bad = (*_BAD, "skipped") if report.plan else _BAD
    commands = _distinct(leg.reproduce for leg in report.legs if leg.status in bad)
    if commands or report.status in _BAD:
        # Without a plan nobody knows which legs there are.
        return "To see it on your machine", "", commands or ([] if report.legs else ["ci-envs plan"])
    passed = _distinct(leg.reproduce for leg in report.legs if leg.status == "passed")
    note = "Each other leg: the same with its id.\n\n" if len(passed) > 1 else ""
    return "The same on your machine", note, passed[:1]


def _distinct(commands: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(line for command in commands if (line := one_line(command))))


def _findings(findings: Sequence[LegFinding]) -> Iterator[str]:
    if findings:
        yield "\n### Findings\n\n"
    for finding in findings:
        parts = [f"**{finding.severity}** {code(finding.code)} {code(finding.title)}"]
        parts += [f"in {code(finding.where)}"] if finding.where else []
        said = plain(finding.message).strip("\n")
        if said and "\n" not in said:
            parts.append(code(said))
        yield f"- {', '.join(parts)} ({_some(finding.legs)})\n{_block(said) if chr(10) in said else ''}"


def _block(text: str) -> str:
    """Lines of outside text below an item of a list: what a resolver says is drawn with its lines."""
    lines = [line[:_LONGEST_CELL] for line in text.split("\n")]
    more = [f"... {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    shown = fenced("\n".join([*lines[:_MOST_LINES], *more]), "text")
    return "\n" + "".join(f"  {line}\n" for line in shown.rstrip("\n").split("\n"))


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
