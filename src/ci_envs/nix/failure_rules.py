"""What the sentences of nix mean, one rule for each kind of failure: those about the project's files.

Those about the world are in :mod:`ci_envs.nix.failure_world`. The sentences are those of nix 2.8, seen by letting it
go wrong (``tests/component/test_nix_failures.py`` keeps them true), and those of later ones, as their sources and the
issues about them have them (``tests/cases/nix-failures``).
"""

from __future__ import annotations

import contextlib
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError
from ci_envs.nix.failure import LONGEST, Asked, Failure
from ci_envs.nix.failure_world import name_of, of_builder, of_disk, of_network, of_store, of_substitutes, of_system
from ci_envs.nix.own_files import line_quoting, line_with, own_place, with_own_names
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_envs.project import Project

__all__ = ["RULES", "of_evaluation"]

# --- locks, inputs and hashes

_MISMATCH = re.compile(
    r"hash mismatch in (?:fixed-output derivation '(?P<drv>[^']+)'|file downloaded from '(?P<url>[^']+)')"
    r".*?(?:specified|wanted): *(?P<specified>\S+).*?got: *(?P<got>\S+)",
    re.DOTALL,
)
_INPUT = re.compile(
    r"NAR hash mismatch in input '(?P<input>[^']+)'.*?expected '(?P<specified>[^']+)',? (?:but )?got '(?P<got>[^']+)'",
    re.DOTALL,
)
_UNLOCKED = re.compile(r"requires lock file changes|cannot (?:write|update) (?:modified |unlocked )?lock file")
_BAD_LOCK = re.compile(
    r"lock file '[^']*' has unsupported version|json\.exception\S* (?:parse error at line (?P<line>\d+))?"
)


def _of_hash(asked: Asked) -> Failure | None:
    found = _MISMATCH.search(asked.message.said)
    if found is None:
        return None
    drv = found["drv"] or ""
    sentence = f"{name_of(drv) or found['url']} is another file than the one whose hash is written down: "
    sentence += f"specified {found['specified']}, got {found['got']}"
    file, line = line_with(found["specified"], asked.project) or own_place(asked.message.places, asked.project)
    hint = f"find out why it changed; if it is the right one, write {found['got']} in its place"
    return Failure("hash", one_line(sentence, LONGEST), file, line, f"{hint} ({drv})" if drv else hint, drv)


def _of_input(asked: Asked) -> Failure | None:
    found = _INPUT.search(asked.message.said)
    if found is None:
        return None
    name = found["input"].partition("?")[0]
    sentence = f"the input {name} is not what flake.lock says: it has {found['got']}, the lock {found['specified']}"
    file, line = line_with(found["specified"], asked.project) or (asked.lock, 0)
    return Failure("input", one_line(sentence, LONGEST), file, line, f"take what is there now with: {asked.relock}")


def _of_lock(asked: Asked) -> Failure | None:
    said = asked.message.said
    if _UNLOCKED.search(said):
        relock = asked.relock.replace(" --upgrade", "")
        return Failure("lock", "does not match the inputs of flake.nix", asked.lock, 0, f"lock it with: {relock}")
    bad = _BAD_LOCK.search(said)
    if bad is None or asked.message.places or not asked.project.exists(asked.lock):
        return None
    hint = f"take it from git again, or remove it and lock anew: {asked.relock.replace(' --upgrade', '')}"
    return Failure("lock", f"cannot be read: {asked.sentence}", asked.lock, int(bad["line"] or 0), hint)


# --- what an expression says

_MISSING = re.compile(
    r"(?:getting status of|path|opening file|reading file) '(?P<path>[^']+)'"
    r"(?:: No such file or directory| does not exist)"
)
_UNTRACKED = re.compile(r"Path '(?P<path>[^']+)' in the repository .* is not tracked by Git", re.DOTALL)
_SEARCHED = re.compile(r"file '(?P<name>[^']+)' was not found in the Nix search path")
_IMPURE = re.compile(r"(?:in|by) pure eval(?:uation)? mode|pure-eval|attribute 'current(?:System|Time)' missing")
_NO_SHELL = re.compile(r"does not provide attribute (?P<names>'[^']+'(?:(?:,| or) '[^']+')*)")
_NO_CHOICE = re.compile(
    r"in selection path|does not evaluate to a derivation|is not a derivation|expected a derivation"
)
_FEATURE = re.compile(r"experimental (?:Nix )?feature '(?P<name>[^']+)' is disabled")
_UNFREE = re.compile(r"refusing to evaluate|has an unfree license|is marked as (?:broken|insecure)", re.IGNORECASE)


