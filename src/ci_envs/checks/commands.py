"""The project's own health check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.commandline import split
from ci_envs.durations import seconds
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["OwnCheckPasses"]

#: Names that the documents this project grew from use for a project's own check.
_USUAL = ("check-env.py", "check_env.py")


class OwnCheckPasses:
    """``check.command`` of the configuration, else ``check-env.py`` where the project has one."""

    code = "ENV401"
    title = "own check fails"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV401 where it exits with anything but 0."""
        argv = self._argv(context)
        if not argv:
            return
        outcome = context.environment.run(
            argv, cwd=context.project.root, timeout=seconds(context.config.timeout), log=context.log
        )
        if not outcome:
            how = "was ended at its time limit" if outcome.timed_out else f"exited with {outcome.returncode}"
            yield Finding(
                code=self.code,
                severity="error",
                title=self.title,
                message=f"{' '.join(argv)} {how}: {outcome.tail(5)}",
            )

    @staticmethod
    def _argv(context: Context) -> list[str]:
        if context.config.command:
            return split(context.config.command, "check.command")
        script = next((name for name in _USUAL if context.project.exists(name)), "")
        return ["python", script] if script else []
