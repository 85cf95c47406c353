"""``setup.cfg`` and ``tox.ini``: read without substitution, as data."""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from ci_envs.project import Project

__all__ = ["lines_of", "parse_ini", "read_ini"]


def read_ini(project: Project, file: str) -> configparser.RawConfigParser:
    """The file's sections; none where there is no such file. :class:`UsageError` where it is no INI file."""
    return parse_ini(project.text(file) or "", file)


def parse_ini(text: str, file: str) -> configparser.RawConfigParser:
    """The sections of a text that came from ``file``."""
    # A section or key that is there twice is the user's tool's business: the last one counts, as in most of them.
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise UsageError("has a line before its first [section]", file=file, line=error.lineno) from error
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else 0
        raise UsageError("is not a valid INI file", file=file, line=line) from error
    except configparser.Error as error:
        raise UsageError(f"is not a valid INI file: {error.message}", file=file) from error
    return parser


def lines_of(parser: configparser.RawConfigParser, section: str, key: str) -> tuple[str, ...]:
    """The lines of a value, without blank ones and comments; none where it is not there."""
    value = parser.get(section, key, fallback="")
    stripped = (line.strip() for line in value.splitlines())
    return tuple(line for line in stripped if line and not line.startswith("#"))
