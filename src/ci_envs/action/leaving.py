"""What a verb leaves for the job that it is a step of: outputs, annotations, a summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import console
from ci_envs.github.inputs import EnvironmentInputs, read_inputs
from ci_envs.github.outputs import leg_outputs
from ci_envs.github.runner import acting, in_actions, workspace_path
from ci_envs.github.step_files import add_path, export, set_output, summary
from ci_envs.github.workflow_commands import annotate
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci_envs.model.record import RunRecord

__all__ = ["leave_results"]


def leave_results(
    records: Sequence[RunRecord],
    root: Path,
    record_path: Callable[[str], Path],
    *,
    markdown: str = "",
    environ: Mapping[str, str] = os.environ,
) -> None:
    """What a run leaves for the job that it is a step of; nothing outside of GitHub Actions.

    ``record_path`` gives the file of a leg's record, and ``markdown`` is the summary. Outputs are set for our own
    actions only, and speak of the first leg: one step of them makes one environment. A leg of a plan is annotated by
    the plan's report: the legs that share a finding would each say it again, and GitHub shows fifty for a run.
    """
    if not in_actions(environ):
        return
    if acting(environ) != "leg":
        console.show_commands(annotate(_news(records, root, environ)))
    summary(markdown, environ)
    if not (records and acting(environ) in ("environment", "leg")):
        return
    first = records[0]
    outputs = leg_outputs(first, root, record_path(first.leg.id), environ)
    for name, value in outputs.items():
        set_output(name, value, environ)
    if first.status == "passed" and _activates(environ):
        _activate(outputs, environ)


def _news(records: Sequence[RunRecord], root: Path, environ: Mapping[str, str]) -> Iterator[tuple[Finding, str]]:
    """What a person should see first: why legs ended, then findings; with the project's path in the repository."""
    for record in records:
        if record.status in ("failed", "broken"):
            title = f"{record.leg.id} {record.status}"
            message = f"{record.reason}\nTo see it on your machine: {record.reproduce}"
            yield Finding(code="leg", severity="error", title=title, message=message), ""
    seen: set[tuple[Finding, str]] = set()
    for record in records:
        base = workspace_path(root / record.leg.project, environ)
        for finding in record.findings:
            if (finding, base) not in seen:
                seen.add((finding, base))
                yield finding, base


def _activates(environ: Mapping[str, str]) -> bool:
    return acting(environ) == "environment" and read_inputs(EnvironmentInputs, environ).activate_environment


def _activate(outputs: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """What activating the environment sets, for the steps that follow; scripts of a conda environment are run once."""
    if not outputs["environment-path"]:
        return
    from ci_envs.environments.host import HostEnvironment

    inside = HostEnvironment(Path(outputs["environment-path"]), caller=environ)
    for name, value in sorted(inside.variables.items()):
        if name != "PATH" and environ.get(name) != value:
            export(name, value, environ)
    for folder in reversed(inside.scheme.path):  # the runner puts each before those that came before it
        add_path(str(folder), environ)
