"""Values that do harm where an input reaches a shell, an expression, a command file or a program's flags."""

from __future__ import annotations

__all__ = ["HOSTILE"]

HOSTILE = (
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    '"; touch pwned; "',
    "a\ntouch pwned",
    "a\r\nGITHUB_ENV",
    "${{ github.token }}",
    "--help",
    "-rf",
    "--",
    "x<<EOF\npwned=1\nEOF",
    "../../pwned",
)
