"""Removes what this program made; a folder that it cannot tell for its own is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs import cache
from ci_envs.errors import UsageError
from ci_envs.layout import Layout, remove_tree
from ci_envs.record_files import is_leg_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["clean"]


def clean(root: Path, legs: Sequence[str], *, also_cache: bool, environ: Mapping[str, str]) -> list[str]:
    """Removes, and answers with the paths that were there."""
    layout = Layout.at(root, environ)
    paths = [path for leg in legs for path in _of_leg(layout, leg)] if legs else [layout.state]
    if not legs and layout.state.exists() and not _is_ours(layout.state):
        raise UsageError(f"{layout.state} was not made by ci-envs", hint="remove it yourself, if it is to go")
    if also_cache:
        paths.append(cache.cache_root(environ))
    there = [path for path in paths if path.exists() or path.is_symlink()]
    for path in there:
        remove_tree(path)
    return [layout.shown(path) for path in there]


def _of_leg(layout: Layout, leg: str) -> list[Path]:
    if not is_leg_id(leg):
        raise UsageError(f"{leg!r} is no id of a leg", hint="ci-envs plan lists them")
    prefix = layout.prefix(leg)
    return [
        prefix,
        layout.aside(leg),
        layout.record(leg),
        layout.log(leg, "build").parent,
        layout.bytecode(leg, ""),
        layout.temp(leg),
    ]


def _is_ours(folder: Path) -> bool:
    tag = folder / "CACHEDIR.TAG"
    return tag.is_file() and "ci-envs" in tag.read_text(encoding="utf-8", errors="replace")
