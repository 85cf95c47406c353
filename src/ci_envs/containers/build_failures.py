"""Reads why a build failed, and whose fault it is: the Dockerfile's, or the world's. Pure.

The sentences are those of BuildKit 0.13 (Docker Engine 26) and of Buildah 1.28 (Podman 4.3), seen by letting each go
wrong; ``tests/cases/build-failures`` keeps them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs import trouble
from ci_envs.capture import Outcome
from ci_envs.containers.build_output import without_our_mounts
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.errors import BrokenError, BuildError, CiEnvsError, UsageError
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_envs.containers.build_output import Transcript

__all__ = ["Failed", "engine_failure", "explained", "failure", "instruction_lines", "may_pass", "read_failure"]

#: The reason of a failure in one message.
_LONGEST = 700
_INSTRUCTION = 160

_EXCERPT = re.compile(r"\S.*:(\d+)")
_RULE = re.compile(r"-{10,}")
_SOLVE = re.compile(r"^ERROR: (?:failed to (?:build|solve): )*(.*)$", re.DOTALL)
_PARSE_LINE = re.compile(r"dockerfile parse error on line (\d+): ")
_EXIT = re.compile(r"(?:exit code: |exit status )(\d+)")
_TRIED = re.compile(r"after connection broken by '(.+?)': /")
_NOTHING_TO_CHOOSE = "Could not find a version that satisfies"
_PODMAN_STEP = re.compile(r'^building at STEP "(.*?)": ', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Failed:
    """What a builder said of its failure."""

    #: ``RUN pip install ...``; empty where it was none of an instruction.
    instruction: str
    #: 1-based; 0 where it was not said.
    line: int
    #: The builder's own sentence.
    reason: str
    #: The last lines that the instruction said.
    lines: tuple[str, ...] = ()
    exit_code: int = 0


def read_failure(transcript: Transcript, line_of: Callable[[str], int] = lambda _instruction: 0) -> Failed:
    """What was said. ``line_of`` finds an instruction of the Dockerfile, for builders that name no line."""
    said = list(transcript.said)
    reason = _reason(said)
    step = transcript.failed
    line = _line(said, reason)
    instruction = step.instruction if step else ""
    if named := _PODMAN_STEP.match(reason):
        instruction = instruction or one_line(named[1], _INSTRUCTION)
        reason = reason[named.end() :]
    if not line and instruction:
        line = line_of(instruction)
    code = _EXIT.search(reason) or _EXIT.search(step.error if step else "")
    if re.match(r"\[?internal\b|exporting|load ", instruction) or instruction.startswith("FROM "):
        instruction = ""
    return Failed(
        instruction=one_line(instruction, _INSTRUCTION),
        line=line,
        reason=_PARSE_LINE.sub("", reason),
        lines=tuple(text for text in (step.lines if step else ()) if text.strip()),
        exit_code=int(code[1]) if code else 0,
    )


def _reason(said: Sequence[str]) -> str:
    """The builder's last sentence, with the lines that belong to it."""
    for at in range(len(said) - 1, -1, -1):
        if said[at].startswith(("ERROR: ", "Error: ")):
            text = " ".join(line.strip() for line in said[at:] if line.strip() and not _RULE.fullmatch(line))
            found = _SOLVE.match(text)
            return found[1] if found else text.removeprefix("Error: ")
    return " ".join(line.strip() for line in said[-3:])


def _line(said: Sequence[str], reason: str) -> int:
    """BuildKit shows the place: ``Dockerfile:4`` above a ruled excerpt, whose lines of interest it marks."""
    if told := _PARSE_LINE.match(reason):
        return int(told[1])
    for at, line in enumerate(said[:-1]):
        if (found := _EXCERPT.fullmatch(line)) and _RULE.fullmatch(said[at + 1]):
            return int(found[1])
    return 0


# --- what it means

_GONE = re.compile(
    r"Cannot connect to the Docker daemon|error reading from server|graceful_stop|code = Unavailable|closing transport"
    r"|transport is closing|connection reset by peer|write (?:unix|tcp) .*broken pipe|unexpected EOF"
    r"|unable to connect to Podman"
    r"|no such file or directory.*\.sock|\.sock: connect: |http2: .*connection|use of closed network connection"
    r"|failed to receive status|error during connect",
    re.IGNORECASE,
)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_LOGIN = re.compile(
    r"pull access denied|insufficient_scope|authorization failed|unauthorized|authentication required|access forbidden"
    r"|requested access to the resource is denied|\b40[13] \(?(?:Unauthorized|Forbidden)|no basic auth credentials"
    r"|denied:",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"no such host|connection refused|i/o timeout|network is unreachable|no route to host|TLS handshake|x509:|\btls: "
    r"|temporary failure in name resolution|server misbehaving|context deadline exceeded|request canceled|: EOF$"
    r"|toomanyrequests|429 Too Many|\b50\d |unexpected status.*5\d\d|server gave HTTP response|connection reset",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r": not found$|manifest unknown|name unknown|repository does not exist|image not known|\b404\b")
