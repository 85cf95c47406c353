"""Projects that become images, an index that their builds reach, and the program that runs over them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import platform
import socket
import socketserver
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from tests.component.program import Program
from tests.component.running import PYTHON
from tests.support.docker_images import oci_arch
from tests.support.docker_registry import RegistryClient
from tests.support.index import Index

from ci_envs.containers.cleaning import remove_all
from ci_envs.containers.labels import LABEL_STATE, image_name, image_repository, state_key
from ci_envs.containers.listing import listed
from ci_envs.layout import Layout
from ci_envs.machine import arch_name
from ci_envs.model.leg import make_leg
from ci_envs.model.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from docker import DockerClient
    from tests.component.program import Done

    from ci_envs.model.record import Finding, RunRecord, Stage

__all__ = [
    "DOCKER_LEG",
    "IMPORTS",
    "DockerProgram",
    "Forwarder",
    "OwnImage",
    "ReachableIndex",
    "commit_all",
    "gateway_of",
    "outside_leg",
]

DOCKER_LEG = make_leg(pattern="docker", python=PYTHON, os="linux", arch=arch_name()).id

#: Tests that need no runner.
IMPORTS = 'test:\n  command: python -c "import apple, pear"\n'


class ReachableIndex(Index):
    """An index whose pages name its files by the address at which containers reach it."""

    outside = ""

    @property
    def files_url(self) -> str:
        return f"{self.outside}/files/" if self.outside else super().files_url


class Forwarder(socketserver.ThreadingTCPServer):
    """Hands on what comes to the engine's bridge to a server on loopback, which no container can reach."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str, port: int) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as other, contextlib.suppress(OSError):
                    back = threading.Thread(target=_pump, args=(other, self.request), daemon=True)
                    back.start()
                    _pump(self.request, other)
                    back.join(10)

        super().__init__((address, 0), Handler)
        self.host = address
        self.address = f"http://{address}:{self.server_address[1]}"

    def __enter__(self) -> Forwarder:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


def gateway_of(client: DockerClient) -> str:
    """The address by which containers, and builds, reach this machine."""
    config: list[dict[str, Any]] = client.networks.get("bridge").attrs["IPAM"]["Config"]
    return str(next(one["Gateway"] for one in config if "." in one.get("Gateway", "")))


def outside_leg(pattern: str) -> str:
    """The id of the leg that has the same lock outside of an image."""
    return make_leg(pattern=pattern, python=PYTHON, os="linux", arch=arch_name()).id


#: Git, and nothing of the configuration of whoever runs the tests.
_GIT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def commit_all(root: Path, *, origin: str = "") -> str:
    """Makes the folder a repository if it is none, commits everything in it, and returns the commit."""
    date = "2024-03-01T12:00:00+0000"
    words = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for argv in (
        ["init", "-q"],
        *([["remote", "add", "origin", origin]] if origin else []),
        ["add", "-A"],
        [*words, "commit", "-q", "--allow-empty", "-m", "all", "--date", date],
    ):
        subprocess.run(
            ["git", "-C", str(root), *argv],
            check=True,
            capture_output=True,
            env={**_GIT, "GIT_COMMITTER_DATE": date},
        )
    told = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json")


@dataclass
class OwnImage:
    """A repository of a test's own: an image of the registry under new tags, which can be moved."""

    address: str
    repository: str

    @property
    def name(self) -> str:
        """Without a tag."""
        return f"{self.address}/{self.repository}"

    def put(self, source: str, tag: str, *, note: str = "") -> str:
        """Gives ``source`` (``library/python:3.12-slim``) the tag, or with a note an image that differs by a label.

        Returns the digest of the index that the tag is now.
        """
        origin, _, known = source.rpartition(":")
        index = self._json(f"{origin}/manifests/{known}")
        row = next(one for one in index["manifests"] if one["platform"]["architecture"] == oci_arch(platform.machine()))
        manifest = self._json(f"{origin}/manifests/{row['digest']}")
        config = self._json(f"{origin}/blobs/{manifest['config']['digest']}")
        if note:
            config["config"]["Labels"] = {"note": note}
        manifest["config"] |= self._blob(json.dumps(config).encode())
        for layer in manifest["layers"]:
            self._send("POST", f"{self.repository}/blobs/uploads/?mount={layer['digest']}&from={origin}")
        row |= self._manifest(json.dumps(manifest).encode(), _TYPES[1], "")
        index["manifests"] = [row]
        return str(self._manifest(json.dumps(index).encode(), _TYPES[0], tag)["digest"])

    def remove(self) -> None:
        """Takes all tags away."""
        client = RegistryClient(self.address)
        for tag in client.tags(self.repository):
            if client.digest(self.repository, tag):
                client.delete(self.repository, tag)

    def _blob(self, data: bytes) -> dict[str, Any]:
        facts = _facts(data)
        headers, _ = self._send("POST", f"{self.repository}/blobs/uploads/")
        place = urlsplit(headers["location"])
        path = f"{place.path.removeprefix('/v2/')}?{place.query}&digest={facts['digest']}"
        self._send("PUT", path, data, {"Content-Type": "application/octet-stream"})
        return facts

    def _manifest(self, data: bytes, kind: str, tag: str) -> dict[str, Any]:
        facts = _facts(data)
        self._send("PUT", f"{self.repository}/manifests/{tag or facts['digest']}", data, {"Content-Type": kind})
        return facts

    def _json(self, path: str) -> Any:
        return json.loads(self._send("GET", path, headers={"Accept": ", ".join(_TYPES)})[1])

    def _send(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, f"/v2/{path}", body=data, headers=dict(headers or {}))
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status < http.client.BAD_REQUEST, f"{method} {path}: {answer.status} {said.decode()}"
            return {name.lower(): value for name, value in answer.getheaders()}, said


