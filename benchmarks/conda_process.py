"""One thing timed inside a process of its own, as rattler's users write it, or as we do it.

``conda_process.py install LOCK PREFIX CACHE OUTPUT`` and ``conda_process.py solve HOW REQUEST OUTPUT``. What is
written is the seconds, without imports and without reading the lock or the request, and the peak memory in MiB.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rattler
from tests.support.conda_solves import LINUX

from ci_envs.conda.channels import channel_settings, resolve
from ci_envs.conda.solving import SolveRequest
from ci_envs.conda.solving import solve as our_solve
from ci_envs.conda.virtual import for_rattler
from ci_envs.model.conda import MatchLine
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from collections.abc import Callable

SUBDIRS: list[rattler.platform.SubdirLiteral] = ["linux-64", "noarch"]


def install(lock: str, prefix: str, cache: str) -> Callable[[], object]:
    """``rattler.install`` of what a conda-lock.yml names, from rattler's own cache."""
    environment = rattler.LockFile.from_path(Path(lock)).default_environment()
    if environment is None:
        raise SystemExit(f"{lock} has no environment")
    platform = next(one for one in environment.platforms() if one.name == "linux-64")
    records = environment.conda_repodata_records_for_platform(platform) or []

    def run() -> None:
        asyncio.run(
            rattler.install(list(records), target_prefix=Path(prefix), cache_dir=Path(cache), show_progress=False)
        )

    return run


def solve(how: str, request: str) -> Callable[[], object]:
    """``ours``, ``gateway`` or ``sparse``; the request is a JSON file with specs, channel, folder and cache."""
    asked = json.loads(Path(request).read_text("utf-8"))
    return {"ours": _ours, "gateway": _gateway, "sparse": _sparse}[how](asked)


def _ours(asked: dict[str, Any]) -> Callable[[], object]:
    settings = channel_settings(os.environ, CondaConfig(), home=Path(asked["home"]))
    lines = tuple(MatchLine(text=spec, name=spec.split()[0], file="", line=0) for spec in asked["specs"])
    request = SolveRequest(
        platform="linux-64",
        specs=lines,
        channels=resolve([asked["channel"]], settings),
        settings=settings,
        virtual=LINUX,
    )
    return lambda: len(our_solve(request))


def _gateway(asked: dict[str, Any]) -> Callable[[], object]:
    async def run() -> int:
        found = await rattler.solve(
            [asked["channel"]],
            asked["specs"],
            gateway=rattler.Gateway(cache_dir=Path(asked["cache"])),
            platforms=SUBDIRS,
            virtual_packages=for_rattler(LINUX),
        )
        return len(found)

    return lambda: asyncio.run(run())


def _sparse(asked: dict[str, Any]) -> Callable[[], object]:
    async def run() -> int:
        channel, folder = rattler.Channel(asked["channel"]), Path(asked["folder"])
        data = [rattler.SparseRepoData(channel, name, folder / name / "repodata.json") for name in SUBDIRS]
        specs = [rattler.MatchSpec(spec) for spec in asked["specs"]]
        found = await rattler.solve_with_sparse_repodata(specs, data, virtual_packages=for_rattler(LINUX))
        return len(found)

    return lambda: asyncio.run(run())


def main() -> None:
    """Prepares, then times."""
    verb, *words, output = sys.argv[1:]
    run = install(*words) if verb == "install" else solve(*words)
    began = time.perf_counter()
    found = run()
    taken = time.perf_counter() - began
    if verb == "solve" and not found:
        raise SystemExit("nothing was solved")
    Path(output).write_text(f"{taken} {_peak()}", "utf-8")
    # rattler's threads may still hold Python objects, and abort a process that ends meanwhile (a few in a hundred):
    # https://github.com/PyO3/pyo3-async-runtimes/issues/40
    os._exit(0)


def _peak() -> float:
    """Of this program alone: what wait4(2) answers with counts the process that it was forked from."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main()