_RESOLVES = re.compile(
    r"failed to resolve source metadata for (?P<a>\S+?):? |(?:initializing source|reading manifest \S+ in) "
    r"(?:docker://)?(?P<b>[^\s:]+(?::\d+)?[^\s]*?):? |pulling image|pull access denied for (?P<c>[^\s,]+)"
)
_PLATFORM = re.compile(r"no match for platform|no image found in (?:image index|manifest list) for architecture")
_COPY = re.compile(
    r'(?:failed to calculate checksum of ref \S+: |copier: stat: )"?/?(?P<path>[^"]+?)"?: (?:not found|no such file)'
)
# Buildah reads files in a process of its own; a link that leads out of the context ends it.
_COPIER = re.compile(r'(?:reading|checking on sources under) "(?P<path>[^"]+)": .*copier')
_SECRET = re.compile(r"secret (?P<a>[\w.-]+): not found|no secret with id (?P<b>[\w.-]+) found")
_SENDER = re.compile(r"error from sender: (?:open|lstat|failed to \w+) (?P<path>.+?): (?P<why>[\w ]+)$")
_TARGET = re.compile(
    r"target stage \"?(?P<a>[^\"]+)\"? could not be found|no such stage|target \"?(?P<b>\S+?)\"? not found"
)
_NOT_STARTED = re.compile(r"did not complete successfully: (?!exit code|cannot allocate)(?P<why>.*)", re.DOTALL)
_MEMORY = re.compile(r"cannot allocate memory|ResourceExhausted|out of memory", re.IGNORECASE)
_BUSY = re.compile(r"ca-certificates\.crt.*(?:busy|Read-only)|(?:busy|Read-only).*ca-certificates", re.IGNORECASE)


def explained(failed: Failed, file: str, engine: str, log: str) -> CiEnvsError:
    """The error to end with. ``engine``: ``docker 26.1.5``; ``log``: where the whole log is."""
    for explain in (_of_engine, _of_run, _of_image, _of_files, _of_file):
        if (error := explain(failed, file, engine)) is not None:
            break
    else:
        error = BuildError(one_line(failed.reason, _LONGEST) or "the builder failed and did not say why", file=file)
    error.file, error.line = (file, failed.line) if not isinstance(error, BrokenError) or failed.line else ("", 0)
    error.hint = error.hint or f"the log has all of it: {log}"
    return error


def engine_failure(reason: str, engine: str) -> CiEnvsError:
    """What went wrong where an engine took an image in, or was asked for one."""
    failed = Failed(instruction="", line=0, reason=reason)
    return _of_engine(failed, "", engine) or BrokenError(
        f"{engine} did not take the image: {one_line(reason, _LONGEST)}"
    )


def _of_engine(failed: Failed, _file: str, engine: str) -> CiEnvsError | None:
    """The engine, or the machine."""
    own = failed.reason
    if _DISK.search(own) or (failed.exit_code and any(_DISK.search(line) for line in failed.lines[-20:])):
        where = next((line for line in reversed(failed.lines[-20:]) if _DISK.search(line)), own)
        return BrokenError(
            f"the engine's disk is full: {_end(where)}",
            hint=f"make room: `{engine.partition(' ')[0]} system df` says what takes it",
        )
    if not failed.exit_code and _GONE.search(own) and not _RESOLVES.search(own):
        return BrokenError(f"{engine} went away during the build: {one_line(own, 200)}", hint="its own log says why")
    if started := _NOT_STARTED.search(own):
        return BrokenError(f"{engine} could not run {failed.instruction or 'a step'}: {one_line(started['why'], 300)}")
    if "error running container" in " ".join(failed.lines) and "exec: " not in " ".join(failed.lines):
        why = next(line for line in failed.lines if "error running container" in line)
        return BrokenError(f"{engine} could not run {failed.instruction or 'a step'}: {one_line(why, 300)}")
    return None


def _end(text: str) -> str:
    """The last two clauses of a sentence that wraps others: the file, and what is wrong with it."""
    return one_line(": ".join(text.split(": ")[-2:]), 300)


def _of_run(failed: Failed, _file: str, _engine: str) -> CiEnvsError | None:
    """A command that failed."""
    if not (failed.exit_code or (_MEMORY.search(failed.reason) and failed.instruction)):
        return None
    what = failed.instruction or "a command"
    if failed.exit_code == 137 or not failed.exit_code:
        return BuildError(
            f"{what} was killed (exit code 137), as the kernel does when the memory is used up{_last(failed)}",
            hint="give the engine more memory, or let the step use less: fewer jobs at once",
        )
    hint = ""
    if any(_BUSY.search(line) for line in failed.lines[-40:]):
        hint = (
            "the user's certificates are mounted over that file while a RUN goes on; they are not in a RUN "
            "that has the word ca-certificates in it, be it in a comment"
        )
    return BuildError(f"{what} ended with exit code {failed.exit_code}{_last(failed)}", hint=hint)


def _last(failed: Failed) -> str:
    """``: `` and what it said: the sentence in which a tool gives its reason, else its last lines."""
    if not failed.lines:
        return ""
    outcome = Outcome(argv=("",), returncode=1, stderr="\n".join(failed.lines))
    own, tried = trouble.reason(outcome), _tried(failed)
    more = f"; {tried}" if tried and tried not in own else ""
    return f": {one_line(own + more, _LONGEST)}"


