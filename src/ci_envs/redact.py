"""Passwords never reach a lock, a log, a record or an image layer: this masks them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MASK", "Redactor", "is_secret_name", "without_credentials"]

MASK = "***"

# "//user:secret@host" and "//token@host". Over-masking (an e-mail address after "//") is the safe side.
# Up to the last "@": people forget to write one in a password as "%40".
_USERINFO = re.compile(r"(?<=//)[^\s/'\"<>]+@")

# A variable whose name ends like this holds a secret, whatever its value looks like.
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|API_?KEY|CREDENTIALS?)$", re.IGNORECASE)

# Shorter values would mask half of every log ("1", "true").
_MIN_SECRET = 6


class Redactor:
    """Masks the user information of every URL, and every secret value it was told of."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        kept = {form for secret in secrets for form in (secret, unquote(secret)) if len(form) >= _MIN_SECRET}
        # Longest first, so that a secret which contains another is masked whole.
        ordered = sorted(kept, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Redactor:
        """Knows the values of variables named like secrets, and the passwords inside URLs."""
        return cls(_secrets_in(environ))

    def __call__(self, text: str) -> str:
        """The text with every secret replaced by ``***``."""
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        return _USERINFO.sub(f"{MASK}@", text) if "@" in text else text


def _secrets_in(environ: Mapping[str, str]) -> Iterable[str]:
    for name, value in environ.items():
        if is_secret_name(name):
            yield value
        for word in value.split() if "://" in value else ():
            try:
                parts = urlsplit(word)
            except ValueError:
                continue
            if parts.password:
                yield parts.password
            elif parts.username and "@" in parts.netloc:
                yield parts.username


def is_secret_name(name: str) -> bool:
    """Whether a variable is called as those are that hold secrets: ``API_TOKEN``."""
    return _SECRET_NAME.search(name) is not None


def without_credentials(url: str) -> str:
    """The URL without user information; the ``git@`` of an ssh address is no secret and stays."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if "@" not in parts.netloc or (parts.scheme.endswith("ssh") and parts.password is None):
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
