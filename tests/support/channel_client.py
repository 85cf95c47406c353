"""rattler itself, as a test drives it: caches in one folder, and only the virtual packages that are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import rattler
from rattler.package import BuildString
from rattler.platform import Subdir

from ci_envs.conda.engine import complete

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["Rattler"]


@dataclass(frozen=True, slots=True)
class Rattler:
    """rattler with caches of its own."""

    folder: Path
    platform: str = "linux-64"

    def solve(self, url: str, *specs: str, virtual: Sequence[str] = ()) -> list[rattler.RepoDataRecord]:
        """The records for these match specs; ``virtual`` are packages of the system, as ``__cuda=12.6``."""
        work = rattler.solve(
            [url],
            list(specs),
            gateway=rattler.Gateway(cache_dir=self.folder / "repodata"),
            platforms=[Subdir(self.platform), Subdir("noarch")],
            virtual_packages=list(_virtual(virtual)),
        )
        return complete(work)

    def install(self, url: str, *specs: str, prefix: Path | None = None, scripts: bool = False) -> Path:
        """Solves and installs; returns the prefix. ``scripts`` allows post-link scripts."""
        prefix = prefix or self.folder / "prefix"
        work = rattler.install(
            self.solve(url, *specs, virtual=["__glibc=2.36", "__unix=0"]),
            target_prefix=prefix,
            cache_dir=self.folder / "pkgs",
            show_progress=False,
            execute_link_scripts=scripts,
        )
        complete(work)
        return prefix


def _virtual(named: Sequence[str]) -> Iterable[rattler.GenericVirtualPackage]:
    for one in named:
        name, _, version = one.partition("=")
        package = rattler.PackageName(name), rattler.Version(version), BuildString("0")
        yield rattler.GenericVirtualPackage(*package)
