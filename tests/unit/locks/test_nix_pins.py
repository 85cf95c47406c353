"""A folder of ``tests/cases/nix-locks`` with a sources.json is a case: what reading it must give."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.errors import LockError
from ci_envs.locks.nix_pins import ReadPins, read_pins
from ci_envs.locks.nix_sources import from_nix32, is_revision, nix32, nix_sha256, public_address, version_of

CASES = Path(__file__).parents[2] / "cases" / "nix-locks"
KNOWN = {"tool", "pins", "unfixed", "same_as", "error"}
ALL = sorted(path.parent.name for path in CASES.glob("*/sources.json"))
SICK = [name for name in ALL if name.startswith("sick-")]
WELL = [name for name in ALL if not name.startswith("sick-")]


def load(name: str) -> tuple[dict[str, Any], str]:
    expected = json.loads((CASES / name / "expected.json").read_text("utf-8"))
    return expected, (CASES / name / "sources.json").read_text("utf-8")


def read(name: str) -> ReadPins:
    return read_pins(load(name)[1], path="npins/sources.json")


def test_the_cases_are_not_forgotten() -> None:
    assert len(SICK) > 5
    assert len(WELL) > 7
    assert not set().union(*(load(name)[0] for name in ALL)) - KNOWN


@pytest.mark.parametrize("name", WELL)
def test_pins_are_read_as_their_case_says(name: str) -> None:
    expected, _ = load(name)
    found = read(name)
    assert found.tool == expected["tool"]
    assert [[pin.name, pin.version, pin.location, "".join(pin.hashes)] for pin in found.pins] == expected["pins"]
    assert found.unfixed == expected["unfixed"]
    assert {pin.manager for pin in found.pins} <= {"nix"}
    assert "secret-word" not in repr(found)


@pytest.mark.parametrize("name", [name for name in WELL if "same_as" in load(name)[0]])
def test_the_same_pins_are_the_same_in_every_version_of_the_format(name: str) -> None:
    assert read(name).pins == read(load(name)[0]["same_as"]).pins


@pytest.mark.parametrize("name", SICK)
def test_sick_pins_are_one_clear_error(name: str) -> None:
    expected, _ = load(name)
    with pytest.raises(LockError) as caught:
        read(name)
    error = caught.value
    assert (error.message, error.line) == (expected["error"]["message"], expected["error"]["line"])
    assert (error.file, bool(error.hint)) == ("npins/sources.json", True)


# The SHA-256 of nothing, in the spellings of `nix-hash --type sha256 --to-base16|--to-base32|--to-sri`.
NOTHING = hashlib.sha256(b"").hexdigest()
NOTHING_32 = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
NOTHING_64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize(
    "text",
    [
        NOTHING,
        NOTHING.upper(),
        NOTHING_32,
        NOTHING_64,
        f"sha256:{NOTHING}",
        f"sha256:{NOTHING_32}",
        f"sha256-{NOTHING_64}",
        f" sha256-{NOTHING_64}\n",
    ],
)
def test_a_hash_is_the_same_in_every_spelling(text: str) -> None:
    assert nix_sha256(text) == f"sha256:{NOTHING}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256-",
        NOTHING[:-1],
        NOTHING_32[:-1],
        NOTHING_64[:-1],
        f"sha512-{NOTHING_64}",
        "e" * 52,
        "z" * 52,
        "é" * 64,
    ],
)
def test_what_is_no_sha256_is_none(text: str) -> None:
    assert nix_sha256(text) == ""


@given(st.binary(min_size=32, max_size=32))
def test_base_64_and_base_16_are_the_same_bytes(data: bytes) -> None:
    assert nix_sha256(f"sha256-{base64.b64encode(data).decode()}") == nix_sha256(data.hex()) == f"sha256:{data.hex()}"


@given(st.binary(max_size=70))
def test_base_32_is_the_same_bytes(data: bytes) -> None:
    assert from_nix32(nix32(data)) == data
    assert len(data) != 32 or nix_sha256(nix32(data)) == f"sha256:{data.hex()}"


def test_a_pin_is_called_by_what_is_known_of_it() -> None:
    digest = f"sha256:{NOTHING}"
    assert version_of("abc", 86400, digest) == "abc"
    assert version_of("", 86400 * 365, digest) == "1971-01-01"
    assert version_of("", 0, digest) == version_of("", 10**30, digest) == "e3b0c44298fc"
    assert version_of("", 0, "") == ""


def test_a_revision_is_whole() -> None:
    assert is_revision("a" * 40)
    assert is_revision("0" * 64)
    assert not is_revision("a" * 39)
    assert not is_revision("HEAD")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://example.org/a.tar.gz?x=1&y=%2F", "https://example.org/a.tar.gz?x=1&y=%2F"),
        ("https://u:p@example.org/a?private_token=s&sha=1", "https://example.org/a?sha=1"),
        ("https://example.org/a?access_token=s", "https://example.org/a"),
        ("ssh://git@example.org/a", "ssh://git@example.org/a"),
        ("https://[oops/a", "https://[oops/a"),
    ],
)
def test_an_address_is_shown_without_what_lets_somebody_in(address: str, public: str) -> None:
    assert public_address(address) == public


@given(st.dictionaries(st.sampled_from(("pins", "version", "a")), st.one_of(st.integers(), st.text(), st.none())))
def test_whatever_it_holds_nothing_but_pins_or_an_error_comes_out(table: Any) -> None:
    with contextlib.suppress(LockError):
        read_pins(json.dumps(table), path="nix/sources.json")
