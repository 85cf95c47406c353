"""Why conda-lock came to nothing, for a tired person. Pure.

conda-lock 4.0 prints what the program said that it let solve (``conda_solver.py``, ``solve_specs_for_arch``), and a
traceback. The program answers in JSON: conda with an exception (``conda/exceptions.py`` of 26.7), mamba with
``solver_problems``, and what it logs stands in ``log_history`` since 2.8.1 and on standard error before. None of them
could be run where this was written: the sentences are those of their sources.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_envs import trouble
from ci_envs.conda import failures
from ci_envs.conda.explaining import tree
from ci_envs.errors import BrokenError, LockError
from ci_envs.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.command import Outcome
    from ci_envs.conda.solving import Asked, Solve
    from ci_envs.errors import CiEnvsError

__all__ = ["failure"]

_PLATFORM = re.compile(r"^Could not lock the environment for platform (?P<platform>\S+)$", re.MULTILINE)
_STREAMS = re.compile(
    r"^    (?:Command: [^\n]*\n)(?:    STDOUT:\n(?P<out>.*?)\n)?(?:    STDERR:\n(?P<err>.*?)\n)?(?=Traceback )",
    re.MULTILINE | re.DOTALL,
)

_UNSOLVED = re.compile(
    r"Could not solve for environment specs|Encountered problems while solving|not available from current channels"
    r"|found\s+to be incompatible|conflicting dependencies"
)
_NO_CHANNEL = re.compile(r"HTTP 404 .*for channel \S+ <(?P<url>[^>]*)>|status: 404 \[(?P<base>\S+)/[^/]+/[^/]+\]")
_DOWNLOAD = re.compile(
    r"HTTP (?:\d{3}|000) [^\n]*|Download error \(\d+\) [^\n]*|Transfer finalized, status: [45]\d\d [^\n]*"
    r"|Connection[^\n]*(?:refused|failed|timed out|reset)[^\n]*|[^\n]*certificate verify failed[^\n]*"
)

#: A line of a solver's tree, of its older list, or of the names that no channel has.
_HEAD = re.compile(r"The following packages? (?:are incompatible|could not be installed)")
_BRANCH = re.compile(r"\s*[├└│]")
_ITEM = re.compile(r"\s+- \S")
_TOP = re.compile(r"^(?:[├└]─ |- (?:nothing provides (?:requested )?|package )?)?(?P<name>[A-Za-z0-9_][\w.-]*)")

_ENDED = re.compile(r"CalledProcessError: Command .* (?:died with <Signals\.(?P<signal>\w+)|exit status (?P<code>\d+))")

#: Characters of a message that is no tree.
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class _Said:
    """What the program that solves said."""

    #: conda's name of its exception; empty for mamba.
    exception: str
    text: str
    #: Whether it says itself that the specs are at fault.
    is_unsolved: bool


def failure(outcome: Outcome, solves: Mapping[str, Solve], log: str) -> CiEnvsError:
    """The error for a conda-lock that has ended without a lock; ``log`` is what a person is told to look at."""
    text = plain(outcome.output)
    found = _PLATFORM.search(text)
    solve = solves.get(found["platform"]) if found else None
    if outcome.timed_out:
        return BrokenError(
            f"conda-lock was ended after {outcome.seconds:.0f} s", hint=f"the log has what it did: {log}"
        )
    if failures.says_disk_full(text):
        return failures.disk_full("conda-lock could not write what it has to keep")
    error = _of_solver(_said(text), solve, log) if solve is not None else None
    return error or _crashed(_ended(text) or trouble.reason(outcome), log)


def _of_solver(said: _Said, solve: Solve, log: str) -> CiEnvsError | None:
    """What the program that solves has to say; ``None`` where that is nothing."""
    told = solve.way.masked(said.text)
    if said.is_unsolved or _UNSOLVED.search(told):
        return _conflict(solve, told, log)
    if missing := _NO_CHANNEL.search(told):
        return LockError(
            f"there is no channel {missing['url'] or missing['base']}",
            hint="a private channel may answer so to whoever has no credentials for it",
        )
    if download := _DOWNLOAD.search(told):
        return _not_reached(download[0], told)
    last = next((line.strip() for line in reversed(told.splitlines()) if line.strip()), "")
    return _crashed(f"{said.exception}: {last}" if said.exception else last, log) if last else None


def _said(text: str) -> _Said:
    streams = _STREAMS.search(text)
    out, err = ((streams["out"] or ""), (streams["err"] or "")) if streams else (text, "")
    told = _json(out)
    logged = told.get("log_history")
    lines = [str(one.get("message") or "") for one in logged or () if isinstance(one, dict)]
    problems = [f"  - {one}" for one in told.get("solver_problems") or ()]
    parts = (str(told.get("message") or told.get("error") or ""), *lines, err, *problems)
    exception = str(told.get("exception_name") or "")
    whole = "\n".join(filter(None, parts)) or ("" if told else out)
    return _Said(exception, whole, bool(problems) or "Unsatisfiable" in exception)


def _json(text: str) -> dict[str, Any]:
    """The one object in it, which other words may surround."""
    try:
        told = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _conflict(solve: Solve, told: str, log: str) -> LockError:
    lines = _of_tree(told) or list(_of_list(told))
    shown = tree("\n".join(lines), solve.asked) or [one_line(told, _LONGEST)]
    about = _about(solve, "\n".join(shown))
    return LockError(
        f"nothing meets all specs on {solve.request.platform}:\n" + "\n".join(shown),
        hint=f"loosen one of them; the log has all that was said: {log}",
        file=about.line.file if about else "",
        line=about.line.line if about else 0,
    )


def _of_tree(told: str) -> list[str]:
    """The lines of libmamba's tree, without what a log puts before each of them."""
    lines = told.splitlines()
    start = next((number for number, line in enumerate(lines) if _HEAD.search(line)), None)
    found: list[str] = []
    for line in lines[start + 1 :] if start is not None else ():
        if not _BRANCH.match(line):
            break
        found.append(line)
    indent = min((len(line) - len(line.lstrip()) for line in found if line.lstrip()[:1] in "├└"), default=0)
    return [line[indent:] for line in found]


