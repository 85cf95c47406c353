"""What the lock files of nix's world have in common: JSON, hashes in four spellings, addresses, versions. Pure."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ci_envs.errors import LockError
from ci_envs.locks.reading import shown
from ci_envs.redact import without_credentials

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "PinReader",
    "from_nix32",
    "is_revision",
    "nix32",
    "nix_sha256",
    "public_address",
    "read_json",
    "text_of",
    "version_of",
]

#: A flake with a thousand inputs has a lock of half a megabyte.
MAX_CHARACTERS = 16 * 1024 * 1024

_HEX = re.compile(r"[0-9a-fA-F]{64}")
# nix's own base 32, without e, o, t and u (https://nix.dev/manual/nix/latest/command-ref/nix-hash).
_NIX32_LETTERS = "0123456789abcdfghijklmnpqrsvwxyz"
_NIX32 = re.compile(rf"[{_NIX32_LETTERS}]{{52}}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")

# A revision of git (SHA-1, SHA-256) or of Mercurial, whole: what is abbreviated may mean another tomorrow.
_REVISION = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7}|={7})(?: .*)?\r?$", re.MULTILINE)
# Parameters of an address that let somebody in: GitLab's archives are fetched with `private_token`.
_SECRET_PARAMETER = re.compile(r"(?:token|secret|password|passwd|signature|api_?key|credentials?)$", re.IGNORECASE)

_ANEW = "restore it, or remove it and make it anew"


def nix_sha256(text: str) -> str:
    """``sha256:<hex>`` of a SHA-256 as nix or its tools spell it; empty where it is another hash, or none.

    ``sha256-<base64>`` (SRI), ``sha256:<any>``, or bare: base 64, 64 hexadecimal digits, 52 of nix's base 32.
    """
    bare = text.strip()
    for prefix in ("sha256-", "sha256:"):
        bare = bare.removeprefix(prefix)
    if _HEX.fullmatch(bare):
        return f"sha256:{bare.lower()}"
    try:
        if _BASE64.fullmatch(bare):
            return f"sha256:{base64.b64decode(bare, validate=True).hex()}"
        return f"sha256:{from_nix32(bare).hex()}" if _NIX32.fullmatch(bare) else ""
    except ValueError:
        return ""


def nix32(data: bytes) -> str:
    """Bytes in nix's base 32: letters of 5 bits, the last one the lowest.

    https://github.com/NixOS/nix, ``src/libutil/base-nix-32.cc``
    """
    number, places = int.from_bytes(data, "little"), -(-len(data) * 8 // 5)
    return "".join(_NIX32_LETTERS[number >> 5 * place & 31] for place in reversed(range(places)))


def from_nix32(text: str) -> bytes:
    """The bytes again. :class:`ValueError` where a letter is none of it, or bits are left over, as nix has it."""
    number, size = 0, len(text) * 5 // 8
    for letter in text:
        number = number << 5 | _NIX32_LETTERS.index(letter)
    if number >> 8 * size:
        raise ValueError("bits are left over")
    return number.to_bytes(size, "little")


def is_revision(text: str) -> bool:
    """Whether it names one commit, whatever happens to branches and tags."""
    return _REVISION.fullmatch(text) is not None


def version_of(revision: str, seconds: int, digest: str) -> str:
    """What a pin is called by: the revision, else the day of its files in UTC, else how its hash begins.

    ``seconds`` since 1970; ``digest`` is ``sha256:<hex>``.
    """
    if revision:
        return revision
    if seconds > 0:
        try:
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
        except (ValueError, OSError, OverflowError):
            return digest.removeprefix("sha256:")[:12]
    return digest.removeprefix("sha256:")[:12]


def public_address(address: str) -> str:
    """The address without user information, and without parameters that are named like a secret."""
    bare = without_credentials(address)
    try:
        parts = urlsplit(bare)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return shown(bare)
    kept = [(name, value) for name, value in pairs if not _SECRET_PARAMETER.search(name)]
    return bare if len(kept) == len(pairs) else urlunsplit(parts._replace(query=urlencode(kept)))


def text_of(table: dict[str, Any], key: str) -> str:
    """A text of a table; empty where it is not there, or is none."""
    value = table.get(key)
    return value if isinstance(value, str) else ""


class PinReader:
    """One JSON file that is read, with the errors that name it."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self._text = text
        self.table = read_json(text, path)

    def line(self, *keys: str) -> int:
        """The line where these keys begin a table, one within the other; 0 where that cannot be told."""
        at = 0
        for key in keys:
            found = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:\s*\{").search(self._text, at)
            if found is None:
                return 0
            at = found.start()
        return self._text.count("\n", 0, at) + 1

    def error(self, message: str, *keys: str, hint: str = _ANEW) -> LockError:
        """The error, at the line of these keys."""
        return LockError(message, file=self.path, line=self.line(*keys) if keys else 0, hint=hint)


def read_json(text: str, path: str) -> dict[str, Any]:
    """The table that the file is. :class:`LockError` with its line where it is none, or holds a key twice."""
    if len(text) > MAX_CHARACTERS:
        raise LockError(f"has {len(text)} characters; {MAX_CHARACTERS} are the most that is read", file=path)
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise LockError(
            "holds the marks of a merge that was not ended", file=path, line=line, hint="take one side of the merge"
        )
    try:
        data = json.loads(text, object_pairs_hook=_table, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise LockError(f"is not JSON: {error.msg}", file=path, line=error.lineno, hint=_ANEW) from error
    except RecursionError as error:
        raise LockError("is nested too deeply", file=path, hint=_ANEW) from error
    except ValueError as error:  # of the hooks, and of a number with too many digits
        raise LockError(f"is not read: {shown(str(error))}", file=path, hint=_ANEW) from error
    if not isinstance(data, dict):
        raise LockError("is not a table", file=path, hint=_ANEW)
    return data


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
        raise ValueError(f"the key {twice!r} stands twice in one table")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")
