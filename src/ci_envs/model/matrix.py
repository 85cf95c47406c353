"""A matrix: the file as a person writes it, and its normal form, which a plan is made from.

``include`` and ``exclude`` mean what they mean in a workflow's ``strategy.matrix``
(https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrix).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ci_envs.model.config import (
    CheckConfig,
    CondaConfig,
    DockerConfig,
    LockConfig,
    NixConfig,
    Table,
    TestConfig,
    UvConfig,
    VenvConfig,
)
from ci_envs.model.leg import Resolution

__all__ = [
    "AXES",
    "SETTINGS",
    "Arch",
    "Axes",
    "Defaults",
    "Entry",
    "Exclusion",
    "Inclusion",
    "Matrix",
    "MatrixFile",
    "Os",
    "Strategy",
    "Value",
    "variable_key",
]

Os = Literal["linux", "macos", "windows"]
Arch = Literal["x86_64", "aarch64"]

#: Which combinations of the axes are legs: all; the fewest that hold every pair of values; the same of the first and
#: the last value of each axis, where patterns and projects keep all.
Strategy = Literal["all", "pairwise", "ends"]

#: The keys of an include entry and of ``defaults`` that configure its legs; the rest say which legs are meant.
SETTINGS = ("check", "test", "lock", "venv", "uv", "conda", "docker", "nix", "guix", "install-project")

Text = Annotated[str, Meta(max_length=200)]
VariableValue = str | int | bool
RunsOn = Text | Annotated[tuple[Text, ...], Meta(min_length=1, max_length=20)]
Minutes = Annotated[int, Meta(ge=1, le=7200)]

_Texts = Annotated[tuple[Text, ...], Meta(min_length=1)]


class Axes(Table, frozen=True):
    """The values of each axis; legs are made of every combination."""

    pattern: _Texts = ()
    python: _Texts = ()
    os: Annotated[tuple[Os, ...], Meta(min_length=1)] = ()
    arch: Annotated[tuple[Arch, ...], Meta(min_length=1)] = ()
    accelerator: _Texts = ()
    project: _Texts = ()
    groups: Annotated[tuple[Text | tuple[Text, ...], ...], Meta(min_length=1)] = ()
    resolution: Annotated[tuple[Resolution, ...], Meta(min_length=1)] = ()


class _Cell(Table, frozen=True):
    """One value of some axes."""

    pattern: Text | None = None
    python: Text | None = None
    os: Os | None = None
    arch: Arch | None = None
    accelerator: Text | None = None
    project: Text | None = None
    groups: Text | tuple[Text, ...] | None = None
    resolution: Resolution | None = None
    variables: dict[str, VariableValue] = msgspec.field(default_factory=dict)


class Exclusion(_Cell, frozen=True):
    """Combinations that have all these values are left out, for the reason given."""

    reason: str = ""


class Defaults(_Cell, frozen=True):
    """What holds for a leg where nothing else says otherwise."""

    #: Runner label or labels of a CI job for the leg.
    runs_on: RunsOn | None = None
    timeout_minutes: Minutes | None = None
    check: CheckConfig | None = None
    test: TestConfig | None = None
    lock: LockConfig | None = None
    venv: VenvConfig | None = None
    uv: UvConfig | None = None
    conda: CondaConfig | None = None
    docker: DockerConfig | None = None
    nix: NixConfig | None = None
    install_project: Literal["auto", "wheel", "editable", "no"] | None = None


class Inclusion(Defaults, frozen=True):
    """Extends the combinations that it contradicts in no axis; where there is none, it is a leg of its own."""

    reason: str = ""


class MatrixFile(Table, frozen=True):
    """``matrices/*.yml``."""

    name: Text = ""
    description: str = ""
    strategy: Strategy = "all"
    axes: Axes = Axes()
    #: Axes of the author's own: they enter leg ids and reach checks and tests as ``CI_ENVS_VAR_<NAME>``.
    variables: dict[str, Annotated[tuple[VariableValue, ...], Meta(min_length=1)]] = msgspec.field(default_factory=dict)
    include: tuple[Inclusion, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    defaults: Defaults = Defaults()


#: The axes that ci-envs knows, in the order of a leg's fields.
AXES = Axes.__struct_fields__

#: One value of an axis; only ``groups`` has more than one word.
Value = str | tuple[str, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An include or exclude entry, or the defaults, in normal form."""

    #: By axis; a variable's key is :func:`variable_key` of its name.
    values: dict[str, Value] = {}
    #: Tables of ``ci-envs.yml`` as they were written.
    settings: dict[str, Any] = {}
    runs_on: str | tuple[str, ...] = ""
    #: 0 where it is not said.
    timeout_minutes: int = 0
    reason: str = ""
    #: Where it stands in the file.
    line: int = 0


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """A matrix in normal form: every value is text and was checked."""

    #: As messages name it; empty for one that was made from what ``detect`` found.
    file: str = ""
    name: str = ""
    description: str = ""
    strategy: Strategy = "all"
    #: The axes in the order of the file, then the variables: the last one varies fastest.
    axes: dict[str, tuple[Value, ...]] = {}
    include: tuple[Entry, ...] = ()
    exclude: tuple[Entry, ...] = ()
    defaults: Entry = Entry()


def variable_key(name: str) -> str:
    """``variables.color``: what tells a variable from an axis among the keys of a combination."""
    return f"variables.{name}"
