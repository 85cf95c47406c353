from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.containers.engine import Engine, find_engine
from ci_envs.containers.engine_places import Place, Unreachable, places
from ci_envs.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ci_envs.containers.engine_places import Asked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its engines are behind pipes")

DOCKER, PODMAN = "unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"


def answering(**engines: str) -> Callable[[Place], Engine]:
    """Connects to ``address="docker"``, ``"podman"`` or ``"docker 1.40"`` (its interface); nobody else answers."""
    named = {name.replace("_", "/"): what for name, what in engines.items()}

    def connect(place: Place) -> Engine:
        what = next((what for name, what in named.items() if place.address.endswith(name)), "")
        if not what:
            raise Unreachable("there is no such socket")
        kind, _, api = what.partition(" ")
        assert kind in ("docker", "podman")
        return Engine(
            kind="docker" if kind == "docker" else "podman", address=place.address, version="1.2.3", api=api or "1.45"
        )

    return connect


def nobody_serves(environ: Mapping[str, str]) -> Place:
    raise Unreachable("there is no podman on PATH")


def served(environ: Mapping[str, str]) -> Place:
    return Place("unix:///own/socket", "a service of our own", named=True)


def found(asked: Asked, environ: dict[str, str], **engines: str) -> Engine:
    return find_engine(asked, {"HOME": "/home/me", **environ}, connect=answering(**engines), serve=nobody_serves)


def test_the_default_socket_is_found() -> None:
    assert found("auto", {}, run_docker="docker", **{"docker.sock": "docker"}).address == DOCKER


@pytest.mark.parametrize(
    ("asked", "address"), [("auto", DOCKER), ("docker", DOCKER), ("podman", "unix:///run/user/7/podman/podman.sock")]
)
def test_of_two_engines_the_one_that_is_asked_for_is_taken(asked: Asked, address: str) -> None:
    engines = {"var_run_docker.sock": "docker", "podman.sock": "podman"}

    assert found(asked, {"XDG_RUNTIME_DIR": "/run/user/7"}, **engines).address == address


@pytest.mark.parametrize("name", ["DOCKER_HOST", "CONTAINER_HOST"])
def test_a_named_place_is_the_only_one(name: str) -> None:
    with pytest.raises(ToolMissing) as caught:
        found("auto", {name: "unix:///gone.sock"}, **{"docker.sock": "docker", "podman.sock": "podman"})

    assert caught.value.message == (
        f"no container engine answers here. {name} (unix:///gone.sock): there is no such socket"
    )


def test_docker_host_may_be_podmans_socket() -> None:
    assert found("auto", {"DOCKER_HOST": PODMAN}, **{"podman.sock": "podman"}).kind == "podman"


def test_whoever_asks_for_docker_is_not_given_podman() -> None:
    with pytest.raises(ToolMissing, match=r"that is podman 1\.2\.3, and docker was asked for") as caught:
        found("docker", {"DOCKER_HOST": PODMAN}, **{"podman.sock": "podman"})

    assert "engine: podman" in caught.value.hint


def test_whoever_asks_for_podman_is_not_kept_from_it_by_dockers_address() -> None:
    engine = find_engine(
        "podman",
        {"DOCKER_HOST": DOCKER},
        connect=answering(**{"docker.sock": "docker", "own_socket": "podman"}),
        serve=served,
    )

    assert engine.address == "unix:///own/socket"


def test_a_service_is_started_only_where_no_socket_answers() -> None:
    def refuse(environ: Mapping[str, str]) -> Place:
        raise AssertionError("no service is needed")

    engine = find_engine("podman", {}, connect=answering(**{"podman.sock": "podman"}), serve=refuse)

    assert engine.kind == "podman"


def test_every_place_is_told_with_its_reason() -> None:
    with pytest.raises(ToolMissing) as caught:
        found("auto", {"XDG_RUNTIME_DIR": "/run/user/7"})

    for word in (
        DOCKER,
        "unix:///run/user/7/docker.sock",
        "/home/me/.docker/run/docker.sock",
        PODMAN,
        "no podman on PATH",
    ):
        assert word in caught.value.message
    assert caught.value.exit_code == 4
    assert "DOCKER_HOST" in caught.value.hint


def test_an_engine_that_is_too_old_is_told_so() -> None:
    with pytest.raises(ToolMissing, match=r"docker 1\.2\.3 is too old: Docker 20\.10 or newer is needed"):
        found("docker", {"DOCKER_HOST": DOCKER}, **{"docker.sock": "docker 1.40"})


def test_the_hint_is_about_the_place_that_was_nearest_to_an_answer() -> None:
    def connect(place: Place) -> Engine:
        if place.address == DOCKER:
            raise Unreachable("no permission to use the socket", hint="become a member")
        raise Unreachable("there is no such socket")

    with pytest.raises(ToolMissing) as caught:
        find_engine("auto", {}, connect=connect, serve=nobody_serves)

    assert caught.value.hint == "become a member"


