"""The lock of a dev container: the images it is built on, its features, and what its lifecycle commands install."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.base_findings import base_findings, secret_findings
from ci_envs.containers.devcontainer_cli import find_cli, upgrade
from ci_envs.containers.devcontainer_config import (
    Devcontainer,
    find_configuration,
    is_configuration,
    read_configuration,
)
from ci_envs.containers.devcontainer_features import (
    FeatureLock,
    feature_pins,
    locked_ids,
    read_feature_lock,
    renewed,
    stale_features,
    write_feature_lock,
)
from ci_envs.containers.docker_lock import NAME
from ci_envs.containers.dockerfile import BaseImage, images_of
from ci_envs.containers.inner import described_inside, inner_leg, inner_pattern, inner_work
from ci_envs.containers.legs import build_args_of, platform_of
from ci_envs.containers.locking import lock_images, locked_images, together
from ci_envs.containers.references import parse_reference
from ci_envs.containers.written_locks import UV_SYNC, uv_selection
from ci_envs.errors import LockError, UsageError
from ci_envs.model.lock import Lock
from ci_envs.patterns.requirement_locks import stale_error
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["configuration_of", "images_in_configuration", "lock_devcontainer", "select_devcontainer", "who_locks"]

#: What runs inside while a container is created; what runs at each start installs nothing.
_LIFECYCLE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")

#: By which words it is told whose lock they install; the first that is found.
_SIGNS = (
    ("conda", re.compile(r"conda-lock|\b(?:micromamba|mamba|conda) (?:env )?(?:create|install|update)\b")),
    ("uv", re.compile(r"\buv sync\b|\buv\.lock\b|\blocks/uv-")),
    ("venv", re.compile(r"\bpip-sync\b|\blocks/venv-")),
)
#: Of what the tool said.
_LONGEST = 400

_SCRIPT = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:sh|bash|py)\b")


@dataclass(frozen=True, slots=True)
class _Inner:
    """Who locks what is installed inside, and what of it is asked for."""

    pattern: str
    #: What the commands of the dev container say, those of its Makefile and scripts among them.
    said: str


def configuration_of(project: Project, config: Config) -> Devcontainer:
    """The leg's devcontainer.json: ``docker.file`` where that names one, else the first of its places."""
    asked = config.docker.file
    return read_configuration(project, find_configuration(project, asked if is_configuration(asked) else ""))


def select_devcontainer(leg: Leg, project: Project, config: Config) -> Selection:
    """What the same leg would install outside of a container; nothing where the project describes nothing."""
    from ci_envs.selection import Selection

    read = configuration_of(project, config)
    inner = _inner(leg, read, project, config)
    return _selected(inner, leg, project, config) if inner else Selection()


def who_locks(leg: Leg, read: Devcontainer, project: Project, config: Config) -> str:
    """The pattern whose lock is installed inside; empty where the project has none."""
    inner = _inner(leg, read, project, config)
    return inner.pattern if inner else ""


def _selected(inner: _Inner, leg: Leg, project: Project, config: Config) -> Selection:
    from ci_envs.patterns.registry import ALL_PATTERNS

    selection = ALL_PATTERNS[inner.pattern].select(inner_leg(leg, inner.pattern), project, config)
    found = UV_SYNC.search(inner.said) if inner.pattern == "uv" else None
    return uv_selection(found[1].split(), selection, project) if found else selection


def lock_devcontainer(leg: Leg, work: Work) -> Lock:
    """``docker.lock``, ``devcontainer-lock.json`` and the project's own lock, each as the policy asks."""
    read = configuration_of(work.project, work.config)
    images = images_in_configuration(leg, read, work)
    file = read.dockerfile or read.path
    lock_images(leg, work, images, {}, file)
    _tell_of_bases(leg, read, work, images, file)
    features = _locked_features(read, work)
    lock = together(work, _inner_lock(leg, read, work), images, file)
    more = (read.lock_path,) if features.features else ()
    digest = hashlib.sha256(f"{lock.sha256} {work.file_digest(read.lock_path) if more else ''}".encode())
    return msgspec.structs.replace(
        lock, more=(*lock.more, *more), sha256=digest.hexdigest(), pins=(*lock.pins, *feature_pins(features))
    )


def _tell_of_bases(leg: Leg, read: Devcontainer, work: Work, images: tuple[BaseImage, ...], file: str) -> None:
    work.findings += base_findings(images, locked_images(work) if work.project.exists(NAME) else None, file=file)
    if read.dockerfile:
        given = {**read.build_args, **build_args_of(leg, work.config.docker)}
        text = work.project.text(read.dockerfile) or ""
        work.findings += secret_findings(text, build_args=given, file=read.dockerfile)


