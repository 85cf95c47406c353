"""Private environments of the tools that must run under a leg's own interpreter: pip-tools, with its pip.

Each is made once for an interpreter from a hash lock that is shipped in ``resources/tools`` and kept in our cache.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ci_envs import cache
from ci_envs.environments.scheme import Scheme
from ci_envs.errors import BrokenError
from ci_envs.layout import held, remove_tree, write_atomically
from ci_envs.patterns.installing import uv
from ci_envs.resources import resource
from ci_envs.trouble import reason

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.work import Work

__all__ = ["pip_tools"]

#: Written last into a tool's environment: without it the environment is not whole.
_WHOLE = ".whole"


def pip_tools(work: Work) -> Path:
    """The interpreter of a pip-tools environment for the leg's Python; made on first use."""
    lock_file = resource("tools/pip-tools.txt")
    text = lock_file.read_bytes()
    work.tools["pip-tools"] = next(
        line.split("==")[1].split()[0] for line in text.decode().splitlines() if line.startswith("pip-tools==")
    )
    interpreter = work.interpreter
    key = hashlib.sha256(text + f"{interpreter.executable}\0{interpreter.version}".encode()).hexdigest()[:16]
    prefix = cache.cache_root(work.environ) / "tools" / f"pip-tools-{interpreter.series}-{key}"
    cache.usable_folder(prefix.parent)
    lock = held(prefix.with_name(f"{prefix.name}.lock"), "another run is installing pip-tools")
    with lock as descriptors, work.holding(descriptors):
        if not (prefix / _WHOLE).is_file():
            _make(work, prefix, lock_file)
    return Scheme.of(prefix).python


def _make(work: Work, prefix: Path, lock_file: Path) -> None:
    remove_tree(prefix)
    python = Scheme.of(prefix).python
    for words in (
        ("venv", "--no-project", "--python", work.interpreter.executable, prefix),
        ("pip", "sync", "--require-hashes", "--python", python, lock_file),
    ):
        outcome = uv(work, *words)
        if not outcome:
            raise BrokenError(f"pip-tools cannot be installed for Python {work.interpreter.version}: {reason(outcome)}")
    write_atomically(prefix / _WHOLE, b"")
