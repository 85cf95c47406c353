"""Pattern devcontainer with the real tool and a real engine; features come from the tests' own registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.running import PYTHON, Ran, run_verb, snapshot
from tests.support.docker_registry import RegistryClient
from tests.support.features import Feature, publish
from tests.support.projects import write_project
from tests.support.work import a_leg, an_order

from ci_envs.containers.devcontainer_site import images_left
from ci_envs.containers.engine import find_engine
from ci_envs.containers.labels import LABEL_STATE, state_key
from ci_envs.containers.listing import listed
from ci_envs.layout import Layout
from ci_envs.order import prepare
from ci_envs.patterns.devcontainer import Devcontainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import DockerClient

    from ci_envs.containers.devcontainer_environment import DevcontainerEnvironment
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CONFIG = ".devcontainer/devcontainer.json"
LOCK = ".devcontainer/devcontainer-lock.json"
LEG = a_leg(pattern="devcontainer", python=PYTHON)
MATRIX = f'name: one\naxes: {{pattern: [devcontainer], python: ["{PYTHON}"]}}\n'

#: Installs the wheels that the project has itself: nothing of these tests needs an index.
INSTALL = "pip install --quiet --no-index --find-links wheels --require-hashes -r requirements.txt"


@dataclass
class Bench:
    """A project with a dev container, and what there is to bring it up."""

    folder: Path
    env: dict[str, str]
    base: str
    #: As the devcontainer tool has to call the registry, with a namespace of the test's own.
    features: str
    client: DockerClient
    cli: Path
    published: int = field(default=0)

    def write(self, config: Mapping[str, Any], **files: str) -> None:
        """The configuration on the test's base, and files by their names."""
        told = {"image": self.base, **config}
        if "build" in told:
            del told["image"]
        write_project(self.folder, {CONFIG: json.dumps(told, indent=2), "matrix.yml": MATRIX, **files})

    def change(self, **keys: Any) -> None:
        """Keys of the configuration."""
        path = self.folder / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}, indent=2))

    def publish(self, *features: Feature) -> dict[str, str]:
        """Publishes features below the test's namespace; id -> digest."""
        self.published += 1
        registry, _, namespace = self.features.partition("/")
        work = self.folder.parent / f"features-{self.published}"
        return publish(self.cli.parent, registry, namespace, features, work)

    def lock_file(self) -> dict[str, Any]:
        """The lock of the features."""
        told: dict[str, Any] = json.loads((self.folder / LOCK).read_text())["features"]
        return told

    def run(self, verb: str, *words: str) -> Ran:
        """A verb over the project."""
        return run_verb([verb, "matrix.yml", *words], self.env, self.folder)

    def left(self) -> list[str]:
        """What is left of the project on the engine and below its state folder."""
        key = state_key(Layout.at(self.folder, {}))
        filters = {"label": f"{LABEL_STATE}={key}"}
        found = [told["Names"][0] for told in listed(lambda: self.client.api.containers(all=True, filters=filters))]
        names = (name for image in listed(self.client.api.images) for name in image.get("RepoTags") or ())
        workspace = self.folder / ".ci-envs" / "envs" / LEG.id / "workspace" / self.folder.name
        hashed = hashlib.sha256(os.fsencode(workspace)).hexdigest()
        found += [name for name in names if hashed in name]
        return [*found, *(str(path) for path in (self.folder / ".ci-envs" / "envs").glob("*/*"))]

    def parts(self) -> tuple[Lock, Work]:
        """The lock, and the workbench that it was made on."""
        from ci_envs.work import LockPolicy

        order = an_order(
            self.folder,
            leg=LEG,
            policy=LockPolicy(mode="auto"),
            environ=self.env,
        )
        order.layout.prepare()
        pattern, work, _ = prepare(order)
        work.stage = "build"
        work.log.parent.mkdir(parents=True, exist_ok=True)
        return pattern.lock(LEG, work), work

    def up(self) -> DevcontainerEnvironment:
        """The environment alone; whoever asks for it ends it."""
        lock, work = self.parts()
        made: Any = Devcontainer().build(LEG, lock, work)
        environment: DevcontainerEnvironment = made
        return environment


