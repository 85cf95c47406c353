"""The wheels of an environment that was just built, fetched as files into the leg's store.

uv unpacks what it downloads and keeps no archive, so the archives are asked for once more, by the interpreter's own
pip: it honours the same settings of indexes, proxies and certificates. That is done only where package files are
carried between jobs, after the environment is whole; whatever goes wrong here is no fault of the leg's.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from ci_envs.environments.scheme import Scheme
from ci_envs.errors import BrokenError
from ci_envs.layout import remove_tree
from ci_envs.packages.installing import wheels_of
from ci_envs.packages.store import PackageStore, hash_file, locked_hashes
from ci_envs.patterns.installing import bundled_wheels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.content import Content
    from ci_envs.model.lock import Lock, Pin
    from ci_envs.work import Work

__all__ = ["fill_store"]

#: pip tells of one package at a time that it finds no wheel of; it is left out, and the others are asked for again.
MOST_TRIES = 12

#: Downloads at once, each of so many packages at least: starting pip takes a second.
AT_ONCE = 4
_FEWEST = 8

_NOT_FOUND = re.compile(r"No matching distribution found for ([A-Za-z0-9][\w.-]*)==")


def fill_store(work: Work, lock: Lock, content: Content) -> None:
    """Brings into the store the wheel of every pin that has none there, as far as one is to be had.

    A wheel is taken where its SHA-256 is one of the pin's and it is the one that was installed: of what was built here
    from an sdist, and of what comes from no index, nothing is kept.
    """
    store = PackageStore.of(work)
    if store is None or work.policy.offline:
        return
    there, _ = store.verified(locked_hashes(lock))
    from_index = [pin for pin in lock.of("python") if pin.source == "index" and pin.hashes]
    stored = wheels_of(from_index, there)
    wanted = [pin for pin in from_index if pin not in stored]
    if not wanted:
        return
    from ci_envs.conda.journal import Journal

    folder = work.temp / "packages"
    folder.mkdir(exist_ok=True)
    say = Journal.of(work)
    try:
        try:
            _fetch(work, wanted, folder)
        except BrokenError as error:  # what came before it broke off is as good
            say(str(error))
        say(f"{len(_kept(store, wanted, content, folder))} of {len(wanted)} package files were kept for the next job")
    except OSError as error:
        say(f"no package files were kept: {error}")
    finally:
        remove_tree(folder)


def _fetch(work: Work, wanted: Sequence[Pin], folder: Path) -> None:
    """Downloads wheels of the pins into the folder, as far as there are any; pip does one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    # Without site-packages: nothing of the environment may run before its leg does.
    python = work.interpreter.executable or str(Scheme.of(work.prefix).python)
    pip = bundled_wheels(work, python).get("pip") or bundled_wheels(work, sys.executable).get("pip")
    if pip is None:
        return
    parts = min(AT_ONCE, -(-len(wanted) // _FEWEST))
    with ThreadPoolExecutor(max_workers=parts) as threads:
        tasks = [
            threads.submit(
                _fetch_part, work, (python, "-I", "-S", f"{pip}/pip"), wanted[part::parts], folder / str(part)
            )
            for part in range(parts)
        ]
    for task in tasks:
        task.result()


def _fetch_part(work: Work, pip: tuple[str, ...], wanted: Sequence[Pin], folder: Path) -> None:
    from packaging.utils import canonicalize_name

    folder.mkdir()
    left = list(wanted)
    for _ in range(MOST_TRIES):
        outcome = _download(work, pip, left, folder)
        missing = set() if outcome else {canonicalize_name(name) for name in _NOT_FOUND.findall(outcome.output)}
        left = [pin for pin in left if pin.name not in missing]
        if not (missing and left):
            return


def _download(work: Work, pip: tuple[str, ...], pins: Sequence[Pin], folder: Path) -> Outcome:
    listed = folder / "packages.txt"
    lines = (f"{pin.name}=={pin.version} {' '.join(f'--hash={each}' for each in pin.hashes)}\n" for pin in pins)
    listed.write_text("".join(lines), encoding="utf-8")
    words = ("download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-cache-dir", "--quiet")
    return work.run([*pip, *words, "--dest", folder, "--requirement", listed], network=False)


def _kept(store: PackageStore, wanted: Sequence[Pin], content: Content, folder: Path) -> list[str]:
    """The names of the wheels that were put into the store."""
    from ci_envs.packages.wheels import read_wheel, told_tags

    kept = []
    installed = {each.name: each for each in content.installed}
    by_name = {pin.name: pin for pin in wanted}
    for path in sorted(folder.glob("*/*.whl")):
        wheel, sha256 = read_wheel(path), hash_file(path)
        pin = by_name.get(wheel.name) if wheel else None
        found = installed.get(wheel.name) if wheel else None
        if wheel is None or pin is None or found is None or f"sha256:{sha256}" not in pin.hashes:
            continue
        if told_tags(wheel.wheel) == told_tags(content.text(f"{found.folder}/WHEEL") or ""):
            store.put(path, sha256)
            kept.append(wheel.name)
    return kept
