"""The pattern conda against py-rattler used by itself: installs, lock checks, solves, and nothing to do."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.support.channel import Channel, make_channel
from tests.support.channel_forge import NUMPY, packable_interpreters
from tests.support.channel_packages import data_package
from tests.support.channel_python import python_abi_package, python_package, wheel_package
from tests.support.channel_server import ChannelServer
from tests.support.channel_synthetic import Synthetic, filler_packages, synthetic_repodata
from tests.support.projects import fetch_wheels, make_pip

from benchmarks.cases import ROOT, Bench
from benchmarks.measure import Row, Script, alone, answers, calls, pairs
from ci_envs.asking import Asked, orders_for
from ci_envs.conda.asked import read_asked
from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.locking import judge
from ci_envs.order import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.channel_archive import Package

#: Packages of the environments that are built, and of the lock that is checked.
SIZES = (30, 100)
LOCKED = 500
#: Pairs of builds: short ones, of thousands of links each, which a disk does now faster and now slower.
INSTALLS = 15
#: Records of the channel that is solved for, and packages of the solutions.
RECORDS = 200_000
SOLVED = (50, 500)
SYNTHETIC_PYTHON = "3.12"

#: Brought with pip, to be packed for conda.
WHEELS = (NUMPY, "pip==25.3", "six==1.17.0")


@dataclass(frozen=True)
class Project:
    """A folder with an environment.yml, and what is run in it."""

    bench: Bench
    folder: Path
    python: str

    @classmethod
    def locked(cls, bench: Bench, name: str, channel: str, specs: list[str], python: str = "") -> Project:
        """Written and locked."""
        project = cls(bench, bench.folder / name, python or bench.python)
        project.folder.mkdir(exist_ok=True)
        told = [f"channels: [{json.dumps(channel)}]", "dependencies:", *(f"  - {json.dumps(spec)}" for spec in specs)]
        (project.folder / "environment.yml").write_text("\n".join([*told, ""]), "utf-8")
        project.ours("lock", "-q", *project.leg).take()
        return project

    @property
    def leg(self) -> tuple[str, str]:
        """The one leg, without a matrix."""
        return ("--pattern=conda", f"--python={self.python}")

    @property
    def leg_id(self) -> str:
        """Its id."""
        return f"conda-py{self.python.replace('.', '')}-{self.bench.platform}"

    @property
    def lock(self) -> Path:
        """Its lock."""
        return next(self.folder.glob("**/*conda-lock.yml"))

    def ours(self, *words: str, before: Callable[[], None] = lambda: None) -> Script:
        """``ci-envs WORDS`` in this project."""
        command = (sys.executable, "-m", "ci_envs", *words)
        return Script((command,), self.bench.environment(self.bench.cache), self.folder, before)

    def script(self, name: str, *words: str, before: Callable[[], None] = lambda: None) -> Script:
        """A script of this folder."""
        command = (sys.executable, str(ROOT / "benchmarks" / name), *words)
        env = {**self.bench.environment(self.bench.cache), "PYTHONPATH": str(ROOT)}
        return Script((command,), env, self.folder, before)

    def absent(self) -> None:
        """Removes the environment and its record."""
        state = self.folder / ".ci-envs"
        self.bench.remove(state / "envs" / self.leg_id)
        (state / "records" / f"{self.leg_id}.json").unlink(missing_ok=True)


@cache
def small_channel(bench: Bench) -> Channel:
    """The Python that runs this, numpy and pip, and small packages to make up the number."""
    (one,) = packable_interpreters((bench.python,))
    abi = python_abi_package(one.series)
    wheels = fetch_wheels(("--no-deps", *WHEELS), bench.folder / "wheels", make_pip(bench.folder / "pip"))
    packages: list[Package] = [abi, data_package(), python_package(one, depends=("tzdata", abi.name))]
    packages += [wheel_package(wheel, series=one.series) for wheel in sorted(wheels.glob("*.whl"))]
    return make_channel(bench.folder / "channels" / "conda-forge", [*packages, *filler_packages(max(SIZES))])


@cache
def environment(bench: Bench, size: int) -> Project:
    """A locked project of so many packages."""
    channel = small_channel(bench)
    real = ["python", "numpy", "pip", "six"]
    project = Project.locked(bench, f"conda-{size}", channel.url, [*real, f"filler-{size - len(real) - 3:03}"])
    assert len(read_lock(project.lock.read_text("utf-8"), path="lock").packages) == size  # noqa: S101 - or say so
    return project


@cache
def large_channel(bench: Bench) -> Synthetic:
    """A channel without archives."""
    return synthetic_repodata(bench.folder / "channels" / "large", RECORDS)


def conda_leg(bench: Bench) -> Iterator[Row]:
    """Builds, against ``rattler.install`` of the same records from rattler's own warm cache."""
    for size in SIZES:
        project = environment(bench, size)
        ours, theirs = _installs(project)
        met, note = ours <= 1.15 * theirs, f"medians of {INSTALLS}"
        yield Row(f"conda: build of {size}, warm", ours, theirs, "rattler.install", "at most 1.15 x", met, note)
    project = environment(bench, size := max(SIZES))
    whole = project.ours("run", "-q", *project.leg, "--stages=lock,build", before=project.absent)
    bare, _ = _bare_install(project)
    ours, theirs = pairs(whole, bare)
    note = "whole processes; every file compared, digest, seal"
    yield Row(f"conda: lock and build stages, {size}", ours, theirs, "the same", "(none)", True, note)