def _tried(failed: Failed) -> str:
    """What pip warned of at each try: its error does not say why there was nothing to choose from."""
    return next((found[1] for line in reversed(failed.lines) if (found := _TRIED.search(line))), "")


def may_pass(transcript: Transcript) -> bool:
    """Whether the same build may go through in a moment: what an instruction asked did not answer."""
    failed = read_failure(transcript)
    if not failed.exit_code:
        return False
    tried = _tried(failed) if any(_NOTHING_TO_CHOOSE in line for line in failed.lines) else ""
    said = (*failed.lines, f"ERROR: {tried}")
    return trouble.is_passing(Outcome(argv=("",), returncode=failed.exit_code, stderr="\n".join(said)))


def _of_image(failed: Failed, _file: str, engine: str) -> CiEnvsError | None:
    """An image that is not there, is not for everybody, or cannot be asked for."""
    found = _RESOLVES.search(failed.reason)
    if found is None and not _PLATFORM.search(failed.reason):
        return None
    name = next((group for group in found.groups() if group), "") if found else ""
    name = name.removeprefix("docker.io/library/").rstrip(":")
    which = f"the image {name}" if name else "an image that it is built on"
    why = one_line(failed.reason.rpartition(f"{name}: ")[2] if name else failed.reason, 300)
    if _PLATFORM.search(failed.reason):
        return BuildError(f"{which} is not there for the platform that is asked for: {why}")
    if _LOGIN.search(failed.reason):
        command = engine.partition(" ")[0]
        return BuildError(
            f"{which} is not there, or needs a login: {why}",
            hint=f"`{command} login {_host(name)}`".replace(" `", "`") + ", or mend its name",
        )
    if _NETWORK.search(failed.reason):
        return BrokenError(f"the registry of {which.removeprefix('the image ')} did not answer as it should: {why}")
    if _NOT_FOUND.search(failed.reason):
        return BuildError(f"{which} is not there", hint="mend its name or its tag")
    return BuildError(f"{which} could not be had: {why}")


def _host(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash and (":" in first or "." in first or first == "localhost") else ""


def _of_files(failed: Failed, _file: str, _engine: str) -> CiEnvsError | None:
    """Files of the context, and secrets."""
    if found := _COPY.search(failed.reason):
        return BuildError(
            f"{failed.instruction or 'COPY'}: there is no {found['path']} in the build context",
            hint="the context is the folder of docker.context, less what .dockerignore leaves out",
        )
    if found := _COPIER.search(failed.reason):
        name = found["path"].rpartition("/")[2]
        return BuildError(
            f"{failed.instruction or 'COPY'}: {name} cannot be read from the context: it may be a link that leads out"
        )
    if found := _SECRET.search(failed.reason):
        name = found["a"] or found["b"]
        return BuildError(
            f"{failed.instruction or 'a step'} needs the secret {name!r}, which it is not given",
            hint=f"docker: {{secrets: ['id={name},env=...']}} in ci-envs.yml",
        )
    if found := _SENDER.search(failed.reason):
        name = found["path"].rpartition("/")[2]
        return BuildError(
            f"the build context holds a file that cannot be read: {name}: {found['why']}",
            hint=".dockerignore keeps files out of the context",
        )
    if found := _TARGET.search(failed.reason):
        return BuildError(f"there is no stage {(found['a'] or found['b'] or '').strip()!r} to build")
    return None


def _of_file(failed: Failed, _file: str, _engine: str) -> CiEnvsError | None:
    """The Dockerfile's own words, which the builder judges best."""
    reason = one_line(
        re.sub(r"^(?:failed to read dockerfile|parsing main Dockerfile: \S+): ", "", failed.reason), _LONGEST
    )
    reason = re.sub(r'^no contents in "\S+"', "the Dockerfile is empty", reason)
    reason = re.sub(r" &imagebuilder\.Step\{.*", "", reason)
    return BuildError(reason) if reason else None


def instruction_lines(text: str, file: str) -> Callable[[str], int]:
    """Finds an instruction's line by its words, however they are laid out."""
    try:
        instructions = read_dockerfile(text, file=file).instructions
    except UsageError:
        return lambda _instruction: 0
    known: dict[str, int] = {}
    for one in reversed(instructions):
        known[_bare(without_our_mounts(one.line))] = one.first

    def find(instruction: str) -> int:
        wanted = _bare(instruction.removesuffix("..."))
        return next((line for words, line in known.items() if words == wanted or words.startswith(wanted)), 0)

    return find


def _bare(text: str) -> str:
    return "".join(text.split()).lower()


def failure(outcome: Outcome, transcript: Transcript, *, file: str, text: str, engine: str, log: str) -> CiEnvsError:
    """Why a builder failed; ``text`` is the Dockerfile's, ``file`` the user's name of it."""
    if outcome.timed_out:
        return BuildError(f"the build was ended after {outcome.seconds:.0f} s", file=file, hint=f"the log: {log}")
    return explained(read_failure(transcript, instruction_lines(text, file)), file, engine, log)
