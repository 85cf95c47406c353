"""Nothing is left in temporary folders."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.checks import Context

__all__ = ["NothingLeftInTemp"]

#: Empty sockets and lock files of tools are let pass, as repo2docker's check does (1 MB in all).
_ALLOWED_BYTES = 1_000_000

_SHOWN = 5


class NothingLeftInTemp:
    """What installing and checking leaves in TMPDIR would lie in every image and on every laptop."""

    code = "ENV601"
    title = "left in the temporary folder"
    advice = "let what wrote them remove them, or write to a folder of its own"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV601 (a warning) where more than 1 MB was left."""
        sizes = dict(_files(context.temp))
        if sum(sizes.values()) > _ALLOWED_BYTES:
            largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_SHOWN]
            shown = ", ".join(map(one_line, largest))
            yield Finding(
                code=self.code,
                severity="warning",
                title=self.title,
                message=f"{sum(sizes.values())} bytes in {len(sizes)} files, the largest: {shown}",
            )


def _files(top: Path) -> Iterator[tuple[str, int]]:
    """Relative names with sizes; links are not followed."""
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - walking bytes of foreign names
            with contextlib.suppress(OSError):  # what is still running removes its files meanwhile
                yield os.path.relpath(path, top), os.lstat(path).st_size
