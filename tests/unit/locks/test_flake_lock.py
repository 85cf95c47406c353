"""A folder of ``tests/cases/nix-locks`` with a flake.lock is a case: what reading it must give."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.errors import LockError
from ci_envs.locks.flake_lock import read_flake_lock
from ci_envs.model.lock import Lock

CASES = Path(__file__).parents[2] / "cases" / "nix-locks"
KNOWN = {"pins", "follows", "originals", "lines", "folders", "no_flakes", "error"}
ALL = sorted(path.parent.name for path in CASES.glob("*/flake.lock"))
SICK = [name for name in ALL if name.startswith("sick-")]
WELL = [name for name in ALL if not name.startswith("sick-")]


def load(name: str) -> tuple[dict[str, Any], str]:
    expected = json.loads((CASES / name / "expected.json").read_text("utf-8"))
    return expected, (CASES / name / "flake.lock").read_text("utf-8")


def test_every_folder_is_a_case() -> None:
    others = {path.parent.name for path in CASES.glob("*/sources.json")}
    assert sorted(path.name for path in CASES.iterdir()) == sorted({*ALL, *others})
    assert len(SICK) > 10
    assert len(WELL) > 5
    assert not set().union(*(load(name)[0] for name in ALL)) - KNOWN


@pytest.mark.parametrize("name", WELL)
def test_a_lock_is_read_as_its_case_says(name: str) -> None:
    expected, text = load(name)
    lock = read_flake_lock(text)
    assert [[pin.name, pin.version, pin.location, "".join(pin.hashes)] for pin in lock.pins] == expected["pins"]
    assert lock.follows == expected["follows"]
    by_name = {one.pin.name: one for one in lock.inputs}
    assert {name: by_name[name].original for name in expected.get("originals", {})} == expected.get("originals", {})
    assert {name: by_name[name].line for name in expected.get("lines", {})} == expected.get("lines", {})
    assert {one.pin.name: one.folder for one in lock.inputs if one.folder} == expected.get("folders", {})
    assert sorted(one.pin.name for one in lock.inputs if not one.flake) == expected.get("no_flakes", [])
    assert "secret-word" not in repr(lock)


@pytest.mark.parametrize("name", SICK)
def test_a_sick_lock_is_one_clear_error(name: str) -> None:
    expected, text = load(name)
    with pytest.raises(LockError) as caught:
        read_flake_lock(text)
    error = caught.value
    assert (error.message, error.line) == (expected["error"]["message"], expected["error"]["line"])
    assert error.file == "flake.lock"
    assert error.hint or "characters" in error.message or "twice" in error.message


def test_the_keys_that_nix_gives_the_nodes_change_nothing() -> None:
    _, text = load("flake-several-nixpkgs")
    other = text.replace('"nixpkgs_2"', '"nixpkgs_7"').replace('"crane"', '"crane_2"', 1)
    other = other.replace('"crane": "crane"', '"crane": "crane_2"')
    assert other != text
    assert read_flake_lock(other).pins == read_flake_lock(text).pins


def test_what_flake_nix_calls_its_inputs_is_known_of_those_that_follow_another_too() -> None:
    node = {"locked": {"type": "path", "path": "./a", "narHash": f"sha256-{'A' * 43}="}, "original": {}}
    root = {"inputs": {"b": ["a"], "a": "a_2"}}
    text = json.dumps({"nodes": {"a_2": node, "root": root}, "root": "root", "version": 7})
    assert read_flake_lock(text).declared == ("a", "b")


def test_what_follows_an_input_is_found_by_either_name() -> None:
    lock = read_flake_lock(load("flake-several-nixpkgs")[1])
    assert lock.find("lanzaboote/crane/nixpkgs") == lock.find("nixpkgs") is not None
    assert lock.find("banana") is None


def test_a_pin_is_an_input_of_nixs_and_is_counted_into_the_digest_of_the_lock() -> None:
    one, other = (read_flake_lock(load(name)[1]).pins for name in ("flake-utils", "flake-version-6"))
    assert {pin.manager for pin in one} == {"nix"}
    digests = {Lock(path="flake.lock", format="flake.lock", sha256="", pins=pins).digest for pins in (one, other)}
    assert len(digests) == 2


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("nodes", "root", "version", "inputs", "locked", "narHash", "a", "b")), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(_JSON, st.dictionaries(st.sampled_from(("root", "a", "b")), _JSON, max_size=3))
def test_whatever_it_holds_nothing_but_a_lock_or_an_error_comes_out(whole: Any, nodes: Any) -> None:
    for data in (whole, {"nodes": nodes, "root": "root", "version": 7}):
        with contextlib.suppress(LockError):
            read_flake_lock(json.dumps(data))
