"""What a description leaves open, said with the line that would fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci_envs.errors import LockError
from ci_envs.nix.search_path import look_up, pinned_expression, pinned_line

if TYPE_CHECKING:
    from ci_envs.model.record import Severity
    from ci_envs.nix.described import Description
    from ci_envs.nix.expressions import Expressions, Open
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["say_open"]

_NAMES = {
    "tarball": "fetchTarball",
    "git": "fetchGit",
    "tree": "fetchTree",
    "flake": "builtins.getFlake",
    "file": "builtins.fetchurl",
}
_PREFETCHED = "<what `nix-prefetch-url {flag}{url}` prints>"


def say_open(work: Work, nix: Nix, described: Description, found: Expressions) -> None:
    """A finding for each use; :class:`LockError` for the first in ``locked`` mode, since it cannot be rebuilt."""
    names = dict.fromkeys(one.what for one in found.open if one.kind == "search path")
    fixes = {name: _fix_of(work, nix, described, name) for name in names}
    refused: LockError | None = None
    for one in found.open:
        told = _of_name(work, one, fixes[one.what]) if one.kind == "search path" else _of_fetch(one)
        refuses = work.policy.mode == "locked" and not one.revision
        severity: Severity = "error" if refuses else "warning"
        work.find(
            told.code, severity, told.title, f"{told.message}; write: {told.advice}", file=one.file, line=one.line
        )
        if refuses and refused is None:
            hint = f"write: {told.advice}"
            refused = LockError(f"{told.message}: it cannot be rebuilt", file=one.file, line=one.line, hint=hint)
    if refused is not None:
        raise refused


class _Told(NamedTuple):
    code: str
    title: str
    message: str
    #: What to write.
    advice: str


class _Fix(NamedTuple):
    """What a name in angle brackets is, and what is to stand in its place."""

    said: str
    expression: str


def _fix_of(work: Work, nix: Nix, described: Description, name: str) -> _Fix:
    place = look_up(work, nix, name, described)
    given = work.config.nix.inputs.get(name)
    here = f"commit {place.revision}" if place and place.revision else "of no known commit" if place else "nothing"
    here = f"{given}, as nix.inputs says, {here}" if given else here
    return _Fix(f"<{name}> is whatever a machine has (here {here})", pinned_expression(name, place, work.environ))


def _of_name(work: Work, one: Open, fix: _Fix) -> _Told:
    lines = (work.project.text(one.file) or "").splitlines()
    source = lines[one.line - 1] if one.line else f"<{one.what}>"
    advice = pinned_line(source, one.what, fix.expression)
    return _Told("NIX001", f"{one.what} is not pinned", fix.said, advice)


def _of_fetch(one: Open) -> _Told:
    what = f"{_NAMES[one.kind]} of {one.what or 'an address that is put together'}"
    if one.revision:
        message = f"{what} names a commit, but nothing compares what comes"
        return _Told("NIX002", "fetched without a hash", message, _advice(one))
    return _Told("NIX002", "fetched without a pin", f"{what} is whatever is there that day", _advice(one))


def _advice(one: Open) -> str:
    """The call with its pin; in angle brackets what has to be filled in."""
    url = one.what or "<url>"
    match one.kind:
        case "git":
            return f'fetchGit {{ url = "{url}"; rev = "<what `git ls-remote {url} HEAD` prints>"; }}'
        case "flake":
            return f'builtins.getFlake "{url.partition("?")[0]}/<commit>"'
        case "tree":
            return f'fetchTree {{ ...; rev = "<commit>"; narHash = "<what nix says it is>"; }} for {url}'
        case "file":
            return f'builtins.fetchurl {{ url = "{url}"; sha256 = "{_PREFETCHED.format(flag="", url=url)}"; }}'
        case _:
            sha256 = _PREFETCHED.format(flag="--unpack ", url=url)
            return f'fetchTarball {{ url = "{url}"; sha256 = "{sha256}"; }}'
