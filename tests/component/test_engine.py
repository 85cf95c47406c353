"""Finding an engine, with real ones, and with what is none."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, run
from ci_envs.containers import engine as engine_module
from ci_envs.containers.engine import Engine, find_engine
from ci_envs.containers.labels import leg_labels
from ci_envs.containers.limits import Limits
from ci_envs.environments.container import ContainerEnvironment
from ci_envs.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.component.container_fixtures import EngineFacts
    from tests.component.docker_fixtures import PodmanFacts

pytestmark = pytest.mark.component


@pytest.fixture
def short(short_folder: Path, request: pytest.FixtureRequest) -> Path:
    """One for each test."""
    folder = short_folder / f"{zlib.crc32(request.node.name.encode()):08x}"
    folder.mkdir()
    return folder


def why_not(address: str) -> ToolMissing:
    with pytest.raises(ToolMissing) as caught:
        find_engine("docker", {"DOCKER_HOST": address})
    assert caught.value.exit_code == 4
    return caught.value


# --- what is there


def test_an_engine_says_what_it_is(engine_facts: EngineFacts) -> None:
    engine = engine_facts.engine

    assert (engine.os, engine.arch) == ("linux", os.uname().machine)
    assert engine.version[0].isdigit()
    assert engine.store == "podman" if engine.kind == "podman" else engine.store in ("containerd", "classic")
    assert engine.client.ping()


def test_a_command_line_talks_to_the_same_engine(engine_facts: EngineFacts, tool: Callable[[str], Path]) -> None:
    engine = engine_facts.engine
    environ = {**os.environ, **engine_facts.environ, **engine.environ}

    said = run(Command((str(tool(engine.kind)), "images", "--quiet", "--no-trunc", engine_facts.image), env=environ))

    assert said.stdout.split()[0] == engine.client.images.get(engine_facts.image).id


def test_many_threads_share_a_client(engine_facts: EngineFacts) -> None:
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(engine_facts.engine.client.ping())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [True] * 12


def without_sockets(podman_env: PodmanFacts, folder: Path) -> dict[str, str]:
    """Variables under which no engine answers, but podman is on PATH."""
    if not podman_env.runs:
        pytest.skip(f"podman starts no container here: {podman_env.why_not}")
    if Path("/run/podman/podman.sock").exists():
        pytest.skip("a podman of this machine's own answers")
    kept = {name: value for name, value in podman_env.environ.items() if name not in ("CONTAINER_HOST", "DOCKER_HOST")}
    return {**kept, "XDG_RUNTIME_DIR": str(folder), "DOCKER_CONFIG": str(folder)}


def test_podmans_service_is_started_where_no_socket_answers(podman_env: PodmanFacts, short: Path) -> None:
    environ = without_sockets(podman_env, short)

    with find_engine("podman", environ) as engine, find_engine("podman", environ) as again:
        assert engine.kind == "podman"
        assert again.address == engine.address, "one is enough"
        assert engine.client.ping()
        time.sleep(7)
        assert engine.client.ping(), "it waits for us, however long we say nothing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_service_that_was_started_for_us_ends_with_us(
    podman_env: PodmanFacts, short: Path, number: signal.Signals
) -> None:
    source = (
        "import os, signal, sys, time\n"
        "from ci_envs.containers.engine import find_engine\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print(find_engine('podman', dict(os.environ)).address, flush=True)\n"
        "time.sleep(60)\n"
    )
    environ = without_sockets(podman_env, short)
    process = subprocess.Popen((sys.executable, "-c", source), env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    path = process.stdout.readline().strip().removeprefix("unix://")
    assert Path(path).is_socket()

    os.kill(process.pid, number)
    process.wait(20)
    process.stdout.close()

    deadline = time.monotonic() + 20
    while answers(path):
        assert time.monotonic() < deadline, "the service goes on"
        time.sleep(0.2)
    assert number == signal.SIGKILL or not Path(path).parent.exists()
    shutil.rmtree(Path(path).parent, ignore_errors=True)


def answers(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
    except OSError:
        return False
    return True


def test_a_podman_that_does_not_serve_says_why(short: Path) -> None:
    program = short / "podman"
    program.write_text("#!/bin/sh\necho 'the database is damaged' >&2\nexit 125\n")
    program.chmod(0o755)
    if Path("/run/podman/podman.sock").exists():
        pytest.skip("a podman of this machine's own answers")

    with pytest.raises(ToolMissing, match="does not come up: the database is damaged"):
        find_engine("podman", {"PATH": str(short), "XDG_RUNTIME_DIR": str(short), "HOME": str(short)})


# --- what is none


def test_a_socket_that_is_not_there(short: Path) -> None:
    error = why_not(f"unix://{short}/gone.sock")

    assert f"DOCKER_HOST (unix://{short}/gone.sock): there is no such socket" in error.message
    assert "start Docker" in error.hint


def test_a_socket_at_which_nobody_listens_any_more(short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{short}/dead.sock")

    assert "nobody listens there" in why_not(f"unix://{short}/dead.sock").message


def test_a_file_that_is_no_socket(short: Path) -> None:
    (short / "file").write_text("")

    assert "nobody listens there" in why_not(f"unix://{short}/file").message


def test_a_port_at_which_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert "nobody listens there" in why_not(f"tcp://127.0.0.1:{port}").message


def test_a_socket_without_permission(short: Path) -> None:
    """As nobody, since root may use every socket."""
    path = short / "engine.sock"
    short.chmod(0o755)
    source = (
        "import os, sys\n"
        "from ci_envs.containers.engine import find_engine\n"
        "from ci_envs.errors import ToolMissing\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    find_engine('docker', {'DOCKER_HOST': 'unix://' + sys.argv[1]})\n"
        "except ToolMissing as error:\n"
        "    print(error.exit_code, error.message, error.hint)\n"
    )
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        path.chmod(0o000)
        said = run(Command((sys.executable, "-c", source, str(path)), timeout=60))

    assert said.stdout.startswith("4 no Docker answers here. "), said.stderr
    assert "no permission to use the socket" in said.stdout
    assert "usermod -aG docker" in said.stdout


@contextlib.contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[str]:
    """A server that gives one answer to whatever it is asked; with ``None`` it gives none."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        taken: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = server.accept()
                    taken.append(one)
                    if answer is not None and one.recv(65536):
                        one.sendall(answer)
                        one.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "answer",
    [
        http("<html>hello</html>"),
        http("{}"),
        http("[1]"),
        http('{"ApiVersion": "1.45"}'),
        http('{"ApiVersion": "x", "Version": "1", "Os": "linux", "Arch": "amd64"}'),
        http("not here", "404 Not Found"),
        http("broken", "500 Internal Server Error"),
        b"220 mail.example ESMTP\r\n",
        b"",
    ],
)
def test_a_server_that_is_no_engine(short: Path, answer: bytes) -> None:
    with answering(short / "x.sock", answer) as address:
        error = why_not(address)

    assert "what answers there is no container engine" in error.message or "cannot be talked to" in error.message


