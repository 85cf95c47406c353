"""Brings a dev container up over a copy of the project, with every image and feature as it is locked."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.containers.devcontainer_cli import Up, docker_client, find_cli, up, variables_inside
from ci_envs.containers.devcontainer_environment import DevcontainerEnvironment, Seat
from ci_envs.containers.devcontainer_failures import Told, up_failed
from ci_envs.containers.devcontainer_lock import images_in_configuration
from ci_envs.containers.devcontainer_override import Pinned, override, run_arguments
from ci_envs.containers.devcontainer_shim import write_shim
from ci_envs.containers.devcontainer_site import Site, mounted_at
from ci_envs.containers.devcontainer_workspace import stage_workspace
from ci_envs.containers.docker_lock import pinned_arguments, pinned_text
from ci_envs.containers.firewall import CA, CA_FILE, PIP, PIP_CONF, UV, UV_TOML, Firewall, user_firewall
from ci_envs.containers.image_facts import inspect_image
from ci_envs.containers.legs import build_args_of
from ci_envs.containers.limits import Limits, Volume, limits_of
from ci_envs.containers.locking import locked_images, refuse_other_local
from ci_envs.containers.secrets import parse_secret
from ci_envs.containers.session import Asked, ProjectFiles
from ci_envs.containers.starting import engine_errors, guarded
from ci_envs.environ import leg_variables
from ci_envs.errors import BrokenError
from ci_envs.model.image import BaseImage, ImageFacts
from ci_envs.redact import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.containers.devcontainer_cli import Cli
    from ci_envs.containers.engine import Engine
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["bring_up"]

#: What every program is told of certificates by: OpenSSL's users, requests, curl, git, and Node.js.
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")

#: The settings of all users, which programs inside read while the container is created and later.
_HANDED = {PIP: PIP_CONF, UV: UV_TOML, CA: CA_FILE}


def bring_up(leg: Leg, lock: Lock, work: Work) -> DevcontainerEnvironment:
    """The container after its lifecycle commands. :class:`BuildError` says which part of it failed.

    It is the environment's to end; where this fails, nothing is left of it.
    """
    cli = find_cli(work)
    site = Site.of(leg, work)
    try:
        return _brought_up(site, cli, leg, lock, work)
    except BaseException:
        site.clear()
        raise


def _brought_up(site: Site, cli: Cli, leg: Leg, lock: Lock, work: Work) -> DevcontainerEnvironment:
    stage_workspace(work.project.root, site.workspace)
    read, limits = site.read, _limits(leg, work)
    limits.make_folders()
    firewall = user_firewall(work, network=limits.network)
    _write_override(site, leg, work, limits, firewall)
    words = [*site.words, *_client_words(site, work, firewall)]
    with work.log.open("a", encoding="utf-8") as log:
        log.writelines(f"{note}\n" for note in (*firewall.notes, *limits.notes(site.engine)))
    env = site.engine.environ
    site.guard = guarded(site.engine, site.name)
    site.settled = False
    told, outcome = up(cli, work, read, [*words, *_lifecycle_words(site, firewall)], env)
    site.settled = not outcome.timed_out
    site.container = told.container_id
    if not outcome or told.outcome != "success":
        raise _failed(told, outcome.output, site, work)
    attrs = _inspected(site)
    seat = _seat(site, told, attrs, variables_inside(cli, work, read, words, env))
    environment = DevcontainerEnvironment(site.engine, seat, _asked(site, seat, limits, leg, work), site.clear)
    _refuse_empty_workspace(environment, site, seat)
    work.image = _facts(site, seat, attrs, lock)
    work.tools.setdefault(site.engine.kind, site.engine.version)
    return environment


# --- what the tool is given


def _limits(leg: Leg, work: Work) -> Limits:
    folder = work.project.root
    return limits_of(work.config.docker, work.environ, folder=folder, gpus=leg.accelerator.startswith("cuda"))


def _write_override(site: Site, leg: Leg, work: Work, limits: Limits, firewall: Firewall) -> None:
    devices = () if not limits.gpus or limits.notes(site.engine) else _devices(site.engine)
    made = override(
        site.read,
        _pinned(site, leg, work),
        arguments=(f"--name={site.name}", *run_arguments(limits, work.project.root, devices)),
        mounts=_mounts(site, firewall),
        variables=limits.env,
    )
    site.override.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _devices(engine: Engine) -> tuple[str, ...]:
    return ("--gpus=all",) if "nvidia" in engine.runtimes else ("--device=nvidia.com/gpu=all",)


def _pinned(site: Site, leg: Leg, work: Work) -> Pinned:
    """The image with its digest, or the Dockerfile with those of all that it names."""
    read, docker = site.read, work.config.docker
    images = images_in_configuration(leg, read, work)
    digests = locked_images(work).digests(local=site.engine.kind == "podman")
    refuse_other_local(site.engine, images, work)
    if not read.dockerfile:
        (image,) = images
        digest = digests.get(image.reference.key, "") if image.reference and not image.reference.digest else ""
        return Pinned(image=image.pinned(digest) if digest else image.text)
    file = site.prefix / "Dockerfile"
    text = pinned_text(work.project.text(read.dockerfile) or "", images, digests)
    file.write_text(text, encoding="utf-8", newline="")
    # https://docs.docker.com/build/concepts/context/#filename-and-location
    ignored = work.project.path(f"{read.dockerfile}.dockerignore")
    if ignored.is_file():
        shutil.copyfile(ignored, site.prefix / "Dockerfile.dockerignore")
    return Pinned(
        dockerfile=file,
        context=site.workspace / read.context,
        target=docker.target,
        args=pinned_arguments(build_args_of(leg, docker), images, digests),
        options=_secret_words(site, work),
    )


def _secret_words(site: Site, work: Work) -> tuple[str, ...]:
    """The secrets of the configuration, as files that only we can read."""
    words = []
    for one in work.config.docker.secrets:
        secret = parse_secret(one, work.project.root, work.environ)
        file = secret.file or site.handed / secret.id
        if secret.file is None:
            file.write_text(secret.value, encoding="utf-8")
        words.append(f"--secret=id={secret.id},src={file}")
    return tuple(words)


def _mounts(site: Site, firewall: Firewall) -> list[str]:
    """The user's index settings and certificates, mounted where programs inside look for them: no image has them."""
    mounts = []
    for secret in firewall.secrets:
        file = site.handed / f"{secret.id}.txt"
        file.write_text(secret.value, encoding="utf-8")
        file.chmod(0o444)  # whoever works inside reads it; the folder keeps everybody else out
        mounts.append(f"type=bind,source={file},target={_HANDED[secret.id]},readonly")
    return mounts


