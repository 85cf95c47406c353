"""What it means that a conda package could not be had or linked, in the same words for every front end. Pure.

The sentences that are read are those of py-rattler 0.28, seen by letting a local channel misbehave
(``tests/component/test_conda_install.py`` keeps them true), and those that stand in the sources of conda 26 and
libmamba 2.8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ci_envs.errors import BrokenError, BuildError
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.errors import CiEnvsError
    from ci_envs.model.conda import LockedPackage

__all__ = [
    "another_file",
    "disk_full",
    "download_failed",
    "gone",
    "kind_of",
    "link_failed",
    "not_cached",
    "placeholder_too_short",
    "says_disk_full",
    "says_source_missing",
    "says_too_short",
    "unfit",
    "unfit_prefix",
]

#: A message is read by a person; the log has all of it.
_LONGEST = 500
#: How many packages a message names.
_NAMED = 5

Kind = Literal["gone", "refused", "passing", "down", "disk"]

_DISK = re.compile(r"No space left on device|os error 28\b|Errno 28\b|Disk quota exceeded|NoSpaceLeft", re.IGNORECASE)
_GONE = re.compile(r"\b(?:404 Not Found|410 Gone)|\b(?:status|HTTP) (?:404|410)\b", re.IGNORECASE)
_REFUSED = re.compile(r"\b40[137] (?:Unauthorized|Forbidden|Proxy)|\b(?:status|HTTP) 40[137]\b", re.IGNORECASE)
# The answer broke off; whoever asks again may get all of it.
_PASSING = re.compile(
    r"error decoding response body|error reading a body|connection (?:reset|closed)|unexpected eof", re.IGNORECASE
)

_TOO_SHORT = re.compile(r"target prefix cannot be longer|PaddingError|Placeholder of length")
_SOURCE_MISSING = re.compile(r"failed to (?:copy file from|link|read).*No such file or directory", re.DOTALL)


def kind_of(text: str) -> Kind:
    """What kept a file from being downloaded."""
    if _DISK.search(text):
        return "disk"
    if _GONE.search(text):
        return "gone"
    if _REFUSED.search(text):
        return "refused"
    return "passing" if _PASSING.search(text) else "down"


def says_disk_full(text: str) -> bool:
    """Whether a front end ran out of room."""
    return _DISK.search(text) is not None


def says_too_short(text: str) -> bool:
    """Whether a placeholder in a binary file has no room for the prefix."""
    return _TOO_SHORT.search(text) is not None


def says_source_missing(text: str) -> bool:
    """Whether a file was not where the cache should have it: another process may have taken it away."""
    return _SOURCE_MISSING.search(text) is not None


def stem(package: LockedPackage) -> str:
    """``numpy-2.1.0-py312h1103770_0``."""
    return f"{package.name}-{package.version}-{package.build}"


def another_file(package: LockedPackage, expected: str, actual: str, upgrade: str) -> BuildError:
    """The channel's file is not the locked one; hashes as ``sha256:<hex>``."""
    return BuildError(
        f"the channel gave another file than the one that the lock names: {package.url} has {actual}, "
        f"the lock of {package.name} has {expected}",
        hint=f"find out why before you lock again; {upgrade} would take what is there now",
    )


def gone(package: LockedPackage, upgrade: str) -> BuildError:
    """The channel has the file no longer."""
    return BuildError(
        f"the lock names {stem(package)}, which the channel no longer has ({package.url})",
        hint=f"take what is there now with: {upgrade}",
    )


def unfit(package: LockedPackage, why: str) -> BuildError:
    """The locked file itself is at fault."""
    return BuildError(
        f"{package.url} cannot be installed: {one_line(why, _LONGEST)}",
        hint="the file is the one that the lock names, so it was published so: tell whoever keeps the channel",
    )


def download_failed(package: LockedPackage, kind: Kind, said: str, upgrade: str) -> CiEnvsError:
    """A download that came to nothing, after its retries."""
    reason = one_line(said, _LONGEST)
    match kind:
        case "gone":
            return gone(package, upgrade)
        case "disk":
            return disk_full(f"{stem(package)} could not be kept")
        case "refused":
            return BrokenError(
                f"the channel refused us {stem(package)}: {reason}", hint="give its credentials as conda knows them"
            )
        case "passing" | "down":
            return BrokenError(f"the channel did not give {package.url}: {reason}")


def disk_full(what: str) -> BrokenError:
    """No room is left."""
    return BrokenError(f"the disk is full: {one_line(what, _LONGEST)}", hint="free some space and run it again")


def placeholder_too_short(name: str, path: str, prefix: str, placeholder: str) -> BuildError:
    """A binary holds a placeholder that has to be replaced by the prefix, byte for byte."""
    return BuildError(
        f"the folder of the environment has a name of {len(prefix.encode())} bytes, and {path} of {name} has room for "
        f"{len(placeholder.encode())}: {prefix}",
        hint="name a folder with a shorter name in CI_ENVS_STATE_DIR",
    )


def unfit_prefix(prefix: str, found: str) -> BuildError:
    """A name that ends the strings of the languages that it is written into."""
    return BuildError(
        f"the folder of the environment has {found} in its name, which cannot be put into the files of conda packages: "
        f"{prefix}",
        hint="name a folder with a plain name in CI_ENVS_STATE_DIR",
    )


def not_cached(packages: Sequence[LockedPackage]) -> BuildError:
    """Nothing may be downloaded, and these would have to be."""
    more = f" and {len(packages) - _NAMED} more" if len(packages) > _NAMED else ""
    return BuildError(
        f"nothing may be downloaded, and the package cache lacks {', '.join(map(stem, packages[:_NAMED]))}{more}",
        hint="run it once without --offline",
    )


def link_failed(said: str, log: str) -> BuildError:
    """Packages that are there could not be made an environment."""
    return BuildError(f"linking the packages failed: {one_line(said, _LONGEST)}", hint=f"the log has all of it: {log}")
