from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from tests.support.wheels import make_sdist, make_wheel

from ci_envs.locks.pylock import read_pylock
from ci_envs.model.lock import Pin
from ci_envs.packages.installing import pylock_text, wheels_of
from ci_envs.packages.store import PackageStore, hash_file

if TYPE_CHECKING:
    from pathlib import Path


def stored(folder: Path, *files: Path) -> dict[str, Path]:
    """The files in a store, by their hashes."""
    store = PackageStore(folder / "store")
    hashes = [hash_file(path) for path in files]
    for path, sha256 in zip(files, hashes, strict=True):
        store.put(path, sha256)
    return store.verified(hashes)[0]


def a_pin(files: dict[str, Path], start: str, **more: str) -> Pin:
    """A pin with the hash of the file whose name begins so, and of one that is not there."""
    (sha256,) = (sha256 for sha256, path in files.items() if path.name.startswith(start))
    usual = {"name": start, "version": "1.0", **more}
    return Pin(**usual, hashes=(f"sha256:{'0' * 64}", f"sha256:{sha256}"))  # type: ignore[arg-type]


def test_a_pin_has_the_wheel_that_has_one_of_its_hashes(tmp_path: Path) -> None:
    files = stored(tmp_path, make_wheel(tmp_path, "apple", "1.0"), make_wheel(tmp_path, "pear", "1.0"))
    apple, pear = a_pin(files, "apple"), a_pin(files, "pear")

    found = wheels_of([apple, pear, Pin(name="plum", version="1.0")], files)

    assert {pin.name: [wheel.path.name for wheel in wheels] for pin, wheels in found.items()} == {
        "apple": ["apple-1.0-py3-none-any.whl"],
        "pear": ["pear-1.0-py3-none-any.whl"],
    }


def test_a_version_may_be_spelt_otherwise(tmp_path: Path) -> None:
    files = stored(tmp_path, make_wheel(tmp_path, "apple", "1.0"))

    assert wheels_of([a_pin(files, "apple", version="1")], files)


def test_a_file_of_another_package_is_not_a_pins_whatever_the_lock_says(tmp_path: Path) -> None:
    files = stored(tmp_path, make_wheel(tmp_path, "apple", "1.0"))

    assert wheels_of([a_pin(files, "apple", version="2.0"), a_pin(files, "apple", name="pear")], files) == {}


def test_what_is_from_no_index_is_left_to_the_installer(tmp_path: Path) -> None:
    files = stored(tmp_path, make_wheel(tmp_path, "apple", "1.0"))

    assert wheels_of([a_pin(files, "apple", source="url", location="https://example.org/apple.whl")], files) == {}


def test_an_sdist_is_not_kept(tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "fig", "1.0")

    assert wheels_of([Pin(name="fig", version="1.0", hashes=(f"sha256:{hash_file(sdist)}",))], {}) == {}


def test_what_is_installed_is_named_with_its_hash(tmp_path: Path) -> None:
    folder = tmp_path / 'a "folder" # of\\many'
    folder.mkdir()
    files = stored(folder, make_wheel(tmp_path, "apple", "1.0"))
    pin = a_pin(files, "apple")

    text = pylock_text(wheels_of([pin], files))

    ((sha256, path),) = files.items()
    assert tomllib.loads(text)["packages"][0]["wheels"][0]["path"] == str(path)
    (read,) = read_pylock(text, path="pylock.toml", markers=MARKERS).lock.pins
    assert (read.name, read.version, read.hashes) == ("apple", "1.0", (f"sha256:{sha256}",))


MARKERS = dict.fromkeys(
    (
        *("implementation_name", "implementation_version", "os_name", "platform_machine", "platform_release"),
        *("platform_python_implementation", "platform_system", "platform_version", "sys_platform"),
    ),
    "",
) | {"python_version": "3.12", "python_full_version": "3.12.4"}