def test_a_server_that_never_answers(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_KNOCK_SECONDS", 1)

    with answering(short / "x.sock", None) as address:
        error = why_not(address)

    assert "no answer within 1 s" in error.message


def test_an_engine_that_is_too_old(short: Path) -> None:
    told = '{"ApiVersion": "1.38", "Version": "18.06.3-ce", "Os": "linux", "Arch": "amd64", "Components": []}'
    with answering(short / "x.sock", http(told)) as address:
        error = why_not(address)

    assert "docker 18.06.3-ce is too old: Docker 20.10 or newer is needed" in error.message


# --- TLS


@pytest.fixture
def keys(tmp_path: Path, tool: Callable[[str], Path]) -> Path:
    """A folder as DOCKER_CERT_PATH names it: one certificate stands for all three."""
    names = ("-subj", "/CN=engine", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem")
    outcome = run(Command((str(tool("openssl")), *made, *names), cwd=tmp_path))
    assert outcome, outcome.stderr
    shutil.copyfile(tmp_path / "cert.pem", tmp_path / "ca.pem")
    return tmp_path


class TlsDoor:
    """Leads from a port with TLS to an engine's socket."""

    def __init__(self, keys: Path, path: str) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys / "ca.pem")
        self._context.load_cert_chain(keys / "cert.pem", keys / "key.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._path = path
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._server.accept()
                thread = threading.Thread(target=self._lead, args=(one,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _lead(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._path)
            with self._context.wrap_socket(plain, server_side=True) as outside:
                outside.settimeout(0.02)
                engine.settimeout(0.02)
                pairs = ((outside, engine), (engine, outside))
                while all(self._carry(*pair) for pair in pairs):
                    pass

    def _carry(self, source: socket.socket, target: socket.socket) -> bool:
        try:
            data = source.recv(65536)
        except TimeoutError:
            return True
        if data:
            target.settimeout(20)
            target.sendall(data)
            target.settimeout(0.02)
        return bool(data)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def tls_engine(engine_facts: EngineFacts, keys: Path) -> Iterator[Engine]:
    if engine_facts.engine.kind == "podman":
        pytest.skip("its service speaks no TLS")
    if not engine_facts.engine.socket:
        pytest.skip("the tests' engine has no socket")
    door = TlsDoor(keys, engine_facts.engine.socket)
    environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{door.port}", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(keys)}
    with find_engine("docker", environ) as engine:
        yield engine
    door.close()


def test_an_engine_behind_tls_runs_commands_that_read_their_input(
    engine_facts: EngineFacts, tls_engine: Engine, keys: Path
) -> None:
    assert tls_engine.environ == {
        "DOCKER_HOST": tls_engine.address,
        "DOCKER_CERT_PATH": str(keys),
        "DOCKER_TLS_VERIFY": "1",
    }
    labels = leg_labels(engine_facts.state, "docker-x")
    with ContainerEnvironment(tls_engine, engine_facts.image, limits=Limits(), labels=labels) as inside:
        assert inside.run(["sh", "-c", "cat; echo err >&2; exit 3"], stdin="x" * 100_000).stdout == "x" * 100_000
        assert inside.inventory().interpreter.version
        assert inside.run(["sleep", "60"], timeout=1.0).timed_out
        assert inside.run(["echo", "again"]).stdout == "again\n"
    assert engine_facts.containers() == []


def test_a_certificate_that_is_not_the_engines_is_told(
    engine_facts: EngineFacts, tls_engine: Engine, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("other"))
    (other / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(b"no certificate"))

    with pytest.raises(ToolMissing, match=r"DOCKER_HOST \(tcp://127\.0\.0\.1"):
        find_engine(
            "docker", {"DOCKER_HOST": tls_engine.address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(other)}
        )


def test_certificates_that_are_not_there_are_told(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://127.0.0.1:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}

    with pytest.raises(ToolMissing, match="certificate"):
        find_engine("docker", environ)
