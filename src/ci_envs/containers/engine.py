"""The container engine: where it is, what it is, and how it is talked to.

Docker Engine and Podman's Docker-compatible service answer the same interface
(https://docs.docker.com/reference/api/engine/, https://docs.podman.io/en/latest/_static/api.html).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ci_envs.containers.engine_places import Asked, Place, Unreachable, places
from ci_envs.containers.podman_service import serve
from ci_envs.errors import ToolMissing
from ci_envs.machine import arch_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    import docker
    from docker.tls import TLSConfig

__all__ = ["Engine", "Kind", "connect", "find_engine"]

Kind = Literal["docker", "podman"]

#: An engine answers at once; what listens there and does not is none.
_KNOCK_SECONDS = 10

#: Pulling, loading and removing large images takes its time, and nothing is said meanwhile.
_LONGEST_SECONDS = 1800

#: Docker 20.10's; Podman 4 answers the same.
_OLDEST_API = (1, 41)
_OLDEST = {"docker": "Docker 20.10", "podman": "Podman 4.0"}

#: CDI's name of NVIDIA's devices: https://github.com/cncf-tags/container-device-interface.
_CDI_GPU = "nvidia.com/gpu"

#: Of the driver that keeps images in containerd's store: https://docs.docker.com/engine/storage/containerd/.
_IN_CONTAINERD = "io.containerd.snapshotter"

_NO_PERMISSION = (
    "become a member of the group that owns it (`sudo usermod -aG docker $USER`, then log in again), "
    "or run a rootless engine"
)
_NOT_RUNNING = "start Docker or Podman, or say with DOCKER_HOST or CONTAINER_HOST where it is"


@dataclass(frozen=True)
class Engine:
    """What is known of an engine. Its client is made when it is first needed."""

    kind: Kind
    #: ``unix:///run/docker.sock``, ``tcp://10.0.0.5:2376``.
    address: str
    version: str = ""
    api: str = "1.41"
    #: Of its containers, in the words of legs: ``linux``, ``x86_64``.
    os: str = "linux"
    arch: str = ""
    rootless: bool = False
    #: The names of its OCI runtimes, and ``cdi`` where it hands out NVIDIA's devices by their CDI names.
    runtimes: frozenset[str] = frozenset()
    store: Literal["containerd", "classic", "podman"] = "classic"
    #: The folder of ``ca.pem``, ``cert.pem`` and ``key.pem``, and whether the engine's own certificate is checked.
    certificates: str = ""
    verified: bool = True

    @property
    def title(self) -> str:
        """``docker 26.1.5`` or ``podman 4.3.1``."""
        return f"{self.kind} {self.version}"

    @cached_property
    def client(self) -> docker.DockerClient:
        """The Docker SDK's client, which threads may share."""
        place = Place(self.address, "", certificates=self.certificates, verified=self.verified)
        return _client(place, self.api, _LONGEST_SECONDS)

    @property
    def environ(self) -> dict[str, str]:
        """The variables under which a command line client talks to this very engine."""
        if self.kind == "podman":
            return {"CONTAINER_HOST": self.address, "DOCKER_HOST": self.address}
        if not self.certificates:
            return {"DOCKER_HOST": self.address}
        verify = {"DOCKER_TLS_VERIFY": "1"} if self.verified else {}
        return {"DOCKER_HOST": self.address, "DOCKER_CERT_PATH": self.certificates, **verify}

    @property
    def socket(self) -> str:
        """The path of its socket; empty where it is reached in another way."""
        return self.address.removeprefix("unix://") if self.address.startswith("unix://") else ""

    @property
    def half_closes(self) -> bool:
        """Whether one direction of a connection can be ended alone, which is how a command's input ends.

        TLS and named pipes know no such thing.
        """
        return bool(self.socket) or not (self.certificates or self.address.startswith("npipe:"))

    def close(self) -> None:
        """Ends its connections. A service that was started for us ends when nobody is connected."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(place: Place) -> Engine:
    """Asks an engine who it is. :class:`Unreachable` where none answers."""
    if place.address.startswith("ssh:"):
        forward = f"`ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock {place.address.removeprefix('ssh://')}`"
        hint = f"forward its socket, {forward}, and set DOCKER_HOST=unix:///tmp/engine.sock"
        raise Unreachable(
            "engines behind ssh are not talked to: a command's streams cannot be told apart there", hint=hint
        )
    if place.address.startswith("unix://"):
        _knock(place.address.removeprefix("unix://"))
    try:
        import docker
    except ImportError as error:
        raise ToolMissing(
            "the Docker SDK is not installed beside ci-envs", hint="python -m pip install 'repro-envs[docker]'"
        ) from error
    client = None
    try:
        # Which version of the interface is of no importance: who it is, an engine tells without.
        with contextlib.closing(_client(place, Engine.api, _KNOCK_SECONDS)) as asking:
            told: dict[str, Any] = asking.version(api_version=False)
        client = _client(place, _known_api(told), _KNOCK_SECONDS)
        client.ping()
        engine = _described(place, told, client)
    # Whatever listens there may say anything, and the SDK checks none of it.
    except (docker.errors.DockerException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if client is not None:
            client.close()
        raise Unreachable(_reason(error), hint=_NOT_RUNNING) from error
    # It is kept, and connected: a service that was started for us ends when nobody is.
    client.api.timeout = _LONGEST_SECONDS
    engine.__dict__["client"] = client
    return engine


def _client(place: Place, api: str, seconds: int) -> docker.DockerClient:
    import docker

    tls = _tls(place.certificates, verified=place.verified)
    client = docker.DockerClient(base_url=place.address, version=api, timeout=seconds, tls=tls)
    # Certificates that REQUESTS_CA_BUNDLE names would go before the engine's own, and a proxy knows no engine.
    client.api.trust_env = False
    return client


def _tls(folder: str, *, verified: bool) -> TLSConfig | bool:
    if not folder:
        return False
    from docker.tls import TLSConfig

    pair = (str(Path(folder, "cert.pem")), str(Path(folder, "key.pem")))
    return TLSConfig(client_cert=pair, ca_cert=str(Path(folder, "ca.pem")) if verified else None, verify=verified)


def _knock(path: str) -> None:
    """Says what is wrong with a socket more plainly than whoever speaks through it."""
    if sys.platform == "win32":
        return  # an engine has a named pipe there
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(_KNOCK_SECONDS)
            one.connect(path)
    except OSError as error:
        raise _unreachable(error) from error


def _unreachable(error: OSError) -> Unreachable:
    if isinstance(error, FileNotFoundError):
        return Unreachable("there is no such socket", hint=_NOT_RUNNING)
    if isinstance(error, PermissionError):
        return Unreachable("no permission to use the socket", hint=_NO_PERMISSION)
    if isinstance(error, ConnectionRefusedError):
        return Unreachable("nobody listens there", hint=_NOT_RUNNING)
    if isinstance(error, TimeoutError):
        return Unreachable(f"no answer within {_KNOCK_SECONDS} s", hint=_NOT_RUNNING)
    return Unreachable(error.strerror or str(error), hint=_NOT_RUNNING)


def _reason(error: BaseException) -> str:
    """What the SDK, requests and urllib3 have wrapped into each other."""
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    if any("timed out" in str(link).lower() for link in chain):
        return f"no answer within {_KNOCK_SECONDS} s"
    for link in reversed(chain):
        if isinstance(link, OSError) and link.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
            return str(_unreachable(link))
    if isinstance(error, OSError) or any("certificate" in str(link).lower() for link in chain):
        return f"it cannot be talked to: {chain[-1]}"
    return "what answers there is no container engine"


def _described(place: Place, told: Mapping[str, Any], client: docker.DockerClient) -> Engine:
    podman = any("podman" in str(part.get("Name", "")).lower() for part in told.get("Components") or ())
    kind: Kind = "podman" if podman else "docker"
    # Podman counts all that it has for it, which takes a second, and tells nothing of what is asked here.
    info: dict[str, Any] = {} if podman else client.info()
    options = info.get("SecurityOptions") or ()
    return Engine(
        kind=kind,
        address=place.address,
        version=str(told["Version"]).partition("+")[0],
        api=client.api.api_version,
        os=str(told["Os"]).lower(),
        arch=arch_name(str(told["Arch"])),
        rootless=any("rootless" in str(option) for option in options) or (podman and _is_of_a_user(place)),
        runtimes=frozenset(info.get("Runtimes") or ()) | (frozenset(["cdi"]) if _has_cdi(info, place) else frozenset()),
        store="podman" if podman else "containerd" if _IN_CONTAINERD in str(info.get("DriverStatus")) else "classic",
        certificates=place.certificates,
        verified=place.verified,
    )


def _known_api(told: Mapping[str, Any]) -> str:
    """The newest version of the interface that the SDK knows; a newer one where the engine wants that."""
    from docker import constants

    newest = min(str(told["ApiVersion"]), constants.DEFAULT_DOCKER_API_VERSION, key=_numbers)
    return max(newest, str(told.get("MinAPIVersion") or newest), key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _is_of_a_user(place: Place) -> bool:
    """Whether whoever listens at a socket is not root."""
    try:
        return Path(place.address.removeprefix("unix://")).stat().st_uid != 0
    except OSError:
        return False


def _has_cdi(info: Mapping[str, Any], place: Place) -> bool:
    """Docker lists the devices that it knows; Podman does not, and reads these folders."""
    listed = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or ()]
    if info or not place.address.startswith("unix://"):
        return any(name.startswith(_CDI_GPU) for name in listed)
    with contextlib.suppress(OSError):
        specs = [path for folder in ("/etc/cdi", "/var/run/cdi") for path in Path(folder).glob("*.*")]
        return any(_CDI_GPU.encode() in path.read_bytes() for path in specs)
    return False


def find_engine(
    asked: Asked,
    environ: Mapping[str, str],
    *,
    connect: Callable[[Place], Engine] = connect,
    serve: Callable[[Mapping[str, str]], Place] = serve,
) -> Engine:
    """The engine to use: the first that answers at the places of :func:`engine_places.places`.

    Where no socket of Podman's answers and podman is on PATH, its service is started for the time of this process.
    Raises :class:`ToolMissing` that says of every place why it is none.
    """
    tried: list[tuple[str, Unreachable]] = []
    try:
        listed = places(asked, environ)
    except Unreachable as why:
        raise _missing(asked, [("", why)]) from why
    for place in listed:
        try:
            return _fitting(connect(place), asked)
        except Unreachable as why:
            tried.append((f"{place}: ", why))
    if asked != "docker" and not any(place.named for place in listed):
        try:
            return _fitting(connect(serve(environ)), asked)
        except Unreachable as why:
            tried.append(("", why))
    raise _missing(asked, tried)


def _missing(asked: Asked, tried: list[tuple[str, Unreachable]]) -> ToolMissing:
    name = {"auto": "container engine", "docker": "Docker", "podman": "Podman"}[asked]
    hints = [why.hint for _, why in tried if why.hint]
    # What is there and says no is nearer to an answer than all that is not there.
    hint = next((hint for hint in hints if hint != _NOT_RUNNING), _NOT_RUNNING)
    return ToolMissing(f"no {name} answers here. {'; '.join(f'{place}{why}' for place, why in tried)}", hint=hint)


def _fitting(engine: Engine, asked: Asked) -> Engine:
    why = _unfit(engine, asked)
    if why is not None:
        engine.close()
        raise why
    return engine


def _unfit(engine: Engine, asked: Asked) -> Unreachable | None:
    if asked not in ("auto", engine.kind):
        hint = f"set docker: {{engine: {engine.kind}}} in ci-envs.yml, or say where {asked} is"
        return Unreachable(f"that is {engine.title}, and {asked} was asked for", hint=hint)
    if _numbers(engine.api) < _OLDEST_API:
        oldest = _OLDEST[engine.kind]
        return Unreachable(f"{engine.title} is too old: {oldest} or newer is needed", hint=f"install {oldest} or newer")
    return None
