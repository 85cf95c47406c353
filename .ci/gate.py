#!/usr/bin/env python3
"""The one required check of ci.yml: passes where every job before it has ended in success.

``NEEDS`` is what GitHub says of the jobs, ``toJSON(needs)``. A job that was skipped or cancelled has shown nothing, so
it is no success. Needs a Python and nothing else: the gate must be able to fail on a day on which nothing can be
installed.
"""

from __future__ import annotations

import json
import os
import sys

__all__ = ["ended_badly", "main"]


def ended_badly(needs: str) -> list[str]:
    """The jobs that have not ended in success, as ``name (result)``; ``ValueError`` where there are none to judge."""
    jobs = json.loads(needs)
    if not (isinstance(jobs, dict) and jobs):
        raise ValueError("NEEDS names no job")
    results = {name: job.get("result") if isinstance(job, dict) else None for name, job in jobs.items()}
    return [f"{name} ({result or 'no result'})" for name, result in results.items() if result != "success"]


def main() -> int:
    """The exit code."""
    try:
        bad = ended_badly(os.environ.get("NEEDS", ""))
    except ValueError as error:
        sys.stderr.write(f"gate: the results of the jobs cannot be read: {error}\n")
        return 1
    sys.stdout.write(f"not every job ended in success: {', '.join(bad)}\n" if bad else "every job ended in success\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
