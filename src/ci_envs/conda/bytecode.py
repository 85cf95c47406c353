"""Bytecode of noarch Python packages: made as the configuration says, whatever the front end would have done.

They come without it. rattler makes none, conda always makes some, mamba can be told; what each makes holds the time of
the source file, so no two environments have the same. Ours is checked by the source's hash (PEP 552).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.layout import remove_tree
from ci_envs.model.conda_record import is_record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.conda_record import CondaRecord
    from ci_envs.work import Work

__all__ = ["prefix_python", "prefix_records", "settle_bytecode"]

_MODULE = re.compile(r"(?:lib/python[^/]+|Lib)/site-packages/.*\.py", re.DOTALL)


def prefix_records(prefix: Path) -> tuple[CondaRecord, ...]:
    """What conda-meta says is installed; files of it that are no records are left out."""
    paths = ((path, path.relative_to(prefix).as_posix()) for path in sorted((prefix / "conda-meta").glob("*.json")))
    data = {name: path.read_bytes() for path, name in paths if is_record(name)}
    return read_records(data, windows=sys.platform == "win32")[0]


def prefix_python(prefix: Path) -> Path:
    """Where conda has an environment's interpreter."""
    return prefix / "python.exe" if sys.platform == "win32" else prefix / "bin" / "python"


def settle_bytecode(work: Work, *, made: bool) -> None:
    """Makes bytecode of noarch packages, or sees to it that there is none; ``made`` says that there may be some."""
    compiles = work.config.conda.compile_bytecode
    if not (made or compiles):
        return
    records = prefix_records(work.prefix)
    if made:
        _remove(work.prefix, records)
    modules = [claim.path for record in records if record.subdir == "noarch" for claim in record.claims]
    modules = [path for path in modules if _MODULE.fullmatch(path)]
    if compiles and modules and prefix_python(work.prefix).exists():
        _compile(work, modules)


def _remove(prefix: Path, records: Iterable[CondaRecord]) -> None:
    """What the front end has compiled; a package's own bytecode, which is a file like others, stays."""
    for record in records:
        for claim in record.claims:
            if claim.kind == "pyc_file" and claim.path:
                path = prefix / claim.path
                path.unlink(missing_ok=True)
                if path.parent.name == "__pycache__" and path.parent.is_dir() and not any(path.parent.iterdir()):
                    remove_tree(path.parent)


def _compile(work: Work, modules: Sequence[str]) -> None:
    """With the environment's own interpreter. A module for another version of Python does not compile: so be it."""
    with tempfile.TemporaryDirectory(dir=work.temp) as folder:
        listed = Path(folder) / "modules.txt"
        names = (str(work.prefix / path) for path in sorted(modules))
        listed.write_text("".join(f"{name}\n" for name in names if "\n" not in name), encoding="utf-8")
        words = ("-I", "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "-i", listed)
        # PYTHONDONTWRITEBYTECODE would keep a program that compiles from writing what it compiled.
        work.run([prefix_python(work.prefix), *words], env={"PYTHONPYCACHEPREFIX": ""}, network=False)
