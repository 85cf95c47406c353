"""The wheels of a lock from the leg's store, without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.layout import remove_tree
from ci_envs.packages.store import verified_files
from ci_envs.patterns.installing import uv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ci_envs.model.lock import Lock, Pin
    from ci_envs.packages.wheels import Wheel
    from ci_envs.work import Work

__all__ = ["install_stored", "install_wheels", "pylock_text", "wheels_of"]


def install_stored(work: Work, lock: Lock, python: Path) -> bool:
    """Installs what the leg's store has of the lock; whether that is all that the lock names for Python.

    What is not there is left to whoever asks an index. uv compares each file with its hash once more.
    """
    files = verified_files(work, lock)
    if not files:
        return False
    pins = lock.of("python")
    stored = wheels_of(pins, files)
    return bool(stored) and install_wheels(work, stored, python) and len(stored) == len(pins)


def install_wheels(work: Work, stored: Mapping[Pin, list[Wheel]], python: Path) -> bool:
    """Installs one wheel for each pin, that which suits the interpreter best; whether that went well."""
    folder = work.temp / "packages"
    folder.mkdir(exist_ok=True)
    try:
        listed = folder / "pylock.toml"
        listed.write_text(pylock_text(stored), encoding="utf-8")
        words = ("pip", "install", "--offline", "--no-deps", "--python", python, "-r", listed)
        outcome = uv(work, *words, network=False)
    finally:
        remove_tree(folder)
    from ci_envs.conda.journal import Journal

    Journal.of(work)(f"{len(stored)} packages from the package cache{'' if outcome else ' could not be installed'}")
    return bool(outcome)


def wheels_of(pins: Iterable[Pin], files: Mapping[str, Path]) -> dict[Pin, list[Wheel]]:
    """The wheels among verified files that are of a pin, for each pin that has one; what is from no index has none.

    A pin's address would be noted in the environment (PEP 610), and a file's is another one.
    """
    from ci_envs.packages.wheels import read_wheel  # it reads archives, which few legs have

    found: dict[Pin, list[Wheel]] = {}
    for pin in pins:
        named = (files.get(each.removeprefix("sha256:")) for each in pin.hashes if pin.source == "index")
        wheels = [wheel for path in named if path and path.suffix == ".whl" and (wheel := read_wheel(path))]
        if wheels := [wheel for wheel in wheels if _is_of(wheel, pin)]:
            found[pin] = wheels
    return found


def _is_of(wheel: Wheel, pin: Pin) -> bool:
    from packaging.version import Version

    return wheel.name == pin.name and Version(wheel.version) == Version(pin.version)


def pylock_text(stored: Mapping[Pin, list[Wheel]]) -> str:
    """The wheels as a lock that names files: the specification of ``pylock.toml``, PEP 751.

    A file under this name is read as such, and nothing in it is looked for in an index.
    """
    import tomli_w

    packages = [
        {"name": pin.name, "version": pin.version, "wheels": [_row(wheel) for wheel in wheels]}
        for pin, wheels in stored.items()
    ]
    return tomli_w.dumps({"lock-version": "1.0", "created-by": "ci-envs", "packages": packages})


def _row(wheel: Wheel) -> dict[str, object]:
    # The store names the folder by the hash that the file was found to have.
    return {"name": wheel.path.name, "path": str(wheel.path), "hashes": {"sha256": wheel.path.parent.name}}
