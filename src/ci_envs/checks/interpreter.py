"""The interpreter inside is the one that the leg asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["InterpreterIsTheOneAskedFor"]


class InterpreterIsTheOneAskedFor:
    """The series, or the exact version where the leg names one, and the machine's architecture."""

    code = "ENV001"
    title = "another interpreter"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV001 where version, implementation or architecture differ."""
        found, leg = context.inventory.interpreter, context.leg
        is_exact = leg.python.count(".") > 1
        if leg.python != (found.version if is_exact else found.series):
            has = f"{found.implementation} {found.version}"
            yield self._finding(f"Python {leg.python} was asked for; the environment has {has}")
        if (found.os, found.arch) != (leg.os, leg.arch):
            yield self._finding(f"{leg.platform} was asked for; the interpreter is built for {found.os}-{found.arch}")

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message)