def _client_words(site: Site, work: Work, firewall: Firewall) -> list[str | Path]:
    client = docker_client(site.engine.kind, work.environ)
    work.tools[client.program.name] = str(client.program)
    program = client.program
    if firewall and client.builds and sys.platform != "win32":
        program = write_shim(site.handed, str(client.program), firewall)
    return ["--docker-path", program, *([] if client.builds else ["--buildkit", "never"])]


def _lifecycle_words(site: Site, firewall: Firewall) -> list[str | Path]:
    """What only the lifecycle commands see: proxies, and where the certificates are."""
    trusted = any(secret.id == CA for secret in firewall.secrets)
    variables = {**dict.fromkeys(_TRUST if trusted else (), CA_FILE), **firewall.build_args}
    private = {name: value for name, value in variables.items() if without_credentials(value) != value}
    words: list[str | Path] = []
    for name in variables.keys() - private.keys():
        words += ["--remote-env", f"{name}={variables[name]}"]
    if private:
        file = site.handed / "secrets.json"
        file.write_bytes(msgspec.json.encode(private))
        words += ["--secrets-file", file]
    return words


# --- what came of it


def _failed(told: Up, output: str, site: Site, work: Work) -> Exception:
    read, file = site.read, site.prefix / "Dockerfile"
    return up_failed(
        Told(
            told,
            output,
            read=read,
            text=work.project.text(read.path) or "",
            dockerfile=file.read_text(encoding="utf-8") if file.is_file() else "",
            log=work.layout.shown(work.log),
        )
    )


def _inspected(site: Site) -> dict[str, Any]:
    with engine_errors(f"{site.engine.title} tells nothing of the dev container"):
        attrs: dict[str, Any] = site.engine.client.api.inspect_container(site.container)
    named = [each["Name"] for each in attrs.get("Mounts") or () if each.get("Type") == "volume"]
    site.own_volumes = tuple(name for name in named if name not in site.volumes)
    return attrs


def _seat(site: Site, told: Up, attrs: Mapping[str, Any], variables: Mapping[str, str]) -> Seat:
    # A workspaceFolder of the configuration may be another than the one that the project is mounted at.
    folder = next(iter(mounted_at(attrs, site.workspace)), told.remote_workspace_folder)
    return Seat(
        id=site.container,
        image=str(attrs["Config"]["Image"]),
        user=told.remote_user,
        folder=folder,
        variables=variables,
    )


def _asked(site: Site, seat: Seat, limits: Limits, leg: Leg, work: Work) -> Asked:
    return Asked(
        limits=limits,
        labels=site.labels,
        project=ProjectFiles(root=work.project.root, names=(), inside=seat.folder),
        variables={"CI_ENVS_LEG": leg.id, **leg_variables(leg.variables)},
        python=work.config.docker.python,
        workdir=seat.folder,
        caller=work.environ,
    )


def _refuse_empty_workspace(environment: DevcontainerEnvironment, site: Site, seat: Seat) -> None:
    if environment.read(f"{seat.folder.rstrip('/')}/{site.read.path}") is None:
        raise BrokenError(
            f"{seat.folder} is empty inside: {site.engine.title} does not see the folders of this machine",
            hint="dev containers need an engine on this machine, to which its folders are shared",
        )


def _facts(site: Site, seat: Seat, attrs: Mapping[str, Any], lock: Lock) -> ImageFacts:
    host = attrs.get("HostConfig") or {}
    mounts = [each for each in attrs.get("Mounts") or () if each.get("Type") == "bind"]
    taken = Limits(
        privileged=bool(host.get("Privileged")),
        cap_add=tuple(host.get("CapAdd") or ()),
        security_opt=tuple(host.get("SecurityOpt") or ()),
        network=str(host.get("NetworkMode") or ""),
        volumes=tuple(Volume(str(each["Source"]), str(each["Destination"])) for each in mounts),
    )
    features = {pin.name for pin in lock.of("image")} & {name.rpartition(":")[0] or name for name in site.read.features}
    bases = [pin for pin in lock.of("image") if pin.name not in features and pin.hashes]
    return msgspec.structs.replace(
        inspect_image(site.engine, seat.image),
        bases=tuple(BaseImage(name=f"{pin.name}:{pin.version}", digest=pin.hashes[0]) for pin in bases),
        builder="@devcontainers/cli",
        why_not="a dev container is made by commands that run in it",
        relaxed=taken.relaxed(),
    )
