"""An image in an archive is handed to real engines, and by them to a real registry."""

from __future__ import annotations

import contextlib
import http.server
import os
import secrets
import shutil
import socketserver
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.docker_engine import DockerEngine
from tests.support.docker_registry import RegistryClient, free_port
from tests.support.nix_archive import Leaf
from tests.support.nix_trees import stored

from ci_envs.containers.delivering import ArchivedImage, load, push, target_name
from ci_envs.containers.engine import Engine, find_engine
from ci_envs.containers.images import image_id, listed_images, pulled, remove_image
from ci_envs.errors import BrokenError
from ci_envs.model.closure import Closure
from ci_envs.nix.image import ImagePlan, write_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.component.docker_fixtures import PodmanFacts

pytestmark = pytest.mark.component

TOOLS, TEXT = f"/nix/store/{'a' * 32}-busybox", f"/nix/store/{'b' * 32}-text"
#: In every name that these tests give: others use the same engine at the same time.
OURS = secrets.token_hex(6)
SPARE = f"localhost/ci-envs/{OURS}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ArchivedImage:
    """A static program and a text, as a closure's image."""
    return _archived(tmp_path_factory.mktemp("image"), b"words of a text")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ArchivedImage:
    """The same with another text."""
    return _archived(tmp_path_factory.mktemp("other"), b"other words")


def _archived(folder: Path, text: bytes) -> ArchivedImage:
    program = shutil.which("busybox")
    if program is None:
        pytest.fail("this test needs a static busybox; .ci/nix install brings it")
    tools = {"bin/busybox": Leaf(Path(program).read_bytes(), executable=True), "bin/cat": Leaf(target="busybox")}
    paths = (
        stored(folder, tools, name=TOOLS),
        stored(folder, {"words": Leaf(text)}, name=TEXT, references=(TOOLS,)),
    )
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    plan = ImagePlan(closure=Closure(paths=paths), arch=arch, variables={"PATH": f"{TOOLS}/bin"})
    name = f"{SPARE}:leg--export"
    written = write_image(plan, name, folder / "image.tar", folder / "room", root=folder)
    return ArchivedImage(folder / "image.tar", name, written.manifest, written.config, written.layers)


@pytest.fixture(scope="module")
def classic(short_folder: Path) -> Iterator[str]:
    """The address of a Docker Engine whose images are in its older store."""
    with DockerEngine(short_folder, classic=True) as engine:
        yield engine.host


