"""What we write ourselves carries no address of an index, no credentials and no path of the machine. Pure.

pip-compile and uv put their command line into the header, pip's ambient index settings into option lines, and an
input's path as it was given into every annotation. All of it differs from machine to machine, and some of it is
secret: it is taken out here, and what cannot be taken out is an error.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ci_envs.errors import LockError
from ci_envs.locks.lines import split
from ci_envs.locks.pylock import parsed_pylock
from ci_envs.locks.reading import Option, shown
from ci_envs.locks.requirements import parse_line
from ci_envs.redact import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["header_for", "scrub_pylock", "scrub_requirements"]

#: Where packages come from is the machine's to say, never the lock's.
ADDRESS_OPTIONS = ("--index-url", "--pypi-url", "--extra-index-url", "--find-links", "--trusted-host", "--no-index")

_ADDRESS_LINE = re.compile(rf"\s*(?:-[if]|(?:{'|'.join(ADDRESS_OPTIONS)})(?=[\s=]|$))")
# What "uv pip compile --emit-index-annotation" says below a pin.
_FROM_INDEX = re.compile(r"\s*# from \S.*$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
# An input in an annotation: "-r requirements.in", up to the next item of the one-line style.
_INPUT = re.compile(r"(?<=-[rc] )([^,]+)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>,]+")
# "name @ file:///folder/x.whl", the same without a name, and a bare absolute path; "-e " before it is kept.
_PLACE = re.compile(
    r"^(?P<edit>-e |--editable[ =])?(?:(?:[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?\s*@\s*)?file:(?://)?)?"
    r"(?P<place>/[^\s;#]+|[A-Za-z]:[\\/][^\s;#]+)"
)
_REMAINS = re.compile(r"(?<![\w:])file:(?=\S)|(?<![\w.:/])/{1,2}[\w.]|(?<!\w)[A-Za-z]:[\\/]|(?<!\w)~[\\/]")


def header_for(leg_id: str, extras: Iterable[str] = ()) -> str:
    """The header of a lock that we made for a leg: how to renew it, and the extras that pins do not show.

    ``extras`` are those of direct requirements, as :func:`ci_envs.locks.insync.direct_extras` gives them.
    """
    asked = ", ".join(sorted(extras))
    renew = f"# Made by ci-envs; renew with: ci-envs lock --only '{leg_id}'\n"
    return renew + (f"# Extras asked for: {asked}\n" if asked else "")


def scrub_requirements(
    text: str, *, header: str, root: str = "", names: Mapping[str, str] | None = None, path: str = ""
) -> str:
    """The lock file's text as it is to be written, with our header, ``\\n`` line ends and nothing of the machine.

    ``root`` is the project's absolute path: paths inside it become relative to it. ``names`` says what other inputs
    are to be called, by their path as the tool was given it. ``path`` is the lock's own, for messages. Raises
    :class:`LockError` where something of the machine would remain, or where the text is no lock file.
    """
    _require_comments(header)
    split(text, path)  # refuses a file that was cut, and characters that readers disagree about
    known = {_slashes(given): name for given, name in (names or {}).items()}
    lines = _without_header(text.removeprefix("\ufeff").splitlines())
    kept = [_plain(line, _slashes(root).rstrip("/"), known).rstrip() for line in _without_addresses(lines)]
    body = "\n".join(kept).strip("\n")
    # A comment that follows our header at once would be taken for a part of it the next time.
    gap = "\n" if body.startswith("#") else ""
    result = header + gap + (f"{body}\n" if body else "")
    _refuse_remains(result, path)
    return result


def scrub_pylock(text: str, *, header: str, path: str = "") -> str:
    """A ``pylock.toml`` as it is to be written: our header, no index, no credentials.

    PEP 751 has every file named by its address, so hosts of files stay; which index they were found in does not.
    Raises :class:`LockError` where a file is named by a path of the machine, or where PEP 751 does not allow the text.
    """
    _require_comments(header)
    parsed_pylock(text, path)
    import tomli_w  # only who writes one needs it

    table = {key: _plain_value(value, path) for key, value in tomllib.loads(text.removeprefix("\ufeff")).items()}
    for package in table["packages"]:
        package.pop("index", None)
    return f"{header}\n{tomli_w.dumps(table)}"


def _plain_value(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _plain_value(inner, path) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain_value(inner, path) for inner in value]
    if not isinstance(value, str):
        return value
    plain = _plain_urls(value)
    if plain.startswith(("file:", "/", "~")) or PureWindowsPath(plain).drive:
        raise _remains(plain, 0, path)
    return plain


def _without_header(lines: list[str]) -> list[str]:
    """The lines after the comment that the file begins with."""
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            return lines[number:]
    return []


def _without_addresses(lines: Iterable[str]) -> Iterator[str]:
    """The lines without options and annotations that say where packages come from."""
    goes_on = dropping = False
    for line in lines:
        # Only a line of its own is dropped: what stands behind a requirement is refused later.
        dropping = dropping if goes_on else _ADDRESS_LINE.match(line) is not None
        goes_on = line.endswith("\\") and not line.lstrip().startswith("#")
        if not dropping and not _FROM_INDEX.match(line):
            yield line


def _plain(line: str, root: str, names: Mapping[str, str]) -> str:
    """One line without credentials, and with the project's paths made relative."""
    comment = _COMMENT.search(line) if "#" in line else None
    code, said = (line[: comment.start()], comment.group()) if comment else (line, "")
    if root:
        code = _PLACE.sub(lambda found: _place(found, root), code)
    said = _INPUT.sub(lambda found: _relative(found.group(1), root, names), _FROM_INDEX.sub("", said))
    return _plain_urls(code + said)


