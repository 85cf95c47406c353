"""GitHub's own packages for workflows and expressions, in one process that answers as long as it lives."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from tests.support.workflow_runner.templates import Expression, read_template

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EvaluationError", "Node", "ParseError", "Parsed", "Value", "install", "shared_node"]

FOLDER = Path(__file__).parents[1] / "node"

#: The status functions of a place where no job runs yet.
_ALL_WELL = {"always": True, "success": True, "failure": False, "cancelled": False}


class EvaluationError(Exception):
    """An expression that GitHub would not evaluate."""


@dataclass(frozen=True, order=True)
class ParseError:
    """What the official parser does not accept. Lines and columns count from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True)
class Parsed:
    """A file as the official parser reads it; ``document`` is None where there are errors."""

    errors: tuple[ParseError, ...]
    document: Any


@dataclass(frozen=True)
class Value:
    """What an expression comes to: the value as JSON has it, as text (``true``, ``1.5``), and whether `if` takes it."""

    value: Any
    text: str
    truthy: bool


def install(folder: Path = FOLDER) -> Path:
    """Brings the packages that ``package-lock.json`` names, by their hashes; once for all processes of this machine.

    Scripts of packages are not run. Raises :class:`LookupError` where there is no npm, or no Node 20;
    :class:`RuntimeError` where npm fails.
    """
    lock = (folder / "package-lock.json").read_bytes()
    stamp, wanted = folder / "node_modules" / ".installed", hashlib.sha256(lock).hexdigest()
    (folder / "node_modules").mkdir(exist_ok=True)
    with FileLock(folder / "node_modules.lock"):
        if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
            _check_node()
            _npm_ci(folder)
            stamp.write_text(wanted, "utf-8")  # last: what an interrupted run leaves is brought anew
    return folder / "node_modules"


def _npm_ci(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise LookupError("there is no npm on PATH, which brings GitHub's parser of workflows")
    words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    outcome = run(Command((npm, *words), env=dict(os.environ), cwd=folder, timeout=300))
    if not outcome:
        raise RuntimeError(f"npm ci failed in {folder.name}:\n{outcome.tail()}")


def _check_node() -> None:
    node = shutil.which("node")
    if node is None:
        raise LookupError("there is no node on PATH, which runs GitHub's parser of workflows")
    version = run(Command((node, "--version"), timeout=60)).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        raise LookupError(f"GitHub's parser of workflows needs Node 20 or newer, and node is {version}")


class Node:
    """The process. It may be asked from several threads; each question waits for its turn."""

    def __init__(self) -> None:
        install()
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            ["node", str(FOLDER / "server.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it: its input ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)

    def parse_workflow(self, name: str, content: str) -> Parsed:
        """A file of ``.github/workflows``."""
        return self._parse("workflow", name, content)

    def parse_action(self, name: str, content: str) -> Parsed:
        """An ``action.yml``."""
        return self._parse("action", name, content)

    def evaluate(
        self, expression: Expression, contexts: Mapping[str, Any], status: Mapping[str, bool] | None = None
    ) -> Value:
        """What one expression comes to; :class:`EvaluationError` also for a context that its place does not have."""
        told = self._ask(
            op="evaluate",
            expression=expression.text,
            allowed=expression.allowed,
            contexts=dict(contexts),
            status=_ALL_WELL | dict(status or {}),
        )
        return Value(told["value"], told["text"], told["truthy"])

    def interpolate(
        self, text: str, contexts: Mapping[str, Any], status: Mapping[str, bool] | None = None, *, place: str = "run"
    ) -> Value:
        """A text with ``${{ }}`` as it stands in a step; with ``place="if"`` a condition, its ``success()`` implied."""
        template = read_template(self._ask(op="template", text=text, place=place)["template"])
        if isinstance(template, Expression):
            return self.evaluate(template, contexts, status)
        return Value(template, template, bool(template))

    def _parse(self, kind: str, name: str, content: str) -> Parsed:
        told = self._ask(op="parse", kind=kind, name=name, content=content)
        errors = sorted(ParseError(error["line"], error["column"], error["message"]) for error in told["errors"])
        return Parsed(tuple(errors), read_template(told["document"]))

    def _ask(self, **question: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._turn:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise RuntimeError("node has ended; what it said stands above")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise EvaluationError(f"{told['error']} (in {question.get('expression') or question['op']})")
        return told


@functools.cache
def shared_node() -> Node:
    """One for all of this process; it ends with it."""
    node = Node()
    atexit.register(node.close)
    return node


if __name__ == "__main__":
    try:
        install()
    except (LookupError, RuntimeError) as error:
        sys.exit(str(error))
