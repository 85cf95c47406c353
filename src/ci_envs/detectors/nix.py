"""What the text of a nix expression says to whoever only looks at a folder: nothing is evaluated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.model.detect import Evidence

if TYPE_CHECKING:
    from ci_envs.project import Project

__all__ = ["python_named", "uncommented"]

_COMMENT = re.compile(r"#[^\n]*|/\*.*?\*/", re.DOTALL)

# nixpkgs' attributes of one series (https://nixos.org/manual/nixpkgs/stable/#interpreters).
_PYTHON = re.compile(r"(?<![\w'-])python3(?P<minor>\d{1,2})(?P<free>FreeThreading)?(?:Full|Packages)?(?![\w'-])")

_FILES = ("flake.nix", "shell.nix", "default.nix")


def uncommented(text: str) -> str:
    """An expression without its comments; a text in it that looks like one goes, too."""
    return _COMMENT.sub("", text)


def python_named(project: Project) -> tuple[str, Evidence]:
    """The one series that the project's shell names (``python312``), and where; empty for none, or several."""
    file = next((name for name in _FILES if project.exists(name)), "")
    found = {
        f"3.{match['minor']}{'t' if match['free'] else ''}": match[0]
        for match in _PYTHON.finditer(uncommented(project.text(file) or "") if file else "")
    }
    if len(found) != 1:
        return "", Evidence(file=file)
    ((series, attribute),) = found.items()
    return series, Evidence(file=file, key=attribute)
