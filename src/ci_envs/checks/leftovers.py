"""Nothing is left in temporary folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.record import Finding
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        sizes = context.environment.sizes_left()
        if sum(sizes.values()) > _ALLOWED_BYTES:
            largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_SHOWN]
            shown = ", ".join(map(one_line, largest))
            yield Finding(
                code=self.code,
                severity="warning",
                title=self.title,
                message=f"{sum(sizes.values())} bytes in {len(sizes)} files, the largest: {shown}",
            )
