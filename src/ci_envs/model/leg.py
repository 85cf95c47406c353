"""A leg: one buildable cell of a matrix, and the word that names it everywhere."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Literal

import msgspec

__all__ = ["CONTAINED", "STORED", "Leg", "Resolution", "leg_id", "make_leg", "python_tag"]

Resolution = Literal["highest", "lowest", "lowest-direct"]

# What a segment may hold: letters, digits, "_" and "." are safe in a file name on every OS, in an OCI tag
# (https://github.com/opencontainers/distribution-spec, "pulling manifests"), in an artifact's name and in a glob.
_UNSAFE = re.compile(r"[^a-z0-9_.]+")

#: OCI tags end at 128 characters; the id leaves room for a prefix and an architecture.
MAX_ID_LENGTH = 100


#: The patterns whose environments are containers: these are Linux's, whatever machine runs them. A test compares with
#: the registry of patterns, which costs more to import than a plan should.
CONTAINED = frozenset(("docker", "podman", "devcontainer"))

#: The patterns whose files lie in a store, and not in a prefix.
STORED = frozenset(("nix", "guix"))


class Leg(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One environment to build: what, for which Python, where, for which of the project's groups.

    ``id`` is made by :func:`leg_id` and nowhere else; it names the leg's folder, logs, record, artifact and tag.
    """

    id: str
    pattern: str
    #: ``3.12``, ``3.13t`` (free-threaded) or ``pypy3.10``: always text, since 3.10 read as a number is 3.1.
    python: str
    #: ``linux``, ``macos`` or ``windows``.
    os: str
    #: ``x86_64`` or ``aarch64``.
    arch: str
    accelerator: str = "cpu"
    #: The project's folder relative to the root, with forward slashes; ``.`` is the root itself.
    project: str = "."
    #: Dependency groups asked for by name; none means "what the project's tests need".
    groups: tuple[str, ...] = ()
    resolution: Resolution = "highest"
    #: The matrix author's own axes; checks and tests see them as ``CI_ENVS_VAR_<NAME>``.
    variables: dict[str, str] = {}

    @property
    def python_tag(self) -> str:
        """``py312`` for 3.12."""
        return python_tag(self.python)

    @property
    def platform(self) -> str:
        """``linux-x86_64``: what a lock made for this leg is bound to, beside its Python."""
        return f"{self.os}-{self.arch}"


def python_tag(version: str) -> str:
    """``py312`` for ``3.12``, ``py313t`` for ``3.13t``, ``pypy310`` for ``pypy3.10``."""
    digits = version.replace(".", "")
    return digits if digits.startswith("pypy") else f"py{digits}"


def leg_id(
    *,
    pattern: str,
    python: str,
    os: str,
    arch: str,
    accelerator: str = "cpu",
    project: str = ".",
    groups: tuple[str, ...] = (),
    resolution: str = "highest",
    variables: dict[str, str] | None = None,
) -> str:
    """The word for a leg: ``pattern-python-os-arch[-accelerator][-groups][-resolution][-name_value...][-project]``.

    Values that are the default are left out, ``-`` only ever separates segments, and the whole is lower case, so
    ``uv-*`` and ``*-py312-*`` mean what they look like. Within a segment ``-`` is written ``_`` and ``/`` is ``.``;
    one that had to be changed further carries eight hexadecimal digits of what it stood for; a word past 100
    characters is cut and ends the same way. Legs that come to one word (``my-app``, ``my_app``) the plan refuses.
    """
    segments = [pattern, python_tag(python), os, arch]
    if accelerator != "cpu":
        segments.append(accelerator)
    if groups:
        segments.append(".".join(groups))
    if resolution != "highest":
        segments.append(resolution)
    segments.extend(f"{name}_{value}" for name, value in (variables or {}).items())
    if project != ".":
        segments.append(project.replace("/", "."))
    word = "-".join(_segment(segment) for segment in segments)
    if len(word) <= MAX_ID_LENGTH:
        return word
    return f"{word[: MAX_ID_LENGTH - 9].rstrip('-._')}-{_short_hash(word)}"


def make_leg(
    *,
    pattern: str,
    python: str,
    os: str,
    arch: str,
    accelerator: str = "cpu",
    project: str = ".",
    groups: tuple[str, ...] = (),
    resolution: Resolution = "highest",
    variables: dict[str, str] | None = None,
) -> Leg:
    """A leg with its id."""
    named = variables or {}
    return Leg(
        id=leg_id(
            pattern=pattern,
            python=python,
            os=os,
            arch=arch,
            accelerator=accelerator,
            project=project,
            groups=groups,
            resolution=resolution,
            variables=named,
        ),
        pattern=pattern,
        python=python,
        os=os,
        arch=arch,
        accelerator=accelerator,
        project=project,
        groups=groups,
        resolution=resolution,
        variables=named,
    )


@lru_cache(maxsize=4096)  # the legs of a large matrix are made of few words
def _segment(text: str) -> str:
    lowered = text.lower().replace("-", "_")
    safe = _UNSAFE.sub("_", lowered)
    fits = safe == lowered and safe.strip("._") and not safe.endswith(".")  # no name on Windows ends in a dot
    return safe if fits else f"{safe.strip('._')}_{_short_hash(text)}".lstrip("_")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
