"""Where an environment on this machine keeps what: the one place that knows the folders of each kind."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["SHELL_NAME", "Scheme"]

#: What a prefix holds of a nix shell or a guix profile, whose files lie in a store.
SHELL_NAME = "shell.json"

# What `conda activate` puts in front of PATH on Windows (conda/activate.py, _get_path_dirs).
_WINDOWS_PATH = ("Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")


@dataclass(frozen=True, slots=True)
class Scheme:
    """The folders of one environment."""

    prefix: Path
    kind: Literal["venv", "conda", "nix", "guix"]
    #: The interpreter, whether or not it is there.
    python: Path
    #: Where installers put programs.
    scripts: Path
    #: What comes first on PATH, in this order.
    path: tuple[Path, ...]

    @classmethod
    def of(cls, prefix: Path, *, platform: str = sys.platform) -> Scheme:
        """The scheme of what is there; a virtual environment's where nothing is.

        ``platform`` is ``sys.platform`` of the machine that the environment is for.
        """
        windows = platform == "win32"
        if (prefix / SHELL_NAME).is_file():
            return cls._of_shell(prefix)
        conda = (prefix / "conda-meta").is_dir() and not (prefix / "pyvenv.cfg").exists()
        scripts = prefix / ("Scripts" if windows else "bin")
        if not conda:
            python = scripts / ("python.exe" if windows else "python")
            return cls(prefix, "venv", python, scripts, (scripts,))
        if not windows:
            return cls(prefix, "conda", scripts / "python", scripts, (scripts,))
        path = (prefix, *(prefix / folder for folder in _WINDOWS_PATH))
        return cls(prefix, "conda", prefix / "python.exe", scripts, path)

    @classmethod
    def _of_shell(cls, prefix: Path) -> Scheme:
        from ci_envs.environments.nix_shell import read_shell  # a virtual environment needs none of it

        shell = read_shell(prefix)
        python = Path(shell.python or prefix / "bin/python")
        return cls(prefix, shell.manager, python, python.parent, tuple(map(Path, shell.path)))
