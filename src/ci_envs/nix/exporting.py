"""A built shell as an image, in a file, in an engine or in a registry: what ``ci-envs export LEG --to`` does."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from ci_envs.containers.build_tools import keep
from ci_envs.containers.delivering import ArchivedImage, load, push, target_name
from ci_envs.containers.labels import image_repository, state_key
from ci_envs.containers.legs import engine_for
from ci_envs.environments.nix_shell import is_in_store, read_closure, read_shell
from ci_envs.errors import BrokenError, BuildError, UsageError
from ci_envs.layout import disk_is_full, remove_tree
from ci_envs.model.closure import Closure
from ci_envs.nearest import nearest
from ci_envs.nix.binary_cache import fetch_sources
from ci_envs.nix.closure import closure_digest
from ci_envs.nix.described import describe
from ci_envs.nix.docker_tools import build_project_image
from ci_envs.nix.image import write_image
from ci_envs.nix.image_plan import plan_image
from ci_envs.nix.tool import find_nix
from ci_envs.order import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.containers.engine import Engine
    from ci_envs.model.record import RunRecord
    from ci_envs.model.shell import Shell
    from ci_envs.nix.image_plan import ImageOptions
    from ci_envs.order import Order

__all__ = ["Exported", "Target", "export_image", "parse_target"]

Kind = Literal["oci", "docker", "registry"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where an image goes: a file's path, or a name in an engine or a registry."""

    kind: Kind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported, and where it is."""

    leg: str
    to: str
    #: ``sha256:<hex>``; empty where the archive has no manifest (docker-archive).
    manifest: str
    config: str
    layers: int
    #: Of the archive.
    bytes: int
    #: ``oci-archive`` or ``docker-archive``.
    form: str
    #: What the engine calls it by, or the digest that it has in the registry.
    digest: str = ""
    #: ``docker 26.1.5``.
    engine: str = ""
    #: The attribute that describes it, where the project does that itself.
    attribute: str = ""
    #: What a person should know of it.
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was done, for a person: ``written to image.tar: sha256:... (12 layers, 45.1 MB)``."""
        _, _, place = self.to.partition(":")
        what = f"{self.layers} layers, {self.bytes / 1e6:.1f} MB"
        own = f", the project's own {self.attribute}" if self.attribute else ""
        if self.to.startswith("oci:"):
            form = ", a docker-archive" if self.form == "docker-archive" else ""
            return f"written to {place}: {self.manifest or self.config} ({what}{form}{own})"
        if self.to.startswith("docker:"):
            return f"loaded into {self.engine} as {place}: {self.digest} ({what}{own})"
        return f"pushed by {self.engine} as {place}@{self.digest} ({what}{own})"


def parse_target(text: str) -> Target:
    """``oci:FILE``, ``docker:NAME`` or ``registry:NAME``. :class:`UsageError` that says what is wrong with another."""
    word, colon, value = text.partition(":")
    kind: Kind | None = next((kind for kind in get_args(Kind) if kind == word), None)
    if kind is None or not value:
        forms = "write oci:FILE, docker:NAME or registry:NAME"
        what = f"names no {'file' if kind == 'oci' else 'image'}" if kind and colon else "says no place"
        raise UsageError(f"--to {text!r} {what}{'' if kind else nearest(word, get_args(Kind))}", hint=forms)
    if kind != "oci":
        target_name(value)
    return Target(kind, value)


def export_image(order: Order, record: RunRecord, target: Target, options: ImageOptions) -> Exported:
    """Makes the image and brings it there, whole or not at all.

    Raises :class:`UsageError` for what cannot be asked, :class:`BuildError` where the leg is not built or the store no
    longer has it, :class:`ToolMissing` where no engine is there, :class:`BrokenError` where the disk, the engine or
    the registry fails.
    """
    if order.leg.os != "linux":
        raise UsageError(f"{order.leg.id} has programs of {order.leg.os}, and containers are Linux's")
    order.layout.prepare()
    if target.kind == "oci":
        file = _new_file(target.value)
        with order.layout.alone(order.leg.id), _room(order) as room:
            made = _made(order, record, target, options, room)
            _keep(made.kept, file, room)
            return made.told
    # An engine that is not there is said before anything is made for it.
    engine = engine_for(order.leg, order.config.docker, order.environ)
    with engine, order.layout.alone(order.leg.id), _room(order) as room:
        return _delivered(order, _made(order, record, target, options, room), target, engine)


@dataclass(frozen=True, slots=True)
class _Made:
    """An image that waits to be delivered."""

    archived: ArchivedImage
    #: What is kept of it in a file.
    kept: Path
    told: Exported


def _made(order: Order, record: RunRecord, target: Target, options: ImageOptions, room: Path) -> _Made:
    try:
        if order.config.nix.image:
            return _described(order, record, target, options, room)
        return _of_closure(order, record, target, options, room)
    except OSError as error:
        why = "the disk is full" if disk_is_full(error) else error.strerror or str(error)
        raise BrokenError(f"the image cannot be written to {order.layout.shown(room.parent)}: {why}") from error