@pytest.fixture(params=["containerd", "classic", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each kind of store in turn. What we had in it is in it afterwards, and nothing else."""
    with find_engine(*_where(request)) as found:
        assert found.store == request.param
        before = _names(found)
        yield found
        assert _names(found) == before


def _where(request: pytest.FixtureRequest) -> tuple[Any, dict[str, str]]:
    if request.param == "podman":
        podman: PodmanFacts = request.getfixturevalue("podman_env")
        return "podman", podman.environ
    name = "classic" if request.param == "classic" else "engine_host"
    return "docker", {"DOCKER_HOST": request.getfixturevalue(name)}


def _names(engine: Engine) -> set[str]:
    return {name for one in listed_images(engine) for name in one.get("RepoTags") or () if OURS in name}


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A name in the engine that is nobody's."""
    text = f"ci-envs-test-{OURS}-{secrets.token_hex(4)}:1.0"
    yield text
    remove_image(engine, text)


def said(engine: Engine, name: str) -> str:
    """What a container of the image says of the text in it.

    The SDK's own ``run`` follows a container's log, of which Podman 4.3 now and then does not tell the end.
    """
    container = engine.client.containers.create(name, ["cat", f"{TEXT}/words"])
    try:
        container.start()
        assert container.wait(timeout=60)["StatusCode"] == 0
        return str(container.logs(follow=False).decode())
    finally:
        container.remove(force=True)


def test_an_engine_has_the_image_under_its_one_name(engine: Engine, image: ArchivedImage, name: str) -> None:
    before = _names(engine)
    found = load(engine, image, target_name(name), SPARE)
    assert found == (image.manifest if engine.store == "containerd" else image.config)
    assert {one.removeprefix("docker.io/library/") for one in _names(engine) - before} == {name}
    assert said(engine, name) == "words of a text"
    assert load(engine, image, target_name(name), SPARE) == found


def test_what_a_killed_run_has_left_goes(engine: Engine, image: ArchivedImage, name: str) -> None:
    load(engine, image, target_name(image.name), SPARE)
    assert image_id(engine, image.name)
    load(engine, image, target_name(name), SPARE)
    assert not image_id(engine, image.name)


def test_what_had_the_name_loses_it(engine: Engine, image: ArchivedImage, other: ArchivedImage, name: str) -> None:
    before = load(engine, other, target_name(name), SPARE)
    assert said(engine, name) == "other words"
    assert load(engine, image, target_name(name), SPARE) != before
    assert said(engine, name) == "words of a text"
    remove_image(engine, before)


def test_a_registry_has_what_the_archive_has(engine: Engine, image: ArchivedImage, registry: str, name: str) -> None:
    client = RegistryClient(registry)
    reference = target_name(f"{registry}/{name}")
    digest = push(engine, image, reference, SPARE)
    try:
        assert client.digest(reference.repository, "1.0") == digest
        # Others have unpacked the layers, and compress them in their own way.
        assert (digest == image.manifest) == (engine.store == "containerd")
        assert image_id(engine, str(reference)) == ""
        pulled(engine, f"{reference.name}@{digest}")
        assert said(engine, f"{reference.name}@{digest}") == "words of a text"
    finally:
        remove_image(engine, f"{reference.name}@{digest}")
        client.delete(reference.repository, "1.0")


def test_what_the_engine_has_under_the_registrys_name_stays(
    engine: Engine, image: ArchivedImage, other: ArchivedImage, registry: str, name: str
) -> None:
    reference = target_name(f"{registry}/{name}")
    mine = load(engine, other, reference, SPARE)
    try:
        push(engine, image, reference, SPARE)
        assert image_id(engine, reference.familiar) == mine
        assert said(engine, reference.familiar) == "other words"
    finally:
        remove_image(engine, reference.familiar)
        RegistryClient(registry).delete(reference.repository, "1.0")


def test_an_engine_that_has_no_such_image_afterwards_is_told(engine: Engine, image: ArchivedImage, name: str) -> None:
    strange = ArchivedImage(image.archive, image.name, f"sha256:{'0' * 64}", f"sha256:{'1' * 64}", ())
    with pytest.raises(BrokenError, match="has taken in something else than the image sha256:111"):
        load(engine, strange, target_name(name), SPARE)
    assert image_id(engine, name) == ""


def test_a_file_that_is_no_image_is_not_taken(engine: Engine, tmp_path: Path, name: str) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive" * 1000)
    broken = ArchivedImage(tmp_path / "x.tar", f"{SPARE}:leg--export", "", f"sha256:{'0' * 64}", ())
    with pytest.raises(BrokenError, match=rf"{engine.kind} \S+ (did not take the image|has taken in something else)"):
        load(engine, broken, target_name(name), SPARE)


# Podman speaks plain HTTP to those alone that its settings name, and the older store asks for a minute after a 503.
@pytest.mark.parametrize(
    ("engine", "status", "hint"),
    [
        ("containerd", 401, "login"),
        ("containerd", 403, "login"),
        ("containerd", 503, "try again"),
        ("classic", 401, "login"),
    ],
    indirect=["engine"],
)
def test_a_registry_that_refuses_is_quoted(
    engine: Engine, image: ArchivedImage, name: str, status: int, hint: str
) -> None:
    with _refusing(status) as address, pytest.raises(BrokenError) as caught:
        push(engine, image, target_name(f"{address}/{name}"), SPARE)
    assert caught.value.message.startswith(f"{address} did not take {address}/{name}: ")
    assert hint in caught.value.hint


def test_a_registry_that_is_not_there_is_said(engine: Engine, image: ArchivedImage, name: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokenError, match=f"{address} did not take .*connection refused") as caught:
        push(engine, image, target_name(f"{address}/{name}"), SPARE)
    assert caught.value.hint == "try again"


@contextlib.contextmanager
def _refusing(status: int) -> Iterator[str]:
    """The address of something that answers like a registry that does not want to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def send_error(self, *_: object, **__: object) -> None:
            """To TLS, so that it is known for what it is."""
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        def _answer(self) -> None:
            body = b'{"errors": [{"code": "DENIED", "message": "denied: no access"}]}'
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# An engine that breaks off, or falls silent.


class _Answers(http.server.BaseHTTPRequestHandler):
    """Has no image, takes one in, and does not end its answer."""

    protocol_version = "HTTP/1.1"
    server: _Engine

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        body = b'{"message": "no such image"}'
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815 - http.server's names

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        line = b'{"stream": "Loading layer"}\n'
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()
        self.server.goes_on.wait(30)
        self.close_connection = True


class _Engine(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Answers)
        #: Set where the answer breaks off at once.
        self.goes_on = threading.Event()


@pytest.fixture
def unsteady(short_folder: Path) -> Iterator[tuple[_Engine, Engine]]:
    """A stand-in for an engine, and what talks to it for a second at most."""
    path = short_folder / f"{secrets.token_hex(4)}.sock"
    with _Engine(path) as server, Engine("docker", f"unix://{path}", "26.1") as found:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.client.api.timeout = 1
        yield server, found
        server.goes_on.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("breaks_off", [False, True])
def test_an_engine_that_does_not_end_its_answer_is_not_waited_for(
    unsteady: tuple[_Engine, Engine], image: ArchivedImage, name: str, *, breaks_off: bool
) -> None:
    server, found = unsteady
    if breaks_off:
        server.goes_on.set()
    with pytest.raises(BrokenError, match=r"docker 26\.1 did not take the image: ") as caught:
        load(found, image, target_name(name), SPARE)
    assert ("it was silent for 1 s" in caught.value.message) is not breaks_off