@pytest.fixture
def bench(
    *,
    tmp_path: Path,
    engine_host: str,
    registry: str,
    base_image: str,
    devcontainer_cli: Path,
    engine_client: DockerClient,
) -> Iterator[Bench]:
    port = registry.rpartition(":")[2]
    env = {**os.environ, "DOCKER_HOST": engine_host, "CI_ENVS_CACHE_DIR": str(tmp_path / "cache")}
    env["PATH"] = f"{devcontainer_cli.parent}{os.pathsep}{env['PATH']}"
    env.pop("CI", None)
    made = Bench(
        folder=tmp_path / "demo",
        env=env,
        base=base_image,
        features=f"localhost:{port}/tests/{secrets.token_hex(6)}",
        client=engine_client,
        cli=devcontainer_cli,
    )
    yield made
    assert made.left() == []


@pytest.fixture
def sugar(fruit: Path) -> Callable[[Bench], dict[str, str]]:
    """A requirement with its hash, and its wheel beside it in the project."""

    def put(bench: Bench) -> dict[str, str]:
        wheel = next(fruit.rglob("sugar-1.0*.whl"))
        target = bench.folder / "wheels" / wheel.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wheel, target)
        version, sha256 = wheel.name.split("-")[1], hashlib.sha256(wheel.read_bytes()).hexdigest()
        return {
            "requirements.txt": f"sugar=={version} --hash=sha256:{sha256}\n",
            # In the workspace itself, where the lifecycle commands have been.
            "ci-envs.yml": "test:\n  command: sh -c 'pwd && python -c \"import sugar\"'\n",
        }

    return put


def test_what_is_locked_is_installed_checked_and_tested_inside(
    bench: Bench, sugar: Callable[[Bench], dict[str, str]]
) -> None:
    # What runs on this machine writes into the copy, too.
    commands = {"initializeCommand": "touch made-here", "postCreateCommand": f"{INSTALL} && cp made-here made-inside"}
    bench.write(commands, **sugar(bench))
    before = snapshot(bench.folder)
    ran = bench.run("run")
    assert ran.record.status == "passed", ran.output
    assert ran.installed["sugar"] == "1.0"
    assert ran.stage("build").reason == "built: a container is set up anew each time"
    log = (bench.folder / f".ci-envs/logs/{LEG.id}/test.log").read_text()
    assert "/workspaces/demo" in log.splitlines()
    refused = run_verb(["exec", LEG.id, "--", "true"], bench.env, bench.folder)
    assert (refused.code, "ended with its run" in refused.output) == (6, True)
    assert ran.record.lock is not None
    assert (ran.record.lock.path, ran.record.lock.more) == ("requirements.txt", ("docker.lock",))
    after = snapshot(bench.folder)
    assert set(after) - set(before) == {"docker.lock"}
    assert {name: after[name] for name in before} == before
    assert bench.left() == []


def test_two_containers_of_one_lock_have_the_same_in_them(
    bench: Bench, sugar: Callable[[Bench], dict[str, str]]
) -> None:
    bench.write({"postCreateCommand": INSTALL}, **sugar(bench))
    first, second = bench.run("run"), bench.run("run")
    assert first.record.status == second.record.status == "passed", second.output
    assert first.record.inventory == second.record.inventory
    assert first.record.environment is not None
    assert second.record.environment is not None
    assert first.record.environment.digest == second.record.environment.digest


def test_what_post_create_does_not_install_is_found(bench: Bench, sugar: Callable[[Bench], dict[str, str]]) -> None:
    bench.write({"postCreateCommand": "true"}, **sugar(bench))
    ran = bench.run("run")
    assert ran.stage("check").status == "failed", ran.output
    assert "sugar" in ran.finding("ENV101").message


