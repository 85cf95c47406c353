"""Images built on real engines: Docker's with BuildKit, and a Podman of the tests' own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.container_fixtures import (  # noqa: F401 - fixtures, found by their names
    docker_facts,
    engine_facts,
    podman_facts,
)
from tests.support.image_builds import Builds, everything_in

from ci_envs import command
from ci_envs.containers.secrets import Secret
from ci_envs.errors import BrokenError, BuildError, InterruptedRun, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.component.container_fixtures import EngineFacts

pytestmark = pytest.mark.component

_TWO_STAGES = """\
FROM BASE AS deps
RUN echo one > /one && echo said
FROM deps
COPY a.txt /a.txt
ENV A=1
RUN mkdir /two && touch /two/two
"""


@pytest.fixture
def builds(engine_facts: EngineFacts, tmp_path: Path) -> Iterator[Builds]:  # noqa: F811 - the fixture
    """Builds on each engine in turn."""
    made = Builds(engine_facts.engine, engine_facts.image, tmp_path / "project", engine_facts.environ)
    made.folder.mkdir()
    (made.folder / "a.txt").write_text("a\n", "utf-8")
    yield made
    made.clean()


@pytest.fixture
def docker_builds(docker_facts: Any, tmp_path: Path) -> Iterator[Builds]:  # noqa: F811 - the fixture
    """Builds with BuildKit alone."""
    engine, image, environ = docker_facts
    made = Builds(engine, image, tmp_path / "project", environ)
    made.folder.mkdir()
    yield made
    made.clean()


def test_two_builds_from_nothing_are_one_image(builds: Builds, tmp_path: Path) -> None:
    first = builds.build(_TWO_STAGES, no_cache=True, archive=tmp_path / "one.tar")
    second = builds.build(_TWO_STAGES, no_cache=True)
    assert first == second
    assert first.manifest.startswith("sha256:")
    assert first.reproducible, first.why_not
    assert len(first.layers) >= 4
    assert first.bytes > 1_000_000
    assert builds.engine.client.api.inspect_image(builds.tag)["Id"] == first.id  # type: ignore[no-untyped-call]
    names = {name for name, _ in everything_in(tmp_path / "one.tar")}
    # Podman packs the layers of an archive anew, which makes another manifest of the same image.
    digest = first.config if builds.engine.kind == "podman" else first.manifest
    assert f"blobs/{digest.replace(':', '/')}" in names


def test_which_builder_it_was_is_told(builds: Builds) -> None:
    work = builds.work()
    image = builds.build("FROM BASE\nLABEL a=b\n", work=work)
    if builds.engine.kind == "docker":
        assert image.builder == f"docker-buildx {work.tools['docker-buildx']}, BuildKit of {builds.engine.title}"
    else:
        assert image.builder.startswith(f"podman {work.tools['podman']}")


def test_the_steps_are_shown_and_the_log_has_their_words_and_times(builds: Builds) -> None:
    builds.build(_TWO_STAGES, no_cache=True)
    assert any(step.startswith("[deps 2/2] RUN echo one") for step in builds.steps)
    log = builds.log()
    assert " said\n" in log
    assert " DONE 0." in log or " DONE 1." in log
    assert "--mount" not in log


def test_nothing_lies_about_afterwards(builds: Builds) -> None:
    work = builds.work()
    builds.build(_TWO_STAGES, work=work)
    with pytest.raises(BuildError):
        builds.build("FROM BASE\nRUN exit 3\n", work=work)
    assert list(work.temp.iterdir()) == []


def test_everything_that_is_asked_for_reaches_the_build(builds: Builds, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "b.txt").write_text("b\n", "utf-8")
    text = (
        "FROM BASE AS one\nARG WORD\nRUN --mount=type=secret,id=token,required=true "
        'test "$(cat /run/secrets/token)" = \'hunter22, $HOME\' && echo "$WORD" > /word && cat /run/secrets/token\n'
        "COPY --from=more b.txt /\nFROM one AS two\nRUN exit 1\n"
    )
    image = builds.build(
        text,
        target="one",
        build_args={"WORD": "a b;$(c)"},
        labels={"org.example.word": "x y"},
        contexts={"more": more},
        secrets=(Secret("token", value="hunter22, $HOME"),),
        platform=f"linux/{'arm64' if builds.engine.arch == 'aarch64' else 'amd64'}",
    )
    told = builds.engine.client.api.inspect_image(image.id)  # type: ignore[no-untyped-call]
    assert told["Config"]["Labels"]["org.example.word"] == "x y"
    assert "hunter22" not in builds.log()
    assert "***" in builds.log()


def test_the_content_alone_is_had_faster_and_says_so(builds: Builds) -> None:
    image = builds.build(_TWO_STAGES, plain=True)
    if builds.engine.kind == "docker":
        assert not image.reproducible
        assert "only the content" in image.why_not


def test_kept_layers_make_the_same_image_and_are_not_sent_again(docker_builds: Builds, tmp_path: Path) -> None:
    text, layers = "FROM BASE\nRUN echo 1 > /x\n", tmp_path / "layers"
    without = docker_builds.build(text, archive=tmp_path / "without.tar")
    first = docker_builds.build(text, layers=layers)
    docker_builds.engine.client.api.remove_image(docker_builds.tag, force=True)
    loaded = docker_builds.build(text, layers=layers)
    docker_builds.steps.clear()
    named = docker_builds.build(text, layers=layers, archive=tmp_path / "named.tar")
    assert without == first == loaded == named
    assert "loading the image" not in docker_builds.steps
    assert _blobs(tmp_path / "named.tar") == _blobs(tmp_path / "without.tar")


def test_kept_layers_are_those_of_the_last_image_alone(docker_builds: Builds, tmp_path: Path) -> None:
    layers = tmp_path / "layers"
    docker_builds.build("FROM BASE\nRUN echo 1 > /x\n", layers=layers)
    before = set((layers / "blobs" / "sha256").iterdir())
    image = docker_builds.build("FROM BASE\nRUN echo 2 > /x\n", layers=layers)
    after = set((layers / "blobs" / "sha256").iterdir())
    assert len(after) == len(before)
    assert len(after & before) == len(image.layers) - 1


def test_a_damaged_layer_is_not_taken_and_not_kept(docker_builds: Builds, tmp_path: Path) -> None:
    text, layers = "FROM BASE\nRUN echo 1 > /damaged\n", tmp_path / "layers"
    image = docker_builds.build(text, layers=layers)
    docker_builds.clean()
    for blob in (layers / "blobs" / "sha256").iterdir():
        if blob.stat().st_size < 500 and not blob.read_bytes().startswith(b"{"):
            blob.write_bytes(b"x" * blob.stat().st_size)
    with pytest.raises(BrokenError, match="a kept layer is altered"):
        docker_builds.build(text, layers=layers)
    assert docker_builds.build(text, layers=layers) == image


def _blobs(archive: Path) -> set[str]:
    return {name for name, _ in everything_in(archive) if name.startswith("blobs/") and ":" not in name}


def test_an_older_image_store_builds_and_says_why_it_cannot_rewrite(docker_builds: Builds, tmp_path: Path) -> None:
    docker_builds.engine = replace(docker_builds.engine, store="classic")
    image = docker_builds.build("FROM BASE\nRUN echo 1 > /x\n", archive=tmp_path / "x.tar")
    assert not image.reproducible
    assert "containerd-snapshotter" in image.why_not
    assert image.manifest == ""
    assert (tmp_path / "x.tar").is_file()


def test_an_older_engine_builds_and_says_why_it_cannot_rewrite(docker_builds: Builds) -> None:
    docker_builds.engine = replace(docker_builds.engine, version="25.0.3")
    image = docker_builds.build("FROM BASE\nRUN echo 1 > /x\n")
    assert not image.reproducible
    assert "too old to rewrite" in image.why_not


def test_no_podman_to_build_with_is_a_missing_tool(builds: Builds) -> None:
    if builds.engine.kind == "podman":
        with pytest.raises(ToolMissing, match="no podman on PATH"):
            builds.build("FROM BASE\n", work=builds.work(PATH="/nowhere"))


# --- failures


def test_a_command_that_fails_is_named_with_its_line(builds: Builds) -> None:
    text = "FROM BASE\n# a comment\nRUN true\nRUN echo looking; \\\n    echo 'ERROR: it is gone' >&2; exit 3\n"
    with pytest.raises(BuildError) as caught:
        builds.build(text, shown_as="docker/Dockerfile.dev")
    assert (caught.value.file, caught.value.line) == ("docker/Dockerfile.dev", 4)
    assert "RUN echo looking" in str(caught.value)
    assert "ended with exit code 3: it is gone" in str(caught.value)


def test_a_base_that_is_not_there_is_said_with_its_line(builds: Builds) -> None:
    missing = builds.base.partition("/")[0] + "/ci-envs-test/never:1"
    with pytest.raises(BuildError, match=f"Dockerfile:2: the image {missing} is not there"):
        builds.build(f"# base\nFROM {missing}\nRUN true\n")


def test_a_registry_that_is_down_is_the_worlds_fault(docker_builds: Builds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(BrokenError, match=r"did not answer as it should: .*connection refused"):
        docker_builds.build(f"FROM 127.0.0.1:{port}/x:1\n")


class Answering(ThreadingHTTPServer):
    """A server that is overloaded at first."""

    def __init__(self, overloaded: int) -> None:
        self.asked = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked += 1
                self.send_response(503 if owner.asked <= overloaded else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def asking(self) -> str:
        """A Dockerfile that asks it."""
        get = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{self.server_port}/')"
        return f'FROM BASE\nRUN echo once > /once\nRUN python3 -c "{get}"\n'


@pytest.fixture
def answering() -> Iterator[Callable[[int], Answering]]:
    with contextlib.ExitStack() as left:

        def made(overloaded: int) -> Answering:
            server = left.enter_context(Answering(overloaded))
            left.callback(server.shutdown)
            return server

        yield made


def test_what_failed_over_the_network_is_built_again(builds: Builds, answering: Callable[[int], Answering]) -> None:
    server = answering(2)
    builds.build(server.asking, network="host")
    assert server.asked == 3
    assert builds.steps.count("the network failed: builds again") == 2


def test_a_network_that_goes_on_failing_is_told_with_its_line(
    builds: Builds, answering: Callable[[int], Answering]
) -> None:
    server = answering(9)
    with pytest.raises(BuildError, match=r"Dockerfile:3: RUN python3 .*HTTP Error 503: Service Unavailable"):
        builds.build(server.asking, network="host")
    assert server.asked == 3


def test_a_killed_step_says_what_kills_them(builds: Builds) -> None:
    with pytest.raises(BuildError, match="was killed \\(exit code 137\\), as the kernel does"):
        builds.build("FROM BASE\nRUN sh -c 'kill -9 $$'; exit $?\n")


def test_a_secret_that_is_not_given_is_named(builds: Builds) -> None:
    with pytest.raises(BuildError, match="needs the secret 'token'"):
        builds.build("FROM BASE\nRUN --mount=type=secret,id=token,required=true true\n")


def test_a_run_that_is_stopped_stops_the_build(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_LIVE", command._Live())
    seconds = f"{3000 + os.getpid() % 997}.5"
    work = builds.work()

    def step(name: str) -> None:
        if "sleep" in name:
            threading.Timer(0.5, command.stop_all).start()

    work.progress = step
    with pytest.raises(InterruptedRun):
        builds.build(f"FROM BASE\nRUN sleep {seconds}\n", work=work)
    assert list(work.temp.iterdir()) == []
    assert not _wait_for_end(f"sleep\0{seconds}")


def _wait_for_end(words: str) -> list[str]:
    """The processes that still run these words after a while."""
    deadline = 50
    while found := [path for path in Path("/proc").glob("[0-9]*/cmdline") if words.encode() in _read(path)]:
        deadline -= 1
        if not deadline:
            break
        threading.Event().wait(0.1)
    return [str(path) for path in found]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# --- contexts

_COPIES = "FROM BASE\nCOPY . /context\n"


def test_sockets_pipes_and_links_out_of_the_context_are_no_trouble(builds: Builds, tmp_path: Path) -> None:
    os.mkfifo(builds.folder / "pipe")
    (builds.folder / "out").symlink_to("/etc/passwd")
    (builds.folder / "gone").symlink_to("../../nowhere")
    (builds.folder / "loop").symlink_to(".")
    (builds.folder / "new\nline").write_text("", "utf-8")
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(builds.folder)  # a socket's path has room for 107 bytes
        try:
            one.bind("socket")
        finally:
            os.chdir(here)
        builds.build(_COPIES, archive=tmp_path / "x.tar")
    names = {name.rpartition(":")[2].removeprefix("./") for name, _ in everything_in(tmp_path / "x.tar")}
    assert {"context/out", "context/pipe", "context/gone", "context/loop"} <= names


def test_a_device_in_the_context_is_no_trouble(builds: Builds) -> None:
    try:
        os.mknod(builds.folder / "null", 0o020644, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    builds.build(_COPIES)


def test_a_link_is_copied_by_its_name_from_inside_alone(builds: Builds) -> None:
    (builds.folder / "out").symlink_to("/etc/passwd")
    with pytest.raises(BuildError) as caught:
        builds.build("FROM BASE\nCOPY out /out\n")
    assert caught.value.line == 2


@pytest.mark.timeout(240)
def test_a_hundred_thousand_files_are_built(docker_builds: Builds) -> None:
    for folder in range(100):
        (docker_builds.folder / str(folder)).mkdir()
        for file in range(1000):
            (docker_builds.folder / str(folder) / str(file)).touch()
    image = docker_builds.build("FROM BASE\nCOPY . /context\nRUN test $(find /context -type f | wc -l) -ge 100000\n")
    assert image.reproducible
