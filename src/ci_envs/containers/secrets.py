"""What a build may read and no image keeps: BuildKit's secrets (https://docs.docker.com/build/building/secrets/)."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = ["LARGEST", "Secret", "masking", "parse_secret"]

#: What BuildKit hands over at most, in bytes.
LARGEST = 500 * 1024

# A longer file is none that a person typed; its lines would be looked for in each line of a log.
_LARGEST_MASKED = 64 * 1024

# What names a password in a file that has several things in it: a .netrc, an INI file, a TOML file.
_NAMED = re.compile(r"(?:password|passwd|token|secret|key)[\"']?\s*[=: ]\s*[\"']?([^\s\"']+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secret:
    """A text, or a file that is there already. Its content is never shown."""

    id: str
    value: str = field(default="", repr=False)
    file: Path | None = None
    #: Whether its content is to be masked wherever it is said; not that of certificates, which everybody may know.
    private: bool = True


def parse_secret(text: str, root: Path, environ: Mapping[str, str]) -> Secret:
    """``id=token,env=TOKEN`` or ``id=netrc,src=.netrc`` of a configuration, as ``docker build --secret`` has it.

    A relative path is below ``root``. Without either, the variable that has the id's name, else the file.
    Raises :class:`UsageError` where it cannot be read, or what it names is not there.
    """
    told = _fields(text)
    name = told.get("id", "")
    if told.get("type", "env") not in ("env", "file") or not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"{text!r} is no secret", hint="write id=token,env=TOKEN or id=netrc,src=.netrc")
    variable = told.get("env", "")
    written = told.get("src") or told.get("source") or ""
    if not (variable or written):
        variable, written = (name, "") if name in environ else ("", name)
    if variable:
        if variable not in environ:
            raise UsageError(f"the secret {name!r} is to come from ${variable}, which is not set")
        return Secret(name, value=environ[variable])
    file = root / _home(written, environ)
    if not file.is_file():
        raise UsageError(f"the secret {name!r} is to come from {written}, which is no file", file=written)
    if file.stat().st_size > LARGEST:
        raise UsageError(f"the secret {name!r} is larger than 500 KiB, which no builder hands over", file=written)
    return Secret(name, file=file)


def masking(environ: Mapping[str, str], secrets: Iterable[Secret]) -> Callable[[str], str]:
    """Takes the secrets out of a text: those of variables, and each line of those that a build is given."""
    words: set[str] = set()
    for secret in secrets:
        if secret.private:
            text = _content(secret)
            words |= {text, *map(str.strip, text.splitlines()), *_NAMED.findall(text)}
    first = Redactor.from_environment({**environ, **{s.id: s.value for s in secrets if s.private}})
    second = Redactor(words)
    return lambda text: second(first(text))


def _content(secret: Secret) -> str:
    if secret.file is None:
        return secret.value
    if secret.file.stat().st_size > _LARGEST_MASKED:
        return ""
    return secret.file.read_text("utf-8", "replace")


def _fields(text: str) -> dict[str, str]:
    """Comma separated values, as the Docker CLI reads them: a field with a comma in it stands in quotes."""
    rows = list(csv.reader([text])) if "\n" not in text else []
    pairs = [field.partition("=") for field in rows[0]] if rows else []
    known = {"id", "type", "env", "src", "source"}
    if not pairs or any(not equals or key.strip().lower() not in known for key, equals, _ in pairs):
        return {}
    return {key.strip().lower(): value for key, _, value in pairs}


def _home(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    return f"{home}/{path[2:]}" if path.startswith("~/") and home else path
