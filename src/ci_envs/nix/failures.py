"""Reads why nix failed, and whose fault it is: the project's, or the world's."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, BuildError, LockError
from ci_envs.nix.failure import LONGEST, Asked, Failure
from ci_envs.nix.failure_rules import RULES, of_evaluation
from ci_envs.nix.failure_world import SUMMARY
from ci_envs.nix.flake_copy import COPY
from ci_envs.nix.output import Message, Said, read_said
from ci_envs.nix.own_files import own_file
from ci_envs.nix.tool import NixOutcome
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.capture import Outcome
    from ci_envs.errors import CiEnvsError
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["Failure", "build_error", "failure_of", "lock_error"]


def lock_error(failure: Failure) -> CiEnvsError:
    """What the lock stage ends with."""
    return _error(failure, LockError)


def build_error(failure: Failure) -> CiEnvsError:
    """What the build stage ends with."""
    return _error(failure, BuildError)


def _error(failure: Failure, ours: type[LockError | BuildError]) -> CiEnvsError:
    kind = BrokenError if failure.is_worlds else ours
    return kind(failure.sentence, hint=failure.hint, file=failure.file, line=failure.line)


def failure_of(outcome: Outcome, work: Work) -> Failure:
    """Why a command of nix failed. ``work`` has the project, the log, and whether something may be fetched."""
    log = f"the log has all of it, with nix's trace: {work.layout.shown(work.log)}"
    failure = _ended(outcome) or _understood(outcome, work)
    return replace(failure, hint=failure.hint or log)


def _ended(outcome: Outcome) -> Failure | None:
    if outcome.timed_out:
        return Failure("ended", f"nix was ended after {outcome.seconds:.0f} s")
    if outcome.returncode >= 0:
        return None
    with contextlib.suppress(ValueError):  # a number that Python has no name for
        return Failure("ended", f"nix was ended by {signal.Signals(-outcome.returncode).name}")
    return Failure("ended", f"nix was ended by signal {-outcome.returncode}")


def _understood(outcome: Outcome, work: Work) -> Failure:
    said = outcome.said if isinstance(outcome, NixOutcome) else read_said(outcome.stderr)
    message = _cause(said)
    if message is None:
        last = one_line(" ".join(said.others[-3:]), LONGEST)
        return Failure("other", last or f"nix failed with exit code {outcome.returncode} and did not say why")
    described = _described(outcome.argv, work.project)
    copied, relock = any(COPY in word for word in outcome.argv), work.lock_command("--upgrade")
    asked = Asked(message, said, work.project, work.policy.offline, relock, described, copied)
    return next((found for rule in RULES if (found := rule(asked)) is not None), of_evaluation(asked))


def _described(argv: Sequence[str], project: Project) -> str:
    """The project's file that nix was told of: by its path, or as a flake by its folder."""
    for word in filter(None, argv[1:]):
        path = word if word.endswith(".nix") else f"{word.partition('#')[0].removeprefix('path:')}/flake.nix"
        if name := own_file(str(project.root / path), project):
            return name
    return ""


def _cause(said: Said) -> Message | None:
    """The last error that is none about another."""
    errors = [error for error in said.errors if not SUMMARY.match(error.said)] or list(said.errors)
    return errors[-1] if errors else None
