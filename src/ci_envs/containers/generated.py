"""An image from a generated Dockerfile: the lock that pattern uv, venv or conda would build from, in an image.

It is built twice. The first image is only looked at: the digest of its environment becomes a label of the second, and
the modules that it brings the second's health check. The builder's cache has all that both share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs import __version__
from ci_envs.checks.commands import own_check
from ci_envs.containers.base_images import PROBE, probed, python_plan
from ci_envs.containers.builder import ImageBuild, build_image
from ci_envs.containers.context import ignore_text, stage_context
from ci_envs.containers.docker_lock import NAME
from ci_envs.containers.firewall import user_firewall
from ci_envs.containers.image_facts import inspect_image
from ci_envs.containers.images import pulled, remove_image
from ci_envs.containers.inner import inner_leg, inner_pattern, inner_work
from ci_envs.containers.legs import network_of, on_engine, platform_of
from ci_envs.containers.locking import images_for, known_bases, refuse_other_local
from ci_envs.containers.reading import beside, environment_digest
from ci_envs.containers.revision import revision_of
from ci_envs.containers.secrets import Secret, parse_secret
from ci_envs.containers.template import ImagePlan, import_check, render
from ci_envs.cuda import cuda_facts, cuda_of
from ci_envs.durations import seconds
from ci_envs.errors import UsageError
from ci_envs.layout import write_atomically
from ci_envs.model.image import BaseImage, ImageFacts
from ci_envs.sources import source_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.containers.base_images import BaseImage as KnownBase
    from ci_envs.containers.builder import BuiltImage
    from ci_envs.containers.legs import LegOnEngine
    from ci_envs.containers.references import Reference
    from ci_envs.containers.revision import Revision
    from ci_envs.content import Content
    from ci_envs.environments.container import ContainerEnvironment
    from ci_envs.model.inventory import Inventory
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = [
    "build_generated",
    "image_labels",
    "keep_dockerfile",
    "locked_references",
    "refuse_to_overwrite",
    "told",
]

#: Of uv's own configuration, which decides what `uv sync` does beside the lock.
_UV_SETTINGS = ("pyproject.toml", "uv.toml")

#: What is kept for a person beside the Dockerfile.
KEPT = "Dockerfile"


def build_generated(leg: Leg, lock: Lock, work: Work) -> ContainerEnvironment:
    """The image under the leg's name, and a container of it. :class:`BuildError` where it cannot be built."""
    refuse_to_overwrite(work, KEPT)
    here = on_engine(leg, work)
    bases = known_bases(leg, work, lock)
    refuse_other_local(here.engine, images_for(bases), work)
    plan, files, secrets = _planned(here, bases, lock, work)
    folder = work.temp / "image"
    staged = stage_context(
        work.project.root, source_files(work.project.root), folder / "context", files=files, locks=plan.locks
    )
    work.findings += staged.findings
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(render(plan), encoding="utf-8")
    at = revision_of(work.project.root, work.environ)
    request = ImageBuild(
        context=staged.folder,
        dockerfile=dockerfile,
        tag=here.draft,
        secrets=secrets,
        firewall=user_firewall(work, network=here.docker.network),
        platform=platform_of(leg),
        epoch=at.epoch,
        no_cache=work.anew,
        network=network_of(here.docker),
        plain=True,
        shown_as="the generated Dockerfile",
    )
    draft = build_image(here.engine, request, work)
    inside = here.with_python(f"{plan.prefix}/bin/python")
    try:
        with inside.container(draft.id, draft=True) as container:
            inventory, content = container.inventory(), container.content()
        whole = _completed(plan, inventory, content, lock, work)
        dockerfile.write_text(render(whole), encoding="utf-8")
        labels = image_labels(environment_digest(content, *beside(inventory, lock, work)).value, lock, work, at)
        final = replace(
            request, tag=here.tag, labels=labels, no_cache=False, plain=False, layers=work.layout.layers(leg.id)
        )
        built = build_image(here.engine, final, work, archive=work.archive)
    finally:
        remove_image(here.engine, here.draft)
    if work.keep_dockerfile:
        keep_dockerfile(work, render(whole), files, plan.locks)
    work.image = told(here, lock, built)
    return inside.container(built.id)


