"""Which of a project's files describes its shell, and the words that name that shell to nix."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from ci_envs.errors import UsageError
from ci_envs.nix.direnv import from_envrc
from ci_envs.settings import NIX_INPUTS
from ci_envs.sources import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.model.config import NixConfig
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project

__all__ = ["FILES", "Description", "describe", "described_file", "inputs_said", "inputs_state", "nix_text"]

#: The first that is there is taken. nix-shell, too, prefers shell.nix: https://nix.dev/manual/nix/latest/command-ref/nix-shell
FILES = ("flake.nix", "shell.nix", "default.nix")

#: What the first letters of an input say that is no folder: a flake reference (`nix flake --help`).
_SCHEMES = ("path:", "git+", "github:", "gitlab:", "sourcehut:", "https:", "http:", "file:", "flake:", "tarball+")

# What nix has for the name of an input, and of an argument: https://nix.dev/manual/nix/latest/language/identifiers
_INPUT = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")


@dataclass(frozen=True, slots=True)
class Description:
    """One description of a shell."""

    kind: Literal["flake", "shell", "default"]
    #: Relative to the project.
    file: str
    #: The project's folder.
    folder: Path
    #: Empty: what nix takes by itself.
    attribute: str = ""
    #: Inputs that are not taken as they are locked: name -> absolute folder, or a flake reference.
    inputs: tuple[tuple[str, str], ...] = ()
    #: The folder that nix is told of in place of the flake's own: :mod:`ci_envs.nix.flake_copy`.
    source: Path | None = None

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.folder / self.file

    @property
    def reference(self) -> str:
        """The flake, as nix is told of it. In a git repository nix makes ``git+file:`` of it: tracked files alone.

        A path with a blank or the like is no reference to nix, encoded or not; the folder that it runs in is, and
        :func:`ci_envs.nix.tool.run_nix` runs it in the project's.
        """
        folder = str(self.source or self.path.parent)
        if quote(folder, safe="/") != folder:
            return f"./{os.path.relpath(folder, self.folder)}"
        return f"path:{folder}" if self.source else folder

    @property
    def installable(self) -> str:
        """``REFERENCE#ATTRIBUTE`` of a flake."""
        return f"{self.reference}#{self.attribute}" if self.attribute else self.reference

    @property
    def words(self) -> tuple[str, ...]:
        """What names the shell to a command of ``nix``: ``nix print-dev-env WORDS``."""
        if self.kind == "flake":
            return (self.installable, *self.overrides)
        named = (self.attribute,) if self.attribute else ()
        return ("--file", str(self.path), *named, *self.overrides)

    @property
    def classic_words(self) -> tuple[str, ...]:
        """The same for ``nix-instantiate`` and ``nix-build``; no flake has any."""
        named = ("--attr", self.attribute) if self.attribute else ()
        return (str(self.path), *named, *self.overrides)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The other inputs: of a flake, else both an argument of the file's function and a name in angle brackets."""
        if self.kind == "flake":
            return tuple(word for name, value in self.inputs for word in ("--override-input", name, value))
        return tuple(
            word
            for name, value in self.inputs
            for word in ("--arg", name, f"(/. + {nix_text(value)})", "-I", f"{name}={value}")
        )


def nix_text(text: str) -> str:
    """A text as an expression: https://nix.dev/manual/nix/latest/language/string-literals"""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    escaped = escaped.replace("\r", "\\r")  # as itself nix would read it as a line feed
    return f'"{escaped}"'


def inputs_said(text: str) -> dict[str, str]:
    """The inputs that :data:`~ci_envs.settings.NIX_INPUTS` names: words of a shell.

    A folder with a blank in it is quoted. :class:`UsageError` for what is no ``name=value``.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:  # a quote that nothing closes
        raise UsageError(f"{NIX_INPUTS} cannot be read: {error}") from error
    found = [word.partition("=") for word in words]
    for word, (name, _, value) in zip(words, found, strict=True):
        if not _INPUT.fullmatch(name) or not value:
            hint = "write nixpkgs=/the/folder, and a blank between two"
            raise UsageError(f"{NIX_INPUTS} says {word!r}, which is no NAME=VALUE", hint=hint)
    return {name: value for name, _, value in found}


def inputs_state(config: NixConfig, root: Path) -> str:
    """Stands for the folders that are inputs in place of what is locked: no lock holds what is in them."""
    folders = [(name, root / Path(value.removeprefix("path:")).expanduser()) for name, value in config.inputs.items()]
    return " ".join(f"{name}={fingerprint(folder)}" for name, folder in sorted(folders) if folder.is_dir())


def described_file(project: Project, config: NixConfig) -> tuple[str, str]:
    """The file that describes the shell, relative to the project, and the attribute that ``.envrc`` names with it.

    It is what the configuration names, else ``.envrc``, else the first of :data:`FILES`. :class:`UsageError` where it
    is not there.
    """
    named, of_it = ("", "") if config.file or config.attribute else from_envrc(project) or ("", "")
    file = config.file or named or next((name for name in FILES if project.exists(name)), "")
    if not file or not project.exists(file):
        raise UsageError(f"there is no {file or 'flake.nix, shell.nix or default.nix'}", hint="nix.file names another")
    return file, of_it


def describe(leg: Leg, project: Project, config: NixConfig) -> Description:
    """What describes the leg's shell. :class:`UsageError` where it is not there, or an input is no place."""
    file, of_it = described_file(project, config)
    name = file.rpartition("/")[2]
    kind: Literal["flake", "shell", "default"] = (
        "flake" if name == "flake.nix" else "default" if name == "default.nix" else "shell"
    )
    attribute = config.attribute.replace("{python-tag}", leg.python_tag).replace("{python}", leg.python) or of_it
    inputs = tuple(_inputs(config, project.root, flake=kind == "flake"))
    return Description(kind, file, project.root, attribute, inputs)


def _inputs(config: NixConfig, root: Path, *, flake: bool) -> Iterator[tuple[str, str]]:
    for name, value in sorted(config.inputs.items()):
        if value.startswith(_SCHEMES) and not value.startswith("path:"):
            if not flake:
                hint = "name a folder; flakes alone are given addresses"
                raise UsageError(f"nix.inputs.{name} is {value!r}, which is no folder", hint=hint)
            yield name, value
            continue
        folder = root / Path(value.removeprefix("path:")).expanduser()
        if not folder.exists():
            raise UsageError(f"nix.inputs.{name} is {value!r}, and there is no such folder")
        yield name, f"path:{folder.resolve()}" if flake else str(folder.resolve())