def _of_untracked(asked: Asked) -> Failure | None:
    """A flake in a git repository is made of the files that git tracks."""
    found = _UNTRACKED.search(asked.message.said) or _MISSING.search(asked.message.said)
    if found is None or not re.search(r"-source(?:/|$)|in the repository|git\+file", asked.message.said):
        return None
    name = _untracked_name(found["path"], asked.project)
    if not name:
        return None
    sentence = "is not tracked by git, and a flake in a git repository is made of the files that are"
    hint = f"`git add {shlex.quote(name)}`"
    if asked.is_copied:
        sentence = "belongs to an environment or a cache, which a flake outside of git is given without"
        hint = "keep it elsewhere, or have git say what belongs to the flake: `git init`, `git add`"
    failure = asked.failure("untracked", f"{name} {sentence}", hint=hint)
    return failure if failure.file else replace(failure, file=name, sentence=sentence)


def _untracked_name(path: str, project: Project) -> str:
    """What nix did not find, and the project has: the longest end of the path that is there."""
    parts = path.strip("/").split("/")
    ends = ("/".join(parts[number:]) for number in range(len(parts)))
    with contextlib.suppress(UsageError, OSError):
        return next((end for end in ends if end and project.path(end).exists()), "")
    return ""


def _of_search_path(asked: Asked) -> Failure | None:
    found = _SEARCHED.search(asked.message.said)
    if found is None:
        return None
    name = found["name"].partition("/")[0]
    hint = f"pin it in the file, or name a folder: `nix: {{inputs: {{{name}: PATH}}}}` in ci-envs.yml, or NIX_PATH"
    return asked.failure("search path", f"<{found['name']}> is not in the Nix search path", hint=hint)


_HOW_PURE = "a flake sees its inputs and nothing else of the machine: make it an input, or write down what it is"


def _of_purity(asked: Asked) -> Failure | None:
    if not _IMPURE.search(asked.message.said):
        return None
    sentence = re.sub(r" ?\(use '--impure'[^)]*\)", "", asked.sentence)
    return asked.failure("impure", sentence, hint=_HOW_PURE)


def _of_attribute(asked: Asked) -> Failure | None:
    found = _NO_SHELL.search(asked.message.said)
    if found is None:
        return None
    names = re.findall(r"'([^']+)'", found["names"])
    hint = f"give it one: `{names[0]} = pkgs.mkShell {{ ... }};`, or name another with nix.attribute"
    return Failure("shell", f"has no {names[0]}{asked.meant}", asked.flake, 0, hint)


def _of_choice(asked: Asked) -> Failure | None:
    """What ``nix.attribute`` names, or does not name, in a file."""
    if not _NO_CHOICE.search(asked.message.said):
        return None
    hint = "`nix.attribute` names the shell where the file has several"
    return replace(asked.failure("shell", asked.guess, hint=hint), file=asked.described)


def _of_feature(asked: Asked) -> Failure | None:
    found = _FEATURE.search(asked.message.said)
    if found is None:
        return None
    hint = f"allow it in your nix.conf, or NIX_CONFIG: extra-experimental-features = {found['name']}"
    return asked.failure("feature", f"it needs nix's experimental feature {found['name']}, which is off", hint=hint)


def _of_refusal(asked: Asked) -> Failure | None:
    """nixpkgs' own refusals fill a page."""
    if not _UNFREE.search(asked.message.said):
        return None
    first = one_line(with_own_names(asked.message.said.partition("\n")[0], asked.project), LONGEST)
    return asked.failure("evaluation", first, hint="allow it where the file imports nixpkgs: its argument config")


def of_evaluation(asked: Asked) -> Failure:
    """Anything else: nix's own sentence, and where it is about."""
    failure = asked.failure("evaluation" if asked.message.places else "other", asked.guess)
    if failure.file:
        return failure
    file, line = line_quoting(re.findall(r"'([^']+)'", asked.message.said), asked.project, (asked.flake, asked.lock))
    return replace(failure, file=file, line=line)


RULES: tuple[Callable[[Asked], Failure | None], ...] = (
    of_disk,
    _of_hash,
    _of_input,
    of_system,
    of_builder,
    of_substitutes,
    of_network,
    _of_untracked,
    of_store,
    _of_lock,
    _of_search_path,
    _of_purity,
    _of_attribute,
    _of_choice,
    _of_feature,
    _of_refusal,
)