def refuse_to_overwrite(work: Work, file: str) -> None:
    """:class:`UsageError` where a Dockerfile is to be kept and ``file`` is there: before anything is built."""
    if work.keep_dockerfile and work.project.exists(file):
        raise UsageError(
            "there is a Dockerfile already, which is not written over", file=file, hint="move it away, and run it again"
        )


def keep_dockerfile(work: Work, text: str, files: Mapping[str, bytes], locks: Sequence[str]) -> None:
    """Writes what was built for the project to adopt: with a Dockerfile of its own, none is generated any more."""
    made = {
        **files,
        f"{KEPT}.dockerignore": ignore_text(work.project.root, also=(KEPT,), needed=(*files, *locks)).encode(),
        KEPT: text.encode(),
    }
    for name, data in made.items():
        path = work.project.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
        work.project.forget(name)
    names = ", ".join(made)
    message = f"{names}: the project's own from now on; commit them"
    work.find("IMG210", "info", "Dockerfile was kept", message, file=KEPT)


def told(here: LegOnEngine, lock: Lock, built: BuiltImage) -> ImageFacts:
    """What the record has of an image: what the engine says, and what only its builder knows."""
    bases = tuple(
        BaseImage(name=f"{pin.name}:{pin.version}", digest=pin.hashes[0]) for pin in lock.of("image") if pin.hashes
    )
    cuda = _cuda(here.leg, lock)
    return msgspec.structs.replace(
        inspect_image(here.engine, here.tag),
        manifest=built.manifest,
        config=built.config,
        bases=bases,
        builder=built.builder,
        reproducible=built.reproducible,
        why_not=built.why_not,
        relaxed=here.limits.relaxed(),
        cuda=cuda.get("version", ""),
        driver=cuda.get("lowest-driver", ""),
    )


def _planned(
    here: LegOnEngine, bases: Sequence[KnownBase], lock: Lock, work: Work
) -> tuple[ImagePlan, dict[str, bytes], tuple[Secret, ...]]:
    """The plan, further files of the context, and the secrets of the build."""
    leg, docker = here.leg, here.docker
    pattern = inner_pattern(leg, work.project, work.config)
    references = locked_references(bases, lock)
    base = bases[0] if bases[0].is_known else _asked(here, bases[0], str(references[0]), work)
    is_conda = pattern.name == "conda"
    files, secrets = _conda(leg, lock, work) if is_conda else ({}, ())
    own = tuple(name for name in lock.files if name != NAME)
    script = own_check(work.config.check, work.project)
    with_sources = not work.installs_project
    plan = ImagePlan(
        base=references[0],
        python=leg.python,
        interpreter=python_plan(base if len(bases) == 1 else bases[1], leg.python, conda=is_conda),
        installer="conda" if is_conda else "venv" if pattern.name == "venv" else "uv",
        lock_format="conda" if is_conda else _format(lock),
        locks=tuple(files) if is_conda else own,
        hashed=lock.hashed,
        settings=_uv_settings(lock, work),
        wheel_variables=_versions(work),
        groups=work.selection.groups,
        extras=work.selection.extras,
        tools_base=references[1] if len(references) > 1 else None,
        installs_project=work.installs_project,
        sources=with_sources,
        packages=docker.packages,
        build_packages=docker.build_packages,
        variables=work.selection.variables,
        health=tuple(script) if script and with_sources else (),
        health_seconds=int(seconds(work.config.check.timeout)),
        cuda=leg.accelerator.startswith("cuda"),
    )
    given = tuple(parse_secret(text, work.project.root, work.environ) for text in docker.secrets)
    return plan, files, (*secrets, *given)


def locked_references(bases: Sequence[KnownBase], lock: Lock) -> list[Reference]:
    """The bases, each held fast by the digest that is locked."""
    return [
        one.reference.with_digest(pin.hashes[0])
        for one in images_for(bases)
        for pin in lock.of("image")
        if one.reference and (pin.name, pin.version) == (one.reference.name, one.reference.tag)
    ]


