"""A real registry (Debian's ``docker-registry``) on loopback, and the little of its interface that tests need.

    with Registry(folder) as registry:
        registry.push(image, "library/python", "3.12-slim", "3.12-slim-bookworm")
        ... pull registry.name("library/python", "3.12-slim") ...

The interface: https://distribution.github.io/distribution/spec/api/
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from tests.support.docker_images import INDEX, MANIFEST, Blob, Image, index_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Registry", "RegistryClient", "ended_with_us", "free_port"]

_ACCEPT = ", ".join(
    (INDEX, MANIFEST, *(f"application/vnd.docker.distribution.manifest.{kind}v2+json" for kind in ("", "list.")))
)


class RegistryClient:
    """What one does with a registry that listens on ``host:port`` and speaks plain HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def name(self, repository: str, tag: str) -> str:
        """How an engine is asked for it; ``tag`` may be a digest."""
        return f"{self.address}/{repository}{'@' if ':' in tag else ':'}{tag}"

    def push(self, image: Image, repository: str, *tags: str) -> str:
        """Puts the image there as an index of one platform; returns the digest that the tags have."""
        return self.push_index((image,), repository, *tags)

    def push_index(self, images: tuple[Image, ...], repository: str, *tags: str) -> str:
        """Puts an image for each platform there; returns the digest of the index, which the tags have."""
        for image in images:
            self._put_image(image, repository, image.manifest.digest)
        index = index_of(images)
        for tag in tags or (index.digest,):
            self._put_manifest(index, INDEX, repository, tag)
        return index.digest

    def push_manifest(self, image: Image, repository: str, *tags: str) -> str:
        """Puts the image there with no index above it, as a plain ``docker push`` does; returns its digest."""
        for tag in tags:
            self._put_image(image, repository, tag)
        return image.manifest.digest

    def digest(self, repository: str, tag: str) -> str:
        """What the tag is now; empty where it is not there."""
        status, headers, _ = self._ask("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": _ACCEPT})
        return headers.get("docker-content-digest", "") if status == http.client.OK else ""

    def tags(self, repository: str) -> list[str]:
        """Its tags; none where it is not there."""
        status, _, body = self._ask("GET", f"/v2/{repository}/tags/list")
        return sorted(json.loads(body)["tags"] or ()) if status == http.client.OK else []

    def repositories(self) -> list[str]:
        """Everything that is or was there."""
        return sorted(json.loads(self._need("GET", "/v2/_catalog?n=1000", http.client.OK))["repositories"])

    def delete(self, repository: str, tag: str) -> None:
        """Takes the manifest away that the tag names, with every tag that names it."""
        self._need("DELETE", f"/v2/{repository}/manifests/{self.digest(repository, tag)}", http.client.ACCEPTED)

    def answers(self) -> bool:
        """Whether it is up."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._ask("GET", "/v2/")[0] == http.client.OK
        return False

    def _put_image(self, image: Image, repository: str, tag: str) -> None:
        for blob in image.blobs:
            self._put_blob(blob, repository)
        self._put_manifest(image.manifest, MANIFEST, repository, tag)

    def _put_manifest(self, blob: Blob, kind: str, repository: str, tag: str) -> None:
        path = f"/v2/{repository}/manifests/{tag}"
        self._need("PUT", path, http.client.CREATED, body=blob.data, headers={"Content-Type": kind})

    def _put_blob(self, blob: Blob, repository: str) -> None:
        if self._ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}")[0] == http.client.OK:
            return
        status, headers, body = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        if status != http.client.ACCEPTED:
            raise RuntimeError(f"the registry takes no upload: {status} {body.decode()}")
        place = urlsplit(headers["location"])
        path = f"{place.path}?{place.query}&{urlencode({'digest': blob.digest})}"
        told = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        with blob.open() as stream:
            self._need("PUT", path, http.client.CREATED, body=stream, headers=told)

    def _need(self, method: str, path: str, wanted: int, **more: Any) -> bytes:
        status, _, body = self._ask(method, path, **more)
        if status != wanted:
            raise RuntimeError(f"{method} {path} of the registry {self.address}: {status} {body.decode()}")
        return body

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


class Registry(RegistryClient):
    """The process, over a folder that may hold what an earlier one was given."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        super().__init__(f"127.0.0.1:{port or free_port()}")
        self.folder = folder
        self.log = folder / "registry.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def storage(self) -> Path:
        """Where its blobs and tags are; it may be filled before it starts."""
        return self.folder / "storage"

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it and waits until it answers. Raises :class:`RuntimeError` where it does not."""
        program = shutil.which("docker-registry")
        if program is None:
            raise RuntimeError("there is no docker-registry here; .ci/engine install brings it")
        self.storage.mkdir(parents=True, exist_ok=True)
        told = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.address},
        }
        config = self.folder / "registry.json"  # JSON is YAML too
        config.write_text(json.dumps(told), "utf-8")
        with self.log.open("ab") as log:
            argv = ended_with_us(program, "serve", str(config))
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while self.alive() and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(0.05)
        self.stop()
        said = self.log.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"docker-registry does not answer at {self.address}:\n{said}")

    def again(self) -> None:
        """Starts it anew at the same address after it has ended by itself."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Ends it; its folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ended_with_us(*argv: str) -> tuple[str, ...]:
    """A command that ends when the process that started it does, however that ended."""
    program = shutil.which("setpriv")
    return (program, "--pdeathsig", "TERM", *argv) if program else argv


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
