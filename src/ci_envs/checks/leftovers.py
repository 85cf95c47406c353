"""Nothing is left in temporary folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["NothingLeftInTemp"]

#: Empty sockets and lock files of tools are let pass, as repo2docker's check does (1 MB in all).
_ALLOWED_BYTES = 1_000_000


class NothingLeftInTemp:
    """What installing and checking leaves in TMPDIR would lie in every image and on every laptop."""

    code = "ENV601"
    title = "left in the temporary folder"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV601 (a warning) where more than 1 MB was left."""
        sizes: dict[str, int] = {}
        for folder, _, names in os.walk(context.temp):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - walking bytes of foreign names
                sizes[os.path.relpath(path, context.temp)] = os.lstat(path).st_size
        if sum(sizes.values()) > _ALLOWED_BYTES:
            largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:5]
            yield Finding(
                code=self.code,
                severity="warning",
                title=self.title,
                message=f"{sum(sizes.values())} bytes in {len(sizes)} files, the largest: {', '.join(largest)}",
            )
