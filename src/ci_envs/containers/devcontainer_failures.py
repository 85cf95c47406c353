"""Why a dev container could not be brought up, from what the tool and the builder said. Pure.

The sentences are those of @devcontainers/cli 0.89 over BuildKit; ``tests/component/test_devcontainer.py`` keeps them
true.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.containers.build_output import without_our_mounts
from ci_envs.errors import BuildError, CiEnvsError, LockError
from ci_envs.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.containers.devcontainer_cli import Up
    from ci_envs.containers.devcontainer_config import Devcontainer

__all__ = ["Told", "up_failed"]

_STAMP = re.compile(r"^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] ", re.MULTILINE)
#: What a builder says the tool tells as it comes, in pieces: behind each an end of line of its own.
_NEXT_PIECE = re.compile(rf"\n\n(?={_STAMP.pattern})", re.MULTILINE)
_LIFECYCLE = re.compile(r"^(?:(?P<part>.+) of )?(?P<command>\w+Command) from (?P<origin>.+?) failed")
_BEGINS = re.compile(r"^Running (?:the |.+ of )?\w+Command from .+\.\.\.$", re.MULTILINE)
_ENDS = re.compile(r"^(?:.+ of )?\w+Command from .+ failed with exit code (?P<code>\d+)\.", re.MULTILINE)
_NOT_FETCHED = re.compile(r"Feature '(?P<name>[^']+)' could not be processed")
_NOT_INSTALLED = re.compile(r'ERROR: Feature "[^"]*" \((?P<name>[^)]+)\) failed to install!')
#: BuildKit repeats the end of what the instruction said, each line behind the seconds that it came after.
_REPEATED = re.compile(r"^------\n > .*\n(?P<said>(?:[\d.]+ .*\n|.*\n)*?)------$", re.MULTILINE)
_SECONDS = re.compile(r"^(?:#\d+ )?\d+\.\d+ ")
_MARKED = re.compile(r"^ *\d+ \| >>> (?P<line>.*)$", re.MULTILINE)
_SOLVE = re.compile(r"^ERROR: failed to (?:solve|build): (?P<reason>.*)$", re.MULTILINE)
_FINAL_STAGE = re.compile(r" AS dev_container_auto_added_stage_label$")
_PULL = re.compile(r"^Command failed: \S+ pull (?P<image>\S+)")
_DAEMON = re.compile(r"^Error response from daemon: (?P<reason>.+)$", re.MULTILINE)

#: Lines of what a command said that a message holds; the log has all.
_LINES = 4
_LONGEST = 600


class Told:
    """What there is to go by."""

    def __init__(self, up: Up, output: str, *, read: Devcontainer, text: str, dockerfile: str, log: str) -> None:
        self.up = up
        #: Without what the tool puts between what it hears, and without what we have put into the Dockerfile.
        self.output = without_our_mounts(_STAMP.sub("", _NEXT_PIECE.sub("\n", plain(output))))
        self.read = read
        #: Of devcontainer.json, and of the Dockerfile as it was built: line for line the project's.
        self.text, self.dockerfile = text, dockerfile
        #: The log's path, for a message.
        self.log = log

    @property
    def hint(self) -> str:
        """Where everything stands."""
        return f"the log has all of it: {self.log}"


def up_failed(told: Told) -> CiEnvsError:
    """The error that says which part failed, where it stands, and the last lines of what it said."""
    for reader in (_lock_failed, _feature_not_fetched, _lifecycle_failed, _feature_failed, _build_failed, _pull_failed):
        if error := reader(told):
            return error
    up = told.up
    said = one_line(f"{up.description} {up.message}", _LONGEST) or "the devcontainer tool said nothing of it"
    return BuildError(said, hint=told.hint, file=told.read.path)


def _lock_failed(told: Told) -> CiEnvsError | None:
    if not told.up.message.startswith("Lockfile does not"):
        return None
    return LockError(
        "the features that devcontainer.json asks for resolve to others than those of the lock",
        file=told.read.lock_path,
        hint="renew it with: ci-envs lock --upgrade",
    )


def _feature_not_fetched(told: Told) -> CiEnvsError | None:
    found = _NOT_FETCHED.search(told.up.message)
    if not found:
        return None
    name = found["name"]
    registry = name.partition("/")[0]
    return BuildError(
        f"the feature {name} cannot be had as it is locked: {registry} has no such bytes, or does not show them to us",
        file=told.read.lock_path,
        hint=f"docker login {registry} where it needs a login, else renew the lock: ci-envs lock --upgrade",
    )


def _lifecycle_failed(told: Told) -> CiEnvsError | None:
    found = _LIFECYCLE.search(told.up.description)
    if not found:
        return None
    end = next(iter(_ENDS.finditer(told.output)), None)
    begins = [begin.end() for begin in _BEGINS.finditer(told.output) if end is None or begin.start() < end.start()]
    said = told.output[begins[-1] if begins else 0 : end.start() if end else len(told.output)]
    code = f" with exit code {end['code']}" if end else ""
    command, part = found["command"], f" ({found['part']})" if found["part"] else ""
    origin = "" if found["origin"] == "devcontainer.json" else f" of {found['origin']}"
    return BuildError(
        f"{command}{part}{origin} failed{code}: {_last_lines(said.splitlines()) or told.up.message}",
        file=told.read.path,
        line=0 if origin else told.read.line_of(told.text, f'"{command}"'),
        hint=told.hint,
    )


def _feature_failed(told: Told) -> CiEnvsError | None:
    found = _NOT_INSTALLED.search(told.output)
    if not found:
        return None
    said = [line for line in _instruction_said(told.output) if not _NOT_INSTALLED.search(line)]
    name = found["name"]
    return BuildError(
        f"the feature {name} failed to install: {_last_lines(said)}",
        file=told.read.path,
        line=told.read.line_of(told.text, name),
        hint=told.hint,
    )


def _build_failed(told: Told) -> CiEnvsError | None:
    reason = _SOLVE.search(told.output)
    if not reason:
        return None
    marked = [found["line"] for found in _MARKED.finditer(told.output)]
    line = _line_in(told.dockerfile, marked)
    said = _last_lines(_instruction_said(told.output)) or one_line(reason["reason"], _LONGEST)
    shown = _FINAL_STAGE.sub("", marked[0].strip()) if marked else ""
    return BuildError(
        f"{one_line(shown, 120)} failed: {said}" if shown else said,
        file=told.read.dockerfile if line else told.read.path,
        line=line,
        hint=told.hint,
    )


def _pull_failed(told: Told) -> CiEnvsError | None:
    found = _PULL.search(told.up.message)
    if not found:
        return None
    reasons = [each["reason"] for each in _DAEMON.finditer(told.output)]
    reason = f": {one_line(reasons[-1], _LONGEST)}" if reasons else ""
    return BuildError(
        f"the image {found['image']} cannot be pulled{reason}",
        file=told.read.dockerfile or told.read.path,
        line=0 if told.read.dockerfile else told.read.line_of(told.text, '"image"'),
        hint="look at its name, and whether its registry asks for a login: docker login",
    )


def _instruction_said(output: str) -> list[str]:
    found = _REPEATED.search(output)
    return [_SECONDS.sub("", line) for line in found["said"].splitlines()] if found else []


def _line_in(dockerfile: str, marked: Sequence[str]) -> int:
    """Where the instruction that the builder marked stands: it was given a file that begins with other lines."""
    wanted = [_FINAL_STAGE.sub("", line.rstrip()) for line in marked]
    lines = [line.rstrip() for line in dockerfile.splitlines()]
    count = len(wanted)
    places = (number for number in range(len(lines) - count + 1) if count and lines[number : number + count] == wanted)
    return next(places, -1) + 1


def _last_lines(lines: Sequence[str]) -> str:
    """The end of what was said, as one line."""
    said = [line.strip() for line in lines if line.strip()]
    return one_line(" | ".join(said[-_LINES:]), _LONGEST)