def images_in_configuration(leg: Leg, read: Devcontainer, work: Work) -> tuple[BaseImage, ...]:
    """The image that it names, or every one that its Dockerfile does."""
    if not read.dockerfile:
        line = read.line_of(work.project.text(read.path) or "", '"image"')
        return (BaseImage(line=line, text=read.image, reference=parse_reference(read.image), kind="FROM"),)
    text = work.project.text(read.dockerfile)
    if text is None:
        raise UsageError(f"build.dockerfile names {read.dockerfile}, which is not there", file=read.path)
    docker = work.config.docker
    return images_of(
        text,
        build_args={**read.build_args, **build_args_of(leg, docker)},
        target=docker.target or read.target,
        platform=platform_of(leg),
        file=read.dockerfile,
    )


# --- features


def _locked_features(read: Devcontainer, work: Work) -> FeatureLock:
    asked = locked_ids(read.features, read.path)
    text = work.project.text(read.lock_path)
    if not asked:
        return FeatureLock()
    mode = work.policy.mode
    if text is None and mode in ("locked", "frozen"):
        raise LockError(
            "there is no lock of the dev container's features",
            file=read.lock_path,
            hint=f"make it with: {work.lock_command()}",
        )
    lock = read_feature_lock(text or "", read.lock_path)
    stale = stale_features(asked, lock, read.lock_path) if mode != "frozen" else ()
    if stale and mode == "locked":
        raise stale_error(work, stale)
    if stale or text is None or mode == "update":
        return _resolved_features(asked, lock if mode != "update" else FeatureLock(), read, work)
    return lock


def _resolved_features(asked: tuple[str, ...], old: FeatureLock, read: Devcontainer, work: Work) -> FeatureLock:
    """Has the tool resolve them, keeps what still fits, and writes the lock."""
    work.begins()
    outcome = upgrade(find_cli(work), work, read)
    if not outcome:
        raise LockError(f"the features cannot be resolved: {_why(outcome.output)}", file=read.path)
    new = read_feature_lock(outcome.stdout, read.lock_path)
    made = renewed(asked, old, new)
    if stale := stale_features(asked, made, read.lock_path):
        raise stale_error(work, stale)
    with work.alone(f"project-{work.project_key}"):
        work.keep_lock(read.lock_path, write_feature_lock(made))
    return made


def _why(output: str) -> str:
    """The sentence of the tool that says which feature, without its trace."""
    said = [line for line in output.splitlines() if line.strip() and not line.startswith(("    at ", "["))]
    errors = [line.partition(": ")[2] or line for line in said if line.startswith(("Error: ", "ERR: "))]
    named = [line.partition("] ")[2] for line in output.splitlines() if "Could not resolve Feature" in line]
    return one_line((*named, *errors, *said, "the tool does not say why")[0], _LONGEST)


# --- what is installed inside


def _inner_lock(leg: Leg, read: Devcontainer, work: Work) -> Lock:
    """The lock that the same leg has outside of a container; one of images alone where the project has none."""
    inner = _inner(leg, read, work.project, work.config)
    if inner is None:
        file = read.dockerfile or read.path
        return Lock(path=file, format="devcontainer", sha256=work.file_digest(file), covers=("image",))
    from ci_envs.patterns.registry import ALL_PATTERNS

    pattern = ALL_PATTERNS[inner.pattern]
    at = inner_work(work, pattern)
    at.selection = work.selection
    lock = pattern.lock(inner_leg(leg, inner.pattern), at)
    return msgspec.structs.replace(lock, direct=lock.locked_direct)


def _inner(leg: Leg, read: Devcontainer, project: Project, config: Config) -> _Inner | None:
    """Whose lock the lifecycle commands install: the one that is configured, else that which they name.

    What they say is read in their Makefile and scripts too; nothing is run. Where it does not tell, it is the pattern
    that a Dockerfile would be generated for.
    """
    said = _said(read, project)
    described = set(described_inside(project))
    if not described:
        return None
    named = next((name for name, sign in _SIGNS if sign.search(said) and _suits(name, described)), "")
    if not named or config.docker.installer != "auto":
        named = inner_pattern(leg, project, config).name
    return _Inner(named, said)


def _suits(name: str, described: set[str]) -> bool:
    """What describes one of pip's patterns describes the other."""
    return name in described or (name != "conda" and bool(described - {"conda"}))


def _said(read: Devcontainer, project: Project) -> str:
    commands = "\n".join(_words(read.table.get(key)) for key in _LIFECYCLE)
    names = [name for name in _SCRIPT.findall(commands) if project.exists(name)]
    names += [name for name in ("Makefile", "makefile", "GNUmakefile") if re.search(r"\bmake\b", commands)]
    names += [read.dockerfile] if read.dockerfile else []
    texts = (project.text(name) or "" for name in dict.fromkeys(names) if project.exists(name))
    return "\n".join([commands, *texts]).replace("\\\n", " ")


def _words(command: object) -> str:
    """A lifecycle command as text: a line for the shell, a list of words, or several of them by name."""
    if isinstance(command, dict):
        return "\n".join(_words(part) for part in command.values())
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "")
