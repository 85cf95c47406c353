"""What is measured. Each function answers with rows; the goals are those that the project set itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import RUNS, Row, Script, alone, calls, pairs
from ci_envs import interpreters, machine
from ci_envs.content import HashCache, read_content
from ci_envs.tools import uv_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]

#: What the example's direct dependencies bring: the imports of the health check, in one interpreter for the bare tools.
MODULES = "fastapi, httpx, numpy, pandas, pydantic, pytest, uvicorn"


class Bench:
    """A copy of the example in a folder of its own, with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        shutil.copytree(
            ROOT / "examples/datascience", self.project, ignore=shutil.ignore_patterns(".ci-envs", "__pycache__")
        )
        self.python = f"{sys.version_info.major}.{sys.version_info.minor}"
        found = interpreters.find_interpreter(self.python)
        if found is None:
            raise SystemExit(f"no Python {self.python} that could be a leg's")
        self.base = found.executable
        self.uv = str(uv_program())
        self.platform = f"{machine.os_name()}-{machine.arch_name()}"
        self.cache = folder / "cache"
        self.env = self.environment(self.cache)

    def environment(self, cache: Path) -> dict[str, str]:
        """Both sides use one cache of uv's, and may write bytecode, as on a person's machine."""
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONDONTWRITEBYTECODE")}
        return {**kept, "CI_ENVS_CACHE_DIR": str(cache), "UV_PYTHON_DOWNLOADS": "never"}

    def leg(self, pattern: str) -> str:
        """The id of a leg."""
        return f"{pattern}-py{self.python.replace('.', '')}-{self.platform}"

    def lock(self, pattern: str) -> str:
        """The leg's lock file."""
        return f"locks/{self.leg(pattern)}.txt"

    def ours(self, *words: str, before: Callable[[], None] = lambda: None, cache: Path | None = None) -> Script:
        """``ci-envs WORDS`` in the project."""
        command = (sys.executable, "-m", "ci_envs", *words)
        return Script((command,), self.environment(cache or self.cache), self.project, before)

    def run(self, pattern: str, stages: str, *more: str) -> tuple[str, ...]:
        """The words of ``ci-envs run`` for one leg."""
        return ("run", "-q", f"--pattern={pattern}", f"--python={self.python}", f"--stages={stages}", *more)

    def bare(self, *commands: tuple[str, ...], before: Callable[[], None], cache: Path | None = None) -> Script:
        """The bare tools, with our cache of uv's."""
        env = self.environment(cache or self.cache)
        return Script(commands, {**env, "UV_CACHE_DIR": str((cache or self.cache) / "uv")}, self.project, before)

    def bare_uv(self, *, imports: bool, cache: Path | None = None, clear: bool = False) -> Script:
        """``uv venv && uv pip sync [&& python -c "import ..."]``."""
        prefix = self.folder / "bare-uv"
        python = str(prefix / "bin/python")
        commands = [
            (self.uv, "venv", "-q", "--no-project", "--python", self.base, str(prefix)),
            (self.uv, "pip", "sync", "-q", "--python", python, "--require-hashes", self.lock("uv")),
        ]
        if imports:
            commands.append((python, "-c", f"import {MODULES}"))
        return self.bare(
            *commands, before=lambda: self.remove(prefix, *([cache] if clear and cache else [])), cache=cache
        )

    def remove(self, *paths: Path | None) -> None:
        """Before a timed run."""
        for path in paths:
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)

    def without_environment(self, pattern: str) -> Callable[[], None]:
        """Removes the leg's environment and its record."""
        state = self.project / ".ci-envs"

        def remove() -> None:
            self.remove(state / "envs" / self.leg(pattern))
            (state / "records" / f"{self.leg(pattern)}.json").unlink(missing_ok=True)

        return remove


def uv_leg(bench: Bench) -> Iterator[Row]:
    """Build, and run with checks, against bare uv."""
    absent = bench.without_environment("uv")
    ours, theirs = _installs(bench, bench.bare_uv(imports=False), bench.cache, absent)
    yield Row("uv: build, warm", ours, theirs, "uv venv && uv pip sync", "at most 0.15 s more", ours - theirs <= 0.15)
    cold = bench.folder / "cold"

    def clear() -> None:
        absent()
        bench.remove(cold)

    ours, theirs = _installs(bench, bench.bare_uv(imports=False, cache=cold, clear=True), cold, clear)
    yield Row("uv: build, cold", ours, theirs, "the same", "at most 1.10 x", ours <= 1.10 * theirs)
    ours, theirs = pairs(bench.ours(*bench.run("uv", "lock,build"), before=absent), bench.bare_uv(imports=False))
    yield Row(
        "uv: lock and build stages, warm", ours, theirs, "the same", "(none)", True, "start-up, every file compared"
    )
    ours, theirs = pairs(bench.ours(*bench.run("uv", "lock,build,check"), before=absent), bench.bare_uv(imports=True))
    yield Row(
        "uv: run, environment absent",
        ours,
        theirs,
        "... && python -c imports",
        "at most 1.0 s more",
        ours - theirs <= 1.0,
    )


