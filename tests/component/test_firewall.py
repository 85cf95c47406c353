"""Builds behind a firewall: an index with a login and a certificate of its own, and no trace of either in an image."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.container_fixtures import (  # noqa: F401 - fixtures, found by their names
    docker_facts,
    engine_facts,
    podman_facts,
)
from tests.support.image_builds import Builds, everything_in
from tests.support.index import Index
from tests.support.wheels import make_wheel

from ci_envs import command
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import CA, PIP, UV, Firewall, mounted, user_firewall
from ci_envs.containers.secrets import parse_secret
from ci_envs.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.component.container_fixtures import EngineFacts

pytestmark = pytest.mark.component

#: In every setting of the user's that a build is handed.
_CANARY = "c4n4ry-Qv8t2"

_INSTALLS = """\
FROM BASE
RUN python3 -m pip install --no-compile --no-cache-dir --target /one kiwi==1.0
RUN --mount=type=bind,from=tools,source=uv,target=/usr/local/bin/uv \\
    uv pip install --no-cache --target /two kiwi==1.0
"""

_ALL = (
    _INSTALLS
    + """\
RUN --mount=type=secret,id=token,required=true cat /run/secrets/token; env; cat /etc/pip.conf; pwd
USER 1234
RUN id -u && python3 -m pip download --no-cache-dir -d /tmp/got kiwi==1.0
"""
)


class _TlsIndex(Index):
    """The index, spoken to through TLS alone."""

    def __init__(self, folder: Path, certificate: Path, **more: Any) -> None:
        super().__init__(folder, **more)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def start(self) -> None:
        super().start()
        assert self._server is not None
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def root_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of an authority, with a comment above it; ``index.pem`` beside it is one that it has signed."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-x509")
    _run(*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem", folder=folder)
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE")
    name = ("-subj", "/CN=index", "-addext", "subjectAltName=IP:127.0.0.1")
    _run(*new, *signed, *name, "-keyout", "index.key", "-out", "index.pem", folder=folder)
    path = folder / "ca.pem"
    path.write_text(f"# {_CANARY}\n{path.read_text('utf-8')}", "utf-8")
    return path


def _run(*argv: str, folder: Path) -> None:
    made = command.run(command.Command(argv, cwd=folder))
    assert made, made.output


@pytest.fixture(scope="module")
def tls_index(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index that asks for a login."""
    folder = tmp_path_factory.mktemp("files")
    make_wheel(folder, "kiwi", "1.0")
    with _TlsIndex(folder, certificate.with_name("index.pem"), user="user", password=_CANARY) as index:
        yield index
        # Who does not know the authority leaves.
        index.errors[:] = [error for error in index.errors if not isinstance(error, ssl.SSLError)]


@pytest.fixture
def builds(
    engine_facts: EngineFacts,  # noqa: F811 - the fixture
    tls_index: Index,
    certificate: Path,
    uv_bin: str,
    tmp_path: Path,
) -> Iterator[Builds]:
    """Builds of a user who has set all that can be set."""
    told = {
        "PIP_INDEX_URL": tls_index.url_with(f"user:{_CANARY}"),
        "SSL_CERT_FILE": str(certificate),
        "HTTPS_PROXY": f"http://user:{_CANARY}@192.0.2.1:3128",
        "NO_PROXY": "127.0.0.1",
        "MY_TOKEN": _CANARY,
    }
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy(uv_bin, tools / "uv")
    environ = {**engine_facts.environ, **told}
    made = Builds(engine_facts.engine, engine_facts.image, tmp_path / "project", environ)
    made.folder.mkdir()
    yield made
    made.clean()


def _handed(builds: Builds, text: str) -> tuple[str, dict[str, Any]]:
    """The Dockerfile with the user's settings mounted, and what to ask for beside it."""
    firewall = user_firewall(builds.work(), network="host")
    text = text.replace("BASE", builds.base)
    asked = {"firewall": firewall, "network": "host", "contexts": {"tools": builds.folder.parent / "tools"}}
    return mounted(text, read_dockerfile(text), firewall), asked


def test_what_the_user_has_set_is_what_is_handed_over(builds: Builds) -> None:
    firewall = user_firewall(builds.work(), network="host")
    assert {secret.id for secret in firewall.secrets} == {PIP, UV, CA}
    assert set(firewall.build_args) == {"HTTPS_PROXY", "NO_PROXY"}


def test_pip_and_uv_install_with_it_and_not_without(builds: Builds, tls_index: Index) -> None:
    tls_index.heal()
    with pytest.raises(BuildError, match="kiwi"):
        builds.build(
            _INSTALLS,
            network="host",
            contexts={"tools": builds.folder.parent / "tools"},
            build_args={"PIP_RETRIES": "0"},
            no_cache=True,
        )
    assert tls_index.credentials == set()
    text, asked = _handed(builds, _INSTALLS)
    builds.build(text, no_cache=True, **asked)
    assert tls_index.credentials == {f"user:{_CANARY}"}


