"""The Dockerfile that builds a nix shell inside of an image. Pure: text from values.

Three stages. ``shell`` evaluates and builds, and runs the shell's hook once; ``told`` is what it tells, a few files
that are read without running anything; ``final`` has the shell's closure and its variables.

The variables are the image's own (ENV), not an entry point's: `docker exec`, health checks, Kubernetes' probes and the
jobs that GitHub runs in a container begin no entry point, and all of them see what an image sets.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.containers.references import Reference
from ci_envs.containers.template import USER, VARIABLES, check_values, literal, template
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CACHE",
    "DIVIDER",
    "FINAL",
    "HOOK_ENDED",
    "INPUTS",
    "OWN_CACHE",
    "SETTINGS",
    "TELLING",
    "TREES",
    "NixPlan",
    "fits",
    "render_nix",
    "values_beside",
]

#: The stage that is read, and the one that is the image.
TELLING, FINAL = "told", "final"

#: Where the flake, or the project, and the inputs that are folders lie while nix evaluates.
TREES, INPUTS = "/ci-envs/tree", "/ci-envs/inputs"

#: What the builder keeps of earlier builds, and where the leg's own binary cache lies (``nix.cache``).
CACHE, OWN_CACHE = "/ci-envs/cache", "/ci-envs/binary-cache"

#: The secret with settings of nix: caches and their keys.
SETTINGS = "nix-settings"

#: On PATH between what is the shell's and what was there before: a folder that is not there.
DIVIDER = "/ci-envs/callers"

#: What is said where the hook leaves no shell.
HOOK_ENDED = "the shell's hook ended its shell, so no command can follow"

_ROOM = "/ci-envs/shell"

#: Bash's arguments: the PATH of the image. What a hook has set may be the end of the image's programs, so the shell's
#: own `env` comes first; `>|` since it may have set noclobber.
_RUNNER = "; ".join(
    (
        f". {_ROOM}/dev-env.sh",
        'ci_envs_path="${PATH-}"',
        f'PATH="${{ci_envs_path%%{DIVIDER}*}}"',
        "{ type -P python3 || type -P python; } >| /ci-envs/told/python",
        'PATH="$ci_envs_path:$1"',
        'ci_envs_env="$(type -P env)"',
        'PATH="$ci_envs_path"',
        '"$ci_envs_env" -0 >| /ci-envs/told/environment',
    )
)

_FOLDER = re.compile(r"[A-Za-z0-9._+-]+(?:/[A-Za-z0-9._+-]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

#: BuildKit reads no longer line than 64 KiB.
_LONGEST_LINE = 16_000
#: Linux hands a program no longer string than 128 KiB (MAX_ARG_STRLEN), and an argument of a build is one.
_LONGEST_ARGUMENT = 100_000


class NixPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what the Dockerfile says."""

    base: Reference
    #: The lock files, for people.
    locks: tuple[str, ...]
    #: Where the context lies while nix evaluates; the folder of the project in it, empty where it is the context.
    tree: str
    below: str = ""
    #: Contexts beside the project's: ``(name, where it lies)``.
    inputs: tuple[tuple[str, str], ...] = ()
    #: The context that is the leg's own binary cache; empty where there is none.
    kept: str = ""
    #: What names the shell to ``nix print-dev-env``.
    words: tuple[str, ...]
    #: What ``IN_NIX_SHELL`` says, and whether it says so while nix evaluates, as it does for `nix-shell`.
    kind: Literal["pure", "impure"] = "pure"
    as_nix_shell: bool = False
    #: Whether the builder keeps what was built for the next time: not where it is to be built anew.
    cached: bool = True
    user: str = USER
    labels: dict[str, str] = {}
    #: What the image sets; nothing while that is not known.
    variables: dict[str, str] = {}
    health: tuple[str, ...] = ()
    health_seconds: int = 120
    entry: tuple[str, ...] = ("python",)


def render_nix(plan: NixPlan) -> str:
    """The Dockerfile. Raises :class:`UsageError` for a value that could be more than a value in it."""
    _check(plan)
    uid, _, gid = plan.user.partition(":")
    beside = {value: name for name, value in values_beside(plan.variables).items()}
    return template("Dockerfile.nix.j2").render(
        base=str(plan.base),
        lock_names=", ".join(plan.locks),
        user=plan.user,
        uid=uid,
        gid=gid,
        tree=plan.tree,
        below=plan.below,
        inputs=plan.inputs,
        words=shlex.join(plan.words),
        kind=plan.kind,
        as_nix_shell=plan.as_nix_shell,
        cached=plan.cached,
        cache=CACHE,
        kept=plan.kept,
        own_cache=OWN_CACHE,
        room=_ROOM,
        told="/ci-envs/told",
        store="/ci-envs/store",
        settings=SETTINGS,
        divider=DIVIDER,
        runner=_RUNNER,
        hook_ended=HOOK_ENDED,
        labels=sorted(plan.labels.items()),
        arguments=sorted(beside.values()),
        variables=list(_variables(plan, beside)),
        health=plan.health,
        health_seconds=plan.health_seconds,
        entry=plan.entry,
    )


def _variables(plan: NixPlan, beside: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and words of ENV. The image's own programs are behind the shell's where the shell is not a pure one."""
    for name, value in sorted({**VARIABLES, **plan.variables}.items()):
        if value in beside:
            yield name, f"${beside[value]}"
        elif name == "PATH" and plan.kind == "impure":
            yield name, f"{literal(value)}:$PATH"
        else:
            yield name, literal(value)


def fits(name: str, value: str) -> bool:
    """Whether an image can be given such a variable."""
    return bool(_VARIABLE.fullmatch(name)) and "\0" not in value and len(value.encode()) < _LONGEST_ARGUMENT


def values_beside(variables: Mapping[str, str]) -> dict[str, str]:
    """The values that no line of a Dockerfile can hold, by the build argument that each is handed over in."""
    unfit = {value for value in variables.values() if _CONTROL.search(value) or len(value) > _LONGEST_LINE}
    return {f"CI_ENVS_VALUE_{number}": value for number, value in enumerate(sorted(unfit))}


def _check(plan: NixPlan) -> None:
    for folder in (plan.below or ".", plan.tree.strip("/"), *(target.strip("/") for _, target in plan.inputs)):
        if not _FOLDER.fullmatch(folder):
            raise UsageError(
                f"a folder is called {folder!r}, which cannot be mounted in a build",
                hint="rename it: letters, digits and ._+-",
            )
    # The shell that reads the words gets them quoted; a line end, and what looks like a heredoc, is the Dockerfile's.
    unfit = next((word for word in plan.words if _CONTROL.search(word) or "\t" in word or "<<" in word), None)
    if unfit is not None:
        raise UsageError(f"{unfit!r} cannot stand in a Dockerfile", hint="see nix.attribute and nix.inputs")
    check_values([("the label", plan.labels)], (plan.health, plan.entry))