def _installs(project: Project) -> tuple[float, float]:
    """What the pattern's own build takes, and what the bare install takes, each inside its process."""
    output = project.bench.folder / "install.txt"
    ours = project.script("install.py", project.leg_id, project.python, str(output), before=project.absent)
    bare, bare_output = _bare_install(project)
    return answers(lambda: _told(ours, output), lambda: _told(bare, bare_output), INSTALLS)


def _bare_install(project: Project) -> tuple[Script, Path]:
    folder = project.bench.folder
    # Beside our own: a file system may be slower in one of its parts than in another.
    prefix, output = project.folder / ".ci-envs/envs/bare", folder / "bare-install.txt"
    words = ("install", str(project.lock), str(prefix), str(folder / "bare-pkgs"), str(output))
    return project.script("conda_process.py", *words, before=lambda: project.bench.remove(prefix)), output


def _told(script: Script, output: Path) -> float:
    script.take()
    return float(output.read_text("utf-8").split()[0])


def conda_again(bench: Bench) -> Iterator[Row]:
    """A second run that has nothing to do."""
    for size in SIZES:
        project = environment(bench, size)
        script = project.ours("run", "-q", *project.leg, "--stages=lock,build,check")
        script.take()
        taken = alone(script)
        goal = "at most 0.35 s"
        yield Row(f"conda: run again, {size} packages", taken.seconds, 0.0, "-", goal, taken.seconds <= 0.35)


def conda_check(bench: Bench) -> Iterator[Row]:
    """Whether a lock of 500 packages is stale: the whole command, and reading and judging alone."""
    large = large_channel(bench)
    project = Project.locked(bench, f"conda-{LOCKED}", large.channel.url, large.specs(LOCKED), SYNTHETIC_PYTHON)
    nothing = Script(((sys.executable, "-c", "pass"),), bench.env, project.folder)
    ours, theirs = pairs(project.ours("lock", "--check", "-q", *project.leg), nothing)
    goal = "at most 0.3 s more"
    yield Row(f"conda: lock --check, {LOCKED} packages", ours, theirs, "python -c pass", goal, ours - theirs <= 0.3)
    read, judged = _checks(project)
    both = read + judged
    note = f"reading {read:.3f} s, judging {judged:.3f} s, in this process"
    yield Row("... reading and judging the lock", both, 0.0, "-", "at most 0.3 s", both <= 0.3, note)


def _checks(project: Project) -> tuple[float, float]:
    order = orders_for(Asked(root=project.folder, patterns=("conda",), pythons=(project.python,))).orders[0]
    _, work, _ = prepare(order)
    asked, text = read_asked(order.leg, work), project.lock.read_text("utf-8")
    lock = read_lock(text, path="conda-lock.yml")
    assert not judge(asked, lock, "linux-64")  # noqa: S101 - a stale lock would be judged otherwise
    return calls(lambda: read_lock(text, path="conda-lock.yml"), lambda: judge(asked, lock, "linux-64"))


def conda_solve(bench: Bench) -> Iterator[Row]:
    """Solves against 200,000 records on loopback, repodata in the cache; the same by rattler alone, in two ways."""
    large = large_channel(bench)
    with ChannelServer(large.channel.folder.parent) as server:
        for size in SOLVED:
            ours, theirs, note = _solves(bench, server.url("large"), size, "gateway")
            goal = "at most 1.3 x"
            yield Row(f"conda: solve of {size}", ours, theirs, "rattler.solve", goal, ours <= 1.3 * theirs, note)
        ours, theirs, note = _solves(bench, large.channel.url, SOLVED[0], "sparse")
        yield Row(f"... from a folder, {SOLVED[0]}", ours, theirs, "SparseRepoData", "(none)", True, note)


def _solves(bench: Bench, channel: str, size: int, how: str) -> tuple[float, float, str]:
    """Seconds of both inside their processes, and their peaks in words."""
    large, folder = large_channel(bench), bench.folder
    request, output = folder / "request.json", folder / "solve.txt"
    told = {"specs": large.specs(size), "channel": channel, "folder": str(large.channel.folder)}
    told |= {"home": str(folder), "cache": str(folder / "bare-repodata")}
    request.write_text(json.dumps(told), "utf-8")
    project = Project(bench, folder, SYNTHETIC_PYTHON)
    peaks = {"ours": 0.0, how: 0.0}

    def taken(who: str) -> float:
        script = project.script("conda_process.py", "solve", who, str(request), str(output))
        script.take()
        seconds, peak = map(float, output.read_text("utf-8").split())
        peaks[who] = max(peaks[who], peak)
        return seconds

    ours, theirs = answers(lambda: taken("ours"), lambda: taken(how))
    return ours, theirs, f"{RECORDS} records; peak {peaks['ours']:.0f} and {peaks[how]:.0f} MiB"


CONDA_CASES = (conda_leg, conda_again, conda_check, conda_solve)
