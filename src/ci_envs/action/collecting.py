"""What one leg has left, for its artifact: the record, its logs, the tests' report, the lock files that it names.

The project's own code has run before this, and may have put anything in these places. So regular files are taken, no
links, from inside of the state folder and the project, up to a size; what they say is the report's to judge.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import console
from ci_envs.github.runner import temporary_folder
from ci_envs.github.step_files import set_output
from ci_envs.layout import Layout, remove_tree
from ci_envs.record_files import MAX_RECORD_BYTES, RECORD_NAME, find_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.github.inputs import CollectInputs

__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "MAX_LOG_BYTES", "collect"]

#: Of a log as many bytes are kept, from its end: that is where the reason of a failure is.
MAX_LOG_BYTES = 4 * 1024 * 1024

#: Any other file is taken whole or not at all: half of a lock or of a report is none.
MAX_FILE_BYTES = 16 * 1024 * 1024

#: More logs than the stages of a leg write.
MAX_FILES = 100

# A file that takes its place between the look and the opening is not followed, and a pipe is not waited for.
_CAREFUL = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def collect(inputs: CollectInputs, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Copies them to ``ci-envs-leg/<leg>`` of the runner's temporary folder, and sets the output ``path`` to that.

    The output is empty where the leg has left nothing.
    """
    root = Path(inputs.working_directory)
    layout = Layout.at(root, environ)
    target = temporary_folder(environ) / "ci-envs-leg" / inputs.leg
    remove_tree(target)
    taken = [name for name, path, limit in _left(layout, inputs.leg) if _take(path, target / name, limit)]
    console.show_note(f"{inputs.leg}: {', '.join(taken) or 'nothing'} collected")
    set_output("path", str(target) if taken else "", environ)
    return target if taken else None


def _left(layout: Layout, leg: str) -> Iterator[tuple[str, Path, int]]:
    """What to take: its name in the artifact, where it is, the most bytes of it."""
    record = layout.record(leg)
    if _is_inside(record, layout.state):
        yield RECORD_NAME, record, MAX_RECORD_BYTES
    logs = layout.log(leg, "any").parent
    for name in _names(logs)[:MAX_FILES] if _is_inside(logs, layout.state) else ():
        yield f"logs/{name}", logs / name, MAX_LOG_BYTES if name.endswith(".log") else MAX_FILE_BYTES
    yield from _locks(layout, leg)


def _locks(layout: Layout, leg: str) -> Iterator[tuple[str, Path, int]]:
    record = find_record(layout.record(leg))
    if record is None or record.lock is None:
        return
    project = layout.root / record.leg.project
    for name in (record.lock.path, *record.lock.more)[:MAX_FILES]:
        if _is_inside(project / name, layout.root):
            yield f"lock/{name}", project / name, MAX_FILE_BYTES


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether no link leads out of the folder; where the path itself is one it is not taken anyway."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False


def _take(source: Path, target: Path, limit: int) -> bool:
    """Copies a regular file; whether there was one. Of a log that is too long the end is taken."""
    try:
        if not stat.S_ISREG(source.lstat().st_mode):
            return False
        descriptor = os.open(source, _CAREFUL)
    except (OSError, ValueError):
        return False
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        cut = found.st_size - limit
        if not stat.S_ISREG(found.st_mode) or (cut > 0 and source.suffix != ".log"):
            console.show_note(f"{source.name} is not collected: it has {found.st_size} bytes")
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            if cut > 0:
                copy.write(f"[the first {cut} bytes are left out]\n".encode())
                stream.seek(cut)
            copy.write(stream.read(limit))
    return True
