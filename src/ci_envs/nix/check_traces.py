"""What checking a build leaves in the store where it is ended half way: ``<path>.check`` and ``<path>.lock``.

nix gives files of these names to whoever builds. So what is there before is somebody else's, and stays; what comes
while we check is ours. Before we begin it is written down what was there: a run that is killed is cleared up after by
the next one.
"""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decode
from ci_envs.layout import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Traces"]

# `Derive([("out","/nix/store/...-hello-1.0","",""),("dev",...` (src/libstore/derivations.cc); what a derivation with
# a floating content address makes has no path yet.
_OUTPUT = re.compile(r'\("[^"]*","(/[^"]+)",')

#: What tells a file or folder from another one of its name: its inode, and when that last changed, in nanoseconds.
_Mark = tuple[int, int]


class Traces:
    """``file`` is where it is written down; ``remove`` removes a ``.check``, as far as it can."""

    def __init__(self, file: Path, remove: Callable[[Path], object]) -> None:
        self._file = file
        self._remove = remove

    @contextlib.contextmanager
    def watched(self, drv: Path) -> Iterator[None]:
        """Removes at the end what checking a derivation has left. One at a time."""
        text = drv.read_text(encoding="utf-8", errors="surrogateescape")
        outputs = _OUTPUT.findall(text.partition("]")[0])
        names = [f"{output}.{end}" for output in outputs for end in ("check", "lock")]
        write_atomically(self._file, msgspec.json.encode({name: _mark(Path(name)) for name in names}))
        try:
            yield
        finally:
            self.clear()

    def kept(self) -> list[Path]:
        """What ``--keep-failed`` has kept: of each output that differs, the one that was built again."""
        return [path for path in self._new() if path.suffix == ".check"]

    def clear(self) -> None:
        """Removes what is ours. What cannot be removed now is left to the next one."""
        for path in self._new():
            if path.suffix == ".lock":
                _unlock(path)
            else:
                self._remove(path)
        if not self._new():
            self._file.unlink(missing_ok=True)

    def _new(self) -> list[Path]:
        try:
            before = decode(self._file.read_bytes(), dict[str, _Mark | None])
        except (OSError, msgspec.MsgspecError):
            return []
        return [Path(name) for name, mark in before.items() if _mark(Path(name)) not in (None, mark)]


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _unlock(path: Path) -> None:
    """Removes a lock that nobody holds, as nix does (src/libstore/pathlocks.cc): who waits sees that it is gone."""
    if sys.platform == "win32":
        return  # which has no nix
    import fcntl

    with contextlib.suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        file.write(b"d")
