"""Reports of many records: jobs of a large run hand them over, and one job reads them all."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.measure import Row, alone
from ci_envs.model.inventory import Distribution
from ci_envs.model.leg import make_leg
from ci_envs.model.lock import Pin
from ci_envs.model.plan import Plan, PlannedLeg
from ci_envs.model.record import STAGES, LockFacts, RunRecord, Stage
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cases import Bench
    from ci_envs.model.leg import Leg

#: As many packages as a data science project has, and as many files as one of its packages has in an index.
PACKAGES, HASHES = 300, 12


def many_records(bench: Bench) -> Iterator[Row]:
    """A report of a thousand records of three hundred packages: half a megabyte each."""
    folder = bench.folder / "records"
    legs = [
        make_leg(pattern="uv", python="3.12", os="linux", arch="x86_64", variables={"n": str(n)}) for n in range(1000)
    ]
    for number, leg in enumerate(legs):
        write_record(folder / f"ci-envs-leg-{leg.id}" / "record.json", _record(leg, number))
    planned = tuple(PlannedLeg(**msgspec.structs.asdict(leg)) for leg in legs)
    plan = folder.parent / "plan.json"
    plan.write_bytes(msgspec.json.encode(Plan(legs=planned, artifact="ci-envs")))
    ours = bench.ours("report", f"--plan={plan}", "--exit-code", "-o", str(bench.folder / "report.md"), str(folder))
    taken = alone(ours, 3)
    plain = alone(bench.bare((sys.executable, "-c", _PLAIN, str(folder)), before=lambda: None), 3)
    met = taken.seconds <= 3 and taken.peak <= 200
    note = f"peak {taken.peak:.0f} MiB of {_size(folder) / 2**20:.0f} MiB; medians of 3"
    yield Row("report of 1000 records", taken.seconds, plain.seconds, "json.load of each", "3 s and 200 MiB", met, note)


_PLAIN = "import json, pathlib, sys\nfor p in pathlib.Path(sys.argv[1]).glob('*/*.json'): json.loads(p.read_bytes())"


def _record(leg: Leg, number: int) -> RunRecord:
    names = [f"package-{n}" for n in range(PACKAGES)]
    pins = tuple(Pin(name=name, version="1.0", hashes=tuple(_hash(name, k) for k in range(HASHES))) for name in names)
    inventory = tuple(
        Distribution(
            name=name,
            # Some legs differ, as they do where a lock is older.
            version="1.1" if number % 7 == 0 and position % 50 == 0 else "1.0",
            requires=tuple(f"{other}>=1.0,<9 ; python_version >= '3.9'" for other in names[:6]),
            modules=(name, f"_{name}"),
            metadata=f"lib/python3.12/site-packages/{name}-1.0.dist-info",
            installer="uv",
        )
        for position, name in enumerate(names)
    )
    return RunRecord(
        leg=leg,
        status="passed",
        written="2026-01-01T00:00:00+00:00",
        stages=tuple(Stage(name=name, status="passed", seconds=1.0) for name in STAGES),
        lock=LockFacts(
            path="uv.lock", format="uv.lock", sha256=_hash("uv.lock", 0)[7:], digest=_hash("", 0), pins=pins
        ),
        inventory=inventory,
        reproduce=f"ci-envs run --only {leg.id}",
    )


def _hash(name: str, number: int) -> str:
    return f"sha256:{hashlib.sha256(json.dumps([name, number]).encode()).hexdigest()}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.json"))


REPORT_CASES = (many_records,)