# --- what the project describes itself


def _described(order: Order, record: RunRecord, target: Target, options: ImageOptions, room: Path) -> _Made:
    attribute = order.config.nix.image
    if options.entry or options.most:
        flag = "--entry" if options.entry else "--max-layers"
        raise UsageError(
            f"{flag} is for an image that is made here, and nix.image says that the project makes its own",
            hint=f"say it in {attribute}",
        )
    _, work, _ = prepare(order)
    work.stage = "export"
    nix = find_nix(order.environ)
    fetch_sources(work, nix, record.lock.pins if record.lock else ())
    image = build_project_image(work, nix, describe(order.leg, work.project, work.config.nix), attribute, room)
    told = Exported(
        leg=order.leg.id,
        to=str(target),
        manifest=image.manifest,
        config=image.config,
        layers=len(image.layers),
        bytes=image.written.stat().st_size,
        form="oci-archive" if image.manifest else "docker-archive",
        attribute=attribute,
        notes=tuple(finding.message for finding in work.findings),
    )
    return _Made(image.archived, image.written, told)


# --- the closure


def _of_closure(order: Order, record: RunRecord, target: Target, options: ImageOptions, room: Path) -> _Made:
    shell, closure = _built(order, record)
    plan, notes = plan_image(order, record, shell, closure, options)
    repository = image_repository(state_key(order.layout))
    # In a file, a name that says what it is and nothing of where it was made.
    name = f"localhost/ci-envs:{order.leg.id}" if target.kind == "oci" else f"{repository}:{order.leg.id}--export"
    archive = room / "image.tar"
    written = write_image(plan, name, archive, room / "layers")
    told = Exported(
        leg=order.leg.id,
        to=str(target),
        manifest=written.manifest,
        config=written.config,
        layers=len(written.layers),
        bytes=archive.stat().st_size,
        form="oci-archive",
        notes=notes,
    )
    archived = ArchivedImage(archive, name, written.manifest, written.config, written.layers)
    return _Made(archived, archive, told)


def _built(order: Order, record: RunRecord) -> tuple[Shell, Closure]:
    """The shell that the record tells of, and its closure."""
    prefix, again = order.layout.prefix(order.leg.id), f"build it again with: {order.reproduce}"
    if record.environment is None:
        raise BuildError(f"{order.leg.id} was not built", hint=f"build it with: {order.reproduce}")
    shell, closure = read_shell(prefix), read_closure(prefix)
    if closure_digest(closure, but=shell.top) != record.environment.digest:
        raise BuildError(f"what is built of {order.leg.id} is not what its record tells of", hint=again)
    if not is_in_store(prefix):
        raise BuildError(f"the store no longer has {shell.top}", hint=again)
    # It holds the variables as they were when it was built, times among them; what it keeps alive is what is wanted.
    return shell, Closure(paths=tuple(one for one in closure.paths if one.path != shell.top))


# --- where it goes


def _new_file(name: str) -> Path:
    """The file to write. :class:`UsageError` where something is there already."""
    file = Path(name).expanduser().absolute()
    if os.path.lexists(file):
        what = "a folder" if file.is_dir() else "there already"
        raise UsageError(f"{name} is {what}", hint="remove it, or name another file")
    return file


def _keep(written: Path, file: Path, room: Path) -> None:
    """Moves what was written for us to its place; what is the store's is copied."""
    try:
        if not written.is_relative_to(room):
            written = Path(shutil.copyfile(written, room / "kept"))
        keep(written, file)
    except OSError as error:
        if disk_is_full(error):
            raise BrokenError(f"the disk is full: {file} cannot be written") from error
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error


def _delivered(order: Order, made: _Made, target: Target, engine: Engine) -> Exported:
    from ci_envs.containers.cleaning import note_engine  # a file needs nothing of what knows engines

    note_engine(order.layout, engine)
    reference, spare = target_name(target.value), image_repository(state_key(order.layout))
    bring = load if target.kind == "docker" else push
    digest = bring(engine, made.archived, reference, spare)
    told = msgspec.structs.replace(made.told, digest=digest, engine=engine.title)
    if target.kind == "docker" or told.manifest in ("", digest):
        return told
    note = (
        f"{reference.registry} has it under another digest than {told.manifest}: {engine.title} compresses layers anew "
        "when it pushes; what is in them and the configuration are the same"
    )
    return msgspec.structs.replace(told, notes=(*told.notes, note))


@contextlib.contextmanager
def _room(order: Order) -> Iterator[Path]:
    """A folder of our own, which is gone afterwards. The leg's lock is ours: what is there already nobody needs."""
    folder = order.layout.temp(order.leg.id)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("export-*"):
        remove_tree(left)
    room = Path(tempfile.mkdtemp(prefix="export-", dir=folder))
    try:
        yield room
    finally:
        remove_tree(room)
