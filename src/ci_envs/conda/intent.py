"""What a conda project asks for: its intent files read, and merged into one intent.

Several files are merged as conda-lock does it (``conda_lock/src_parser/aggregation.py``): what a later file says of a
package replaces what an earlier one says; channels must agree in their order, and the longest list counts. In two
things this differs. Inside one file every line holds, as it does for conda. And a line of one category replaces none
of another: a leg without that category would lose the package.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ci_envs.conda.credentials import shown_address
from ci_envs.conda.environment_file import read_environment_file
from ci_envs.conda.gathering import requirement_name
from ci_envs.conda.pyproject_table import has_conda_table, read_pyproject
from ci_envs.conda.python_series import series_of
from ci_envs.errors import UsageError
from ci_envs.model.conda import PLATFORMS, CondaIntent, MatchLine, PipLine
from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ci_envs.conda.gathering import Gathering
    from ci_envs.project import Project

__all__ = [
    "categories_of",
    "intent_files",
    "lowest_python",
    "pip_for",
    "python_of",
    "read_intent",
    "specs_for",
    "with_credentials",
]

_NAMES = ("environment.yml", "environment.yaml")
_PYPROJECT = "pyproject.toml"

_Line = TypeVar("_Line", MatchLine, PipLine)


def intent_files(project: Project, configured: Sequence[str] = ()) -> tuple[str, ...]:
    """The intent files of a project: those that are configured, else the first of ``environment.yml``,
    ``environment.yaml``, ``pyproject.toml`` with ``[tool.conda-lock]``; empty where there is none.

    Raises :class:`UsageError` for a configured file that is not there, or lies outside.
    """
    for file in configured:
        project.path(file)
        if not project.exists(file):
            near = nearest(file, _alike(project, file))
            raise UsageError(f"conda.files names {one_line(file, 80)!r}, and there is no such file{near}")
    if configured:
        return tuple(dict.fromkeys(configured))
    found = next((name for name in _NAMES if project.exists(name)), "")
    return (found,) if found else (_PYPROJECT,) if has_conda_table(project) else ()


def read_intent(project: Project, files: Sequence[str], *, channels: Sequence[str] = ()) -> CondaIntent:
    """What the files ask for, merged in their order; ``channels`` count in place of those that they name.

    Raises :class:`UsageError` with file and line for what cannot be read, for what is no spec, and for lists of
    channels that cannot be brought into one order; :class:`ToolMissing` without py-rattler, which judges specs.
    """
    if not files:
        raise UsageError(
            "no file says what the conda environment is to hold",
            hint="write environment.yml, or name the file in ci-envs.yml: conda: {files: [env.yml]}",
        )
    parts = [_read(project, file).intent() for file in files]
    named = [shown_address(channel) for channel in channels if channel != "nodefaults"]
    specs = _merged([[(line, line.name) for line in part.specs] for part in parts])
    pip = _merged([[(line, requirement_name(line.text)) for line in part.pip] for part in parts])
    return CondaIntent(
        files=tuple(files),
        name=next((part.name for part in parts if part.name), ""),
        channels=tuple(dict.fromkeys(named)) if channels else _one_order(parts),
        nodefaults="nodefaults" in channels if channels else any(part.nodefaults for part in parts),
        specs=(*specs, *_pip_itself(specs, pip)),
        pip=pip,
        variables={name: value for part in parts for name, value in part.variables.items()},
        platforms=tuple(dict.fromkeys(platform for part in parts for platform in part.platforms)),
        findings=tuple(finding for part in parts for finding in part.findings),
    )


def with_credentials(project: Project, files: Sequence[str], channels: Sequence[str] = ()) -> dict[str, str]:
    """What an intent shows -> what is written, for channels, specs and requirements that a secret was left out of.

    For whoever asks a server, and for nothing that is written. Variables (``$TOKEN``) stand in both, and are not
    replaced here.
    """
    found = {shown_address(channel): channel for channel in channels if shown_address(channel) != channel}
    for file in files:
        found = {**_read(project, file).written, **found}
    return found


def specs_for(intent: CondaIntent, platform: str, categories: Collection[str]) -> tuple[MatchLine, ...]:
    """The match specs for one platform that belong to some categories, in the order of the files."""
    return _chosen(intent.specs, platform, categories)


def pip_for(intent: CondaIntent, platform: str, categories: Collection[str]) -> tuple[PipLine, ...]:
    """The lines below ``pip:`` for one platform that belong to some categories, in the order of the files."""
    return _chosen(intent.pip, platform, categories)


def categories_of(intent: CondaIntent) -> tuple[str, ...]:
    """Every category that something belongs to, ``main`` first."""
    found = dict.fromkeys((*_categories(intent.specs), *_categories(intent.pip)))
    return tuple(sorted(found, key=lambda category: category != "main"))


def python_of(intent: CondaIntent, platform: str) -> str:
    """The one Python series that the specs leave (``3.12`` for ``python=3.12``, ``3.13t`` for a free-threaded one).

    Empty where they leave several: :func:`lowest_python` then says where these begin.
    """
    return series_of(_texts(intent, platform)).pinned


def lowest_python(intent: CondaIntent, platform: str) -> str:
    """The lowest Python series that the specs leave (``3.10`` for ``python >=3.10``); empty where they do not say."""
    return series_of(_texts(intent, platform)).lowest


def _categories(lines: Iterable[MatchLine | PipLine]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.category for line in lines))


def _texts(intent: CondaIntent, platform: str) -> list[str]:
    return [line.text for line in specs_for(intent, platform, categories_of(intent))]


def _read(project: Project, file: str) -> Gathering:
    name = posixpath.basename(file)
    if name == "meta.yaml":
        raise UsageError(
            "is a recipe, and recipes are not read", file=file, hint="write what it needs into environment.yml"
        )
    return read_pyproject(project, file) if name == _PYPROJECT else read_environment_file(project, file)


def _alike(project: Project, file: str) -> list[str]:
    folder = posixpath.dirname(file)
    names = [name for name in project.names(folder) if name.endswith((".yml", ".yaml", ".toml"))]
    return [posixpath.join(folder, name) for name in names]


def _chosen(lines: Iterable[_Line], platform: str, categories: Collection[str]) -> tuple[_Line, ...]:
    return tuple(
        line for line in lines if (not line.platforms or platform in line.platforms) and line.category in categories
    )


def _merged(files: Iterable[Sequence[tuple[_Line, str]]]) -> tuple[_Line, ...]:
    """The lines of all files, which come with the names that they are about (empty: about none).

    A later file takes, from earlier lines of a name, the platforms that it speaks of.
    """
    kept: list[tuple[_Line, str]] = []
    for lines in files:
        taken: dict[tuple[str, str], set[str]] = {}
        for line, name in lines:
            if name:
                taken.setdefault((name, line.category), set()).update(line.platforms or PLATFORMS)
        earlier, kept = kept, []
        for line, name in earlier:
            left = _without(line, taken.get((name, line.category), set()))
            kept += [(left, name)] if left is not None else []
        kept += lines
    return tuple(line for line, _ in kept)


def _without(line: _Line, taken: set[str]) -> _Line | None:
    """A line for those of its platforms that are not taken; ``None`` where none is left."""
    if not taken:
        return line
    left = tuple(platform for platform in line.platforms or PLATFORMS if platform not in taken)
    return msgspec.structs.replace(line, platforms=left) if left else None


def _pip_itself(specs: Sequence[MatchLine], pip: Sequence[PipLine]) -> list[MatchLine]:
    """The spec ``pip`` for each category that pip installs something of: conda and conda-lock, too, put it there."""
    there = {line.category for line in specs if line.name == "pip"}
    lines = [line for line in pip if _installs(line.text) and not {line.category, "main"} & there]
    return [_pip_for_lines([line for line in lines if line.category == category]) for category in _categories(lines)]


def _installs(text: str) -> bool:
    """Whether a line below ``pip:`` names something to install, and is not an option alone."""
    return not text.startswith("-") or text.startswith(("-e", "--editable", "-r", "--requirement"))


def _pip_for_lines(lines: Sequence[PipLine]) -> MatchLine:
    first = lines[0]
    meant = {platform for line in lines for platform in line.platforms or PLATFORMS}
    platforms = tuple(platform for platform in PLATFORMS if platform in meant)
    return MatchLine(
        text="pip",
        name="pip",
        file=first.file,
        line=first.line,
        platforms=() if platforms == PLATFORMS else platforms,
        category=first.category,
    )


def _one_order(parts: Sequence[CondaIntent]) -> tuple[str, ...]:
    """The longest list of channels; every other one must be its end, or no order would be plain."""
    longest = max(parts, key=lambda part: len(part.channels))
    for part in parts:
        if part.channels and part.channels != longest.channels[-len(part.channels) :]:
            raise UsageError(
                f"its channels ({', '.join(part.channels)}) and those of {longest.files[0]} "
                f"({', '.join(longest.channels)}) have no common order",
                file=part.files[0],
                hint="name the same channels in each file, or all of them in ci-envs.yml: conda: {channels: [...]}",
            )
    return longest.channels
