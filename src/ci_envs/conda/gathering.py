"""What one intent file says, gathered while it is read: each value is judged, stripped of secrets, and kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.conda.credentials import shown_address, shown_requirement
from ci_envs.conda.engine import require_rattler
from ci_envs.conda.selectors import KNOWN_WORDS, platforms_of
from ci_envs.errors import UsageError
from ci_envs.model.conda import PLATFORMS, CondaIntent, MatchLine, PipLine
from ci_envs.model.record import Finding
from ci_envs.nearest import nearest
from ci_envs.plain import one_line
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.model.record import Severity

__all__ = ["Gathering", "requirement_name"]

#: Nobody writes a longer spec or requirement; parsers get no chance to take long over one.
_LONGEST = 2000

# Platforms of conda's for which no lock is made here: no slip of the pen.
_OTHER_PLATFORMS = frozenset(
    (
        *("noarch", "linux-32", "linux-armv6l", "linux-armv7l", "linux-ppc64le", "linux-riscv64", "linux-s390x"),
        *("win-32", "win-arm64", "emscripten-wasm32", "wasi-wasm32", "freebsd-64"),
    )
)

_COMMENT = re.compile(r"(?:^|\s)#.*")
_OPTION_BEHIND = re.compile(r"\s--?\w")
_PATH_OR_ADDRESS = re.compile(r"[./~\\]|[A-Za-z][\w+.-]*:|.*[/\\]|.*\.(?:whl|zip|tar\.gz|tar\.bz2)$")

# rattler takes "-r" for a name.
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")

# What a build string cannot hold: the second of two bounds with no comma between them, a marker, a third word.
_NO_BUILD = re.compile(r"[<>;\s]")
_FOR_PIP = re.compile(r"-|git\+|[^\[]*;| *\S+ @ |[\w.-]+\[[\w, -]*\]")

_PIP_HINT = "what pip is to install stands in a list below '- pip:'"


class Gathering:
    """One intent file on its way to a :class:`CondaIntent`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.name = ""
        self.category = "main"
        self.nodefaults = False
        self.variables: dict[str, str] = {}
        #: What is shown -> what is written, where a secret was left out. It goes to whoever fetches, and nowhere else.
        self.written: dict[str, str] = {}
        self._channels: dict[str, None] = {}
        self._specs: dict[tuple[str, tuple[str, ...], str], MatchLine] = {}
        self._pip: list[PipLine] = []
        self._platforms: dict[str, None] = {}
        self._findings: dict[Finding, None] = {}

    def intent(self) -> CondaIntent:
        """All that was gathered."""
        return CondaIntent(
            files=(self.file,),
            name=self.name,
            channels=tuple(self._channels),
            nodefaults=self.nodefaults,
            specs=tuple(self._specs.values()),
            pip=tuple(self._pip),
            variables=self.variables,
            platforms=tuple(self._platforms),
            findings=tuple(self._findings),
        )

    def error(self, message: str, line: int, hint: str = "") -> UsageError:
        """An error about a line, to be raised."""
        return UsageError(message, file=self.file, line=line, hint=hint)

    def find(self, code: str, severity: Severity, title: str, message: str, line: int) -> None:
        """Notes a finding, once."""
        finding = Finding(code=code, severity=severity, title=title, message=message, file=self.file, line=line)
        self._findings[finding] = None

    def channel(self, text: str, line: int) -> None:
        """A channel by its name, its address or its path; the first is the most wanted."""
        text = self.sayable(text, line)
        if text == "nodefaults":
            self.nodefaults = True
        else:
            self._channels[self._shown(text, shown_address(text), line)] = None

    def platform(self, text: str, line: int) -> None:
        """A platform that the file says it is for."""
        if text in PLATFORMS:
            self._platforms[text] = None
            return
        near = "" if text in _OTHER_PLATFORMS else nearest(text, PLATFORMS)
        message = f"no lock is made for the platform {one_line(text, 40)!r}; it is left out{near}"
        self.find("LOCK012", "warning", "platform not known", message, line)

    def selected(self, expression: str, line: int, outer: Sequence[str]) -> tuple[str, ...]:
        """Those of some platforms for which a selector holds; all of them, with a finding, where it is not known."""
        chosen = platforms_of(expression)
        if chosen is None:
            shown = one_line(expression, 60)
            message = f"the selector [{shown}] is not known, so its line is for all platforms"
            self.find("LOCK012", "warning", "selector not known", message + nearest(shown, KNOWN_WORDS), line)
            return tuple(outer)
        return tuple(platform for platform in outer if platform in chosen)

    def spec(self, text: str, line: int, platforms: Sequence[str] = PLATFORMS, category: str = "") -> None:
        """A match spec for some platforms, kept once; one for none is judged and not kept."""
        written = _COMMENT.sub("", self.sayable(text, line)).strip()
        shown = self._shown(written, shown_address(written), line)
        kept = MatchLine(
            text=shown,
            name=self._judged(shown, line),
            file=self.file,
            line=line,
            platforms=_narrowed(platforms),
            category=category or self.category,
        )
        if platforms:
            self._specs.setdefault((kept.text, kept.platforms, kept.category), kept)

    def requirement(self, text: str, line: int, platforms: Sequence[str] = PLATFORMS, category: str = "") -> None:
        """What stands below ``pip:``: one line, or several of a block."""
        for part in self.sayable(text, line, lines=True).splitlines():
            written = _COMMENT.sub("", part).strip()
            if not written:
                continue
            shown = self._shown(written, shown_requirement(written), line)
            self._check_requirement(shown, line)
            if platforms:
                self._pip.append(
                    PipLine(
                        text=shown,
                        file=self.file,
                        line=line,
                        platforms=_narrowed(platforms),
                        category=category or self.category,
                    )
                )

    def repositories(self, addresses: Sequence[tuple[str, int]], *, with_pypi: bool, line: int) -> None:
        """conda-lock's ``pip-repositories`` in pip's words: beside PyPI, or in its place."""
        if not with_pypi and not addresses:
            self.requirement("--no-index", line)
        for number, (address, where) in enumerate(addresses):
            option = "--extra-index-url" if with_pypi or number else "--index-url"
            self.requirement(f"{option} {address}", where)

    def sayable(self, text: str, line: int, *, lines: bool = False) -> str:
        """The text without blanks around it; an error where it is empty, or holds what nobody could have meant."""
        text = text.strip()
        if not text:
            raise self.error("an empty text stands here", line)
        for part in text.splitlines() if lines else [text]:
            if len(part) > _LONGEST:
                raise self.error(f"a text of {len(part)} characters stands here; {_LONGEST} are the most", line)
            if not part.replace("\t", " ").isprintable():
                raise self.error(f"{one_line(Redactor()(part), 60)!r} holds a character that cannot be shown", line)
        return text

    def _shown(self, written: str, shown: str, line: int) -> str:
        if shown != written:
            self.written.setdefault(shown, written)
            message = f"a password or token stands in the address {shown!r}; write a variable ($TOKEN) in its place"
            self.find("LOCK013", "warning", "credentials in a file", message, line)
        return shown

    def _judged(self, text: str, line: int) -> str:
        """The name in a match spec, in lower case; an error where it is none, or means what no person meant."""
        require_rattler()
        from rattler import MatchSpec
        from rattler.exceptions import InvalidMatchSpecError

        shown = one_line(text, 80)
        hint = _PIP_HINT if _FOR_PIP.match(text) else ""
        try:
            spec = MatchSpec(text, strict=False)
        except InvalidMatchSpecError as error:
            reason = re.sub(r"^invalid package name '.*?': ", "", str(error).split("\n")[0])
            raise self.error(f"{shown!r} is not a match spec: {one_line(reason, 160)}", line, hint) from error
        name, build = spec.name.normalized, spec.build or ""
        if not _NAME.fullmatch(name):
            raise self.error(f"{shown!r} is not a match spec: {name!r} is no package's name", line, hint)
        if _NO_BUILD.search(build) and not build.startswith("^"):
            bounds = "" if hint or not re.match("[<>]", build) else "put a comma between two bounds: 'numpy >=1.26,<3'"
            raise self.error(f"{shown!r} is not a match spec: {build!r} is no build string", line, hint or bounds)
        return name

    def _check_requirement(self, text: str, line: int) -> None:
        if text.startswith("-") or requirement_name(text) or _PATH_OR_ADDRESS.match(text):
            return
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            reason = one_line(str(error).split("\n")[0], 160)
            hint = "pip wants two equals signs" if re.match(r"[\w.-]+\s*=[^=]", text) else ""
            raise self.error(f"{one_line(text, 80)!r} is not a requirement: {reason}", line, hint) from error


def requirement_name(text: str) -> str:
    """The normalised name in a line below ``pip:``; empty for options, paths and addresses without one."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        return canonicalize_name(Requirement(_OPTION_BEHIND.split(text, maxsplit=1)[0]).name)
    except (InvalidRequirement, RecursionError):
        return ""


def _narrowed(platforms: Sequence[str]) -> tuple[str, ...]:
    """As the model says it: empty for all."""
    return () if len(platforms) == len(PLATFORMS) else tuple(platforms)
