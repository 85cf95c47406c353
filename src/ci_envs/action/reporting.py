"""The report of a plan's legs, and what it leaves for the job: outputs, files, annotations, a summary."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from ci_envs import console
from ci_envs.errors import UsageError
from ci_envs.github.runner import temporary_folder
from ci_envs.github.step_files import set_output, summary, summary_room
from ci_envs.github.workflow_commands import annotate
from ci_envs.layout import write_atomically
from ci_envs.model.record import Finding
from ci_envs.plain import one_line
from ci_envs.report import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ci_envs.github.inputs import ReportInputs
    from ci_envs.model.record import Severity
    from ci_envs.model.report import LegResult, Report

__all__ = ["leave_report", "report"]

#: No limit that a report of 65,536 legs would meet: the file is whole.
_WHOLE = 1 << 40

_BAD = ("failed", "broken")

# Legs that are named in one annotation.
_NAMED = 10


def report(inputs: ReportInputs, verb: Callable[[], int], environ: Mapping[str, str] = os.environ) -> int:
    """``ci-envs report``, which is ``verb``; without a plan, a report that says why there is none. The exit code."""
    reason = _why_no_plan(inputs)
    if not reason:
        return verb()
    from ci_envs.report.planned import planned_exit_code, without_plan

    told = without_plan(reason)
    console.show_report(told)
    console.show_note(told.reason)
    leave_report(told, environ)
    return planned_exit_code(told)


def leave_report(report: Report, environ: Mapping[str, str] = os.environ) -> None:
    """Everything that the job and the people who look at it wait for."""
    folder = temporary_folder(environ) / "ci-envs-report"
    write_atomically(folder / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    write_atomically(folder / "report.md", markdown.summary(report, limit=_WHOLE).encode())
    summary(markdown.summary(report, limit=summary_room(environ)), environ)
    console.show_commands(annotate(_news(report)))
    for name, value in _outputs(report, folder).items():
        set_output(name, value, environ)


def _outputs(report: Report, folder: Path) -> dict[str, str]:
    counts = {status: str(report.count(status)) for status in ("passed", "failed", "broken", "skipped")}
    first = next((leg for leg in report.legs if leg.status != "passed"), next(iter(report.legs), None))
    return {
        "status": report.status,
        **counts,
        "report": str(folder),
        "reproduce-command": one_line(first.reproduce) if first else "",
    }


# --- why there is no plan


def _why_no_plan(inputs: ReportInputs) -> str:
    """Empty where there is one that can be read."""
    from pathlib import Path

    from ci_envs.plan_files import read_plan

    ended = _ENDED.get(inputs.plan_result)
    if ended:
        return f"the job that plans {ended}: nobody knows which legs there should be"
    try:
        read_plan(Path(inputs.plan))
    except UsageError as error:
        return f"there is no plan that can be read: {error}"
    return ""


#: What GitHub says of a job that did not succeed ("Contexts reference", needs.<job_id>.result).
_ENDED = {"failure": "failed", "cancelled": "was cancelled", "skipped": "was skipped"}


# --- annotations


def _news(report: Report) -> Iterator[tuple[Finding, str]]:
    """What a person should see first: the reason of the whole, why legs ended, then findings and warnings."""
    if report.reason and report.status in _BAD:
        yield _said("error", f"environments {report.status}", report.reason), ""
    for legs in _alike(report.legs):
        yield _leg_news(legs), ""
    for found in report.findings:
        yield (
            Finding(
                code=found.code,
                severity=found.severity,
                title=found.title,
                message=f"{found.message or found.title}\n({_some(found.legs)})",
                file=found.file,
                line=found.line,
            ),
            "/".join(part for part in (report.root, found.project) if part not in ("", ".")),
        )
    for text in report.warnings:
        yield _said("warning", "records", text), ""


def _alike(legs: Sequence[LegResult]) -> list[list[LegResult]]:
    """The legs that did not pass, those together that ended for one reason: GitHub shows ten annotations."""
    alike: dict[tuple[str, str], list[LegResult]] = {}
    for leg in legs:
        if leg.status in _BAD:
            alike.setdefault((leg.status, leg.reason), []).append(leg)
    return list(alike.values())


def _leg_news(legs: Sequence[LegResult]) -> Finding:
    first = legs[0]
    title = f"{first.id} {first.status}" if len(legs) == 1 else f"{len(legs)} legs {first.status}"
    lines = [first.reason]
    if len(legs) > 1:
        lines.append(f"Legs: {_some([leg.id for leg in legs])}")
    if first.reproduce:
        lines.append(f"To see it on your machine: {first.reproduce}")
    return Finding(code="leg", severity="error", title=title, message="\n".join(lines))


def _some(legs: Sequence[str]) -> str:
    more = f" and {len(legs) - _NAMED} more" if len(legs) > _NAMED else ""
    return ", ".join(legs[:_NAMED]) + more


def _said(severity: Severity, title: str, message: str) -> Finding:
    return Finding(code="report", severity=severity, title=title, message=message)
