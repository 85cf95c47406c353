"""What is made for one dev container, where it lies, and how all of it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_envs.containers.devcontainer_lock import configuration_of
from ci_envs.containers.devcontainer_workspace import workspace_path
from ci_envs.containers.images import listed_images, remove_image
from ci_envs.containers.labels import leg_labels, state_key
from ci_envs.containers.legs import engine_for
from ci_envs.containers.listing import listed
from ci_envs.containers.starting import discarded, engine_errors, release
from ci_envs.errors import BrokenError
from ci_envs.layout import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ci_envs import command
    from ci_envs.containers.devcontainer_config import Devcontainer
    from ci_envs.containers.engine import Engine
    from ci_envs.layout import Layout
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = ["Site", "images_left", "mounted_at"]


@dataclass
class Site:
    """What is made for one container, and its end."""

    engine: Engine
    read: Devcontainer
    #: The leg's folder, in it the copy of the project, and what is mounted or handed to the builder.
    prefix: Path
    workspace: Path
    handed: Path
    labels: Mapping[str, str]
    #: Of the container, so that whoever removes it can be told beforehand.
    name: str = field(default_factory=lambda: f"ci-envs-{secrets.token_hex(6)}")
    container: str = ""
    guard: command.Background | None = None
    #: Whether nobody asks the engine for a container any more.
    settled: bool = True
    #: The volumes that were there before.
    volumes: frozenset[str] = frozenset()
    own_volumes: tuple[str, ...] = ()

    @classmethod
    def of(cls, leg: Leg, work: Work) -> Site:
        """Clears the leg's folder. :class:`BrokenError` where a container has left files in it that are not ours."""
        engine = engine_for(leg, work.config.docker, work.environ)
        workspace = workspace_path(work.prefix, work.project.root)
        try:
            remove_tree(work.prefix)
        except PermissionError as error:
            raise BrokenError(
                f"{error.filename} belongs to another user: a container has written it, and was killed",
                hint=f"sudo rm -rf {work.layout.shown(work.prefix)}",
            ) from error
        handed = work.prefix / "handed"
        handed.mkdir(parents=True)
        handed.chmod(0o700)
        if sys.platform != "win32" and os.geteuid() == 0:
            work.prefix.chmod(0o700)  # everybody may write to the copy: see devcontainer_workspace.py
        with engine_errors(f"{engine.title} does not tell its volumes"):
            volumes = frozenset(each["Name"] for each in listed(engine.client.api.volumes).get("Volumes") or ())
        return cls(
            engine=engine,
            read=configuration_of(work.project, work.config),
            prefix=work.prefix,
            workspace=workspace,
            handed=handed,
            labels=leg_labels(state_key(work.layout), leg.id),
            volumes=volumes,
        )

    @property
    def override(self) -> Path:
        """What the tool reads in the place of the project's own configuration."""
        return self.prefix / "devcontainer.json"

    @property
    def words(self) -> list[str | Path]:
        """By which every call of the tool knows the container."""
        labels = [word for name, value in self.labels.items() for word in ("--id-label", f"{name}={value}")]
        words: list[str | Path] = ["--workspace-folder", self.workspace, "--config", self.workspace / self.read.path]
        return [*words, "--override-config", self.override, *labels]

    def clear(self) -> None:
        """Removes the container, its volumes and images, and the copy of the project. Needs nothing of them."""
        api = self.engine.client.api
        self._give_back()
        done = discarded(self.engine, self.container or self.name, settled=self.settled)
        release(self.guard, done=done)
        self.guard = None
        for name in self.own_volumes:
            with contextlib.suppress(Exception):
                api.remove_volume(name)
        with contextlib.suppress(Exception):
            for name in _built_for(self.engine, [self.workspace]):
                remove_image(self.engine, name)
        with contextlib.suppress(OSError):
            remove_tree(self.prefix)

    def _give_back(self) -> None:
        """Makes the copy ours again, where the container's users have written files that we may not remove."""
        if sys.platform == "win32" or os.geteuid() == 0 or self.engine.rootless or not self.container:
            return
        api, where = self.engine.client.api, f"{os.getuid()}:{os.getgid()}"
        with contextlib.suppress(Exception):
            for target in mounted_at(api.inspect_container(self.container), self.workspace):
                made = api.exec_create(self.container, ["chown", "-Rh", where, target], user="0")
                api.exec_start(made["Id"])


def mounted_at(attrs: Mapping[str, Any], source: Path) -> list[str]:
    """Where a folder of this machine is inside."""
    return [str(each["Destination"]) for each in attrs.get("Mounts") or () if each.get("Source") == str(source)]


def images_left(engine: Engine, layout: Layout, legs: Sequence[str] = ()) -> list[str]:
    """The names of images that killed runs have left, of the named legs or of all: the tool labels none."""
    folders = [layout.prefix(leg) for leg in legs] if legs else sorted(layout.state.glob("envs/*"))
    return _built_for(engine, [path for folder in folders for path in folder.glob("workspace/*")])


def _built_for(engine: Engine, workspaces: Iterable[Path]) -> list[str]:
    """The tool calls an image by its workspace's name, and the digest of its path: ``vsc-demo-<hex>-features``."""
    keys = [hashlib.sha256(os.fsencode(workspace)).hexdigest() for workspace in workspaces]
    names = (name for each in listed_images(engine) for name in each.get("RepoTags") or ())
    return [name for name in names if "vsc-" in name and any(key in name for key in keys)]
