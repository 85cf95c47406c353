"""Why a registry does not give an image, from what an engine says of it: a sentence, and what to do. Pure.

The words are those of Docker 20 to 28 and of Podman 4 to 5, seen by letting a registry misbehave
(``tests/component/test_bases.py`` keeps them true).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from ci_envs.containers.references import DEFAULT_REGISTRY
from ci_envs.errors import BrokenError, CiEnvsError, LockError
from ci_envs.plain import one_line
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from ci_envs.containers.references import Reference

__all__ = ["Failure", "judge"]

#: ``passing`` may be over in a moment; ``lasting`` is not.
Why = Literal["gone", "login", "limit", "passing", "lasting"]

_SHOWN = 300
_redact = Redactor()

# The first that is found decides: what a registry answers before what a network does.
_WORDS: dict[Why, tuple[str, ...]] = {
    "limit": ("toomanyrequests", "too many requests", r"status(?: from [A-Z]+ request to \S+)?:? 429"),
    "login": (
        "no basic auth",
        "unauthorized",
        "authentication required",
        r"\bdenied\b",
        r"status(?: code)?(?: from registry| from [A-Z]+ request to \S+)?:? 40[13]",
    ),
    "lasting": ("x509", "certificate", "HTTP response to HTTPS client", "tls: (?!handshake timeout)"),
    "gone": (
        "(?:manifest|name|blob) unknown",
        "(?:manifest|repository)(?: .*)? not found",
        "not known to registry",
        r"status(?: code)?(?: from registry| from [A-Z]+ request to \S+)?:? 404",
    ),
    "passing": (
        "connection (?:refused|reset|closed|timed out)",
        "no such host",
        "name resolution",
        "server misbehaving",
        "timeout",
        "timed out",
        "network is unreachable",
        "no route to host",
        "broken pipe",
        r"\bEOF\b",
        r"status(?: code)?(?: from registry| from [A-Z]+ request to \S+)?:? 5\d\d",
    ),
}
_EXPRESSIONS = {why: re.compile("|".join(words), re.IGNORECASE) for why, words in _WORDS.items()}


class Failure(NamedTuple):
    """Why one image was not given."""

    why: Why
    #: What the engine said, on one line and without passwords.
    said: str
    reference: Reference
    #: ``docker`` or ``podman``: whose words are used in advice.
    engine: str

    def error(self) -> CiEnvsError:
        """The error that tells of it: the project's where a name or a login is wrong, else the world's."""
        image, registry = self.reference.familiar, self.reference.registry
        if self.why == "gone":
            return LockError(f"{image} is not in {registry}: {self.said}", hint=_hint_gone(self.reference))
        if self.why == "login":
            hint = f"`{self.engine} login {registry}` on this machine, and look whether the name is right"
            return LockError(f"{image} is not there or needs a login: {registry} says {self.said}", hint=hint)
        if self.why == "limit":
            hint = f"wait, or `{self.engine} login {registry}`: who is logged in may ask more often"
            return BrokenError(f"{registry} was asked too often, for {image}: {self.said}", hint=hint)
        hint = "try again later; where there is no network, images that the engine has already can be built on"
        if self.why == "lasting":
            hint = (
                f"tell the engine which certificate to trust (certs.d/{registry}/ca.crt in its folder of settings), or "
                "that the registry is insecure"
            )
        return BrokenError(f"{registry} could not be asked for {image}: {self.said}", hint=hint)


def judge(said: str, reference: Reference, *, engine: str, status: int = 0) -> Failure:
    """What a failure means; ``status`` is the engine's HTTP status, 0 where there is none."""
    line = one_line(_redact(_last_error(said)), _SHOWN) or "nothing"
    by_status: dict[int, Why] = {401: "login", 403: "login", 404: "gone", 429: "limit"}
    why = next((why for why, words in _EXPRESSIONS.items() if words.search(line)), by_status.get(status, "lasting"))
    return Failure(why, line, reference, engine)


def _last_error(said: str) -> str:
    """Podman tells of each try; the last line that is an error tells of all."""
    lines = [line.removeprefix("Error: ") for line in said.splitlines() if line.startswith("Error: ")]
    return lines[-1] if lines else said


def _hint_gone(reference: Reference) -> str:
    if reference.digest:
        return "a registry forgets digests that no tag names any more: run `ci-envs lock --upgrade`"
    if reference.registry == DEFAULT_REGISTRY:
        return "look up its tags on Docker Hub; a name without a registry is Docker Hub's"
    return f"look up which tags {reference.repository} has there"
