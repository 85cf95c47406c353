"""``make bootstrap`` and the sessions, with real make, pip, nox and uv, in a copy of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, run
from ci_envs.locks.requirements import read_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.command import Outcome

pytestmark = [
    pytest.mark.component,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform == "win32", reason="make and sh"),
]

ROOT = Path(__file__).parents[2]
#: What stdlib's venv puts into an environment by itself.
SEEDS = {"pip", "setuptools", "wheel"}
PARTS = ("Makefile", "noxfile.py", "pyproject.toml", "README.md", "LICENSE", "requirements", "src", "matrices")


def copy_checkout(target: Path) -> Path:
    target.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    return target


def make(checkout: Path, *words: str, env: Mapping[str, str] | None = None) -> Outcome:
    # These tests may run below a make of their own, which would tell this one so.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return run(Command(argv=("make", *words), cwd=checkout, env={**outer, **(env or {})}, timeout=300))


def installed(checkout: Path) -> dict[str, str]:
    uv = str(checkout / ".venv/bin/uv")
    listed = run(Command(argv=(uv, "pip", "list", "--format=json", "--python=.venv/bin/python"), cwd=checkout))
    assert listed, listed.output
    return {row["name"].lower().replace("_", "-"): row["version"] for row in json.loads(listed.stdout)}


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A space in the path is where an unquoted Makefile breaks.
    checkout = copy_checkout(tmp_path_factory.mktemp("with space") / "a checkout")
    outcome = make(checkout, "bootstrap", f"PYTHON={sys.executable}")
    assert outcome, outcome.output
    return checkout


@pytest.fixture
def marker_values() -> dict[str, str]:
    from packaging.markers import default_environment

    return {name: str(value) for name, value in default_environment().items()}


def test_the_environment_holds_the_lock_and_this_package_and_nothing_else(
    bootstrapped: Path, marker_values: dict[str, str]
) -> None:
    text = (bootstrapped / "requirements/dev.txt").read_text("utf-8")
    pins = read_requirements(text, path="dev.txt", markers=marker_values).lock.pins
    found = installed(bootstrapped)
    assert found.pop("repro-envs")
    locked = {pin.name: pin.version for pin in pins}
    assert {name: found[name] for name in found if name not in SEEDS or name in locked} == locked


def test_a_second_bootstrap_does_nothing_until_the_lock_changes(bootstrapped: Path) -> None:
    assert "venv --clear" not in make(bootstrapped, "--dry-run", "bootstrap").stdout
    lock = bootstrapped / "requirements/dev.txt"
    before = lock.stat()
    os.utime(lock)
    try:
        assert "venv --clear" in make(bootstrapped, "--dry-run", "bootstrap").stdout
    finally:
        os.utime(lock, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_bootstrap_from_inside_its_own_active_environment_works(bootstrapped: Path) -> None:
    path = f"{bootstrapped / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    outcome = make(bootstrapped, "--always-make", "bootstrap", env={"PATH": path})
    assert outcome, outcome.output
    assert run(Command(argv=(str(bootstrapped / ".venv/bin/ci-envs"), "--version"), cwd=bootstrapped))


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("version_info", "is too old, 3.11 is needed"),
        ("ensurepip", "apt install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_advice(tmp_path: Path, refused: str, message: str) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{refused}*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    fake.chmod(0o755)
    outcome = make(checkout, "bootstrap", f"PYTHON={fake}")
    assert not outcome
    assert message in outcome.stdout
    assert not (checkout / ".venv").exists()


def test_no_python_at_all_is_said(tmp_path: Path) -> None:
    outcome = make(copy_checkout(tmp_path / "checkout"), "bootstrap", "PYTHON=python-that-is-nowhere")
    assert not outcome
    assert "there is no python-that-is-nowhere here" in outcome.stdout


def test_make_alone_shows_what_can_be_made(tmp_path: Path) -> None:
    outcome = make(copy_checkout(tmp_path / "checkout"))
    targets = [line.split()[0] for line in outcome.stdout.splitlines()]
    assert targets == ["help", "bootstrap", "patterns", "test", "lint", "docs", "bench", "clean"]


@pytest.mark.parametrize("nox", [(".venv/bin/nox",), (".venv/bin/uv", "tool", "run", "nox")], ids=["venv", "uvx"])
def test_the_main_job_starts_from_either_nox(bootstrapped: Path, nox: tuple[str, ...]) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    argv = (*nox, "--session", "patterns", "--", "--help")
    outcome = run(Command(argv=argv, cwd=bootstrapped, env=environ, timeout=300))
    assert outcome, outcome.output
    assert "--lock-mode" in outcome.stdout
    isolated = (bootstrapped / ".nox/patterns").exists()
    assert isolated == (nox[0] == ".venv/bin/uv")
