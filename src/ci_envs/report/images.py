"""How the images of legs are told in a table. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_envs.model.report import LegImage

__all__ = ["short_digest", "size", "system"]

# As much as engines show of an id.
_SHOWN = 12


def short_digest(digest: str) -> str:
    """``sha256:b4110cd911e6``, the beginning of ``sha256:<hex>``."""
    algorithm, colon, value = digest.partition(":")
    return f"{algorithm}{colon}{value[:_SHOWN]}"


def size(count: int) -> str:
    """Bytes in powers of 1000, as engines show them: ``361 MB``, ``4.1 GB``; nothing where nobody has counted."""
    if not count:
        return ""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:.0f} {unit}"


def system(image: LegImage) -> str:
    """``Debian GNU/Linux 12 (bookworm), 89 packages``; why there is no number where the list is not whole."""
    packages = f"{image.packages} packages" if image.packages else ""
    return ", ".join(filter(None, (image.system, packages, image.note)))
