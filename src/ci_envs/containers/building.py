"""The build stage where an image takes the prefix's place: keep what is whole and unchanged, else build.

An image cannot be altered once it is there, so that its id says as much as a walk through a prefix does. What is known
of it lies in a file of the leg's, written last: an image without one is left over from a build that was ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import __version__, sources
from ci_envs.building import Built, Facts, forget_bytecode
from ci_envs.containers.cleaning import note_engine
from ci_envs.containers.images import image_id, name_also, remove_image
from ci_envs.containers.inner import dockerfile_of
from ci_envs.containers.leftovers import remove_leftovers
from ci_envs.containers.legs import LegOnEngine, engine_for, on_engine
from ci_envs.containers.project_files import located
from ci_envs.containers.reading import altered, read_facts
from ci_envs.containers.revision import revision_of
from ci_envs.containers.session import ProjectFiles
from ci_envs.decoding import decode
from ci_envs.environments.container import ContainerEnvironment
from ci_envs.errors import BuildError, CheckError
from ci_envs.layout import write_atomically
from ci_envs.model.config import DockerConfig
from ci_envs.nix.described import inputs_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.containers.engine import Engine
    from ci_envs.environments import Environment
    from ci_envs.layout import Layout
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = ["Kept", "build_image_of", "kept_environment"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a leg's image: the seal that a prefix has in itself."""

    inputs: dict[str, str]
    facts: Facts
    #: How its containers are run.
    docker: DockerConfig
    #: The folder of the image that has the project's files, and what is put there beside them; ``None`` where it has
    #: none.
    inside: str | None = None
    beside: tuple[str, ...] = ()


def build_image_of(pattern: Pattern, order: Order, lock: Lock, work: Work) -> Built:
    """The leg's image, and a container of it that starts when it is needed.

    :class:`BuildError` where it cannot be built, or where the files in it are not those that were locked.
    """
    leg = on_engine(order.leg, work)
    work.tools.setdefault(leg.engine.kind, leg.engine.version)
    note_engine(work.layout, leg.engine)
    # The leg's lock is ours: whatever runs there was left by a run that was killed.
    remove_leftovers(leg.engine, leg.state, order.leg.id)
    for name in (leg.draft, leg.former):
        remove_image(leg.engine, name)
    inputs = _inputs(lock, work, leg.engine)
    last = _read(work.layout.image(order.leg.id))
    why = _why_anew(order) or _why_not_kept(pattern, last, inputs, leg.engine)
    if last is not None and not why:
        environment = _environment(leg, last)
        why = _why_altered(environment, last) if order.deep else ""
        if not why:
            work.findings += last.facts.findings
            work.tools |= last.facts.tools
            return Built(environment, last.facts, inputs, kept=True, why="kept: nothing it depends on has changed")
    if not order.repair:
        raise CheckError(
            f"{order.leg.id} is not as it was built: {why}", hint=f"build it again with: {order.reproduce}"
        )
    name_also(leg.engine, leg.tag, leg.former)
    try:
        environment, facts = _built(pattern, lock, work, inputs)
    finally:
        remove_image(leg.engine, leg.former)
    if facts.image:
        forget_bytecode(work.layout, order.leg, facts.image.id)
    return Built(environment, facts, inputs, kept=False, why=f"built: {why}")


def _why_altered(environment: Environment, last: Kept) -> str:
    """What is not as it was built, with every byte read; a container of such an image is ended."""
    try:
        why = altered(environment, last.facts)
    except BaseException:
        environment.__exit__(None, None, None)
        raise
    if why:
        environment.__exit__(None, None, None)
    return why


def _built(pattern: Pattern, lock: Lock, work: Work, inputs: dict[str, str]) -> tuple[Environment, Facts]:
    work.begins()
    path = work.layout.image(work.leg.id)
    path.unlink(missing_ok=True)
    environment = pattern.build(work.leg, lock, work)
    try:
        facts = read_facts(environment, lock, work)
        where = _settled(environment, work)
    except BaseException:
        environment.__exit__(None, None, None)
        raise
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(inputs=inputs, facts=facts, docker=work.config.docker, **where)
    write_atomically(path, msgspec.json.encode(kept))
    return environment, facts


