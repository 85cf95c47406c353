"""Dev container features of tests, and the tool that publishes and uses them, from npm at one version.

The tool speaks http to ``localhost`` only, so a registry on loopback has to be called that.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filelock import FileLock
from tests.support.docker_bases import cache_folder

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["CLI_INTEGRITY", "CLI_VERSION", "Feature", "installed_cli", "publish"]

#: The one place that says which version the tests use; npm compares the package with the hash.
CLI_VERSION = "0.89.0"
CLI_INTEGRITY = "sha512-LzaoOGKQ/Zql6PsiZ4hVIYVZagzWkD65aG/1ou5/Kly5Y1PtjLg1yn7qu+LZCzVoAl6DZZ/pbz8qOO4RLNlqMg=="


@dataclass(frozen=True)
class Feature:
    """A feature: https://containers.dev/implementors/features/."""

    id: str
    version: str
    #: Shell, run by root while the image is built.
    install: str
    #: Further keys of devcontainer-feature.json.
    more: dict[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """As its author keeps it."""
        folder.mkdir(parents=True)
        told = {"id": self.id, "version": self.version, "name": self.id, **self.more}
        (folder / "devcontainer-feature.json").write_text(json.dumps(told))
        (folder / "install.sh").write_text(f"#!/bin/sh\nset -e\n{self.install}\n")


def installed_cli() -> Path:
    """The folder of ``devcontainer``: installed once a machine, by whichever process asks first.

    Raises :class:`LookupError` where there is no npm, :class:`RuntimeError` where it cannot install.
    """
    folder = cache_folder() / f"devcontainers-cli-{CLI_VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _install(folder)
    return folder / "node_modules" / ".bin"


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise LookupError("there is no npm on PATH, which brings the devcontainer tool")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    words = ("install", "--prefix", str(part), "--no-audit", "--no-fund", f"@devcontainers/cli@{CLI_VERSION}")
    outcome = run(Command((npm, *words), env=dict(os.environ), cwd=part, timeout=300))
    if not outcome:
        raise RuntimeError(f"npm failed:\n{outcome.tail()}")
    packages = json.loads((part / "node_modules" / ".package-lock.json").read_text())["packages"]
    found = packages["node_modules/@devcontainers/cli"]["integrity"]
    if found != CLI_INTEGRITY:
        raise RuntimeError(f"npm brought a @devcontainers/cli of {found}, and {CLI_INTEGRITY} was asked for")
    part.rename(folder)


def publish(cli: Path, registry: str, namespace: str, features: Iterable[Feature], work: Path) -> dict[str, str]:
    """Publishes features under ``registry/namespace/<id>``, each with the tags that its version has; id -> digest.

    ``cli`` is the folder of :func:`installed_cli`; ``work`` must not exist yet.
    """
    for feature in features:
        feature.write(work / feature.id)
    words = ("features", "publish", str(work), "--registry", registry, "--namespace", namespace)
    outcome = run(Command((str(cli / "devcontainer"), *words), env=dict(os.environ), timeout=120))
    if not outcome:
        raise RuntimeError(f"the features cannot be published:\n{outcome.tail()}")
    published = json.loads(outcome.stdout.strip().rpartition("\n")[2])
    return {name: told["digest"] for name, told in published.items()}
