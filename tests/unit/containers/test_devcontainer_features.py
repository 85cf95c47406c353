"""devcontainer-lock.json, and whether it still says what is asked for."""

from __future__ import annotations

import json

import pytest

from ci_envs.containers.devcontainer_features import (
    FeatureLock,
    LockedFeature,
    feature_name,
    feature_pins,
    locked_ids,
    read_feature_lock,
    renewed,
    stale_features,
    write_feature_lock,
)
from ci_envs.errors import LockError, UsageError

PATH = ".devcontainer/devcontainer-lock.json"
GIT = "r.example/f/git:1"
BASE = "r.example/f/base:2"


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def entry(name: str, version: str, letter: str, *needs: str) -> LockedFeature:
    where = f"{feature_name(name)}@{digest(letter)}"
    return LockedFeature(version=version, resolved=where, integrity=digest(letter), depends_on=needs)


def lock(**entries: LockedFeature) -> FeatureLock:
    names = {"git": GIT, "base": BASE}
    return FeatureLock(features={names[key]: value for key, value in entries.items()})


def test_a_lock_in_sync_has_nothing_to_say() -> None:
    both = lock(base=entry(BASE, "2.0.1", "b"), git=entry(GIT, "1.3.0", "a", BASE))
    assert stale_features([GIT], both, PATH) == ()


@pytest.mark.parametrize(
    ("asked", "wrong", "message"),
    [
        ([GIT], {}, "is not in the lock"),
        ([], {GIT: entry(GIT, "1.0.0", "a")}, "nothing asks for"),
        ([GIT], {GIT: entry(GIT, "2.0.0", "a")}, "is locked to 2.0.0"),
        (["r.example/f/git:1.2"], {"r.example/f/git:1.2": entry(GIT, "1.20.0", "a")}, "is locked to 1.20.0"),
        ([GIT], {GIT: entry("r.example/other/git:1", "1.0.0", "a")}, "is locked as r.example/other/git@"),
        ([GIT], {GIT: entry(GIT, "1.0.0", "a", BASE)}, "base:2 is not in the lock"),
        (
            [GIT],
            {GIT: LockedFeature(version="1.0.0", resolved=f"r.example/f/git@{digest('b')}", integrity=digest("a"))},
            "two digests",
        ),
        (
            [f"r.example/f/git@{digest('c')}"],
            {f"r.example/f/git@{digest('c')}": entry(GIT, "1.0.0", "a")},
            "is locked to 1.0.0",
        ),
    ],
)
def test_what_no_longer_fits_is_named(asked: list[str], wrong: dict[str, LockedFeature], message: str) -> None:
    (stale,) = stale_features(asked, FeatureLock(features=wrong), PATH)
    assert message in stale.message
    assert stale.file == PATH


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (GIT, "1.99.3"),
        ("r.example/f/git:1.2.3", "1.2.3"),
        ("r.example/f/git:latest", "9.0.0"),
        ("r.example/f/git", "3.1.0"),
    ],
)
def test_a_tag_covers_the_versions_that_begin_with_it(asked: str, version: str) -> None:
    kept = FeatureLock(features={asked: entry(asked, version, "a")})
    assert stale_features([asked], kept, PATH) == ()


def test_a_tarball_is_locked_under_its_address() -> None:
    address = "https://files.example/git.tgz"
    kept = LockedFeature(version="1.0.0", resolved=address, integrity=digest("a"))
    assert stale_features([address], FeatureLock(features={address: kept}), PATH) == ()
    moved = LockedFeature(version="1.0.0", resolved="https://other.example/git.tgz", integrity=digest("a"))
    assert stale_features([address], FeatureLock(features={address: moved}), PATH)


def test_a_registry_with_a_port_is_no_tag() -> None:
    assert feature_name("localhost:5000/f/git:1") == "localhost:5000/f/git"
    assert feature_name(f"localhost:5000/f/git@{digest('a')}") == "localhost:5000/f/git"
    assert feature_name("localhost:5000/f/git") == "localhost:5000/f/git"


def test_features_of_the_project_are_not_locked() -> None:
    assert locked_ids(["./mine", "../other", GIT], PATH) == (GIT,)


def test_a_name_of_old_is_refused() -> None:
    with pytest.raises(UsageError, match="has no address") as caught:
        locked_ids(["docker-in-docker"], "devcontainer.json")
    assert "ghcr.io/devcontainers/features/docker-in-docker" in caught.value.hint


def test_pins_carry_version_and_digest() -> None:
    (pin,) = feature_pins(lock(git=entry(GIT, "1.3.0", "a")))
    assert (pin.name, pin.version, pin.hashes, pin.manager) == ("r.example/f/git", "1.3.0", (digest("a"),), "image")


def test_renewing_keeps_what_fits_and_takes_the_rest_anew() -> None:
    old = lock(git=entry(GIT, "1.0.0", "a"), base=entry(BASE, "1.0.0", "b"))
    new = lock(base=entry(BASE, "2.0.0", "c"), git=entry(GIT, "1.5.0", "d"))
    made = renewed([GIT, BASE], old, new)
    assert made.features[GIT].version == "1.0.0"
    assert made.features[BASE].version == "2.0.0"
    assert list(made.features) == [BASE, GIT]


def test_renewing_drops_what_nothing_asks_for() -> None:
    old = lock(git=entry(GIT, "1.0.0", "a"), base=entry(BASE, "2.0.0", "b"))
    assert list(renewed([GIT], old, lock(git=entry(GIT, "1.5.0", "d"))).features) == [GIT]


def test_what_a_kept_feature_needs_stays_though_its_successor_needs_it_no_more() -> None:
    old = lock(git=entry(GIT, "1.0.0", "a", BASE), base=entry(BASE, "2.0.0", "b"))
    assert list(renewed([GIT], old, lock(git=entry(GIT, "1.5.0", "d"))).features) == [GIT, BASE]


def test_the_file_is_written_as_the_tool_writes_it() -> None:
    text = write_feature_lock(lock(git=entry(GIT, "1.3.0", "a", BASE)))
    expected = {
        "version": "1.3.0",
        "resolved": f"r.example/f/git@{digest('a')}",
        "integrity": digest("a"),
        "dependsOn": [BASE],
    }
    assert text == json.dumps({"features": {GIT: expected}}, indent=2) + "\n"
    assert read_feature_lock(text, PATH).features[GIT].depends_on == (BASE,)


def test_an_empty_file_is_an_empty_lock() -> None:
    assert read_feature_lock(" \n", PATH) == FeatureLock()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"features": {"a": {}}}', '{"features": {"a": 1}}', "[" * 100_000, '{"features": null}']
)
def test_a_file_that_is_no_lock_is_an_error(text: str) -> None:
    with pytest.raises(LockError, match="cannot be read") as caught:
        read_feature_lock(text, PATH)
    assert caught.value.file == PATH


def test_a_digest_that_was_cut_is_an_error() -> None:
    cut = lock(git=entry(GIT, "1.0.0", "a")).features[GIT]
    text = write_feature_lock(FeatureLock(features={GIT: cut})).replace("a" * 64, "a" * 63)
    with pytest.raises(LockError, match="which is no SHA-256"):
        read_feature_lock(text, PATH)
