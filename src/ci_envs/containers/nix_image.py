"""A nix shell inside of an image, for machines that have an engine and no nix: the same lock, the same closure.

The store's paths, their hashes and so the digest of the environment are those that a leg of pattern ``nix`` has of the
same inputs. Nix builds without a sandbox there, as it has to in a container.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.building import Facts
from ci_envs.capture import Outcome
from ci_envs.checks.commands import own_check
from ci_envs.containers.builder import ImageBuild, build_image
from ci_envs.containers.context import stage_context
from ci_envs.containers.docker_lock import NAME
from ci_envs.containers.firewall import user_firewall
from ci_envs.containers.generated import image_labels, locked_references, told
from ci_envs.containers.images import remove_image
from ci_envs.containers.legs import network_of, on_engine, platform_of
from ci_envs.containers.locking import images_for, known_bases, refuse_other_local
from ci_envs.containers.nix_context import tree_of
from ci_envs.containers.nix_settings import fetching_settings, trusted_keys, with_caches
from ci_envs.containers.nix_template import (
    CACHE,
    FINAL,
    HOOK_ENDED,
    OWN_CACHE,
    SETTINGS,
    TELLING,
    NixPlan,
    fits,
    render_nix,
    values_beside,
)
from ci_envs.containers.nix_told import read_told, shell_told
from ci_envs.containers.os_packages import system_facts
from ci_envs.containers.revision import revision_of
from ci_envs.containers.secrets import Secret
from ci_envs.durations import seconds
from ci_envs.errors import BuildError, ToolMissing, UsageError
from ci_envs.nix.binary_cache import look_through
from ci_envs.nix.cache_folder import PRIORITY, filled_cache
from ci_envs.nix.cache_key import found_key
from ci_envs.nix.closure import closure_digest
from ci_envs.nix.described import describe
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import find_nix, understood

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.containers.builder import BuiltImage
    from ci_envs.containers.legs import LegOnEngine
    from ci_envs.containers.nix_context import NixTree
    from ci_envs.containers.nix_told import ToldShell
    from ci_envs.containers.references import Reference
    from ci_envs.environments.container import ContainerEnvironment
    from ci_envs.model.closure import Closure
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.nix.described import Description
    from ci_envs.work import Work

__all__ = ["altered_inside", "build_nix_image", "lock_inside", "shell_facts"]

#: A build's log begins each line with the step's number and its seconds.
_STEP = re.compile(r"^#\d+ (?:\d+\.\d+ )?", re.MULTILINE)
#: A place in what a flake is evaluated from, inside.
_COPY = re.compile(r"(?<= at )/nix/store/[0-9a-z]{32}-source/(?=\S+:\d+)")

#: Where nix is in an image whose shell does not have it on PATH.
_NIX_HASH = (
    'PATH="$PATH:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin"; exec nix-hash --type sha256 "$@"'
)
_HASH_SECONDS = 1800.0

_LEFT_OUT = "IMG211"

#: The name of the context that is the leg's own binary cache; and what nix makes in such a folder, which it may not
#: inside.
_KEPT = "ci-envs-binary-cache"
_MADE = ("nar", "realisations", "log")


def lock_inside(leg: Leg, work: Work) -> Lock:
    """The shell's lock: made or judged by the nix of this machine where it has one, else used as it was committed.

    :class:`LockError` where it has none, and the lock is not there or says too little.
    """
    from ci_envs.nix.locking import lock_nix, read_lock_only

    try:
        find_nix(work.environ)
    except ToolMissing:
        return read_lock_only(work.project, work.config, direct=work.selection.direct)
    return lock_nix(leg, work)


def build_nix_image(leg: Leg, lock: Lock, work: Work) -> ContainerEnvironment:
    """The image under the leg's name, and a container of it.

    :class:`BuildError` where the shell cannot be evaluated or built, with nix's own sentence and the project's line.
    """
    _refuse_what_it_cannot(work)
    here = on_engine(leg, work)
    bases = known_bases(leg, work, lock)
    refuse_other_local(here.engine, images_for(bases), work)
    described = describe(leg, work.project, work.config.nix)
    tree = tree_of(described)
    plan = _planned(described, tree, locked_references(bases, lock)[0], lock, work)
    at = revision_of(work.project.root, work.environ)
    request = _requested(here, plan, tree, at.epoch, work)
    try:
        draft = _built(here, request, plan, tree, work)
        shell = shell_told(read_told(here, draft.id), pure=work.config.nix.pure)
        work.tools["nix"] = shell.nix
        chosen = _chosen(shell, work, described.file)
        labels = image_labels(closure_digest(shell.closure), lock, work, at)
        final = replace(
            request,
            tag=here.tag,
            target=FINAL,
            labels=labels,
            build_args=values_beside(chosen),
            no_cache=False,
            plain=False,
            layers=work.layout.layers(leg.id),
        )
        built = _built(here, final, msgspec.structs.replace(plan, variables=chosen), tree, work)
    finally:
        remove_image(here.engine, here.draft)
    work.image = told(here, lock, built)
    return here.with_python(shell.shell.python).container(built.id, closure=shell.closure)


def shell_facts(environment: ContainerEnvironment, work: Work) -> Facts:
    """What is known of a new image of a shell."""
    closure, inventory, own = environment.closure, environment.inventory(), work.selection.project
    assert closure is not None and work.image is not None  # noqa: S101, PT018 - whoever built the image told of both
    work.image = msgspec.structs.replace(work.image, system=system_facts(environment, inventory.distributions))
    return Facts(
        digest=closure_digest(closure),
        bytes=work.image.bytes,
        files=len(closure.paths),
        inventory=inventory,
        own=(own,) if own and inventory.find(own) else (),
        findings=tuple(f for f in work.findings if f.code.startswith(("ENV", "IMG", "NIX"))),
        tools=dict(work.tools),
        image=work.image,
        closure=closure,
    )


def altered_inside(environment: ContainerEnvironment, closure: Closure) -> str:
    """Which store path in an image is not what it was when it was built, with every byte read; empty where each is."""
    words = ("/bin/sh", "-c", _NIX_HASH, "sh", *(one.path for one in closure.paths))
    outcome = environment.run(words, timeout=_HASH_SECONDS)
    if not outcome:
        return f"its store cannot be read: {outcome.tail(1)}"
    now = [f"sha256:{line}" for line in outcome.stdout.split()]
    altered = [one.path for one, digest in zip(closure.paths, now, strict=True) if one.nar_hash != digest]
    return f"{altered[0]} was altered in it" if altered else ""


def _refuse_what_it_cannot(work: Work) -> None:
    docker = work.config.docker
    if work.keep_dockerfile:
        raise UsageError(
            "the Dockerfile of a nix shell cannot be kept: its variables are paths of today's closure",
            hint="`ci-envs export` writes an image of the closure",
        )
    if docker.packages or docker.build_packages:
        raise UsageError(
            "docker.packages are a distribution's, and a nix shell brings its own", hint="add them to the shell"
        )


def _planned(described: Description, tree: NixTree, base: Reference, lock: Lock, work: Work) -> NixPlan:
    script = own_check(work.config.check, work.project)
    return NixPlan(
        base=base,
        locks=lock.files,
        tree=tree.inside,
        below=tree.below,
        inputs=tuple(tree.places.items()),
        kept=_KEPT if filled_cache(work) else "",
        words=tree.words,
        kind="pure" if work.config.nix.pure else "impure",
        as_nix_shell=described.kind != "flake",
        cached=not work.anew,
        health=tuple(script or ()),
        health_seconds=int(seconds(work.config.check.timeout)),
    )


def _requested(here: LegOnEngine, plan: NixPlan, tree: NixTree, epoch: int, work: Work) -> ImageBuild:
    """The build of what tells of the shell, with its context in place."""
    folder, kept = work.temp / "image", filled_cache(work)
    needed = tuple(dict.fromkeys((tree.file, *(name for name in plan.locks if name != NAME))))
    staged = stage_context(tree.root, tree.names, folder / "context", locks=tuple(map(tree.named, needed)))
    work.findings += staged.findings
    return ImageBuild(
        context=staged.folder,
        dockerfile=folder / "Dockerfile",
        tag=here.draft,
        target=TELLING,
        secrets=tuple(_secrets(work, kept)),
        firewall=user_firewall(work, network=here.docker.network),
        platform=platform_of(work.leg),
        epoch=epoch,
        no_cache=work.anew,
        contexts={**tree.contexts, **({_KEPT: kept} if kept else {})},
        network=network_of(here.docker),
        plain=True,
        shown_as="the generated Dockerfile",
    )


def _secrets(work: Work, kept: Path | None) -> Iterator[Secret]:
    """The user's settings of nix, with caches of ours: the leg's own, and what the builder has of earlier builds."""
    settings, key = fetching_settings(work.environ), found_key(work.environ)
    keys = [key.public] if kept and key else []
    addresses = [] if work.anew else [f"file://{CACHE}?trusted=true"]
    if kept:
        look_through(work, kept, [*trusted_keys(settings), *keys])
        with contextlib.suppress(OSError):  # nix says that it cannot use it, and goes on
            for name in _MADE:
                (kept / name).mkdir(exist_ok=True)
        addresses.append(f"file://{OWN_CACHE}?priority={PRIORITY}")
    if told := with_caches(settings, addresses, keys):
        yield Secret(SETTINGS, value=told)


def _chosen(shell: ToldShell, work: Work, file: str) -> dict[str, str]:
    """The variables that the image sets. Those that are left out are told of."""
    long = tuple(name for name, value in shell.variables.items() if not fits(name, value))
    for names, why in ((shell.secret, "may be a secret, which anybody could read in an image"), (long, "is too long")):
        for name in names:
            message = f"{name} {why}: commands inside do not see it"
            work.find(_LEFT_OUT, "warning", "a variable of the shell is not in the image", message, file=file)
    return {name: value for name, value in shell.variables.items() if name not in long}


def _built(here: LegOnEngine, request: ImageBuild, plan: NixPlan, tree: NixTree, work: Work) -> BuiltImage:
    """Builds; what nix says of a failure is told in its words, and in the project's names for its files."""
    request.dockerfile.write_text(render_nix(plan), encoding="utf-8")
    begins = work.log.stat().st_size if work.log.is_file() else 0
    try:
        return build_image(here.engine, request, work, archive=work.archive if request.target == FINAL else None)
    except BuildError as error:
        with work.log.open("rb") as log:
            log.seek(begins)
            said = _STEP.sub("", log.read().decode("utf-8", "replace"))
        if found := re.search(rf"^error: ({HOOK_ENDED}.*)", said, re.MULTILINE):
            raise BuildError(found[1], file=tree.file, hint=error.hint) from error
        failure = failure_of(_as_outcome(said, tree), work)
        if failure.kind == "other":
            raise
        # What `nix log` would tell is in a store that is gone.
        raise build_error(replace(failure, hint=error.hint) if failure.kind == "builder" else failure) from error


def _as_outcome(said: str, tree: NixTree) -> Outcome:
    """What a build said as if nix had said it here."""
    text = _COPY.sub(lambda _: f"{tree.root}/", said).replace(tree.inside, str(tree.root))
    argv = ("nix", *(word.replace(tree.inside, str(tree.root)) for word in tree.words))
    return understood(Outcome(argv=argv, returncode=1, stdout="", stderr=text, seconds=0.0))
