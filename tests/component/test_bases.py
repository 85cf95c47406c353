"""What tags are is asked of real registries, through a real Docker Engine and a real Podman."""

from __future__ import annotations

import contextlib
import gc
import http.server
import io
import json
import os
import subprocess
import tarfile
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_images import Image, file_layer
from tests.support.docker_registry import Registry, free_port

from ci_envs.containers.base_findings import base_findings
from ci_envs.containers.bases import current_digests, local_digest, resolve, resolve_image
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.docker_lock import DockerLock, LockedImage, pinned_text
from ci_envs.containers.dockerfile import images_of, read_dockerfile
from ci_envs.containers.dockerfile_stages import Build, read_stages
from ci_envs.containers.engine import Engine, find_engine
from ci_envs.containers.references import parse_reference
from ci_envs.errors import BrokenError, LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import DockerClient

pytestmark = pytest.mark.component

CASES = Path(__file__).parents[1] / "cases" / "docker"
#: Files with a frontend of their own need Docker Hub, and ADD --from is Buildah's alone.
READ_BY_BUILDKIT = sorted(
    path.parent.name
    for path in CASES.glob("*/Dockerfile")
    if not path.parent.name.startswith("sick-") and path.parent.name != "onbuild" and b"yntax" not in path.read_bytes()
)


@pytest.fixture(scope="module")
def own_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of this module's own, which may be stopped."""
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def engine(engine_host: str) -> Iterator[Engine]:
    with find_engine("docker", {**os.environ, "DOCKER_HOST": engine_host}) as found:
        yield found