def test_nothing_of_it_is_left_anywhere(builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    remove = shutil.rmtree

    def look_first(path: Path, **more: Any) -> None:
        """What lies in the build's folder at its end, but for what hands the secrets over."""
        for file in Path(path).rglob("*"):
            if file.is_file() and not file.name.startswith("secret-"):
                left.append(file.name)
                assert _CANARY.encode() not in file.read_bytes(), file
        remove(path, **more)

    monkeypatch.setattr(shutil, "rmtree", look_first)
    text, asked = _handed(builds, _ALL)
    secret = parse_secret("id=token,env=MY_TOKEN", builds.folder, builds.environ)
    image = builds.build(text, secrets=(secret,), no_cache=True, archive=tmp_path / "image.tar", **asked)
    monkeypatch.undo()

    assert left, "the builder has left what it says of the image"
    names = [name for name, _ in everything_in(tmp_path / "image.tar")]
    assert {"one", "two"} <= {
        name.rpartition(":")[2].split("/")[-3] for name in names if name.endswith("kiwi/__init__.py")
    }
    for name, data in everything_in(tmp_path / "image.tar"):
        assert _CANARY.encode() not in data, name
    told = builds.engine.client.api.inspect_image(image.id)  # type: ignore[no-untyped-call]
    history = builds.engine.client.api.history(image.id)  # type: ignore[no-untyped-call]
    for said in (str(told), str(history), builds.log(), "".join(builds.steps), repr(image), repr(asked)):
        assert _CANARY not in said
    assert "***" in builds.log()
    assert not any(".wh." in name for name in names), "a file of the base was deleted by a mount"


def test_an_image_is_the_same_with_it_and_without(builds: Builds, tmp_path: Path) -> None:
    plain = "FROM BASE\nRUN echo 1 > /one\nRUN mkdir /two && touch /etc/two\n"
    without = builds.build(plain, no_cache=True, archive=tmp_path / "without.tar")
    text, asked = _handed(builds, plain)
    handed = builds.build(text, no_cache=True, archive=tmp_path / "handed.tar", **asked)
    if builds.engine.kind == "docker":
        assert handed == without
    else:
        # Buildah keeps an empty file where a volume was and the image had none.
        assert _names(tmp_path / "handed.tar") - _names(tmp_path / "without.tar") == {"etc/pip.conf"}


def _names(archive: Path) -> set[str]:
    return {name.partition(":")[2] for name, _ in everything_in(archive) if ":" in name}


def test_certificates_can_be_installed_all_the_same(builds: Builds) -> None:
    """Nothing can be put in the place of a file that something is mounted over."""
    text, asked = _handed(
        builds,
        "FROM BASE\nRUN : ca-certificates && cd /etc/ssl/certs && echo new > x && mv x ca-certificates.crt\n",
    )
    builds.build(text, no_cache=True, **asked)


def test_a_step_that_replaces_them_unseen_is_told_what_to_do(builds: Builds) -> None:
    hidden = "FROM BASE\nRUN cd /etc/ssl*/certs && echo new > x && mv x ca-cert*.crt\n"
    text, asked = _handed(builds, hidden.replace("/etc/ssl*", "/etc/ss?"))
    with pytest.raises(BuildError) as caught:
        builds.build(text, no_cache=True, **asked)
    assert "certificates are mounted over that file" in caught.value.hint


def test_a_proxy_that_is_declared_leaves_no_trace(builds: Builds, tmp_path: Path) -> None:
    text, asked = _handed(builds, "FROM BASE\nARG HTTPS_PROXY\nRUN env > /dev/null; touch /x\n")
    builds.build(text, archive=tmp_path / "image.tar", no_cache=True, **asked)
    assert not any(_CANARY.encode() in data for _, data in everything_in(tmp_path / "image.tar"))
    assert "declares ARG HTTPS_PROXY" in builds.log()


def test_a_package_of_the_world_is_installed_with_this_machines_settings(
    engine_facts: EngineFacts,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    """By whatever settings this machine reaches its index."""
    made = Builds(engine_facts.engine, engine_facts.image, tmp_path / "project", engine_facts.environ)
    made.folder.mkdir()
    work = made.work(**dict(os.environ))
    text = f"FROM {made.base}\nRUN python3 -m pip install --no-compile --no-cache-dir --target /one idna\n"
    firewall: Firewall = user_firewall(work)
    try:
        made.build(mounted(text, read_dockerfile(text), firewall), firewall=firewall, work=work, no_cache=True)
    finally:
        made.clean()
