"""Removes what this program made; a folder that it cannot tell for its own is left alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ci_envs import cache
from ci_envs.errors import UsageError
from ci_envs.layout import Layout, remove_tree
from ci_envs.record_files import is_leg_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["clean"]

#: Who cleans wants to be told of a run that goes on, not to wait for its end.
_WAIT_SECONDS = 2.0


def clean(root: Path, legs: Sequence[str], *, also_cache: bool, environ: Mapping[str, str]) -> list[str]:
    """Removes, and answers with the paths that were there.

    :class:`BrokenError` where another run is at work on what is to go.
    """
    layout = Layout.at(root, environ)
    paths = [path for leg in legs for path in _of_leg(layout, leg)] if legs else [layout.state]
    if not legs and layout.state.exists() and not _is_ours(layout.state):
        raise UsageError(f"{layout.state} was not made by ci-envs", hint="remove it yourself, if it is to go")
    if also_cache:
        paths.append(cache.cache_root(environ))
    there = [path for path in paths if path.exists() or path.is_symlink()]
    on_engines: list[str] = []
    with contextlib.ExitStack() as locks:
        for name in _lock_names(layout, legs):
            locks.enter_context(layout.alone(name, wait=_WAIT_SECONDS))
        # A verification that was killed has left what it made under a state folder of its own.
        for note in (layout.state / "engines", *layout.state.glob("verify/*/*/engines")):
            if note.is_file() and (not legs or note.parent == layout.state or note.parent.parent.name in legs):
                from ci_envs.containers.cleaning import remove_all  # who has no containers need not know how

                own = Layout(root=layout.root, state=note.parent)
                on_engines += remove_all(own, environ, legs if note.parent == layout.state else ())
        for path in there:
            # The lock files go last: whoever waits for one begins when nothing is left to be harmed.
            for inside in path.glob("*") if path == layout.state and not path.is_symlink() else ():
                if inside.name not in ("locks", "CACHEDIR.TAG"):
                    remove_tree(inside)
            remove_tree(path)
    return [*(layout.shown(path) for path in there), *on_engines]


def _lock_names(layout: Layout, legs: Sequence[str]) -> list[str]:
    known = {path.stem for path in (layout.state / "locks").glob("*.lock")}
    return sorted(known & set(legs) if legs else known)


def _of_leg(layout: Layout, leg: str) -> list[Path]:
    if not is_leg_id(leg):
        raise UsageError(f"{leg!r} is no id of a leg", hint="ci-envs plan lists them")
    prefix = layout.prefix(leg)
    return [
        prefix,
        layout.aside(leg),
        layout.image(leg),
        layout.layers(leg),
        layout.record(leg),
        layout.log(leg, "build").parent,
        layout.bytecode(leg, ""),
        layout.temp(leg),
    ]


def _is_ours(folder: Path) -> bool:
    tag = folder / "CACHEDIR.TAG"
    return tag.is_file() and "ci-envs" in tag.read_text(encoding="utf-8", errors="replace")