@pytest.fixture(params=["docker", "podman"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue("engine" if request.param == "docker" else "podman")
    return found


@pytest.fixture(scope="module")
def podman(own_registry: Registry, short_folder: Path) -> Iterator[Engine]:
    """Podman's service over storage of its own, which trusts loopback."""
    config = short_folder / "registries.conf"
    trusted = "".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in ("127.0.0.1", "localhost"))
    ports = f'[[registry]]\nprefix = "127.0.0.1:{own_registry.address.partition(":")[2]}"\n'
    config.write_text(f'{trusted}{ports}location = "{own_registry.address}"\ninsecure = true\n', "utf-8")
    # overlay's storage leaves a mount behind, which would keep the folder.
    storage = ["--root", str(short_folder / "root"), "--runroot", str(short_folder / "run"), "--storage-driver", "vfs"]
    socket = short_folder / "podman.sock"
    address = f"unix://{socket}"
    argv = ["podman", *storage, "system", "service", "-t", "0", address]
    told = {name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"}  # it would be a client alone
    environ = {**told, "CONTAINERS_REGISTRIES_CONF": str(config)}
    with (short_folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists() and service.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert socket.exists(), Path(log.name).read_text("utf-8")
        yield Engine("podman", address, version="4", store="podman")
    finally:
        service.terminate()
        service.wait()


def _image(content: str, arch: str = "amd64", system: str = "linux") -> Image:
    return Image((file_layer({"f": content.encode()}),), arch, os=system)


def _no_pause(_seconds: float) -> None: ...


def _repository() -> str:
    return f"bases/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def pushed(own_registry: Registry, engine_client: DockerClient) -> Iterator[Callable[[str, str], str]]:
    """Imports a tar with one small file, pushes it, and answers with its digest in the registry."""
    names = []

    def push(repository: str, content: str) -> str:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            told = tarfile.TarInfo("f")
            told.size = len(content)
            tar.addfile(told, io.BytesIO(content.encode()))
        name = own_registry.name(repository, "1")
        engine_client.api.import_image_from_data(archive.getvalue(), repository=name.rpartition(":")[0], tag="1")
        names.append(name)
        for line in engine_client.api.push(name, stream=True, decode=True):
            assert "error" not in line
        return own_registry.digest(repository, "1")

    yield push
    for name in dict.fromkeys(names):
        engine_client.images.remove(name, force=True)


# Docker Engine


def test_a_tag_is_resolved_and_its_move_is_drift(
    engine: Engine, own_registry: Registry, pushed: Callable[[str, str], str]
) -> None:
    repository = _repository()
    first = pushed(repository, "one")
    name = own_registry.name(repository, "1")
    text = f"ARG BASE={name}\nFROM ${{BASE}} AS x\nFROM scratch\nCOPY --from=x /f /f\n"
    images = images_of(text, platform="linux/amd64")
    reference = parse_reference(name)

    assert resolve(engine, reference, "linux/amd64", os.environ).digest == first
    second = pushed(repository, "two")
    assert resolve(engine, reference, "linux/amd64", os.environ).digest == second != first

    when = "2026-11-21T00:00:00Z"
    lock = DockerLock((LockedImage(image=reference.name, tag="1", digest=first, when=when),))
    current, unknown = current_digests(engine, images, os.environ)
    assert (current, unknown) == ({reference.key: second}, {})
    found = base_findings(images, lock, current)
    assert [(one.code, one.line) for one in found] == [("IMG001", 2), ("IMG003", 2)]
    assert second in found[1].message

    # A digest in the Dockerfile is no end of it: its tag is asked for all the same.
    pinned = pinned_text(text, images, lock.digests())
    assert current_digests(engine, images_of(pinned), os.environ)[0] == {reference.key: second}


def test_a_build_takes_the_digest_after_the_tag_has_moved(
    engine: Engine, own_registry: Registry, pushed: Callable[[str, str], str], tmp_path: Path
) -> None:
    repository = _repository()
    first = pushed(repository, "one")
    name = own_registry.name(repository, "1")
    text = f"FROM \\\n  {name} AS x\nFROM scratch\nCOPY --from=x /f /f\n"
    pinned = pinned_text(text, images_of(text), {parse_reference(name).key: first})
    pushed(repository, "two")

    assert _built(engine, text, tmp_path / "moved") == "two"
    assert _built(engine, pinned, tmp_path / "pinned") == "one"


def _built(engine: Engine, text: str, folder: Path) -> str:
    (folder / "context").mkdir(parents=True)
    (folder / "context/Dockerfile").write_text(text, "utf-8")
    program = str(find_buildx(os.environ).program)
    argv = [program, "build", "--pull", "--output", f"type=local,dest={folder / 'out'}", str(folder / "context")]
    subprocess.run(argv, env={**os.environ, **engine.environ}, check=True, capture_output=True)
    return (folder / "out/f").read_text("utf-8")


def test_an_image_that_was_never_pushed_is_this_machines(engine: Engine, engine_client: DockerClient) -> None:
    name = f"bases-local-{uuid.uuid4().hex[:12]}:dev"
    engine_client.api.import_image_from_data(_tar(), repository=name.partition(":")[0], tag="dev")
    try:
        found = resolve(engine, parse_reference(name), "linux/amd64", os.environ, pause=_no_pause)
        assert found.digest == engine_client.images.get(name).id == local_digest(engine, parse_reference(name), {})
        assert found.local
        assert "docker.io" in found.why
        # It is no news of the tag: that is a registry's to tell.
        digests, unknown = current_digests(engine, images_of(f"FROM {name}"), os.environ, pause=_no_pause)
        assert (digests, list(unknown)) == ({}, [parse_reference(name).key])
        assert len(found.platforms) == 1
    finally:
        engine_client.images.remove(name, force=True)


def _tar() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("f"))
    return archive.getvalue()


def test_a_registry_that_is_down_is_asked_three_times(engine: Engine) -> None:
    pauses: list[float] = []
    name = f"127.0.0.1:{free_port()}/a:1"

    with pytest.raises(BrokenError, match=r"could not be asked for .*connection refused") as caught:
        resolve(engine, parse_reference(name), "", os.environ, pause=pauses.append)

    assert len(pauses) == 2
    assert "try again later" in caught.value.hint


def test_a_registry_that_comes_back_in_time_is_no_failure(engine: Engine, tmp_path: Path) -> None:
    stopped = Registry(tmp_path)
    with contextlib.ExitStack() as stack:

        def come_back(_seconds: float) -> None:
            stack.enter_context(stopped)
            stopped.push(_image("x"), "a", "1")

        found = resolve(engine, parse_reference(stopped.name("a", "1")), "", os.environ, pause=come_back)

        assert found.digest == stopped.digest("a", "1")


# The SDK's own: a socket that could not be connected is not closed but forgotten.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_engine_that_has_gone_is_no_verdict_on_the_image(engine: Engine) -> None:
    gone = replace(engine, address="unix:///nonexistent/engine.sock")

    said = _refusal(lambda: resolve(gone, parse_reference("127.0.0.1:1/a:1"), "", os.environ, pause=_no_pause))
    gc.collect()

    assert said.startswith(f"{engine.title} at unix:///nonexistent/engine.sock does not answer")


def _refusal(ask: Callable[[], object]) -> str:
    """What the error said; neither it nor what its frames hold is kept."""
    try:
        ask()
    except BrokenError as error:
        return error.message
    pytest.fail("nothing was refused")


def test_a_registry_that_never_answers_is_not_waited_for_without_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci_envs.containers.bases._ASK_SECONDS", 1)
    with _answering("hang") as address, pytest.raises(BrokenError, match="no answer within 1 s"):
        resolve(engine, parse_reference(f"{address}/a:1"), "", os.environ, pause=_no_pause)


def test_what_cannot_be_asked_is_told_and_not_taken_for_unchanged(engine: Engine) -> None:
    name = f"127.0.0.1:{free_port()}/a:1"

    digests, unknown = current_digests(engine, images_of(f"FROM {name}"), os.environ, pause=_no_pause)

    assert digests == {}
    assert "could not be asked" in unknown[name]


# Both engines


def test_the_digest_is_the_indexs_and_the_platforms_are_all_of_them(any_engine: Engine, own_registry: Registry) -> None:
    repository = _repository()
    images = (_image("a"), _image("b", "arm64"), _image("attested", "unknown", "unknown"))
    digest = own_registry.push_index(images, repository, "1")

    found = resolve(any_engine, parse_reference(own_registry.name(repository, "1")), "linux/arm64", os.environ)

    assert found == (digest, ("linux/amd64", "linux/arm64"), False, "")


def test_an_index_that_changes_for_another_platform_alone_is_another_one(
    any_engine: Engine, own_registry: Registry
) -> None:
    repository = _repository()
    reference = parse_reference(own_registry.name(repository, "1"))
    digests = []
    for other in ("b", "c", "b"):
        pushed = own_registry.push_index((_image("a"), _image(other, "arm64")), repository, "1")
        assert resolve(any_engine, reference, "", os.environ).digest == pushed
        digests.append(pushed)
    assert len(set(digests)) == 2


def test_an_image_without_an_index_is_resolved_too(any_engine: Engine, own_registry: Registry) -> None:
    repository = _repository()
    digest = own_registry.push_manifest(_image("a"), repository, "1")

    assert resolve(any_engine, parse_reference(own_registry.name(repository, "1")), "", os.environ).digest == digest


def test_a_digest_is_resolved_to_itself_and_must_be_there(any_engine: Engine, own_registry: Registry) -> None:
    repository = _repository()
    digest = own_registry.push_index((_image("a"),), repository, "1")

    found = resolve(any_engine, parse_reference(own_registry.name(repository, digest)), "linux/amd64", os.environ)
    assert found.digest == digest
    with pytest.raises(LockError, match=r"is not in 127\.0\.0\.1") as caught:
        resolve(any_engine, parse_reference(own_registry.name(repository, "sha256:" + "0" * 64)), "", os.environ)
    assert "lock --upgrade" in caught.value.hint


def test_a_platform_that_an_image_is_not_there_for_is_told(any_engine: Engine, own_registry: Registry) -> None:
    repository = _repository()
    own_registry.push_index((_image("a"), _image("b", "arm64")), repository, "1")
    name = own_registry.name(repository, "1")

    (image,) = images_of(f"\nFROM --platform=linux/s390x {name}")
    with pytest.raises(LockError, match="is there for linux/amd64, linux/arm64, and not for linux/s390x") as caught:
        resolve_image(any_engine, image, "linux/amd64", os.environ, file="d/Dockerfile")
    assert (caught.value.file, caught.value.line) == ("d/Dockerfile", 2)


def test_a_tag_that_is_not_there_is_an_error_with_its_line(any_engine: Engine, own_registry: Registry) -> None:
    repository = _repository()
    own_registry.push_index((_image("a"),), repository, "1")

    for tag, what in (("2", repository), ("1", f"{repository}-none")):
        (image,) = images_of(f"\n\nFROM {own_registry.name(what, tag)}")
        with pytest.raises(LockError, match=f"is not in {own_registry.address}: ") as caught:
            resolve_image(any_engine, image, "linux/amd64", os.environ)
        assert (caught.value.file, caught.value.line) == ("Dockerfile", 3)
        assert "which tags" in caught.value.hint


def test_a_word_that_is_nearly_a_stage_says_so(engine: Engine) -> None:
    images = images_of("FROM scratch AS builder\nFROM scratch\nCOPY --from=biulder /a /a\n")

    # There is no Docker Hub here, or it has no such image.
    with pytest.raises((LockError, BrokenError)) as caught:
        resolve_image(engine, images[-1], "", os.environ, pause=_no_pause)

    assert caught.value.line == 3
    if isinstance(caught.value, LockError):
        assert "did you mean 'builder'?" in caught.value.hint


def test_podman_takes_an_image_of_its_own(podman: Engine, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(_tar())
    argv = ["podman", "import", "-q", str(tmp_path / "x.tar"), "localhost/bases-own:dev"]
    subprocess.run(argv, env={**os.environ, **podman.environ}, check=True, capture_output=True)

    found = resolve(podman, parse_reference("localhost/bases-own:dev"), "", os.environ)

    assert found.local
    assert found.digest == local_digest(podman, parse_reference("localhost/bases-own:dev"), os.environ)


# Registries that misbehave


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("basic", LockError, "is not there or needs a login"),
        ("bearer", LockError, "is not there or needs a login"),
        ("denied", LockError, "is not there or needs a login"),
        ("429", BrokenError, "was asked too often"),
        ("500", BrokenError, "could not be asked"),
        ("503", BrokenError, "could not be asked"),
        ("page", BrokenError, "could not be asked"),
        ("closed", BrokenError, "could not be asked"),
    ],
)
def test_what_a_registry_refuses_is_told_apart(engine: Engine, how: str, kind: type[Exception], says: str) -> None:
    with _answering(how) as address, pytest.raises(kind, match=says) as caught:
        resolve(engine, parse_reference(f"{address}/a:1"), "", os.environ, pause=_no_pause)

    assert isinstance(caught.value, (LockError, BrokenError))
    assert caught.value.hint
    if kind is LockError:
        assert f"`docker login {address}`" in caught.value.hint


@contextlib.contextmanager
def _answering(how: str) -> Iterator[str]:
    """A server on loopback that is nearly a registry; answers with ``host:port``."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if how == "hang":
                stop.wait(30)
            elif how == "closed":
                self.connection.close()
            else:
                self._say(*_answer(how, self.path, self.headers["Host"]))

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(how: str, path: str, host: str) -> tuple[int, dict[str, str], bytes]:
    is_json = {"Content-Type": "application/json"}
    errors = json.dumps({"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]})
    if path.startswith("/token"):
        return 200, is_json, b'{"token": "x"}'
    if how == "page":
        return 200, {"Content-Type": "text/html"}, b"<html>log in</html>"
    if how in ("basic", "bearer"):
        realm = {"basic": 'Basic realm="x"', "bearer": f'Bearer realm="http://{host}/token",service="x"'}[how]
        return 401, {**is_json, "WWW-Authenticate": realm}, errors.encode()
    if path == "/v2/" and how != "503":
        return 200, is_json, b"{}"
    if how == "denied":
        return 401, is_json, errors.encode()
    code = json.dumps({"errors": [{"code": "TOOMANYREQUESTS" if how == "429" else "UNKNOWN", "message": "no"}]})
    return int(how), is_json, code.encode()


# The reader


@pytest.mark.parametrize("name", READ_BY_BUILDKIT)
def test_stages_are_those_that_buildkit_sees(name: str, engine: Engine, tmp_path: Path) -> None:
    text = (CASES / name / "Dockerfile").read_bytes()
    (tmp_path / "Dockerfile").write_bytes(text)
    program = str(find_buildx(os.environ).program)
    environ = {**os.environ, **engine.environ, "BUILDX_EXPERIMENTAL": "1"}
    # Without an output, an empty image would be left in the engine.
    argv = [program, "build", "--output", "type=cacheonly", "--print", "targets,format=json", str(tmp_path)]
    said = subprocess.run(argv, env=environ, check=True, capture_output=True).stdout

    theirs = [
        (one.get("name", ""), one["base"], *(one["location"]["ranges"][at][end]["line"] for at, end in _ENDS))
        for one in json.loads(said)["targets"]
    ]
    stages = read_stages(read_dockerfile(text.decode()), Build()).all
    assert [(one.name, one.word.text, one.begin.first, one.begin.last) for one in stages] == theirs


_ENDS = ((0, "start"), (-1, "end"))
