"""What the sentences of nix mean, one rule for each kind of failure.

They are those of nix 2.8, seen by letting it go wrong (``tests/component/test_nix_failures.py`` keeps them true), and
those of later ones, as their sources and the issues about them have them (``tests/cases/nix-failures``).
"""

from __future__ import annotations

import contextlib
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError
from ci_envs.nix.failure import LONGEST, Asked, Failure
from ci_envs.nix.own_files import line_quoting, line_with, own_place, with_own_names
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_envs.nix.output import Message
    from ci_envs.project import Project

__all__ = ["RULES", "SUMMARY", "of_evaluation"]

#: What a message says of a builder's last words; its log has all of them.
_LAST_WORDS = 300

# What only says that something else has failed.
SUMMARY = re.compile(
    r"\d+ dependenc(?:y|ies) of derivation .* failed to build|build of .* failed$|some builds? failed"
    r"|Cannot build '[^']*'\.\s+Reason: \d+ dependenc(?:y|ies) failed|cannot build derivation '[^']*': \d+ dependenc"
    r"|Build failed due to failed dependenc|some substitutes for the outputs of derivation",
    re.DOTALL,
)


# --- the world

_FULL = re.compile(r"No space left on device|Disk quota exceeded|database or disk is full")
#: What nix adds where less than 8 MiB are left when a builder fails.
_SCARCE = "lack of free disk space"
_DAEMON = re.compile(
    r"cannot connect to (?:socket|daemon)|Nix daemon disconnected|cannot open connection to remote store|daemon-socket"
)
_STORE = re.compile(
    r"(?:opening lock file|creating directory|creating file|opening file|changing ownership of"
    r"|could not set permissions on|linking|renaming|creating symlink|creating temporary file).*"
    r"(?:Permission denied|Read-only file system|Operation not permitted)"
    r"|readonly database|unable to open database file|the store is not owned|sufficient permissions"
    r"|lock Nix database|database disk image is malformed|remounting \S+ writable",
    re.DOTALL,
)

_ADDRESS = re.compile(r"unable to (?:download|access) '(?P<url>[^']+)'(?:: (?P<why>[^\n]*?)(?=; retrying|\n|$))?")
_HTTP = re.compile(r"HTTP error (?P<a>\d{3})|returned error: (?P<b>\d{3})")
_UNREACHED = re.compile(
    r"unable to (?:download|access)|Could(?:n't| not) (?:resolve host|connect to server)|Timeout was reached"
    r"|Failed to connect|Connection (?:refused|reset|timed out)"
    r"|SSL (?:peer certificate|connect error|certificate problem)"
    r"|server certificate verification failed|failed to start SSH connection|Connection closed by remote host"
    r"|Temporary failure in name resolution|Network is unreachable|cannot download \S+ from any mirror"
    r"|some substitutes for the outputs of derivation",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"could not read (?:Username|Password)|Authentication failed|Permission denied \(|Host key verification failed"
    r"|Repository not found",
    re.IGNORECASE,
)
_NO_SUBSTITUTE = re.compile(
    r"path '(?P<path>[^']+)' is required, but there is no substituter"
    r"|dependency '(?P<other>[^']+)' of '[^']+' does not exist, and substitution is disabled"
    r"|don't know how to build these paths:\s+(?P<first>\S+)"
)


def _of_disk(asked: Asked) -> Failure | None:
    told = (*asked.message.said.splitlines(), *reversed(_log_of(asked)))
    full = next((line.lstrip("> ") for line in told if _FULL.search(line)), "")
    hint = "make room in the store (`nix-collect-garbage`), or where it builds (TMPDIR)"
    if full:
        shown = one_line(with_own_names(full, asked.project), 300)
        return Failure("full", f"the disk is full: {shown}", hint=hint)
    if _SCARCE in asked.message.said and (failure := _of_builder(asked)) is not None:
        return replace(failure, kind="full", sentence=f"the disk has no room left: {failure.sentence}", hint=hint)
    return None


