"""What the lock file itself has to say for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context

__all__ = ["LockIsSafe"]


class LockIsSafe:
    """Every pin that comes from an index carries a hash, so that nothing else can be installed in its name."""

    code = "LOCK001"
    title = "no hashes"
    advice = "keep a requirements.in and let `{lock}` write the pins with their hashes"

    def run(self, context: Context) -> Iterator[Finding]:
        """LOCK001 (a warning) where pins carry none."""
        bare = [pin.name for pin in context.lock.pins if pin.source == "index" and not pin.hashes]
        if bare:
            shown = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
            yield Finding(
                code=self.code,
                severity="warning",
                title=self.title,
                message=f"{shown}: the index may hand out other files under these versions. "
                "Keep a requirements.in and let `ci-envs lock` write the pins with their hashes",
                file=context.lock.path,
            )
