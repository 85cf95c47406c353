"""Every folder of ``tests/cases/locks`` is a lock file, its intent, and what reading and judging them must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.locks.intent import MARKERS, intents

from ci_envs.errors import LockError
from ci_envs.locks import READERS, sniff
from ci_envs.locks.insync import in_sync
from ci_envs.locks.requirements import classify

CASES = Path(__file__).parents[2] / "cases" / "locks"
KNOWN = {
    "about", "lock", "kind", "markers", "pins", "hashed", "locations", "unnamed", "excluded", "metadata", "judged",
    "stale", "unjudged", "demand_hashes", "error",
}  # fmt: skip


def _load(name: str) -> tuple[dict[str, Any], str]:
    expected = json.loads((CASES / name / "expected.json").read_text("utf-8"))
    return expected, (CASES / name / expected["lock"]).read_bytes().decode("utf-8")


ALL = sorted(path.parent.name for path in CASES.glob("*/expected.json"))
SICK = [name for name in ALL if name.startswith("sick-")]
WELL = [name for name in ALL if not name.startswith("sick-")]


def test_every_folder_is_a_case() -> None:
    assert sorted(path.name for path in CASES.iterdir()) == ALL
    assert len(SICK) > 10
    assert len(WELL) > 10
    assert not set().union(*(_load(name)[0] for name in ALL)) - KNOWN


@pytest.mark.parametrize("name", WELL)
def test_a_lock_is_read_and_judged_as_its_case_says(name: str) -> None:
    expected, text = _load(name)
    markers = MARKERS | expected.get("markers", {})
    kind = sniff(expected["lock"], text)
    assert kind is not None
    read = READERS[kind](text, path=expected["lock"], markers=markers)
    if "pins" in expected:
        assert {pin.name: pin.version for pin in read.lock.pins} == expected["pins"]
    assert {pin.name: pin.location for pin in read.lock.pins if pin.location} == expected.get("locations", {})
    assert [one.location for one in read.unnamed] == expected.get("unnamed", [])
    assert list(read.excluded) == expected.get("excluded", [])
    assert read.lock.hashed is expected.get("hashed", True)
    direct, constraints = intents(CASES / name)
    verdict = in_sync(
        read,
        direct,
        markers=markers,
        constraints=constraints,
        metadata=expected.get("metadata"),
        hashes=expected.get("demand_hashes", False),
    )
    assert [[one.code, one.message] for one in verdict.stale] == expected["stale"]
    assert verdict.judged == expected["judged"]
    assert list(verdict.unjudged) == expected["unjudged"]
    assert bool(verdict) is not bool(expected["stale"])


@pytest.mark.parametrize("name", SICK)
def test_a_sick_lock_is_one_clear_error(name: str) -> None:
    expected, text = _load(name)
    path = expected["lock"]
    reader = READERS["pylock" if path.endswith(".toml") else "requirements"]
    with pytest.raises(LockError) as caught:
        reader(text, path=path, markers=MARKERS)
    error = caught.value
    assert (error.file, error.line) == (path, expected["error"]["line"])
    if expected["error"]["message"] is not None:
        assert error.message == expected["error"]["message"]
    assert "secret-word" not in f"{error} {error.hint}"


@pytest.mark.parametrize("name", [name for name in ALL if _load(name)[0].get("kind")])
def test_a_text_is_classified_without_an_error(name: str) -> None:
    expected, text = _load(name)
    assert classify(text) == expected["kind"]
