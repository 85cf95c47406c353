"""Platform selectors of intent files: ``- pywin32  # [win]`` and ``- sel(win): pywin32``. Pure.

The first form is conda-build's, as conda-lock reads it; the second is mamba's; both are optional parts of CEP 24
(https://conda.org/learn/ceps/cep-0024/). conda itself takes the first for a comment. Unlike conda-lock, which knows
single words only, conda-build's ``and``, ``or``, ``not`` and parentheses mean here what they mean there.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import yaml

from ci_envs.model.conda import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KNOWN_WORDS", "comment_selectors", "platforms_of"]

_ALL = frozenset(PLATFORMS)
_LINUX = frozenset(("linux-64", "linux-aarch64"))
_OSX = frozenset(("osx-64", "osx-arm64"))
_X86_64 = frozenset(("linux-64", "osx-64", "win-64"))

# https://docs.conda.io/projects/conda-build/en/stable/resources/define-metadata.html#preprocessing-selectors;
# ``osx64`` is conda-lock's. Some words mean only platforms that no lock is made for here.
_WORDS: dict[str, frozenset[str]] = {
    "linux": _LINUX,
    "osx": _OSX,
    "unix": _LINUX | _OSX,
    "win": frozenset(("win-64",)),
    "linux64": frozenset(("linux-64",)),
    "osx64": frozenset(("osx-64",)),
    "win64": frozenset(("win-64",)),
    "x86": _X86_64,
    "x86_64": _X86_64,
    "arm64": frozenset(("osx-arm64",)),
    "aarch64": frozenset(("linux-aarch64",)),
    **dict.fromkeys(("linux32", "win32", "arm", "armv6l", "armv7l", "ppc64", "ppc64le"), frozenset()),
    **dict.fromkeys(("riscv64", "s390x", "emscripten", "freebsd", "wasi", "wasm32", "zos"), frozenset()),
}

KNOWN_WORDS = tuple(_WORDS)

# What a selector may be made of. Whatever else there is never reaches Python's parser, which warns of odd numbers.
_TOKEN = re.compile(r"[A-Za-z_]\w*|[()]|[=!]=|'[\w-]*'|\"[\w-]*\"|\s+", re.ASCII)
_LONGEST = 200

# conda-lock's: what is in the last brackets of a comment, with no parenthesis behind them.
_IN_COMMENT = re.compile(r"#.*\[([^\[\]]+)\][^()]*")

# The line breaks that YAML's parsers count.
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def platforms_of(expression: str) -> tuple[str, ...] | None:
    """The platforms for which a selector holds, in the order of ``PLATFORMS``; ``None`` where it is not understood.

    Understood are conda-build's words for systems and processors, a platform's own name (``osx-arm64``),
    ``target_platform == "linux-64"``, ``and``, ``or``, ``not`` and parentheses. Never raises.
    """
    text = expression.strip()
    if text in _ALL:
        return (text,)
    if len(text) > _LONGEST or _TOKEN.sub("", text):
        return None
    try:
        found = _meaning(ast.parse(text, mode="eval").body)
    except (LookupError, SyntaxError):
        return None
    return tuple(platform for platform in PLATFORMS if platform in found)


def comment_selectors(text: str) -> dict[int, str]:
    """1-based line of a value -> the selector in the comment behind it. The text must be YAML that can be read.

    YAML's own scanner says where comments are: brackets behind a ``#`` in an address or in quotes are no selector.
    """
    if "#" not in text or "[" not in text:
        return {}
    tokens = list(yaml.scan(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader))
    lines = _BREAK.split(text)
    found: dict[int, str] = {}
    for number, (column, begins) in _ends(tokens).items():
        comment = lines[number][column:].strip() if number < len(lines) else ""
        match = _IN_COMMENT.fullmatch(comment)
        if match and column:
            found[begins + 1] = match[1].strip()
    return found


def _ends(tokens: Sequence[yaml.Token]) -> dict[int, tuple[int, int]]:
    """0-based line -> the column where its last token ends, and the line where that token begins."""
    found: dict[int, tuple[int, int]] = {}
    for token in tokens:
        begin, end = token.start_mark, token.end_mark
        if end.column >= found.get(end.line, (0, 0))[0]:
            found[end.line] = (end.column, begin.line)
    return found


def _meaning(node: ast.expr) -> frozenset[str]:
    match node:
        case ast.Name(id=word):
            return _WORDS[word]
        case ast.Constant(value=bool(value)):
            return _ALL if value else frozenset()
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _ALL - _meaning(operand)
        case ast.BoolOp(op=ast.And(), values=values):
            return frozenset.intersection(*map(_meaning, values))
        case ast.BoolOp(op=ast.Or(), values=values):
            return frozenset.union(*map(_meaning, values))
        case ast.Compare(left=ast.Name(id="target_platform"), ops=[op], comparators=[ast.Constant(value=str(name))]):
            return _compared(op, frozenset((name,)) & _ALL)
        case _:
            raise LookupError


def _compared(op: ast.cmpop, named: frozenset[str]) -> frozenset[str]:
    match op:
        case ast.Eq():
            return named
        case ast.NotEq():
            return _ALL - named
        case _:
            raise LookupError
