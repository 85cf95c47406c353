"""What the sentences of nix mean that are about the world and about builders, one rule for each kind of failure.

The project's expressions have no part in them: a disk, a store, a server, a builder. See
:mod:`ci_envs.nix.failure_rules`, which has the order in which rules are asked.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_envs.nix.failure import LONGEST, Asked, Failure
from ci_envs.nix.own_files import with_own_names
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from ci_envs.nix.output import Message

__all__ = [
    "SUMMARY",
    "name_of",
    "of_builder",
    "of_disk",
    "of_network",
    "of_store",
    "of_substitutes",
    "of_system",
]

#: What a message says of a builder's last words; its log has all of them.
_LAST_WORDS = 300

_STORE_NAME = re.compile(r"/[0-9a-df-np-sv-z]{32}-(?P<name>[^/']+?)(?:\.drv)?$")

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


def of_disk(asked: Asked) -> Failure | None:
    """No room left, as a sentence of nix's or a builder's last words have it."""
    told = (*asked.message.said.splitlines(), *reversed(_log_of(asked)))
    full = next((line.lstrip("> ") for line in told if _FULL.search(line)), "")
    hint = "make room in the store (`nix-collect-garbage`), or where it builds (TMPDIR)"
    if full:
        shown = one_line(with_own_names(full, asked.project), 300)
        return Failure("full", f"the disk is full: {shown}", hint=hint)
    if _SCARCE in asked.message.said and (failure := of_builder(asked)) is not None:
        return replace(failure, kind="full", sentence=f"the disk has no room left: {failure.sentence}", hint=hint)
    return None


def of_store(asked: Asked) -> Failure | None:
    """A daemon that does not answer, or a store that this user cannot write to."""
    said = asked.message.said
    if _DAEMON.search(said):
        hint = "start it (`sudo systemctl start nix-daemon`), or see what NIX_REMOTE says"
        return Failure("store", f"nix's daemon does not answer: {asked.sentence}", hint=hint)
    if not _STORE.search(said):
        return None
    hint = "a store without a daemon is its owner's alone: run it as that user, or install nix with its daemon"
    if re.search(r"read-only|remount", said, re.IGNORECASE):
        hint = "nothing can be added to a store that is mounted read-only: build where it can be written to"
    return Failure("store", f"nix cannot use its store: {asked.sentence}", hint=hint)


def of_network(asked: Asked) -> Failure | None:
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


def of_substitutes(asked: Asked) -> Failure | None:
    """What no binary cache gave, and cannot be built here."""
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


# --- builders

_SYSTEM = re.compile(
    r"a '(?P<needed>[^']+)' with features (?P<features>\{.*?\}) is required to build '(?P<drv>[^']+)'"
    r"|Cannot build '(?P<other>[^']+)'.*Required system: '(?P<system>[^']+)' with features (?P<more>\{.*?\})",
    re.DOTALL,
)
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


def of_builder(asked: Asked) -> Failure | None:
    """A builder that failed, with its last words; one that only fetches fails as a download does."""
    found = _BUILDER.search(asked.message.said)
    if found is None:
        return None
    drv, lines = _drv_of(asked.message), tuple(line for line in _log_of(asked) if line)
    last = _last_words(lines)
    if fetched := next((line for line in reversed(lines) if _FETCHED.search(line)), ""):
        return replace(_unreached(asked, fetched, name_of(drv)), drv=drv, lines=lines)
    how = (found["how"] or found["why"]).strip()
    log = f"`nix log {drv}` has its words, and so has the log of this stage"
    return Failure("builder", one_line(f"the builder of {name_of(drv)} {how}{last}", LONGEST), "", 0, log, drv, lines)


def _last_words(lines: tuple[str, ...]) -> str:
    """``: `` and the first line that says what is wrong, with the very last one; else the last three."""
    told = [line for line in lines if not line.startswith("\u2026")]
    wrong = next((line for line in told if re.search(r"\berror\b|\bfatal\b", line, re.IGNORECASE)), "")
    kept = dict.fromkeys((wrong, told[-1])) if wrong else told[-3:]
    return f": {one_line('; '.join(kept), _LAST_WORDS)}" if kept else ""


def of_system(asked: Asked) -> Failure | None:
    """What is to be built on another machine than this one."""
    found = _SYSTEM.search(asked.message.said)
    if found is None:
        return None
    drv = found["drv"] or found["other"]
    features = (found["features"] or found["more"]).strip("{} ")
    what = f"{found['needed'] or found['system']}{f' with {features}' if features else ''}"
    hint = "give the shell this system, or nix a builder for that one: https://nix.dev/manual/nix/latest/advanced-topics/distributed-builds"
    return Failure("system", f"{name_of(drv)} is to be built on {what}, which this machine is not", hint=hint, drv=drv)


def name_of(drv: str) -> str:
    """What a path of the store is called; anything else as it is."""
    found = _STORE_NAME.search(drv)
    return found["name"] if found else drv
