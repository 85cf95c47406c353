from __future__ import annotations

from msgspec.structs import replace
from tests.unit.conda.lock_values import conda, lock, pip

from ci_envs.conda.comparing import changes

LIB, APP, APPLE = conda("lib", "1.0"), conda("app", "1.0"), pip("apple", "1.0")


def said(*pair: object) -> list[str]:
    old, new = pair
    return [one.message for one in changes(old, new)]  # type: ignore[arg-type]  # locks, as the callers give them


def test_the_same_packages_are_no_change_whatever_else_differs() -> None:
    other = [replace(LIB, categories=("dev",)), replace(APP, depends=("lib",)), APPLE]
    assert said(lock(LIB, APP, APPLE), lock(*other, channels=("x",))) == []


def test_each_change_is_named() -> None:
    new = lock(conda("lib", "1.1"), conda("extra", "3.0"), pip("apple", "2.0"))
    assert said(lock(LIB, APP, APPLE), new) == [
        "a solve of today leaves app 1.0 h1_0 out",
        "a solve of today adds extra 3.0 h1_0",
        "lib 1.0 h1_0 would be 1.1 h1_0",
        "apple 1.0 would be 2.0",
    ]


def test_another_build_and_another_file_are_changes() -> None:
    assert said(lock(LIB), lock(conda("lib", "1.0", build="h2_0"))) == ["lib 1.0 h1_0 would be 1.0 h2_0"]
    assert said(lock(LIB), lock(replace(LIB, sha256="0" * 64))) == [
        "lib 1.0 h1_0 is another file today than the one that is locked"
    ]
    assert said(lock(replace(LIB, sha256="")), lock(replace(LIB, md5="0" * 32))) != []


def test_a_hash_that_only_one_of_them_has_is_none() -> None:
    assert said(lock(replace(LIB, sha256="")), lock(LIB)) == []
    assert said(lock(LIB), lock(replace(LIB, md5=""))) == []


def test_which_file_of_a_distribution_was_chosen_is_no_change() -> None:
    other = replace(APPLE, url=APPLE.url.replace("-none-any", "-none-manylinux_2_28_x86_64"), sha256="0" * 64)
    assert said(lock(APPLE), lock(other)) == []
    assert said(lock(APPLE), lock(replace(APPLE, sha256="0" * 64))) == [
        "apple 1.0 is another file today than the one that is locked"
    ]


def test_a_change_on_several_platforms_is_told_once_with_them() -> None:
    def everywhere(version: str) -> list[object]:
        return [conda("lib", version, platform=name) for name in ("linux-64", "osx-64", "win-64")]

    old, new = lock(*everywhere("1.0"), APP), lock(*everywhere("1.1"), APP)  # type: ignore[arg-type]  # packages
    assert said(old, new) == ["lib 1.0 h1_0 would be 1.1 h1_0 (linux-64, osx-64, win-64)"]


def test_platforms_that_were_not_made_anew_are_not_compared() -> None:
    old = lock(LIB, conda("lib", "1.0", platform="win-64"))
    assert said(old, lock(LIB)) == []


def test_a_change_stands_in_the_old_lock() -> None:
    (one,) = changes(lock(LIB, path="locks/x.yml"), lock(conda("lib", "1.1"), path="other.yml"))
    assert (one.code, one.name, one.file) == ("unsatisfied", "lib", "locks/x.yml")
