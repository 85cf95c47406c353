"""Times one pattern's own build in this process: ``install.py LEG PYTHON OUTPUT``, in the project's folder."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ci_envs.asking import Asked, orders_for
from ci_envs.order import prepare


def main() -> None:
    """Prepares the leg, then times ``Pattern.build`` alone."""
    leg, python, output = sys.argv[1:]
    asked = Asked(root=Path(), patterns=(leg.partition("-")[0],), pythons=(python,))
    todo = orders_for(asked)
    todo.layout.prepare()
    pattern, work, _ = prepare(todo.orders[0])
    lock = pattern.lock(todo.orders[0].leg, work)
    work.stage = "build"
    if pattern.name == "conda":
        import ci_envs.conda.prefix_build  # noqa: F401 - as rattler is imported before a bare install is timed
    began = time.perf_counter()
    pattern.build(todo.orders[0].leg, lock, work)
    Path(output).write_text(str(time.perf_counter() - began))
    os._exit(0)  # as in conda_process.py


if __name__ == "__main__":
    main()
