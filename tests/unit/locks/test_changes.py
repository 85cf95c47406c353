from __future__ import annotations

from ci_envs.locks.changes import changed_pins
from ci_envs.model.lock import Lock, Pin


def lock(*pins: Pin) -> Lock:
    return Lock(path="requirements.txt", format="requirements", sha256="", pins=pins)


APPLE = Pin(name="apple", version="1.0", hashes=("sha256:00",))


def test_the_same_versions_are_no_change_whatever_their_hashes() -> None:
    assert changed_pins(lock(APPLE), lock(Pin(name="apple", version="1.0", hashes=("sha256:11",)))) == ()


def test_each_change_is_named_in_the_order_of_names() -> None:
    old = lock(APPLE, Pin(name="pear", version="1.0"))
    new = lock(Pin(name="apple", version="1.1"), Pin(name="cherry", version="2.0"))
    found = changed_pins(old, new)
    assert [one.message for one in found] == [
        "apple==1.0 would be apple==1.1",
        "a resolution of today adds cherry==2.0",
        "a resolution of today leaves pear==1.0 out",
    ]
    assert {(one.code, one.file) for one in found} == {("unsatisfied", "requirements.txt")}


def test_a_pin_of_an_address_is_told_by_it() -> None:
    old = lock(Pin(name="apple", version="", source="url", location="https://files.example/apple.whl"))
    assert [one.message for one in changed_pins(old, lock(APPLE))] == [
        "apple @ https://files.example/apple.whl would be apple==1.0"
    ]