def _of_store(asked: Asked) -> Failure | None:
    said = asked.message.said
    if _DAEMON.search(said):
        hint = "start it (`sudo systemctl start nix-daemon`), or see what NIX_REMOTE says"
        return Failure("store", f"nix's daemon does not answer: {asked.sentence}", hint=hint)
    if not _STORE.search(said):
        return None
    hint = "a store without a daemon is its owner's alone: run it as that user, or install nix with its daemon"
    return Failure("store", f"nix cannot use its store: {asked.sentence}", hint=hint)


def _of_network(asked: Asked) -> Failure | None:
    """Something that was asked for by its address; git and ssh say on lines of their own what went wrong."""
    if "program 'git' failed" in asked.message.said and asked.said.others:
        lines = asked.said.others
        said = next((line for line in lines if _REFUSED.search(line) or _UNREACHED.search(line)), lines[-1])
        if _REFUSED.search(said) or _UNREACHED.search(said):
            return _unreached(asked, said)
        return asked.failure("gone", one_line(said.removeprefix("fatal: "), LONGEST))
    return _unreached(asked, asked.message.said) if _UNREACHED.search(asked.message.said) else None


def _unreached(asked: Asked, said: str, what: str = "it") -> Failure:
    """What an answer means, or that there was none. ``said`` has the sentence and, mostly, the address."""
    address, status = _ADDRESS.search(said), _HTTP.search(said)
    why = one_line((address["why"] or "") if address else said.removeprefix("fatal: "), 300)
    url = f"{address['url']}: " if address else ""
    code = int(status["a"] or status["b"]) if status else 0
    if asked.offline:
        return _offline(f"{url}{why}")
    if code in (404, 410):
        hint = f"it was renamed or removed, or is not for everybody; {asked.relock} takes what is there now"
        return asked.failure("gone", f"{what} is not there: {url}{why}", hint=hint)
    if code in (403, 429) and "github.com/" in url:
        hint = "GitHub gives more to whoever has a token: `access-tokens = github.com=TOKEN` in nix.conf or NIX_CONFIG"
        return Failure("network", f"GitHub refused us, as it does after many requests: {url}{why}", hint=hint)
    if code in (401, 403, 407) or _REFUSED.search(said):
        hint = "nix takes logins from its netrc-file, git from its own helpers and ssh-agent"
        return Failure("network", f"we were refused: {url}{why}", hint=hint)
    return Failure("network", f"{what} could not be fetched: {url}{why}")


def _offline(why: str) -> Failure:
    sentence = f"nothing may be fetched, and something would have to be: {why}"
    return Failure("offline", one_line(sentence, LONGEST), hint="run it once without --offline")


def _of_substitutes(asked: Asked) -> Failure | None:
    found = _NO_SUBSTITUTE.search(asked.message.said)
    if found is None and SUMMARY.match(asked.message.said):
        found = _NO_SUBSTITUTE.search(asked.said.text)
    if found is None:
        return None
    path = next(filter(None, found.groups()))
    if asked.offline:
        return _offline(f"{path} is not in the store")
    if down := _ADDRESS.search(asked.said.text):
        return _unreached(asked, down[0], path)
    hint = "`nix config show` (`nix show-config` before 2.20) says which caches it asks and trusts: substituters"
    return Failure("other", f"{path} cannot be built from here, and no binary cache gave it", hint=hint)


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
_STORE_NAME = re.compile(r"/[0-9a-df-np-sv-z]{32}-(?P<name>[^/']+?)(?:\.drv)?$")


def _of_hash(asked: Asked) -> Failure | None:
    found = _MISMATCH.search(asked.message.said)
    if found is None:
        return None
    drv = found["drv"] or ""
    sentence = f"{_name(drv) or found['url']} is another file than the one whose hash is written down: "
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
_SYSTEM = re.compile(
    r"a '(?P<needed>[^']+)' with features (?P<features>\{.*?\}) is required to build '(?P<drv>[^']+)'"
    r"|Cannot build '(?P<other>[^']+)'.*Required system: '(?P<system>[^']+)' with features (?P<more>\{.*?\})",
    re.DOTALL,
)
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
    failure = asked.failure("untracked", f"{name} {sentence}", hint=f"git add {shlex.quote(name)}")
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
    hint = "nix.attribute names the shell where the file has several"
    return replace(asked.failure("shell", asked.guess, hint=hint), file=asked.described)