def _of_list(told: str) -> Iterator[str]:
    """What stands behind bullets: conda's names that no channel has, libmamba's problems without a tree."""
    before, mark, _ = told.partition("\nCurrent channels:")
    for line in before.splitlines():
        if _ITEM.match(line):
            yield f"{line.strip().removeprefix('- ')} is in none of the channels" if mark else line.strip()


def _about(solve: Solve, shown: str) -> Asked | None:
    """The spec that a conflict begins with, else the first that it names; the Python that all need comes last."""
    tops = {found["name"] for line in shown.splitlines() if (found := _TOP.match(line))}
    named = {name for name in (one.name for one in solve.asked) if re.search(rf"(?<![\w.-]){re.escape(name)}\b", shown)}
    known = [one for one in solve.asked if one.line.file and one.name in named]
    return min(known, key=lambda one: (one.name not in tops, one.name == "python"), default=None)


def _not_reached(said: str, told: str) -> BrokenError:
    kind = failures.kind_of(told)
    did = "refused us" if kind == "refused" else "did not answer as it should"
    hint = "give its credentials in ~/.netrc, or by a variable in its address: https://host/t/$TOKEN/channel"
    return BrokenError(f"a channel {did}: {one_line(said, _LONGEST)}", hint=hint if kind == "refused" else "")


def _crashed(why: str, log: str) -> LockError:
    return LockError(
        f"conda-lock ended without a lock: {one_line(why, _LONGEST)}",
        hint=f"the log has all of it: {log}; the embedded solver needs no conda: conda: {{locker: rattler}}",
    )


def _ended(text: str) -> str:
    found = _ENDED.search(text)
    if found is None:
        return ""
    how = f"was ended by {found['signal']}" if found["signal"] else f"exited with {found['code']}"
    return f"the program that solves {how}"
