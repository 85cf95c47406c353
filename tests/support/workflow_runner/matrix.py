"""strategy.matrix -> the jobs that it makes.

Source: "Run job variations in a workflow" and "Workflow syntax", jobs.<job_id>.strategy.matrix (docs.github.com).
"""

from __future__ import annotations

import itertools
from typing import Any

from tests.support.workflow_runner.errors import RefusedError

__all__ = ["MOST_JOBS", "expand"]

#: "A matrix will generate a maximum of 256 jobs per workflow run."
MOST_JOBS = 256


def expand(matrix: Any) -> list[dict[str, Any]]:
    """The combinations, in order; :class:`RefusedError` where the service would refuse the matrix."""
    if not isinstance(matrix, dict):
        raise RefusedError(f"a matrix must be a mapping, and it is {matrix!r}")
    axes = {name: values for name, values in matrix.items() if name not in ("include", "exclude")}
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise RefusedError(f"Matrix vector '{name}' does not contain any values")
    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    left = [one for one in product if not any(_matches(one, excluded) for excluded in matrix.get("exclude") or [])]
    jobs = _included(left, matrix.get("include") or [])
    if not jobs:
        raise RefusedError("Matrix must define at least one vector")
    if len(jobs) > MOST_JOBS:
        raise RefusedError(f"the matrix makes {len(jobs)} jobs, and {MOST_JOBS} are the most")
    return jobs


def _matches(one: dict[str, Any], excluded: dict[str, Any]) -> bool:
    return all(one.get(name) == value for name, value in excluded.items())


def _included(product: list[dict[str, Any]], include: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each entry is added to every combination whose own values it does not change, and else is one of its own."""
    jobs = [dict(one) for one in product]
    alone = []
    for entry in include:
        fitting = [
            job
            for job, own in zip(jobs, product, strict=True)
            if all(own.get(name, value) == value for name, value in entry.items())
        ]
        for job in fitting:
            job.update(entry)
        if not fitting:
            alone.append(dict(entry))
    return jobs + alone