def _settled(environment: Environment, work: Work) -> dict[str, Any]:
    """Where the project's files are inside; a container that was set up for them has them where it was told."""
    if not isinstance(environment, ContainerEnvironment):
        return {}
    root = work.project.root
    found = located(environment, root, sources.source_files(root))
    environment.settle(found)
    return {"inside": found.inside, "beside": tuple(found.beside)}


def kept_environment(layout: Layout, leg: Leg, environ: Mapping[str, str]) -> Environment:
    """A container of the image that the leg's last run left; :class:`BuildError` where there is no whole one."""
    if leg.pattern == "devcontainer":  # its image lacks what the lifecycle commands have made
        raise BuildError(
            f"the dev container of {leg.id} ended with its run",
            hint=f"have the run do it: ci-envs run --only {leg.id!r} --test-command '...'",
        )
    last = _read(layout.image(leg.id))
    engine = engine_for(leg, last.docker, environ) if last else None
    if last is None or engine is None or not _is_there(engine, last.facts):
        raise BuildError(f"there is no image of {leg.id}", hint=f"build it with: ci-envs run --only {leg.id!r}")
    return _environment(LegOnEngine(engine, leg, last.docker, layout, environ), last)


def _environment(leg: LegOnEngine, last: Kept) -> Environment:
    assert last.facts.image is not None  # noqa: S101 - only an image's facts are written there
    names = sources.source_files(leg.folder) if last.inside is None else ()
    project = ProjectFiles(root=leg.folder, names=names, inside=last.inside, beside=last.beside)
    inside = leg.with_python(last.facts.inventory.interpreter.executable)
    return inside.container(last.facts.image.id, project=project, closure=last.facts.closure)


def _why_anew(order: Order) -> str:
    if order.keep_dockerfile:
        return "its Dockerfile is to be kept"
    return "asked for anew" if order.fresh else ""


def _why_not_kept(pattern: Pattern, last: Kept | None, inputs: dict[str, str], engine: Engine) -> str:
    """Why an image has to be built; empty where the one that is there would be built again."""
    if pattern.contained == "container":
        return "a container is set up anew each time"
    if last is None:
        return "it was not there"
    changed = [name for name, value in inputs.items() if last.inputs.get(name) != value]
    if changed:
        return f"{' and '.join(changed)} changed"
    return "" if _is_there(engine, last.facts) else f"{engine.kind} no longer has it"


def _is_there(engine: Engine, facts: Facts) -> bool:
    return facts.image is not None and image_id(engine, facts.image.name) == facts.image.id


def _inputs(lock: Lock, work: Work, engine: Engine) -> dict[str, str]:
    """Everything that an image depends on, by a name that a person understands."""
    at, config, docker = revision_of(work.project.root, work.environ), work.config, work.config.docker
    chosen = [work.selection.groups, work.selection.extras, work.selection.files]
    return {
        "ci-envs": __version__,
        "engine": f"{engine.kind} {engine.version} {engine.address}",
        "lock": lock.digest,
        "lock file": f"{' '.join(lock.files)} {lock.sha256}",
        "dockerfile": work.file_digest(dockerfile_of(work.project, work.config) or "Dockerfile"),
        "groups": msgspec.json.encode(chosen).decode(),
        "python": work.leg.python,
        "settings": msgspec.json.encode([docker, config.install_project, config.conda, config.nix]).decode(),
        "variables": msgspec.json.encode(work.selection.variables, order="sorted").decode(),
        "inputs": inputs_state(config.nix, work.project.root),
        "commit": f"{at.commit} {at.epoch} {at.source}",
        "sources": sources.fingerprint(work.project.root),
    }


def _read(path: Path) -> Kept | None:
    """Nothing where there is no such file, or one of another version."""
    try:
        return decode(path.read_bytes(), Kept)
    except (OSError, msgspec.MsgspecError):
        return None
