"""What comes before a leg in a job, and what the caches that jobs hand each other bring."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.cases import ROOT
from benchmarks.measure import Row, Script, alone, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Bench


def set_up(bench: Bench) -> Iterator[Row]:
    """The private environment that the first step of every action makes; pip's own cache is warm after the first."""
    folder = bench.folder / "runner"
    folder.mkdir()
    env = {**bench.env, "RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(folder / "output")}
    script = Script((("bash", str(ROOT / "actions/setup/private-venv.sh")),), env, folder)
    taken = alone(script, 3)
    yield Row(
        "the job's own set-up", taken.seconds, 0.0, "-", "5 s", taken.seconds <= 5, "pip's cache warm; medians of 3"
    )


def carried(bench: Bench) -> Iterator[Row]:
    """A leg on a new machine: from package files of a cache, or with its environment from one, and from the index."""
    cold, packages, built = bench.folder / "new", bench.folder / "packages", bench.folder / "built"
    absent = bench.without_environment("uv")

    def new_machine() -> None:
        absent()
        bench.remove(cold)

    def leg(**carries: str) -> Script:
        script = bench.ours(*bench.run("uv", "lock,build"), before=new_machine, cache=cold)
        return Script(script.commands, {**script.env, **carries}, script.cwd, script.before)

    files = {"CI_ENVS_PACKAGES_DIR": str(packages)}
    first = leg(**files, CI_ENVS_ENVIRONMENT_DIR=str(built)).take()
    bench.remove(bench.folder / "kept")
    built.rename(bench.folder / "kept")
    ours, theirs = pairs(leg(**files), leg(), 3)
    note = f"the first job, which fills the cache: {first.seconds:.1f} s; the index is local"
    yield Row("uv: from package files", ours, theirs, "from the index", "(none)", True, note)

    def restored() -> None:
        new_machine()
        bench.remove(built)
        shutil.copytree(bench.folder / "kept", built, symlinks=True)

    script = leg(**files, CI_ENVS_ENVIRONMENT_DIR=str(built))
    ours, theirs = pairs(Script(script.commands, script.env, script.cwd, restored), leg(**files), 3)
    note = "every file is proved by the package files"
    yield Row("uv: with its environment", ours, theirs, "from package files", "(none)", True, note)


CACHE_CASES = (set_up, carried)
