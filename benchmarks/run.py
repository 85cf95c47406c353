"""``nox -s bench``: a table of ratios. ``-- CASE...`` chooses; ``--strict`` exits with 1 where a goal is missed."""

from __future__ import annotations

import compileall
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.caches import CACHE_CASES
from benchmarks.cases import ALL_CASES, ROOT, Bench
from benchmarks.conda import CONDA_CASES
from benchmarks.images import DOCKER_CASES
from benchmarks.nix import NIX_CASES
from benchmarks.reports import REPORT_CASES
from ci_envs import console


def main(words: list[str]) -> int:
    """Runs the cases that are named, or all of them."""
    known = (*ALL_CASES, *CONDA_CASES, *DOCKER_CASES, *NIX_CASES, *REPORT_CASES, *CACHE_CASES)
    chosen = [case for case in known if not set(words) - {"--strict"} or case.__name__ in words]
    # An installed package has its bytecode; this checkout may be kept from writing any.
    compileall.compile_dir(ROOT / "src", quiet=2)
    rows = []
    with tempfile.TemporaryDirectory(prefix="ci-envs-bench-") as folder:
        bench = Bench(Path(folder).resolve())
        for case in chosen:
            console.show_note(f"{case.__name__} ...")
            for row in case(bench):
                console.show_note(f"  {row.what}: {row.ours:.3f} s, {row.theirs:.3f} s ({row.against})")
                rows.append(row)
    cells = [
        (
            row.what,
            f"{row.ours:.3f}",
            f"{row.theirs:.3f}" if row.theirs else "",
            f"{row.ours / row.theirs:.2f}" if row.theirs else "",
            row.against,
            row.goal,
            "yes" if row.met else "NO",
            row.note,
        )
        for row in rows
    ]
    console.show_table(
        "Seconds; medians of 5, in pairs", ("what", "ours", "theirs", "x", "against", "goal", "met", "note"), cells
    )
    return int("--strict" in words and not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