def test_commands_run_as_the_remote_user_with_its_variables_in_the_workspace(bench: Bench) -> None:
    bench.write(
        {
            "build": {"dockerfile": "Dockerfile"},
            "remoteUser": "me",
            "containerEnv": {"FROM_CONTAINER": "1"},
            "remoteEnv": {"FROM_REMOTE": "${containerEnv:FROM_CONTAINER}2", "PATH": "${containerEnv:PATH}:/opt/more"},
            "postCreateCommand": {"who": ["sh", "-c", "id -un > who"], "where": "pwd > where"},
        },
        **{".devcontainer/Dockerfile": f"FROM {bench.base}\nRUN useradd --create-home me\n"},
    )
    with bench.up() as environment:
        said = environment.run(
            ["sh", "-c", "id -un; pwd; cat who where; echo $FROM_REMOTE $TMPDIR; echo $PATH; echo $HOME"]
        )
        lines = said.stdout.splitlines()
        assert lines[:4] == ["me", "/workspaces/demo", "me", "/workspaces/demo"]
        assert lines[4].startswith("12 /tmp/")
        assert lines[5].endswith(":/opt/more")
        assert lines[6] == "/home/me"
        assert environment.run(["touch", "x"], cwd=bench.folder)
        assert environment.read("/workspaces/demo/x") == b""
    assert not (bench.folder / "x").exists()
    assert not (bench.folder / "who").exists()


def test_after_a_time_limit_the_same_container_goes_on(bench: Bench) -> None:
    bench.write({"postCreateCommand": "echo kept > /root/state"})
    with bench.up() as environment:
        ended = environment.run(["sh", "-c", "echo begun; sleep 300"], timeout=2)
        assert ended.timed_out
        assert ended.stdout == "begun\n"
        assert environment.run(["cat", "/root/state"]).stdout == "kept\n"
        assert environment.run(["sh", "-c", "ps ax 2>/dev/null | grep -c '[s]leep 300'"]).stdout.strip() in ("", "0")


def test_a_failing_post_create_command_is_told_with_its_line_and_its_last_words(bench: Bench) -> None:
    bench.write({"postCreateCommand": "echo first >&2; echo cannot make it >&2; exit 3"})
    ran = bench.run("run")
    build = ran.stage("build")
    assert (build.status, build.exit_code) == ("failed", 6), ran.output
    assert build.reason.startswith(f"{CONFIG}:3: postCreateCommand failed with exit code 3: first | cannot make it")
    assert "postCreateCommand" in (bench.folder / f".ci-envs/logs/{LEG.id}/build.log").read_text()


def test_a_failing_instruction_is_told_at_the_users_own_line(bench: Bench) -> None:
    features: dict[str, Any] = {f"{bench.features}/hello:1": {}}
    bench.publish(Feature("hello", "1.0.0", "true"))
    dockerfile = f"FROM {bench.base}\nRUN true\nRUN echo building && \\\n    false\n"
    bench.write(
        {"build": {"dockerfile": "Dockerfile"}, "features": features}, **{".devcontainer/Dockerfile": dockerfile}
    )
    build = bench.run("run").stage("build")
    assert build.status == "failed"
    assert build.reason.startswith(".devcontainer/Dockerfile:3: RUN echo building"), build.reason
    assert "building" in build.reason


def test_a_feature_that_fails_is_named(bench: Bench) -> None:
    bench.publish(Feature("broken", "1.0.0", "echo no such luck >&2; exit 4"))
    bench.write({"features": {f"{bench.features}/broken:1": {}}})
    build = bench.run("run").stage("build")
    assert build.status == "failed"
    assert f"the feature {bench.features}/broken failed to install" in build.reason
    assert "no such luck" in build.reason


