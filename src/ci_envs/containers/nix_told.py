"""What the build of a nix shell told: files of an image that nothing has to run in. Read as an image's own word."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.copying import one_file
from ci_envs.containers.labels import leg_labels
from ci_envs.containers.nix_template import DIVIDER
from ci_envs.containers.starting import engine_errors
from ci_envs.decoding import decode
from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure
from ci_envs.model.shell import Shell
from ci_envs.nix.closure import told_closure
from ci_envs.nix.hook import read_environ
from ci_envs.nix.image_variables import image_variables
from ci_envs.nix.shell import Evaluated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.containers.legs import LegOnEngine

__all__ = ["ToldShell", "read_told", "shell_told"]

_FILES = ("environment", "dev-env.json", "closure.json", "top", "version", "python")
#: Of one of them, in bytes: a closure of a hundred thousand paths has no more.
_LIMIT = 64 * 1024 * 1024

#: Where the project is inside, and where commands run.
_APP = "/app"

# What was there before the hook, and what is of the build alone.
_NOT_THE_SHELLS = frozenset(
    (
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "PYTHONPYCACHEPREFIX",
        "ci_envs_path",
        "ci_envs_env",
    )
)


class ToldShell(msgspec.Struct, frozen=True, kw_only=True):
    """A shell inside of an image."""

    shell: Shell
    #: Without the output that holds the variables: it is in no image.
    closure: Closure
    #: What the image is to set, and the names of those that are left out since they may be secrets.
    variables: dict[str, str]
    secret: tuple[str, ...]
    #: ``2.8.0``.
    nix: str


def read_told(here: LegOnEngine, image: str) -> dict[str, bytes]:
    """The files, by their names, of an image that has nothing else. :class:`BuildError` where one is not there."""
    from docker.errors import NotFound

    api = here.engine.client.api
    with engine_errors(f"{here.engine.title} does not hand over what the build told"):
        made = api.create_container(image, command=["none"], labels=leg_labels(here.state, here.leg.id))
        try:
            read = {name: one_file(api.get_archive(made["Id"], f"/{name}")[0], name, _LIMIT) for name in _FILES}
        except NotFound as error:
            raise BuildError(f"the build of the shell did not tell all that it was asked: {error}") from error
        finally:
            api.remove_container(made["Id"], force=True, v=True)
    return {name: data or b"" for name, data in read.items()}


def shell_told(files: Mapping[str, bytes], *, pure: bool) -> ToldShell:
    """The shell, from those files. :class:`BuildError` where they cannot be read."""
    try:
        found = decode(files["dev-env.json"], Evaluated)
    except msgspec.MsgspecError as error:
        raise BuildError(f"what nix print-dev-env said cannot be read: {error}") from error
    top, after = files["top"].decode().strip(), read_environ(files["environment"])
    path = tuple(_folders(after.get("PATH", "")))
    made = dict(_owned(found, after)) | {"PATH": ":".join(path), "IN_NIX_SHELL": "pure" if pure else "impure"}
    shell = Shell(variables=made, path=path, python=files["python"].decode().strip(), top=top, pure=pure)
    closure = told_closure(files["closure.json"].decode())
    closure = Closure(paths=tuple(one for one in closure.paths if one.path != top))
    chosen = image_variables(shell, posixpath.dirname(top), ())
    return ToldShell(
        shell=shell,
        closure=closure,
        variables=chosen.kept | {"PATH": made["PATH"]},
        secret=chosen.secret,
        nix=files["version"].decode().strip().rpartition(" ")[2],
    )


def _owned(found: Evaluated, after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the shell, or its hook, has set, and what can be kept as text."""
    outputs = {name: f"{_APP}/outputs/{name}" for name in found.outputs}
    for name, value in after.items():
        is_builds = name in _NOT_THE_SHELLS or outputs.get(name) == value or "/ci-envs/" in value
        if not is_builds and _is_text(value):
            yield name, value.strip(":") if name == "XDG_DATA_DIRS" else value


def _is_text(value: str) -> bool:
    """Whether it is no surrogate escape: PEP 383."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _folders(path: str) -> Iterator[str]:
    """The shell's own folders on PATH: those before the divider, and what a hook has put behind."""
    own, _, rest = path.partition(DIVIDER)
    for entry in dict.fromkeys((*own.split(":"), *rest.split(":"))):
        if entry:
            yield posixpath.normpath(posixpath.join(_APP, entry))