def _installs(bench: Bench, bare: Script, cache: Path, before: Callable[[], None]) -> tuple[float, float]:
    """Medians of what the pattern's own build takes, without start-up and reading files, and of the bare tools."""
    output = bench.folder / "install.txt"
    words = (sys.executable, str(ROOT / "benchmarks/install.py"), bench.leg("uv"), bench.python, str(output))
    script = Script((words,), bench.environment(cache), bench.project, before)

    def ours() -> float:
        script.take()
        return float(output.read_text("utf-8"))

    ours(), bare.take()
    taken = [(ours(), bare.take().seconds) for _ in range(RUNS)]
    return statistics.median(a for a, _ in taken), statistics.median(b for _, b in taken)


def venv_leg(bench: Bench) -> Iterator[Row]:
    """Run with checks, against the standard library's venv and its pip."""
    prefix = bench.folder / "bare-venv"
    python = str(prefix / "bin/python")
    bare = bench.bare(
        (bench.base, "-m", "venv", str(prefix)),
        (python, "-m", "pip", "install", "-q", "--require-hashes", "-r", bench.lock("venv")),
        (python, "-c", f"import {MODULES}"),
        before=lambda: bench.remove(prefix),
    )
    ours, theirs = pairs(
        bench.ours(*bench.run("venv", "lock,build,check"), before=bench.without_environment("venv")), bare, 3
    )
    yield Row(
        "venv: run, environment absent",
        ours,
        theirs,
        "python -m venv && pip install && python -c imports",
        "at most 0.15 x",
        ours <= 0.15 * theirs,
        "medians of 3",
    )


def nothing_to_do(bench: Bench) -> Iterator[Row]:
    """A second run, and a lock check."""
    bench.ours(*bench.run("uv", "lock,build,check")).take()
    taken = alone(bench.ours(*bench.run("uv", "lock,build,check")))
    uv = alone(bench.bare((bench.uv, "--version"), before=lambda: None))
    yield Row("run again, one leg", taken.seconds, uv.seconds, "uv --version", "at most 0.35 s", taken.seconds <= 0.35)
    several = bench.run("uv", "lock,build,check", "--pattern=venv")
    bench.ours(*several).take()
    two = alone(bench.ours(*several))
    yield Row("run again, two legs", two.seconds, uv.seconds, "the same", "at most 0.40 s", two.seconds <= 0.4)
    check = alone(bench.ours("lock", "--check", "-q", "--pattern=uv", f"--python={bench.python}"))
    yield Row("lock --check", check.seconds, uv.seconds, "the same", "at most 0.3 s", check.seconds <= 0.3)


def start_up(bench: Bench) -> Iterator[Row]:
    """``--help``, ``--version`` and a small plan, against an interpreter that does nothing."""
    nothing = Script(((sys.executable, "-c", "pass"),), bench.env, bench.project)
    _matrix(bench, 2, 5)
    for words in (("--help",), ("--version",), ("plan", "bench.yml")):
        ours, theirs = pairs(bench.ours(*words), nothing)
        name = f"ci-envs {words[0]}" + (", 10 legs" if words[0] == "plan" else "")
        yield Row(name, ours, theirs, "python -c pass", "at most 0.15 s more", ours - theirs <= 0.15)


def many_legs(bench: Bench) -> Iterator[Row]:
    """Plans of ten and of a hundred thousand legs."""
    for count, seconds, peak in ((100, 0.5, 64.0), (316, 2.0, 150.0)):
        _matrix(bench, count, count)
        taken = alone(bench.ours("plan", "--json", "--max-legs=1000000", "bench.yml"), 3)
        met = taken.seconds <= seconds and taken.peak <= peak
        goal = f"{seconds} s and {peak:.0f} MiB"
        yield Row(
            f"plan of {count * count} legs",
            taken.seconds,
            0.0,
            "-",
            goal,
            met,
            f"peak {taken.peak:.0f} MiB; medians of 3",
        )