def test_features_are_locked_kept_and_renewed(bench: Bench) -> None:
    base = Feature("base", "2.0.0", "echo base > /etc/base")
    hello = Feature("hello", "1.0.0", "echo 1.0 > /etc/hello", {"dependsOn": {f"{bench.features}/base:2": {}}})
    asked = f"{bench.features}/hello:1"
    first = bench.publish(base, hello)
    bench.write({"features": {asked: {}}})

    missing = bench.run("run", "--lock-mode=locked")
    assert missing.stage("lock").exit_code == 5
    assert "docker.lock" in missing.stage("lock").reason

    made = bench.run("lock")
    assert made.code == 0, made.output
    assert {name: entry["integrity"] for name, entry in bench.lock_file().items()} == {
        f"{bench.features}/base:2": first["base"],
        asked: first["hello"],
    }
    (bench.folder / LOCK).rename(bench.folder / "away")
    without = bench.run("run", "--lock-mode=locked").stage("lock")
    assert without.exit_code == 5
    assert without.reason.startswith(
        f"{LOCK}: there is no lock of the dev container's features. Make it with: ci-envs lock"
    )
    (bench.folder / "away").rename(bench.folder / LOCK)

    later = bench.publish(Feature("hello", "1.1.0", "echo 1.1 > /etc/hello"))
    assert bench.run("lock").code == 0
    assert bench.lock_file()[asked]["integrity"] == first["hello"]
    with bench.up() as environment:
        assert environment.read("/etc/hello") == b"1.0\n"
        assert environment.read("/etc/base") == b"base\n"

    assert bench.run("lock", "--upgrade").code == 0
    assert bench.lock_file()[asked]["integrity"] == later["hello"]
    assert list(bench.lock_file()) == [asked]


def test_a_lock_that_is_not_the_features_is_refused(bench: Bench) -> None:
    digest = bench.publish(Feature("hello", "1.0.0", "true"), Feature("other", "1.0.0", "true"))["hello"]
    bench.write({"features": {f"{bench.features}/hello:1": {}}})
    assert bench.run("lock").code == 0
    bench.change(features={f"{bench.features}/hello:1": {}, f"{bench.features}/other:1": {}})
    stale = bench.run("run", "--lock-mode=locked").stage("lock")
    assert (stale.status, stale.exit_code) == ("failed", 5)
    assert f"{bench.features}/other:1 is not in the lock" in stale.reason

    bench.change(features={f"{bench.features}/hello:1": {}})
    lock = bench.folder / LOCK
    lock.write_text(lock.read_text().replace(digest, f"sha256:{'0' * 64}"))
    tampered = bench.run("run", "--lock-mode=locked").stage("build")
    assert (tampered.status, tampered.exit_code) == ("failed", 6)
    assert f"the feature {bench.features}/hello:1 cannot be had as it is locked" in tampered.reason


def test_the_base_is_the_locked_one_after_its_tag_has_moved(bench: Bench, registry: str) -> None:
    name = f"tests/{secrets.token_hex(6)}"
    tag = f"{registry}/{name}:base"
    made: list[str] = []

    def push(mark: str) -> None:
        text = f"FROM {bench.base}\nRUN echo {mark} > /etc/mark\n"
        image, _ = bench.client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)
        made.append(str(image.id))
        bench.client.images.push(tag)

    try:
        push("old")
        bench.write({"image": tag})
        assert bench.run("lock").code == 0
        push("new")
        with bench.up() as environment:
            assert environment.read("/etc/mark") == b"old\n"
    finally:
        for image in made:
            bench.client.images.remove(image, force=True)
        RegistryClient(registry).delete(name, "base")


def test_the_users_index_settings_reach_commands_inside_and_no_image(bench: Bench) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    bench.env["PIP_INDEX_URL"] = f"https://me:{canary}@index.example/simple"
    bench.publish(Feature("looks", "1.0.0", "sha256sum /etc/pip.conf > /etc/seen-by-feature"))
    dockerfile = f"FROM {bench.base}\nRUN sha256sum /etc/pip.conf > /etc/seen-by-dockerfile\n"
    bench.write(
        {
            "build": {"dockerfile": "Dockerfile"},
            "features": {f"{bench.features}/looks:1": {}},
            "postCreateCommand": "grep -c canary /etc/pip.conf > seen-by-post-create",
        },
        **{".devcontainer/Dockerfile": dockerfile},
    )
    with bench.up() as environment:
        assert environment.read("/workspaces/demo/seen-by-post-create") == b"1\n"
        image = bench.client.images.get(environment.image)
        told = json.dumps([image.attrs, image.history()])
        words = ["grep", "-rlF", canary, "--exclude-dir=proc", "--exclude-dir=sys", "/"]
        found = bench.client.containers.run(
            image, ["sh", "-c", f"{' '.join(words)}; cat /etc/seen-by-*; true"], remove=True
        )
    assert canary not in told
    lines = found.decode().splitlines()
    assert len(lines) == 2
    assert all(line.endswith("/etc/pip.conf") for line in lines)
    assert canary not in (bench.folder / f".ci-envs/logs/{LEG.id}/build.log").read_text()


