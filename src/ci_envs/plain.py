"""Makes text from outside safe to show: no terminal escape, no invisible character, no workflow command. Pure."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["one_line", "plain", "without_commands"]

# ECMA-48: CSI sequences, the string sequences (OSC, DCS, SOS, PM, APC) up to their terminator, and two-byte escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)

# Marks that show nothing but are no format characters by their category. Whoever compares by culture, as .NET does,
# does not see them either: "#<mark>#[" would be a command again.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

# actions/runner, src/Runner.Common/ActionCommand.cs: a command of the second kind begins a line, white space before
# it is allowed; one of the first kind stands anywhere in a line. A combining mark between the two colons is no help.
_COMMAND = re.compile(r"^([^\w\n!-~]*):(?=[^\w\s!-~]*:)", re.MULTILINE)
_OLD_COMMAND = "##["

#: Keeps a line a line; everything else of these categories moves the cursor, reorders text or cannot be encoded.
_KEPT = frozenset("\n\t")
_UNSEEN = frozenset(("Cc", "Cf", "Cs"))


def plain(text: str) -> str:
    """The text without escapes, control and invisible characters; line ends are ``\\n``, tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _UNSEEN)
    # Python's and .NET's idea of a line differ over these; a line for a reader is a line for all.
    return _IGNORABLE.sub("", text).replace("\u2028", "\n").replace("\u2029", "\n")


def without_commands(text: str) -> str:
    """The text with nothing in it that GitHub's runner takes for a workflow command; expects :func:`plain` text."""
    if ":" in text:
        text = _COMMAND.sub(r"\1: ", text)
    while _OLD_COMMAND in text:
        text = text.replace(_OLD_COMMAND, "## [")
    return text


def one_line(text: str, limit: int = 0) -> str:
    """The text as one plain line, runs of white space made one blank; past ``limit`` characters (0: none) it is cut."""
    line = " ".join(plain(text).split())
    return line if not limit or len(line) <= limit else f"{line[: limit - 3].rstrip()}..."
