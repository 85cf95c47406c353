"""What is left on an engine after a kill: nothing; and what is removed of what was: what is ours, and nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound
from tests.component.container_fixtures import EngineFacts

from ci_envs.containers.labels import LABEL_LEG, LABEL_RUN, LABEL_STATE, leg_labels, this_run
from ci_envs.containers.leftovers import leftovers, remove_leftovers
from ci_envs.containers.listing import listed
from ci_envs.containers.starting import guarded, release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci_envs.containers.engine import Engine

pytestmark = pytest.mark.component

KILLS = 20

#: The guard looks for what is still being made for half a minute.
PATIENCE = 40.0

#: A run that has ended long ago.
DEAD = f"{this_run().partition('-')[0]}-4194305-1"

# Starts containers and runs commands in them, one after the other, for as long as it lives.
BUSY = """\
import os, sys
from ci_envs.containers.engine import find_engine
from ci_envs.containers.labels import leg_labels
from ci_envs.containers.limits import Limits
from ci_envs.environments.container import ContainerEnvironment
kind, image, state = sys.argv[1:]
engine = find_engine(kind, dict(os.environ))
print("up", flush=True)
while True:
    with ContainerEnvironment(engine, image, limits=Limits(), labels=leg_labels(state, "docker-x")) as inside:
        inside.run(["sh", "-c", "sleep 60 & touch /data/file"])
        inside.run(["cat"], stdin="x" * 100_000)
