"""zizmor, as `nox -s lint` runs it: offline, everything that it knows, and nothing that could be told to look away."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from tests.support.workflows import Repository

__all__ = ["OPTIONS", "audits", "write"]

#: Without strict collection, a file that cannot be parsed is passed over, and nothing is found in it.
OPTIONS = ("--offline", "--persona=auditor", "--no-config", "--no-ignores", "--strict-collection")


def audits(folder: Path) -> list[str]:
    """What zizmor finds below a folder, as ``audit: file``."""
    program = Path(sysconfig.get_path("scripts"), "zizmor")
    outcome = run(Command((str(program), *OPTIONS, "--quiet", "--no-exit-codes", "--format=json-v1", str(folder))))
    if not outcome:
        raise AssertionError(f"zizmor ended badly: {outcome.tail(10)}")
    return sorted(f"{found['ident']}: {_file(found, folder)}" for found in json.loads(outcome.stdout))


def _file(found: Any, folder: Path) -> str:
    path = Path(found["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"])
    return path.relative_to(folder).as_posix()


def write(repository: Repository, folder: Path) -> Path:
    """What zizmor reads of a repository, as files."""
    for path, text in repository.files.items():
        if path.startswith((".github/", "action")):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    return folder