def _plain_urls(text: str) -> str:
    return _URL.sub(lambda found: without_credentials(found.group()), text) if "://" in text else text


def _relative(given: str, root: str, names: Mapping[str, str]) -> str:
    """An input's path as an annotation may have it: by its given name, or relative to the project."""
    slashed = _slashes(given.strip())
    inside = slashed.removeprefix(f"{root}/") if root else slashed
    return names.get(slashed, given if inside == slashed else inside)


def _place(found: re.Match[str], root: str) -> str:
    """``./vendor/x.whl`` for an absolute path inside the project, which pip and uv read relative to where they run.

    A name in front of it goes: PEP 508 has no relative addresses, and a file's own name tells it.
    """
    slashed, edit = _slashes(unquote(found["place"])), found["edit"] or ""
    if slashed == root:
        return f"{edit}."
    return f"{edit}./{slashed.removeprefix(f'{root}/')}" if slashed.startswith(f"{root}/") else found.group()


def _require_comments(header: str) -> None:
    if any(not line.startswith("#") for line in header.splitlines()):
        raise ValueError("a header is made of comments")


def _slashes(path: str) -> str:
    if not path:
        return ""
    return PureWindowsPath(path).as_posix() if "\\" in path else str(PurePosixPath(path))


def _refuse_remains(text: str, path: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# Made by ci-envs"):
            continue
        bare = _URL.sub(lambda found: "file:x" if found.group().startswith("file:") else "", line)
        if _REMAINS.search(bare) or _plain_urls(line) != line:
            raise _remains(line, number, path)
    for logical in split(text, path)[1]:
        parsed = parse_line(logical, path)
        if isinstance(parsed, Option) and parsed.name in ADDRESS_OPTIONS:
            raise _remains(logical.text, logical.line, path)


def _remains(line: str, number: int, path: str) -> LockError:
    return LockError(
        f"would carry something of this machine: {shown(line)!r}",
        hint="keep files that the lock names inside the project, and credentials in netrc or a keyring",
        file=path,
        line=number,
    )
