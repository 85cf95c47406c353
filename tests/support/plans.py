"""Matrices, expansions and planners for tests of plans."""

from __future__ import annotations

from typing import Any

from ci_envs.documents import load_yaml
from ci_envs.matrix_reader import read_matrix
from ci_envs.model.matrix import Entry, Matrix, Value
from ci_envs.model.plan import Cell, Expansion, Platforms
from ci_envs.planning.expansion import expand
from ci_envs.planning.jobs import Planner

PATTERNS = ("venv", "uv", "conda", "docker")
PLATFORMS = Platforms(
    runners={"linux-x86_64": "ubuntu-24.04", "macos-aarch64": "macos-15"},
    accelerated_runners={"linux-x86_64": ("self-hosted", "gpu")},
    timeout_minutes=60,
    hosted_labels=("ubuntu-24.04", "macos-15"),
)


def matrix_of(text: str) -> Matrix:
    """The matrix of a YAML text; errors name it ``m.yml``."""
    return read_matrix(load_yaml(text, file="m.yml"), PATTERNS)


def expanded(text: str) -> Expansion:
    """Its legs, on Linux."""
    return expand(matrix_of(text), os="linux", arch="x86_64")


def ids(cells: list[Cell]) -> list[str]:
    """Of the legs."""
    return [cell.leg.id for cell in cells]


def matrix_with(*lengths: int) -> Matrix:
    """Variables ``v0``, ``v1``, ... with so many values each."""
    axes: dict[str, tuple[Value, ...]] = {
        f"variables.v{index}": tuple(map(str, range(length))) for index, length in enumerate(lengths)
    }
    return Matrix(file="m.yml", axes=axes, defaults=Entry(values={"pattern": "uv", "python": "3.12"}))


def planner(matrix: Matrix, **changes: Any) -> Planner:
    """A planner whose commands and digests are known."""
    known: dict[str, Any] = {
        "version": "1.0",
        "command": ["ci-envs", "run", "my matrix.yml"],
        "lock_digest": lambda project: f"lock of {project}",
    }
    return Planner(matrix, PLATFORMS, **known | changes)
