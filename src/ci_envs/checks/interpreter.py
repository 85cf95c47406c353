"""The interpreter inside is the one that the leg asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["InterpreterIsTheOneAskedFor"]


class InterpreterIsTheOneAskedFor:
    """The series (``3.12``, ``3.13t``, ``pypy3.10``), and the machine that it is built for."""

    code = "ENV001"
    title = "another interpreter"
    advice = "ask for the Python that it has (--python, .python-version); else build it anew: `{run} --fresh`"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV001 where version, implementation, threading, system or architecture differ."""
        found, leg = context.inventory.interpreter, context.leg
        if leg.python != found.series:
            kind = " (free-threaded)" if found.free_threaded else ""
            has = f"{found.implementation} {found.version}{kind}"
            yield self._finding(f"Python {leg.python} was asked for; the environment has {has}")
        if (found.os, found.arch) != (leg.os, leg.arch):
            yield self._finding(f"{leg.platform} was asked for; the interpreter is built for {found.os}-{found.arch}")

    def _finding(self, message: str) -> Finding:
        return Finding(code=self.code, severity="error", title=self.title, message=message)
