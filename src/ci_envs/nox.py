"""The main job as nox sessions, for anyone's noxfile::

    import ci_envs.nox

    ci_envs.nox.sessions()

gives ``nox -s patterns`` (the whole matrix) and ``nox -s pattern-venv``, ``nox -s pattern-uv`` and so on (the legs of
one pattern) over that noxfile's project. What follows ``--`` is handed to ``ci-envs run``:
``nox -s patterns -- --only '*-py312-*'``; a first word that is no option is the matrix to use instead.

This module imports nox and the standard library alone, so that a noxfile can read it from a checkout in which nothing
is installed yet.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BUILT_PATTERNS", "sessions"]

#: The patterns that can be built. A test compares with ``ci_envs.patterns.registry``, which needs more than nox and
#: is therefore not imported here.
BUILT_PATTERNS = (
    *("venv", "virtualenv", "uv"),
    *("conda", "mamba", "micromamba"),
    *("docker", "podman", "devcontainer"),
    *("nix", "guix"),
)


def sessions(matrix: str = "", *, install: Callable[[nox.Session], None] | None = None) -> None:
    """Registers the sessions.

    ``matrix`` is a file relative to the noxfile; by default ``ci-envs run`` looks for one. The sessions use the
    ``ci-envs`` beside nox, in nox's own environment. Where there is none, ``install`` puts it into a session: each
    session then has an environment of its own.
    """
    _register("patterns", "Lock, build, check and test every leg of the matrix.", matrix, "", install)
    for name in BUILT_PATTERNS:
        _register(f"pattern-{name}", f"Only the legs of pattern {name}.", matrix, name, install)


def run_arguments(matrix: str, pattern: str, posargs: Sequence[str]) -> list[str]:
    """The arguments of ``ci-envs`` in a session; a matrix among ``posargs`` takes the place of the session's own.

    ``ValueError`` where a session that selects one pattern is asked to select otherwise: two ``--only`` would mean
    the legs of either.
    """
    own_matrix = bool(posargs) and not posargs[0].startswith("-")
    if pattern and any(word.split("=")[0] == "--only" for word in posargs):
        raise ValueError(f"this session selects by itself; say: nox -s patterns -- --only '{pattern}-...'")
    only = ["--only", f"{pattern}-*"] if pattern else []
    return ["run", *([matrix] if matrix and not own_matrix else []), *posargs, *only]


def _register(
    name: str, summary: str, matrix: str, pattern: str, install: Callable[[nox.Session], None] | None
) -> None:
    def run(session: nox.Session) -> None:
        try:
            arguments = run_arguments(matrix, pattern, session.posargs)
        except ValueError as error:
            session.error(str(error))
        if install is not None:
            install(session)
        python = sys.executable if install is None else "python"
        # -P: a module of the project at hand must not stand in for one of ours.
        session.run(python, "-P", "-m", "ci_envs", *arguments, external=install is None)

    run.__doc__ = summary
    nox.session(name=name, venv_backend="none" if install is None else None)(run)