def planning(bench: Bench) -> Iterator[Row]:
    """What the jobs of a workflow ask of ten thousand legs; the goal is that of `plan`, 2 s."""
    _matrix(bench, 100, 100)
    letters = {name: f"[{', '.join(f'{name}{i}' for i in range(10))}]" for name in "abcd"}
    axes = "".join(f"  {name}: {values}\n" for name, values in letters.items())
    head = 'strategy: pairwise\naxes: {pattern: [uv], python: ["3.12"]}\nvariables:\n'
    rules = "exclude:\n" + "".join(f"  - variables: {{a: a{i}, d: d{i}}}\n" for i in range(10))
    (bench.project / "pairs.yml").write_text(head + axes + rules)
    for name, words in (
        ("plan of 10000 legs, as a file", ("plan", "-q", "--output=plan.json", "bench.yml")),
        ("a shard of that plan", ("plan", "-q", "--from=plan.json", "--shard=39", "--github")),
        ("plan of 10000 combinations, pairwise", ("plan", "-q", "--json", "pairs.yml")),
    ):
        taken = alone(bench.ours(*words), 3)
        met = taken.seconds <= 2.0 and taken.peak <= 200.0
        note = f"peak {taken.peak:.0f} MiB; medians of 3"
        yield Row(name, taken.seconds, 0.0, "-", "2 s and 200 MiB", met, note)


def _matrix(bench: Bench, first: int, second: int) -> None:
    values = [f"[{', '.join(f'v{i}' for i in range(n))}]" for n in (first, second)]
    text = 'axes: {pattern: [uv], python: ["3.12"]}\nvariables:\n'
    (bench.project / "bench.yml").write_text(text + "".join(f"  {n}: {v}\n" for n, v in zip("ab", values, strict=True)))


def jobs(bench: Bench) -> Iterator[Row]:
    """Six legs at once and one after another."""
    matrix = bench.project / "six.yml"
    matrix.write_text(
        f'axes: {{pattern: [uv, venv], python: ["{bench.python}"]}}\nvariables: {{copy: [a, b, c]}}\n'
        "defaults: {lock: {mode: frozen}}\n"
    )
    for pattern in ("uv", "venv"):
        for copy in "abc":
            target = bench.project / f"locks/{bench.leg(pattern)}.txt"
            assert target.exists(), copy  # noqa: S101 - a variable does not change which lock a leg has
    state = bench.project / ".ci-envs"

    def absent() -> None:
        bench.remove(state / "envs", state / "records", state / "bytecode")

    two, one = pairs(
        bench.ours("run", "-q", "--jobs=2", "six.yml", before=absent),
        bench.ours("run", "-q", "--jobs=1", "six.yml", before=absent),
        3,
    )
    yield Row(
        "6 legs, --jobs 2",
        two,
        one,
        "--jobs 1",
        "at most 0.65 x",
        two <= 0.65 * one,
        "medians of 3; environments absent",
    )


def digests(bench: Bench) -> Iterator[Row]:
    """500 MB of files: read, and read again where they are hard links of what was read."""
    big, linked = bench.folder / "big", bench.folder / "linked"
    source = bench.project / ".ci-envs/envs" / bench.leg("uv")
    for number in range(2):
        shutil.copytree(source, big / str(number), symlinks=True)
    rest = 500_000_000 - sum(path.lstat().st_size for path in big.rglob("*") if path.is_file())
    for number in range(10):  # a few large libraries, as torch and its like bring
        (big / f"library-{number}.so").write_bytes(os.urandom(max(1, rest // 10)))
    shutil.copytree(big, linked, symlinks=True, copy_function=os.link)
    files = [path for path in sorted(big.rglob("*")) if path.is_file() and not path.is_symlink()]
    total = sum(path.stat().st_size for path in files)
    ours, theirs = calls(lambda: read_content(big), lambda: _plain(files))
    note = f"{total / 1e6:.0f} MB in {len(files)} files"
    yield Row(
        "every file read and hashed", ours, theirs, "hashlib, one thread", "at most 1.3 x", ours <= 1.3 * theirs, note
    )

    def shared() -> None:
        read_content(linked, cache=known)

    known = HashCache()
    read_content(big, cache=known)
    ours, theirs = calls(shared, lambda: _plain(files))
    yield Row("... of a leg that shares them", ours, theirs, "the same", "at most 0.4 x", ours <= 0.4 * theirs, note)


def _plain(files: list[Path]) -> None:
    for path in files:
        hashlib.sha256(path.read_bytes()).hexdigest()


ALL_CASES = (start_up, many_legs, planning, uv_leg, nothing_to_do, venv_leg, digests, jobs)
