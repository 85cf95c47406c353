"""Where a container engine may be: what the user has named, else the sockets that engines make."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Asked", "Place", "Unreachable", "places"]

Asked = Literal["auto", "docker", "podman"]


class Unreachable(Exception):  # noqa: N818 - reads as the sentence it is
    """No engine answers at a place; the message says why, ``hint`` what to do."""

    def __init__(self, why: str, *, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """One address to ask."""

    address: str
    #: Who says so: ``DOCKER_HOST``, ``Docker's socket``.
    why: str
    #: Whether the user has named it. Nothing else is looked at then: another engine has other images.
    named: bool = False
    #: The folder of ``ca.pem``, ``cert.pem`` and ``key.pem``, and whether the engine's own certificate is checked.
    certificates: str = ""
    verified: bool = True

    def __str__(self) -> str:
        return f"{self.why} ({self.address})"


def places(asked: Asked, environ: Mapping[str, str]) -> list[Place]:
    """The places to ask in this order. Whatever the user has named is the only one.

    ``DOCKER_HOST`` and ``CONTAINER_HOST`` come first, as the two command lines have them, then the current context
    of Docker's, then the sockets that engines make. :class:`Unreachable` where the named context cannot be read.
    """
    named = _named(asked, environ)
    if any(place.named for place in named):
        return named
    found = list(_sockets_of_docker(environ)) if asked != "podman" else []
    found += _sockets_of_podman(environ) if asked != "docker" else []
    return [*named, *found]


def _named(asked: Asked, environ: Mapping[str, str]) -> list[Place]:
    container_host, docker_host = environ.get("CONTAINER_HOST", ""), environ.get("DOCKER_HOST", "")
    if container_host and (asked == "podman" or (asked == "auto" and not docker_host)):
        return [Place(container_host, "CONTAINER_HOST", named=True)]
    if docker_host:
        # It may well be Docker's, and says nothing then to whoever asks for Podman.
        return [_with_tls(docker_host, environ, named=asked != "podman")]
    context = _context(environ) if asked != "podman" else None
    return [context] if context is not None else []


def _with_tls(address: str, environ: Mapping[str, str], *, named: bool) -> Place:
    """https://docs.docker.com/reference/cli/docker/#environment-variables."""
    verified = bool(environ.get("DOCKER_TLS_VERIFY"))
    folder = environ.get("DOCKER_CERT_PATH") or (str(_docker_config(environ)) if verified else "")
    if not folder or not address.startswith(("tcp:", "https:")):
        return Place(address, "DOCKER_HOST", named=named)
    return Place(address, "DOCKER_HOST", named=named, certificates=folder, verified=verified)


def _docker_config(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or _home(environ) / ".docker")


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("USERPROFILE" if sys.platform == "win32" else "HOME") or Path("~").expanduser())


def _context(environ: Mapping[str, str]) -> Place | None:
    """Docker's current context (https://docs.docker.com/engine/manage-resources/contexts/); none for ``default``."""
    folder = _docker_config(environ)
    name = environ.get("DOCKER_CONTEXT") or _json(folder / "config.json").get("currentContext")
    if not isinstance(name, str) or not name or name == "default":
        return None
    key = hashlib.sha256(name.encode()).hexdigest()
    told = _json(folder / "contexts" / "meta" / key / "meta.json").get("Endpoints")
    endpoint = told.get("docker") if isinstance(told, dict) else None
    if not isinstance(endpoint, dict) or not isinstance(endpoint.get("Host"), str):
        raise Unreachable(
            f"Docker's current context is {name!r}, which does not say where its engine is", hint="docker context ls"
        )
    keys = folder / "contexts" / "tls" / key / "docker"
    return Place(
        endpoint["Host"],
        f"Docker's context {name!r}",
        named=True,
        certificates=str(keys) if keys.is_dir() else "",
        verified=not endpoint.get("SkipTLSVerify", False),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _sockets_of_docker(environ: Mapping[str, str]) -> Iterator[Place]:
    if sys.platform == "win32":
        yield Place("npipe:////./pipe/docker_engine", "Docker's pipe")
        return
    yield Place("unix:///var/run/docker.sock", "Docker's socket")
    # https://docs.docker.com/engine/security/rootless/tips/
    yield Place(f"unix://{_runtime_folder(environ)}/docker.sock", "the socket of rootless Docker")
    for folder in ("run", "desktop"):  # on macOS, on Linux
        yield Place(f"unix://{_home(environ)}/.docker/{folder}/docker.sock", "the socket of Docker Desktop")


def _sockets_of_podman(environ: Mapping[str, str]) -> Iterator[Place]:
    """https://docs.podman.io/en/latest/markdown/podman-system-service.1.html."""
    if sys.platform == "win32":
        yield Place("npipe:////./pipe/podman-machine-default", "the pipe of Podman's machine")
        return
    yield Place(f"unix://{_runtime_folder(environ)}/podman/podman.sock", "the socket of rootless Podman")
    yield Place("unix:///run/podman/podman.sock", "Podman's socket")
    if sys.platform == "darwin":
        machine = _home(environ) / ".local/share/containers/podman/machine/podman.sock"
        yield Place(f"unix://{machine}", "the socket of Podman's machine")


def _runtime_folder(environ: Mapping[str, str]) -> str:
    """https://specifications.freedesktop.org/basedir-spec/latest/: a folder of the user's own for sockets."""
    if named := environ.get("XDG_RUNTIME_DIR"):
        return named
    return f"/run/user/{_user()}"


def _user() -> int:
    if sys.platform == "win32":
        return 0  # which numbers nobody
    return os.getuid()
