"""The project's own health check."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ci_envs.commandline import split
from ci_envs.durations import seconds
from ci_envs.endings import how_it_ended
from ci_envs.errors import ToolMissing
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context
    from ci_envs.model.config import CheckConfig
    from ci_envs.project import Project

__all__ = ["OwnCheckPasses", "own_check"]

#: Names that the documents this project grew from use for a project's own check.
_USUAL = ("check-env.py", "check_env.py")

#: Lines of what it said that a finding carries; the log has all.
_TAIL = 5


class OwnCheckPasses:
    """``check.command`` of the configuration, else ``check-env.py`` where the project has one."""

    code = "ENV401"
    title = "own check fails"
    advice = "run it alone: `ci-envs exec {leg} -- COMMAND`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV401 where it exits with anything but 0, takes too long, or is not there."""
        argv = own_check(context.config, context.project)
        if not argv:
            return
        file = argv[-1] if argv[-1] in _USUAL else ""
        try:
            outcome = context.environment.run(
                argv, cwd=context.project.root, timeout=seconds(context.config.timeout), log=context.log
            )
        except ToolMissing as error:
            yield self._finding(f"check.command cannot be run: {error}", "")
            return
        if not outcome:
            limit = " (check.timeout)" if outcome.timed_out else ""
            said = outcome.tail(_TAIL)
            message = f"{shlex.join(argv)} {how_it_ended(outcome)}{limit}"
            yield self._finding(f"{message}: {said}" if said else message, file)

    def _finding(self, message: str, file: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message, file=file)


def own_check(config: CheckConfig, project: Project) -> list[str]:
    """The command of a project's own check; empty where it has none."""
    if config.command:
        return split(config.command, "check.command")
    script = next((name for name in _USUAL if project.exists(name)), "")
    return ["python", script] if script else []
