"""The cases of ``tests/cases/solver-errors``: projects that cannot be locked, and the lines that are why.

<case>/project/         the files of the project
<case>/expected.json    what is found, for each tool that is asked (``uv``, ``venv``, ``conda``)
<case>/<tool>.txt       what that tool has printed, with the project's folder and the index's address left out
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.wheels import make_sdist, make_wheel

__all__ = ["CASES", "SolverCase", "make_sour_fruit", "solver_cases", "without_places"]

CASES = Path(__file__).parents[1] / "cases" / "solver-errors"

_NO_BACKEND = "def build_wheel(*_):\n    raise RuntimeError('thorns')\n"
_NO_METADATA = "Metadata-Version: 2.1\nName: thorn\nVersion: 1.0\n"
_BUILD_SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "tiny_backend"\nbackend-path = ["."]\n'


@dataclass(frozen=True)
class SolverCase:
    """One project and one tool."""

    name: str
    tool: str
    expected: dict[str, Any]

    @property
    def id(self) -> str:
        """For pytest."""
        return f"{self.name}-{self.tool}"

    @property
    def files(self) -> dict[str, str]:
        """The project's files."""
        folder = CASES / self.name / "project"
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}

    @property
    def said(self) -> str:
        """What the tool has printed."""
        return (CASES / self.name / f"{self.tool}.txt").read_text("utf-8")

    @property
    def lines(self) -> list[str]:
        """``file:line`` of the error and of what takes part in it; a file alone where no line is sure."""
        return list(self.expected["lines"])

    @property
    def groups(self) -> tuple[str, ...] | None:
        """The groups that the leg asks for."""
        return tuple(self.expected["groups"]) if "groups" in self.expected else None


def solver_cases(*tools: str) -> list[SolverCase]:
    """Every case of these tools."""
    found = []
    for folder in sorted(CASES.iterdir()):
        expected = json.loads((folder / "expected.json").read_text("utf-8"))
        common = {key: value for key, value in expected.items() if key != "tools"}
        for tool, own in expected["tools"].items():
            if tool in tools:
                found.append(SolverCase(folder.name, tool, {**common, **own}))
    return found


def without_places(text: str, project: Path, index: str) -> str:
    """What a tool has printed without what is another at each run, and without the frames of its tracebacks."""
    plain = (
        text.replace(str(project), "<project>")
        .replace(index, "<index>/")
        .replace(index.rpartition("simple")[0], "<index>/")
    )
    plain = re.sub(r"<project>/\.ci-envs/tmp/\S+/(?=[^/\s]+)", "<temp>/", plain)
    kept, in_trace = [], False
    for line in plain.splitlines():
        in_trace = line.startswith("Traceback (") or (in_trace and (line.startswith(" ") or not line))
        if not in_trace and not line.startswith(("Using CPython", "pip._", "The above exception")):
            kept.append(line.rstrip())
    return "\n".join(kept).strip("\n") + "\n"


def make_sour_fruit(folder: Path) -> Path:
    """Adds to the universe of :func:`tests.support.projects.make_universe` what nobody can lock.

    ==============  ========  ==================================================
    package         versions  what it is for
    ==============  ========  ==================================================
    haunted         1.0       needs ghost, which is nowhere
    thicket         1.0       needs haunted
    lime            1.0a1     a pre-release and nothing else
    mango           1.0       one wheel, for Python 3.9 on Windows
    guava           1.0       for Python 3.99 and later
    basket1, layer1 1.0       one needs the other, which needs ``seed<2``
    basket2, layer2 1.0       the same with ``seed>=2``
    thorn           1.0       an sdist whose build raises
    bramble         1.0       needs thorn
    ==============  ========  ==================================================
    """
    needs = {"haunted": ["ghost"], "thicket": ["haunted"], "bramble": ["thorn"]}
    needs |= {"basket1": ["layer1"], "basket2": ["layer2"], "layer1": ["seed<2"], "layer2": ["seed>=2"]}
    for name, requires in needs.items():
        make_wheel(folder, name, "1.0", requires=requires)
    make_wheel(folder, "lime", "1.0a1")
    make_wheel(folder, "mango", "1.0", tags="cp39-cp39-win_amd64")
    make_wheel(folder, "guava", "1.0", requires_python=">=3.99")
    _with_thorns(make_sdist(folder, "thorn", "1.0"))
    return folder


def _with_thorns(sdist: Path) -> None:
    """Only a build tells what it needs, and the build raises."""
    told = {"PKG-INFO": _NO_METADATA, "tiny_backend.py": _NO_BACKEND, "pyproject.toml": _BUILD_SYSTEM}
    with tarfile.open(sdist) as archive:
        members = [(member, _content(archive, member)) for member in archive]
    with tarfile.open(sdist, "w:gz") as archive:
        for member, content in members:
            data = told[name].encode() if (name := Path(member.name).name) in told else content
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""
