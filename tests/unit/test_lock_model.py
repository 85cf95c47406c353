from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ci_envs.model.lock import Lock, Pin, Requirement

if TYPE_CHECKING:
    from collections.abc import Sequence

HASHES = ("sha256:" + "0" * 64,)
APPLE = Pin(name="apple", version="1.0", hashes=HASHES)
PEAR = Pin(name="pear", version="1.1", hashes=HASHES)


def lock(*pins: Pin, path: str = "requirements.txt", more: Sequence[str] = ()) -> Lock:
    return Lock(path=path, format="requirements", sha256="00", more=tuple(more), pins=pins)


def test_the_digest_is_of_the_pins_whatever_file_they_stand_in_and_in_whatever_order() -> None:
    assert lock(APPLE, PEAR).digest == lock(PEAR, APPLE, path="uv.lock").digest
    # Kept: a record of another day is compared with it.
    assert lock(APPLE).digest == "sha256:5644b0a98ac1b9bf9ed2bdf0f2d3d42b23b1c6678cf10c046c29001398f32343"


def test_every_part_of_a_pin_changes_the_digest() -> None:
    others = [
        replace(APPLE, name="apples"),
        replace(APPLE, version="1.0.0"),
        replace(APPLE, source="url"),
        replace(APPLE, location="https://index.example/apple.whl"),
        replace(APPLE, hashes=()),
    ]
    assert len({lock(pin).digest for pin in (APPLE, *others)}) == 6


def test_the_direct_dependencies_are_no_part_of_the_digest() -> None:
    asked = replace(lock(APPLE), direct=(Requirement(text="apple>=1", name="apple"),))
    assert asked.digest == lock(APPLE).digest


@given(st.permutations([APPLE, PEAR, Pin(name="seed", version="2"), Pin(name="seed", version="10")]))
def test_no_order_changes_the_digest(pins: list[Pin]) -> None:
    assert lock(*pins).digest == lock(*sorted(pins)).digest


def test_all_files_are_named_and_a_pin_is_found_by_name() -> None:
    both = lock(APPLE, PEAR, more=["requirements-dev.txt"])
    assert both.files == ("requirements.txt", "requirements-dev.txt")
    assert both.pin("pear") == PEAR
    assert both.pin("plum") is None


def test_a_lock_is_hashed_where_every_pin_of_an_index_is() -> None:
    checkout = Pin(name="repo", version="", source="vcs", location="git+https://git.example/repo@" + "0" * 40)
    assert lock(APPLE, checkout).hashed
    assert not lock(APPLE, Pin(name="pear", version="1")).hashed
    assert lock().hashed