"""


def start(facts: EngineFacts, source: str, *arguments: str) -> subprocess.Popen[str]:
    words = (sys.executable, "-c", source, facts.engine.kind, *arguments, facts.state)
    environ = {**os.environ, **facts.environ}
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(process.pid, number)
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


def wait_until_gone(facts: EngineFacts) -> None:
    deadline = time.monotonic() + PATIENCE
    while facts.containers():
        assert time.monotonic() < deadline, f"still there: {facts.containers()}"
        time.sleep(0.1)


@pytest.mark.timeout(60 + 15 * KILLS)
def test_kills_at_any_moment_leave_no_container_and_no_volume(
    engine_facts: EngineFacts, make_image: Callable[..., str]
) -> None:
    image = make_image("VOLUME /data")
    volumes = engine_facts.volumes()
    others = engine_facts.engine.client.api.create_container(engine_facts.image, ["true"])["Id"]
    chance = random.Random(7)  # noqa: S311 - a moment, no secret
    seen = 0
    try:
        for _ in range(KILLS):
            process = start(engine_facts, BUSY, image)
            try:
                time.sleep(chance.uniform(0.0, 1.2))
                seen += len(engine_facts.containers())
            finally:
                end(process)
        wait_until_gone(engine_facts)

        assert seen, "no kill met a container"
        # One that is gone takes its volumes along a moment later.
        deadline = time.monotonic() + PATIENCE
        while engine_facts.volumes() - volumes:
            assert time.monotonic() < deadline, engine_facts.volumes() - volumes
            time.sleep(0.1)
        assert engine_facts.engine.client.containers.get(others).status == "created", "that was somebody else's"
    finally:
        engine_facts.engine.client.api.remove_container(others, force=True)


# Is killed in the one moment in which nothing that it holds could end the container.
MADE_AND_NOT_STARTED = """\
import os, signal, sys
from ci_envs.containers.engine import find_engine
from ci_envs.containers.labels import leg_labels
from ci_envs.containers.starting import guarded
kind, image, name, state = sys.argv[1:]
engine = find_engine(kind, dict(os.environ))
guard = guarded(engine, name)
engine.client.api.create_container(image, ["true"], name=name, labels=leg_labels(state, "docker-x"))
print("up", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_container_that_was_made_and_not_started_is_removed_by_its_guard(
    engine_facts: EngineFacts, number: signal.Signals
) -> None:
    name = f"ci-envs-{secrets.token_hex(6)}"
    process = start(engine_facts, MADE_AND_NOT_STARTED, engine_facts.image, name)
    assert engine_facts.containers() == [name]

    # Whoever ends a job often ends the whole group: the guard is in none of ours.
    os.kill(process.pid, number)
    end(process, signal.SIGCONT) if number != signal.SIGKILL else end(process)

    wait_until_gone(engine_facts)


def test_a_guard_that_comes_before_the_container_removes_all_of_it(engine_facts: EngineFacts) -> None:
    """Whoever is killed in the middle of the request has asked for one, and the guard sets out at once."""
    api, labels = engine_facts.engine.client.api, leg_labels(engine_facts.state, "docker-x")
    for _ in range(15):
        name = f"ci-envs-{secrets.token_hex(6)}"
        guard = guarded(engine_facts.engine, name)
        assert guard is not None
        release(guard, done=False)
        api.create_container(engine_facts.image, ["true"], name=name, labels=labels)
        assert guard.wait(PATIENCE)
        assert engine_facts.containers() == []


def without_files(facts: EngineFacts) -> str:
    """A container that Podman has noted down, and whose files it has removed while it made it; its name."""
    name, labels = f"ci-envs-test-{secrets.token_hex(6)}", leg_labels(facts.state, "docker-x") | {LABEL_RUN: DEAD}
    with contextlib.closing(DockerClient(facts.engine.address)) as other:
        api = other.api
        making = threading.Thread(
            target=lambda: api.create_container(facts.image, ["true"], name=name, labels=labels), daemon=True
        )
        making.start()
        while making.is_alive():
            with contextlib.suppress(NotFound):
                facts.engine.client.api.remove_container(name, force=True)
                break
        making.join(PATIENCE)
    return name


def test_one_whose_files_podman_has_lost_is_found_and_removed(podman_facts: tuple[Engine, str, dict[str, str]]) -> None:
    facts = EngineFacts(*podman_facts)
    for _ in range(50):
        name = without_files(facts)
        if facts.containers():
            break
    else:
        pytest.fail(f"{facts.engine.title} keeps its books: nothing of this kind can be made with it any more")
    with pytest.raises(APIError, match="not known"):
        facts.engine.client.api.containers(all=True, filters={"label": f"{LABEL_STATE}={facts.state}"})

    assert remove_leftovers(facts.engine, facts.state) == [f"container {name}"]

    assert facts.containers() == []
    assert facts.engine.client.api.containers(all=True, filters={"label": f"{LABEL_STATE}={facts.state}"}) == []


# --- what is removed of what was left


class Shelf:
    """Containers and volumes that a test puts on an engine; all that is left of them goes at its end."""

    def __init__(self, facts: EngineFacts) -> None:
        self.facts = facts
        self._api = facts.engine.client.api
        self._containers: list[str] = []
        self._volumes: list[str] = []

    def container(self, image: str = "", **labels: str) -> str:
        """Makes one, running; its name."""
        name = f"ci-envs-test-{secrets.token_hex(4)}"
        named = {f"org.repro-envs.{key}": value for key, value in labels.items()}
        made = self._api.create_container(image or self.facts.image, ["sleep", "300"], name=name, labels=named)
        self._api.start(made["Id"])
        self._containers.append(name)
        return name

    def volume(self, **labels: str) -> str:
        """Makes one; its name."""
        name = f"ci-envs-test-{secrets.token_hex(4)}"
        self._api.create_volume(name, labels={f"org.repro-envs.{key}": value for key, value in labels.items()})
        self._volumes.append(name)
        return name

    def there(self) -> set[str]:
        """The names of those that are still there."""
        found: list[dict[str, Any]] = listed(lambda: self._api.containers(all=True))
        names = {told["Names"][0].lstrip("/") for told in found}
        return (names & set(self._containers)) | (self.facts.volumes() & set(self._volumes))

    def clear(self) -> None:
        """Removes all."""
        there = self.there()
        for name in self._containers:
            if name in there:
                self._api.remove_container(name, force=True, v=True)
        for name in self._volumes:
            if name in there:
                self._api.remove_volume(name)


@pytest.fixture
def shelf(engine_facts: EngineFacts) -> Iterator[Shelf]:
    made = Shelf(engine_facts)
    yield made
    made.clear()


def test_only_what_dead_runs_of_the_same_state_folder_have_left_is_removed(
    engine_facts: EngineFacts, shelf: Shelf
) -> None:
    state = engine_facts.state
    ours = [
        shelf.container(state=state, leg="docker-a", run=DEAD),
        shelf.container(state=state, leg="docker-b"),
        shelf.volume(state=state, leg="docker-a", run=DEAD),
    ]
    others = {
        shelf.container(),
        shelf.container(state=f"{state[:-1]}x", leg="docker-a", run=DEAD),
        shelf.container(leg="docker-a", run=DEAD),
        shelf.container(state=state, leg="docker-a", run=this_run()),
        shelf.container(state=state, leg="docker-a", run="ffffffff-1-1"),
        shelf.volume(),
        shelf.volume(leg="docker-a"),
        shelf.volume(state=state, leg="docker-a", run=this_run()),
    }

    assert {found.name for found in leftovers(engine_facts.engine, state)} == set(ours)
    removed = remove_leftovers(engine_facts.engine, state)

    assert sorted(removed) == sorted([f"container {ours[0]}", f"container {ours[1]}", f"volume {ours[2]}"])
    assert shelf.there() == others
    assert remove_leftovers(engine_facts.engine, state) == []


def test_those_of_one_leg_are_removed_alone(engine_facts: EngineFacts, shelf: Shelf) -> None:
    state = engine_facts.state
    one, other = (shelf.container(state=state, leg=leg, run=DEAD) for leg in ("docker-a", "docker-ab"))

    assert remove_leftovers(engine_facts.engine, state, "docker-a") == [f"container {one}"]
    assert shelf.there() == {other}


def test_whoever_has_committed_one_of_our_containers_keeps_theirs(engine_facts: EngineFacts, shelf: Shelf) -> None:
    """An image has the labels of the container that it was made from, and its containers have the image's."""
    api = engine_facts.engine.client.api
    name = f"localhost/ci-envs-test-{secrets.token_hex(4)}"
    ours = shelf.container(state=engine_facts.state, leg="docker-a", run=DEAD)
    api.commit(ours, repository=name, tag="latest")
    try:
        theirs = shelf.container(f"{name}:latest")
        told = listed(lambda: api.containers(filters={"name": theirs}))[0]["Labels"]
        assert told.get(LABEL_STATE) == engine_facts.state, "the label came along"

        assert remove_leftovers(engine_facts.engine, engine_facts.state) == [f"container {ours}"]

        assert shelf.there() == {theirs}
    finally:
        shelf.clear()
        api.remove_image(f"{name}:latest", force=True, noprune=True)


def test_a_volume_that_somebody_uses_stays_and_is_told(engine_facts: EngineFacts, shelf: Shelf) -> None:
    from ci_envs.errors import BrokenError

    api, state = engine_facts.engine.client.api, engine_facts.state
    used = shelf.volume(state=state, leg="docker-a", run=DEAD)
    free = shelf.volume(state=state, leg="docker-a", run=DEAD)
    host = api.create_host_config(binds=[f"{used}:/data"])
    user = api.create_container(engine_facts.image, ["true"], host_config=host)["Id"]
    try:
        with pytest.raises(BrokenError, match=f"does not remove volume {used}"):
            remove_leftovers(engine_facts.engine, state)
        assert shelf.there() == {used}, "the other is gone"
        assert free not in shelf.there()
    finally:
        api.remove_container(user, force=True)


def test_labels_say_what_the_engine_is_asked_for() -> None:
    assert set(leg_labels("0123456789ab", "docker-a")) == {LABEL_STATE, LABEL_LEG, LABEL_RUN}