def test_a_killed_run_leaves_no_container(bench: Bench) -> None:
    bench.write(
        {"build": {"dockerfile": "Dockerfile"}, "postCreateCommand": "true"},
        **{".devcontainer/Dockerfile": f"FROM {bench.base}\nRUN true\n"},
    )
    words = (sys.executable, "-m", "ci_envs", "run", "matrix.yml", "--test-command", "sleep 300")
    with subprocess.Popen(
        words,
        env=bench.env,
        cwd=bench.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        log = bench.folder / f".ci-envs/logs/{LEG.id}/test.log"
        _wait_for(lambda: log.is_file() and "sleep 300" in log.read_text(), 120)
        process.send_signal(signal.SIGKILL)
    _wait_for(lambda: not _containers(bench), 30)
    assert _containers(bench) == []
    # What else it left can be found, and is the next run's to remove.
    engine, layout = find_engine("docker", bench.env), Layout.at(bench.folder, {})
    assert len(images_left(engine, layout)) == len(images_left(engine, layout, [LEG.id])) == 1
    assert images_left(engine, layout, ["uv-py312-linux-x86_64"]) == []
    assert bench.run("run").record.status == "passed"


def _containers(bench: Bench) -> list[str]:
    key = state_key(Layout.at(bench.folder, {}))
    filters = {"label": f"{LABEL_STATE}={key}"}
    return [told["Names"][0] for told in listed(lambda: bench.client.api.containers(all=True, filters=filters))]


def _wait_for(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.2)
    pytest.fail(f"it has not come to pass within {seconds} s")


def test_without_the_tool_the_leg_says_how_to_get_it(bench: Bench) -> None:
    bench.write({"postCreateCommand": "true"})
    folders = [folder for folder in bench.env["PATH"].split(os.pathsep) if not (Path(folder) / "devcontainer").exists()]
    bench.env["PATH"] = os.pathsep.join(folders)
    build = bench.run("run").stage("build")
    assert (build.status, build.exit_code) == ("broken", 4)
    assert "npm install -g @devcontainers/cli" in build.reason


def test_the_example_is_green(bench: Bench, world_wheels: Callable[..., Path]) -> None:
    """``examples/datascience``, with base and features from the tests' registry, and its wheels beside it."""
    shutil.copytree(
        ROOT / "examples" / "datascience", bench.folder, ignore=shutil.ignore_patterns(".*_cache", "__pycache__")
    )
    bench.publish(
        Feature("common-utils", "2.0.0", "true"),
        Feature("git", "1.0.0", "apt-get update -qq && apt-get install -qq -y --no-install-recommends git"),
    )
    config, dockerfile = bench.folder / CONFIG, bench.folder / ".devcontainer/Dockerfile"
    here = '"containerEnv": {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/workspaces/demo/wheels"}, "features"'
    text = config.read_text().replace("ghcr.io/devcontainers/features", bench.features).replace('"features"', here)
    config.write_text(text)
    lock = bench.folder / "locks/venv-py312-linux-x86_64.txt"
    shutil.copytree(world_wheels("--python-version=3.12", "--no-deps", lock=lock), bench.folder / "wheels")
    registry = bench.base.partition("/")[0]
    dockerfile.write_text(dockerfile.read_text().replace("FROM python:", f"FROM {registry}/library/python:"))
    (bench.folder / "matrix.yml").write_text(MATRIX.replace(PYTHON, "3.12"))
    ran = bench.run("run")
    assert ran.record.status == "passed", ran.output
    assert ran.record.tests is not None
    assert ran.record.tests.passed > 10
    assert ran.record.lock is not None
    assert ran.record.lock.path == "locks/venv-py312-linux-x86_64.txt"
    installed = {each.name: each.version for each in ran.record.inventory if each.manager == "python" and not each.seed}
    assert installed == {pin.name: pin.version for pin in ran.record.lock.pins if pin.source == "index"}
