"""What a build of a nix shell sees: the files that the shell is evaluated from, and where its inputs are.

They lie below folders of their own names, since a store path is called after the file or folder that it was made of: so
``src = ./.`` is the same path of the store on any machine and in any image.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.containers.nix_template import INPUTS, TREES
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.nix.shell import more_words
from ci_envs.sources import files_but_caches, source_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.nix.described import Description

__all__ = ["NixTree", "tree_of"]

#: What a store path may be called: https://nix.dev/manual/nix/latest/store/store-path
_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._")


@dataclass(frozen=True, slots=True, kw_only=True)
class NixTree:
    """The context of a build."""

    #: The folder that it is made of: the project, or the repository of a flake.
    root: Path
    #: The project in it, with forward slashes; empty where it is the project.
    below: str
    #: What describes the shell, relative to the project.
    file: str
    #: The files of it, relative.
    names: Sequence[str]
    #: Where it lies inside.
    inside: str
    #: What names the shell to nix, inside.
    words: tuple[str, ...]
    #: The folders of the machine that are inputs, by the names of contexts; and where each lies inside.
    contexts: Mapping[str, Path] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> str:
        """The context's name for a file of the project."""
        return f"{self.below}/{name}" if self.below else name


def tree_of(described: Description) -> NixTree:
    """What the shell is evaluated from.

    Of a flake in a git repository that is what git tracks of the whole repository, as nix sees it, and in none what
    :mod:`ci_envs.nix.flake_copy` has of it; else the files of the project.
    """
    is_flake = described.kind == "flake"
    tracked = _tracked(described.path.parent) if is_flake else None
    own = files_but_caches if is_flake else source_files
    root, names = tracked or (described.folder, sorted(own(described.folder)))
    below = described.folder.resolve().relative_to(root.resolve()).as_posix() if tracked else "."
    contexts, places, inputs = _inputs(described)
    inside = f"{TREES}/{_fitting(root.name)}"
    folder = Path(inside) / below
    words = _words(replace(described, folder=folder, inputs=inputs), inside)
    return NixTree(
        root=root,
        below="" if below == "." else below,
        file=described.file,
        names=names,
        inside=inside,
        words=(*words, *more_words(described)),
        contexts=contexts,
        places=places,
    )


def _words(described: Description, top: str) -> tuple[str, ...]:
    """There is no git inside, so that a flake is named by the folder which is copied for it."""
    if described.kind != "flake":
        return described.words
    below = os.path.relpath(described.path.parent, top)
    reference = f"path:{top}" if below == "." else f"path:{top}?dir={below}"
    named = f"{reference}#{described.attribute}" if described.attribute else reference
    return (named, *described.overrides)


def _inputs(described: Description) -> tuple[dict[str, Path], dict[str, str], tuple[tuple[str, str], ...]]:
    """The contexts, where they lie, and the inputs with those places in them; what is fetched is left as it is."""
    contexts: dict[str, Path] = {}
    places: dict[str, str] = {}
    inputs = []
    for number, (name, value) in enumerate(described.inputs):
        scheme = "path:" if value.startswith("path:") else ""
        path, query, rest = value.removeprefix(scheme).partition("?")
        if not path.startswith("/"):
            inputs.append((name, value))
            continue
        if not Path(path).is_dir():
            raise UsageError(f"nix.inputs.{name} is {path}, and a build is given folders alone")
        context = f"ci-envs-input-{number}"
        contexts[context] = Path(path)
        places[context] = f"{INPUTS}/{number}/{_fitting(Path(path).name)}"
        inputs.append((name, f"{scheme}{places[context]}{query}{rest}"))
    return contexts, places, tuple(inputs)


def _tracked(folder: Path) -> tuple[Path, list[str]] | None:
    """The repository that a folder is in, and what git tracks of it; nothing where it is in none."""
    top = _git(folder, "rev-parse", "--show-toplevel").strip("\n")
    names = [name for name in _git(Path(top), "ls-files", "-z", "--cached").split("\0") if name] if top else []
    return (Path(top), sorted(names)) if names else None


def _git(folder: Path, *words: str) -> str:
    try:
        outcome = command.run(command.Command(("git", "-C", str(folder), *words), timeout=60, raw=True))
    except ToolMissing:
        return ""
    return outcome.stdout if outcome else ""


def _fitting(name: str) -> str:
    """A folder's own name, where a store path can have it."""
    return name if name and _NAMES.issuperset(name) and not name.startswith(".") else "project"