def _facts(data: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


@dataclass
class DockerProgram(Program):
    """ci-envs over one project, pattern docker."""

    words: tuple[str, ...] = ("--pattern=docker", f"--python={PYTHON}")
    leg: str = DOCKER_LEG
    client: Any = field(default=None, repr=False)
    #: What ``BASE`` in a file stands for.
    base: str = ""

    @property
    def layout(self) -> Layout:
        """Where its state is."""
        return Layout.at(self.root, self.env)

    @property
    def image(self) -> str:
        """The name of the leg's image."""
        return image_name(state_key(self.layout), self.leg)

    def told(self) -> RunRecord:
        """The record, which must be there."""
        record = self.record
        assert record is not None, "there is no record"
        return record

    def stage(self, name: str) -> Stage:
        """A stage that was reached."""
        stage = self.told().stage(name)
        assert stage is not None, f"{name} was not reached: {self.told().reason}"
        return stage

    def found(self, code: str) -> list[Finding]:
        """The findings with this code."""
        return [each for each in self.told().findings if each.code == code]

    def green(self, *words: str, **how: Any) -> Done:
        """A run that has to end well."""
        done = self.run(*words, timeout=how.pop("timeout", 280), **how)
        assert done.code == 0, f"{done.said}\n{self.build_log()[-3000:]}\n{self.log('test')[-1000:]}"
        assert self.told().status == "passed"
        return done

    def build_log(self) -> str:
        """The log of the build stage."""
        return self.log("build")

    def log(self, stage: str) -> str:
        """The log of a stage."""
        path = self.layout.log(self.leg, stage)
        return path.read_text("utf-8") if path.is_file() else ""

    def __post_init__(self) -> None:
        self.files = {name: self.filled(text) for name, text in self.files.items()}
        super().__post_init__()

    def filled(self, text: str) -> str:
        """A text of the project with the image's name in it, and this Python's series for ``PYTHON``."""
        return text.replace("BASE", self.base).replace("PYTHON", PYTHON)

    def write(self, files: Mapping[str, str]) -> None:
        """Writes files of the project anew; ``BASE`` stands for the Python image."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(self.filled(text), encoding="utf-8")

    def report(self, done: Done) -> Report:
        """What a verb printed with ``--json``."""
        return msgspec.json.decode(done.stdout, type=Report)

    # What is on the engine.

    def images(self) -> list[str]:
        """The names of the images of this state folder."""
        repository = image_repository(state_key(self.layout))
        found = listed(lambda: self.client.api.images(name=repository))
        return sorted(name for image in found for name in image["RepoTags"] or ())

    def containers(self) -> list[str]:
        """The names of its containers, in whatever state."""
        filters = {"label": f"{LABEL_STATE}={state_key(self.layout)}"}
        return [one["Names"][0] for one in listed(lambda: self.client.api.containers(all=True, filters=filters))]

    def inspect(self) -> dict[str, Any]:
        """What the engine says of the leg's image."""
        return dict(self.client.api.inspect_image(self.image))

    def inside(self, *words: str, user: str = "") -> str:
        """What a command says in a container of the leg's image.

        The SDK's own ``run`` follows a container's log, of which Podman 4.3 now and then does not tell the end.
        """
        made = self.client.containers.create(self.image, entrypoint=list(words[:1]), command=list(words[1:]), user=user)
        try:
            made.start()
            code = made.wait(timeout=100)["StatusCode"]
            text = str(made.logs(follow=False).decode())
            assert code == 0, text
            return text
        finally:
            made.remove(force=True)

    def tidy(self) -> None:
        """Removes what its runs have left on the engine."""
        remove_all(self.layout, self.env)