def _of_feature(asked: Asked) -> Failure | None:
    found = _FEATURE.search(asked.message.said)
    if found is None:
        return None
    hint = f"allow it in your nix.conf, or NIX_CONFIG: extra-experimental-features = {found['name']}"
    return asked.failure("feature", f"it needs nix's experimental feature {found['name']}, which is off", hint=hint)


def _of_system(asked: Asked) -> Failure | None:
    found = _SYSTEM.search(asked.message.said)
    if found is None:
        return None
    drv = found["drv"] or found["other"]
    features = (found["features"] or found["more"]).strip("{} ")
    what = f"{found['needed'] or found['system']}{f' with {features}' if features else ''}"
    hint = "give the shell this system, or nix a builder for that one: https://nix.dev/manual/nix/latest/advanced-topics/distributed-builds"
    return Failure("system", f"{_name(drv)} is to be built on {what}, which this machine is not", hint=hint, drv=drv)


# --- builders

_BUILDER = re.compile(
    r"(?:builder for|build(?:ing)? of) '(?P<drv>[^']+\.drv)'(?: on '[^']+')? (?P<how>[^;:\n]+)"
    r"|Cannot build '(?P<other>[^']+\.drv)'\.\s+Reason: (?:builder )?(?P<why>[^\n]+?)\.?(?:\n|$)"
)
_QUOTED = re.compile(r"^ *> ?(.*)$", re.MULTILINE)
# Only what fetches says it so; the tests of a package may well be refused a connection.
_FETCHED = re.compile(r"curl: \((?:5|6|7|22|28|35|52|56|60)\)|error: unable to download '|fatal: unable to access '")
# A child of nix 2.8 that cannot start its builder says its name thrice.
_STUTTER = re.compile(r"^(?:Error)+.?(?=executing )")


def _drv_of(message: Message) -> str:
    found = _BUILDER.search(message.said)
    return (found["drv"] or found["other"]) if found else ""


def _log_of(asked: Asked) -> tuple[str, ...]:
    """The last lines of the builder that failed: as events, else as the message quotes them."""
    drv = _drv_of(asked.message)
    lines = asked.said.logs.get(drv) or tuple(one_line(line) for line in _QUOTED.findall(asked.message.text))
    return tuple(_STUTTER.sub("", line) for line in lines)


def _of_builder(asked: Asked) -> Failure | None:
    found = _BUILDER.search(asked.message.said)
    if found is None:
        return None
    drv, lines = _drv_of(asked.message), tuple(line for line in _log_of(asked) if line)
    last = _last_words(lines)
    if fetched := next((line for line in reversed(lines) if _FETCHED.search(line)), ""):
        return replace(_unreached(asked, fetched, _name(drv)), drv=drv, lines=lines)
    how = (found["how"] or found["why"]).strip()
    log = f"`nix log {drv}` has its words, and so has the log of this stage"
    return Failure("builder", one_line(f"the builder of {_name(drv)} {how}{last}", LONGEST), "", 0, log, drv, lines)


def _last_words(lines: tuple[str, ...]) -> str:
    """``: `` and the first line that says what is wrong, with the very last one; else the last three."""
    told = [line for line in lines if not line.startswith("\u2026")]
    wrong = next((line for line in told if re.search(r"\berror\b|\bfatal\b", line, re.IGNORECASE)), "")
    kept = dict.fromkeys((wrong, told[-1])) if wrong else told[-3:]
    return f": {one_line('; '.join(kept), _LAST_WORDS)}" if kept else ""


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


def _name(drv: str) -> str:
    found = _STORE_NAME.search(drv)
    return found["name"] if found else drv


RULES: tuple[Callable[[Asked], Failure | None], ...] = (
    _of_disk,
    _of_hash,
    _of_input,
    _of_system,
    _of_builder,
    _of_substitutes,
    _of_network,
    _of_untracked,
    _of_store,
    _of_lock,
    _of_search_path,
    _of_purity,
    _of_attribute,
    _of_choice,
    _of_feature,
    _of_refusal,
)
