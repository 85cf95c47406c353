"""Configuration in layers, each value with the place it came from.

Nearer beats wider: defaults, the root's ``ci-envs.yml``, that of the leg's own project, the matrix's ``defaults``, its
include entries, the caller's variables, flags. A layer replaces single keys of a table (``check.timeout``); a list or
mapping below is replaced whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ci_envs.commandline import split
from ci_envs.decoding import convert
from ci_envs.durations import seconds
from ci_envs.errors import UsageError
from ci_envs.model.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.documents import Document, Path
    from ci_envs.project import Project

__all__ = [
    "NIX_INPUTS",
    "Layer",
    "Settings",
    "check_values",
    "environment_layers",
    "project_layers",
    "read_project_config",
    "resolve",
    "seconds",
]

YAML_NAME = "ci-envs.yml"
TOML_NAME = "pyproject.toml"
DEFAULT = "default"

#: ``nixpkgs=/folder other=github:...``: `nix.inputs` of whoever runs.
NIX_INPUTS = "CI_ENVS_NIX_INPUTS"

#: A year: a longer time limit is a slip, and so is one that a float cannot hold.
_MAX_SECONDS = 366 * 86400.0


class Layer(NamedTuple):
    """One place that says something, and what it says, as it was written."""

    source: str
    values: Mapping[str, Any]


class Settings:
    """The configuration of one leg."""

    def __init__(self, config: Config, sources: Mapping[str, str]) -> None:
        self.config = config
        self._sources = sources

    def source(self, key: str) -> str:
        """Where ``check.timeout`` was said; ``default`` where nobody said it."""
        return self._sources.get(key, DEFAULT)

    def explain(self) -> list[tuple[str, Any, str]]:
        """Every key with its value and its source."""
        return [(key, value, self.source(key)) for key, value in _leaves(msgspec.to_builtins(self.config))]


def resolve(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Settings:
    """The settings that layers come to; a later one wins.

    Raises :class:`UsageError` naming the source for values that are not what :class:`Config` has.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, values in layers:
        for key, value in _leaves(values):
            _put(merged, key, value)
            sources[key] = source
    try:
        settings = Settings(convert(merged, Config), sources)
    except msgspec.ValidationError as error:
        raise UsageError(_unfit(str(error), sources)) from None
    _refuse_shell(settings)
    return settings


def _refuse_shell(settings: Settings) -> None:
    """A command that needs a shell is told before anything is built, and not when it is its turn."""
    config = settings.config
    for key, command in (("check.command", config.check.command), ("test.command", config.test.command)):
        if command:
            try:
                split(command, key)
            except UsageError as error:
                raise UsageError(f"{settings.source(key)}: {error.message}", hint=error.hint) from None


def project_layers(root: Project, project: Project | None = None) -> list[Layer]:
    """The layers that files of the root and of a leg's project give, the project's own last."""
    projects = [root] if project is None or project.root == root.root else [root, project]
    return [layer for layer in map(read_project_config, projects) if layer is not None]


def environment_layers(environ: Mapping[str, str]) -> list[Layer]:
    """The layer of the caller's variables: where a machine keeps its nixpkgs is no matter of a project's files."""
    said = environ.get(NIX_INPUTS, "")
    if not said.strip():
        return []
    from ci_envs.nix.described import inputs_said

    return [Layer(NIX_INPUTS, {"nix": {"inputs": inputs_said(said)}})]


def read_project_config(project: Project) -> Layer | None:
    """``ci-envs.yml`` or ``[tool.ci-envs]`` of ``pyproject.toml``; ``None`` where there is neither.

    Raises :class:`UsageError` where there are both, or for anything in them that is not known.
    """
    text = project.text(YAML_NAME)
    tool = project.pyproject.get("tool")
    table = tool.get("ci-envs") if isinstance(tool, dict) else None
    if text is not None and table is not None:
        raise UsageError(
            f"configures ci-envs, and so does [tool.ci-envs] in {TOML_NAME}",
            file=_shown(project, YAML_NAME),
            hint="keep one of the two",
        )
    document = _document(project, text, table)
    if document is None or document.data is None:
        return None
    from ci_envs.shapes import read_as

    read_as(document, Config)
    check_values(document, document.data, ())
    return Layer(document.file if text is not None else f"{document.file} [tool.ci-envs]", document.data)


def check_values(document: Document, values: Mapping[str, Any], path: Path) -> None:
    """Refuses what the types let through: a time limit that is none. ``values`` stand at ``path``."""
    for table in ("check", "test"):
        limit = (values.get(table) or {}).get("timeout")
        if limit is not None:
            try:
                span = seconds(limit)
            except UsageError as error:
                raise document.error(
                    f"{table}.timeout: {error.message}", *path, table, "timeout", hint=error.hint
                ) from None
            if not 0 < span <= _MAX_SECONDS:
                raise document.error(f"{table}.timeout: {limit!r} is not between 0 and a year", *path, table, "timeout")


def _document(project: Project, text: str | None, table: Any) -> Document | None:
    if text is None and table is None:
        return None
    from ci_envs.documents import Document, load_yaml

    if text is not None:
        return load_yaml(text, file=_shown(project, YAML_NAME))
    return Document(table, file=_shown(project, TOML_NAME))


def _shown(project: Project, name: str) -> str:
    return name if project.name == "." else f"{project.name}/{name}"


def _leaves(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """``check.timeout`` and its value: the keys of tables, and the values that are no table."""
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            leaves.extend((f"{key}.{inner}", deep) for inner, deep in value.items())
        else:
            leaves.append((key, value))
    return leaves


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    table, _, name = key.partition(".")
    if name:
        target.setdefault(table, {})[name] = value
    else:
        target[table] = value


def _unfit(said: str, sources: Mapping[str, str]) -> str:
    what, _, place = said.partition(" - at `$.")
    key = place.rstrip("`")
    source = next(
        (source for name, source in sources.items() if key == name or key.startswith((f"{name}[", f"{name}."))), ""
    )
    return f"{source + ': ' if source else ''}{key + ': ' if key else ''}{what.replace('`', '')}"