def _uv_settings(lock: Lock, work: Work) -> tuple[str, ...]:
    """What uv reads beside the lock: for uv.lock it must be there, for other locks it may name indexes."""
    wanted = lock.format == "uv.lock" or work.project.table("tool", "uv")
    return tuple(name for name in _UV_SETTINGS if work.project.exists(name) and (wanted or name == "uv.toml"))


def _versions(work: Work) -> dict[str, str]:
    """The version that version control gives, as the caller says it: the context has no history to ask.

    https://setuptools-scm.readthedocs.io/en/stable/overrides/
    """
    return {name: value for name, value in work.environ.items() if name.startswith("SETUPTOOLS_SCM_PRETEND_VERSION")}


def _format(lock: Lock) -> Literal["requirements", "uv.lock", "pylock"]:
    match lock.format:
        case "uv.lock" | "pylock" as known:
            return known
        case _:
            return "requirements"


def _conda(leg: Leg, lock: Lock, work: Work) -> tuple[dict[str, bytes], tuple[Secret, ...]]:
    """What installs the packages of a conda lock, and where the channels are really served."""
    from ci_envs.conda.asked import read_asked
    from ci_envs.conda.locking import installed_packages
    from ci_envs.conda.routes import routes
    from ci_envs.containers.conda_stage import conda_files, conda_secret

    inner = inner_work(work, inner_pattern(leg, work.project, work.config))
    conda_leg = inner_leg(leg, "conda")
    asked = read_asked(conda_leg, inner)
    packages = installed_packages(conda_leg, inner, lock)
    secret = conda_secret(routes(asked.settings, asked.channels))
    secrets = (Secret("ci-envs-conda", value=secret.decode()),) if secret else ()
    return conda_files(packages, work.selection.variables, lock=lock.path), secrets


def _asked(here: LegOnEngine, base: KnownBase, reference: str, work: Work) -> KnownBase:
    """A base that only its owner knows, with what is found in it."""
    with here.container(pulled(here.engine, reference), draft=True) as container:
        outcome = container.run(PROBE, timeout=60, log=work.log)
    return probed(base, outcome.stdout)


def _completed(plan: ImagePlan, inventory: Inventory, content: Content, lock: Lock, work: Work) -> ImagePlan:
    """The plan with what only the environment itself tells: the modules that it brings, what activating it runs."""
    health = plan.health
    if not health:
        wanted = {one.name for one in lock.direct} | {work.selection.project}
        found = [each for each in inventory.distributions if each.name in wanted and each.manager == "python"]
        health = import_check(name for each in found for name in each.modules if not name.startswith("_"))
    activates = any(
        entry.path.startswith("etc/conda/activate.d/") and entry.path.endswith(".sh") for entry in content.entries
    )
    return msgspec.structs.replace(plan, health=health, activates=activates and plan.installer == "conda")


def image_labels(digest: str, lock: Lock, work: Work, at: Revision) -> dict[str, str]:
    """https://github.com/opencontainers/image-spec/blob/main/annotations.md, and our own; ``digest``: what is inside.

    On the command line and not in the file, which is then the same for every commit.
    """
    from datetime import UTC, datetime

    cuda = _cuda(work.leg, lock)
    labels = {
        "org.opencontainers.image.created": datetime.fromtimestamp(at.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "org.opencontainers.image.revision": at.commit,
        "org.opencontainers.image.source": at.source,
        "org.repro-envs.environment": digest,
        "org.repro-envs.lock": lock.digest,
        "org.repro-envs.version": __version__,
        "org.repro-envs.cuda": cuda.get("version", ""),
        "org.repro-envs.lowest-driver": cuda.get("lowest-driver", ""),
    }
    return {name: value for name, value in labels.items() if value}


def _cuda(leg: Leg, lock: Lock) -> dict[str, str]:
    """The CUDA that is locked, and the lowest driver that runs it; nothing for a leg that asks for none."""
    found = cuda_of(lock.pins) if leg.accelerator.startswith("cuda") else None
    return cuda_facts(found, leg.os) if found else {}