# --- contexts


def write_context(home: Path, name: str, meta: Any, *, current: bool = True, keys: bool = False) -> None:
    folder = home / ".docker"
    key = hashlib.sha256(name.encode()).hexdigest()
    (folder / "contexts" / "meta" / key).mkdir(parents=True)
    (folder / "contexts" / "meta" / key / "meta.json").write_text(json.dumps(meta))
    if current:
        (folder / "config.json").write_text(json.dumps({"currentContext": name}))
    if keys:
        (folder / "contexts" / "tls" / key / "docker").mkdir(parents=True)


REMOTE = {"Name": "remote", "Endpoints": {"docker": {"Host": "tcp://engine.example:2376", "SkipTLSVerify": False}}}


def test_the_current_context_says_where_docker_is(tmp_path: Path) -> None:
    write_context(tmp_path, "remote", REMOTE, keys=True)

    (place,) = places("docker", {"HOME": str(tmp_path)})

    assert (place.address, place.named, place.verified) == ("tcp://engine.example:2376", True, True)
    assert place.certificates.startswith(str(tmp_path / ".docker" / "contexts" / "tls"))


def test_docker_host_and_docker_context_come_before_what_is_current(tmp_path: Path) -> None:
    write_context(tmp_path, "remote", REMOTE)
    home = {"HOME": str(tmp_path)}

    assert [place.address for place in places("docker", {**home, "DOCKER_HOST": "tcp://other.example:2375"})] == [
        "tcp://other.example:2375"
    ]
    assert places("docker", {**home, "DOCKER_CONTEXT": "default"})[0].address == DOCKER


@pytest.mark.parametrize("meta", [{}, {"Endpoints": {}}, {"Endpoints": []}, {"Endpoints": {"docker": {"Host": 1}}}, []])
def test_a_context_that_names_no_engine_is_an_error_that_names_it(tmp_path: Path, meta: Any) -> None:
    write_context(tmp_path, "broken", meta)

    with pytest.raises(ToolMissing, match="'broken', which does not say where"):
        find_engine("auto", {"HOME": str(tmp_path)}, connect=answering(), serve=nobody_serves)


@pytest.mark.parametrize("config", ["", "[]", "{", '{"currentContext": 3}', '{"currentContext": ""}'])
def test_a_configuration_that_names_no_context_stands_for_the_sockets(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)

    assert places("docker", {"DOCKER_CONFIG": str(tmp_path), "HOME": "/home/me"})[0].address == DOCKER


# --- TLS, and what command lines are told


def test_certificates_are_those_that_docker_would_take() -> None:
    environ = {"DOCKER_HOST": "tcp://engine.example:2376", "DOCKER_TLS_VERIFY": "1", "HOME": "/home/me"}

    (verified,) = places("docker", environ)
    (named,) = places("docker", {**environ, "DOCKER_CERT_PATH": "/keys", "DOCKER_TLS_VERIFY": ""})
    (plain,) = places("docker", {"DOCKER_HOST": "tcp://engine.example:2375"})

    assert (verified.certificates, verified.verified) == ("/home/me/.docker", True)
    assert (named.certificates, named.verified) == ("/keys", False)
    assert plain.certificates == ""


@pytest.mark.parametrize(
    ("engine", "environ"),
    [
        (Engine("docker", DOCKER), {"DOCKER_HOST": DOCKER}),
        (Engine("podman", PODMAN), {"DOCKER_HOST": PODMAN, "CONTAINER_HOST": PODMAN}),
        (
            Engine("docker", "tcp://e:2376", certificates="/keys"),
            {"DOCKER_HOST": "tcp://e:2376", "DOCKER_CERT_PATH": "/keys", "DOCKER_TLS_VERIFY": "1"},
        ),
        (
            Engine("docker", "tcp://e:2376", certificates="/keys", verified=False),
            {"DOCKER_HOST": "tcp://e:2376", "DOCKER_CERT_PATH": "/keys"},
        ),
    ],
)
def test_a_command_line_is_told_to_talk_to_the_same_engine(engine: Engine, environ: dict[str, str]) -> None:
    assert engine.environ == environ


@pytest.mark.parametrize(
    ("engine", "half"),
    [
        (Engine("docker", DOCKER), True),
        (Engine("docker", "tcp://e:2375"), True),
        (Engine("docker", "tcp://e:2376", certificates="/keys"), False),
        (Engine("docker", "npipe:////./pipe/docker_engine"), False),
    ],
)
def test_which_connections_can_be_ended_in_one_direction_alone(engine: Engine, half: bool) -> None:
    assert engine.half_closes is half


def test_an_engine_behind_ssh_is_refused_with_a_way_out() -> None:
    with pytest.raises(ToolMissing, match="ssh") as caught:
        find_engine("docker", {"DOCKER_HOST": "ssh://me@engine.example"})

    assert "ssh -nNT -L" in caught.value.hint
    assert "me@engine.example" in caught.value.hint
