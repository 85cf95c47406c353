"""A nix shell inside of an image, on a real engine and with a real nix: what the host's leg has, without its nix."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import docker
import pytest
from tests.component.program import Program, tidy
from tests.support.docker_projects import DockerProgram
from tests.support.nix_base import made_base, packages_inside
from tests.support.nix_projects import DEFAULT, SHELL, WORLD, commit, write_nix_project

from ci_envs.containers.engine import find_engine
from ci_envs.containers.limits import Limits
from ci_envs.containers.nix_image import altered_inside
from ci_envs.environments.container import ContainerEnvironment
from ci_envs.machine import arch_name
from ci_envs.model.leg import make_leg
from ci_envs.settings import NIX_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import Popen

    from docker import DockerClient
    from tests.component.docker_fixtures import PodmanFacts

    from ci_envs.model.record import RunRecord

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

#: A flake whose shell has something that is made of the project's own files, by the names that they have.
OF_SOURCES = {
    **WORLD,
    "flake.nix": WORLD["flake.nix"].replace(
        "pkgs.hello ]", 'pkgs.hello (pkgs.runCommand "sources" { } "mkdir $out; cp -r ${./.}/* $out") ]'
    ),
}


@pytest.fixture(scope="session")
def nix_base(engine_host: str, engine_client: DockerClient, registry: str, session_folder: Path) -> str:
    """An image with Debian's nix in it."""
    return made_base(engine_host, engine_client, registry, session_folder / "nix-base")


@pytest.fixture(scope="module")
def packages(nixpkgs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package set, for builds inside."""
    return packages_inside(nixpkgs, tmp_path_factory.mktemp("inside"))


class MakeInside(Protocol):
    """What :func:`make_inside` answers with."""

    def __call__(self, files: Mapping[str, str], *, config: Mapping[str, Any] | None = ...) -> DockerProgram:
        """Writes a project, commits it, and answers with the program over it: pattern docker, and no nix on PATH."""
        ...


@pytest.fixture
def make_inside(
    *,
    engine_host: str,
    engine_client: DockerClient,
    nix_base: str,
    packages: Path,
    nix_env: dict[str, str],
    nix_python: str,
    tmp_path: Path,
) -> Iterator[MakeInside]:
    started: list[Popen[str]] = []
    made: list[DockerProgram] = []
    programs = without_nix(tmp_path / "bin")

    def program(files: Mapping[str, str], *, config: Mapping[str, Any] | None = None) -> DockerProgram:
        told = {"docker": {"installer": "nix", "base-image": nix_base}, **(config or {})}
        root = write_nix_project(tmp_path / "fruit", files, python=nix_python, nixpkgs=packages, config=told)
        commit(root, nix_env)
        env = {**nix_env, "DOCKER_HOST": engine_host, "PATH": str(programs), NIX_INPUTS: f"nixpkgs={packages}"}
        words = ("--pattern=docker", f"--python={nix_python}")
        leg = make_leg(pattern="docker", python=nix_python, os="linux", arch=arch_name()).id
        made.append(DockerProgram(root, env, words=words, leg=leg, started=started, client=engine_client))
        return made[-1]

    yield program
    tidy(started)
    for one in made:
        one.tidy()


def without_nix(folder: Path) -> Path:
    """A folder with the programs of PATH, but for nix's."""
    folder.mkdir()
    places = [Path(place) for place in f"{os.environ['PATH']}:/usr/sbin:/sbin".split(":")]
    for program in (path for place in places if place.is_dir() for path in place.iterdir()):
        if not program.name.startswith("nix") and not os.path.lexists(folder / program.name):
            (folder / program.name).symlink_to(program)
    return folder


def on_host(program: DockerProgram, nixpkgs: Path, nix_env: dict[str, str]) -> RunRecord:
    """The record of the same project's leg of pattern nix, after a run that has to be green."""
    leg = program.leg.replace("docker-", "nix-")
    words = ("--pattern=nix", *program.words[1:])
    env = {**program.env, "PATH": nix_env["PATH"], NIX_INPUTS: f"nixpkgs={nixpkgs}"}
    other = Program(program.root, env, words=words, leg=leg, started=program.started)
    done = other.run()
    assert done.code == 0, done.said
    assert other.record is not None
    return other.record


def test_a_flake_is_in_an_image_what_it_is_on_a_host_with_nix(
    make_inside: MakeInside, nixpkgs: Path, nix_env: dict[str, str], nix_base: str, nix_python: str
) -> None:
    program = make_inside(OF_SOURCES)
    program.green()
    record = program.told()
    host = on_host(program, nixpkgs, nix_env)

    assert record.environment is not None
    assert host.environment is not None
    assert record.environment.digest == host.environment.digest
    assert record.closure is not None
    assert host.closure is not None
    there = {one.path: one.nar_hash for one in host.closure.paths}
    found = {one.path: one.nar_hash for one in record.closure.paths}
    assert {path.rpartition("-")[2] for path in there.keys() - found.keys()} == {"env"}, "the variables' own output"
    assert found.items() <= there.items()
    assert any(path.endswith("-sources") for path in found)
    assert {(each.name, each.version) for each in record.inventory if each.manager == "python"} == {
        (each.name, each.version) for each in host.inventory if each.manager == "python"
    }
    assert {"apple", "pear", "pytest"} <= {each.name for each in record.inventory if each.manager == "python"}
    assert {"glibc", "hello"} <= {each.name for each in record.inventory if each.manager == "nix"}

    assert record.lock is not None
    assert host.lock is not None
    assert (record.lock.path, record.lock.format, record.lock.more) == ("flake.lock", "flake.lock", ("docker.lock",))
    assert {pin for pin in record.lock.pins if pin.manager == "nix"} == set(host.lock.pins)
    (image,) = [pin for pin in record.lock.pins if pin.manager == "image"]
    assert f"{image.name}:{image.version}" == nix_base
    assert record.image is not None
    assert record.image.reproducible
    assert record.image.labels["org.repro-envs.environment"] == host.environment.digest
    assert record.tests is not None
    assert record.tests.passed == 1
    assert record.tools["nix"][0].isdigit()
    assert {each.file for each in record.evidence} >= {"flake.nix", "flake.lock"}
    assert nix_python in record.environment.python


def test_whatever_runs_in_the_image_has_the_shells_variables_and_programs(
    make_inside: MakeInside, engine_client: DockerClient
) -> None:
    program = make_inside(WORLD)
    program.green()
    assert program.inside("hello") == "Hello, world!\n"
    assert program.inside("python", "-c", "import apple, os; print(os.environ['GREETING'], os.environ['HOOKED'])") == (
        "good morning yes\n"
    )
    assert program.inside("sh", "-c", "id -u; pwd; command -v nix git; echo $IN_NIX_SHELL; ls flake.nix").split() == [
        *("10001", "/app", "pure", "flake.nix"),
    ]
    made = engine_client.containers.run(program.image, ["sleep", "60"], detach=True)
    try:
        code, said = made.exec_run(["python", "-c", "import os; print(os.environ['GREETING'])"])
        assert (code, said) == (0, b"good morning\n")
    finally:
        made.remove(force=True)
    configured = program.inspect()["Config"]
    assert not configured.get("Entrypoint")
    assert "experimental" not in json.dumps(configured)
    left = "ls -A /ci-envs /root/.cache; cat /etc/nix/nix.conf; ls /nix/store | grep -e '[.]drv$' -e -source$; true"
    assert program.inside("sh", "-c", f"PATH=$PATH:/usr/bin:/bin; exec 2>/dev/null; {left}", user="0") == ""
    assert program.inside("sh", "-c", "ls -A /nix/var/nix") == "ci-envs.registration\n"


def test_nix_in_the_image_takes_the_closure_for_its_own_once_it_is_told(make_inside: MakeInside) -> None:
    program = make_inside(SHELL)
    program.green()
    script = "PATH=$PATH:/usr/bin:/bin; nix-store --load-db < /nix/var/nix/ci-envs.registration"
    said = program.inside(
        "sh",
        "-c",
        f"{script}; nix-store --verify --check-contents; nix-store --query --size $src $(command -v hello)",
        user="0",
    )
    assert "checking store hashes" in said
    assert "modified" not in said
    assert said.splitlines()[-1].isdigit()


def test_it_is_kept_until_an_input_changes_and_an_altered_store_is_found(
    make_inside: MakeInside, packages: Path, tmp_path: Path
) -> None:
    program = make_inside(SHELL)
    own = Path(shutil.copytree(packages, tmp_path / packages.name))
    program.env[NIX_INPUTS] = f"nixpkgs={own}"
    program.green()
    first = program.inspect()["Id"]
    program.green()
    assert program.stage("build").reason == "kept: nothing it depends on has changed"
    (own / "packages.nix").write_text((own / "packages.nix").read_text().replace("Hello, world!", "Good evening!"))
    program.green()
    assert program.stage("build").reason == "built: inputs changed"
    assert program.inspect()["Id"] != first
    assert program.inside("hello") == "Good evening!\n"
    assert program.do("check", program.leg, timeout=280).code == 0, "each path of the store is read"
    closure = program.told().closure
    assert closure is not None
    hello = next(one.path for one in closure.paths if one.name == "hello")
    with altered(program, f"{hello}/bin/hello") as image, find_engine("docker", program.env) as engine:
        for name, why in ((program.image, ""), (image, f"{hello} was altered in it")):
            with ContainerEnvironment(engine, name, limits=Limits(), labels={}, closure=closure) as inside:
                assert altered_inside(inside, closure) == why


@contextlib.contextmanager
def altered(program: DockerProgram, path: str) -> Iterator[str]:
    """An image that has another byte in this file."""
    made = program.client.containers.create(program.image, ["sh", "-c", f"echo >> {path}"], user="0")
    try:
        made.start()
        assert made.wait(timeout=60)["StatusCode"] == 0
        image = made.commit()
    finally:
        made.remove(force=True)
    try:
        yield str(image.id)
    finally:
        program.client.images.remove(str(image.id))


def test_what_a_leg_on_the_host_has_kept_is_not_built_inside(
    make_inside: MakeInside, nixpkgs: Path, nix_env: dict[str, str], nix_base: str
) -> None:
    config = {"docker": {"installer": "nix", "base-image": nix_base}, "nix": {"cache": "kept/nix"}}
    program = make_inside(SHELL, config=config)
    on_host(program, nixpkgs, nix_env)
    program.green("--fresh")  # the builder has what other tests have built
    log = program.build_log()
    assert re.search(r"copying path '/nix/store/[^']+-hello-[^']+' from 'file:///ci-envs/binary-cache'", log)
    built = re.findall(r"building '/nix/store/[^-']+-([^']+)'", log)
    assert {name.removesuffix("-env.drv").removesuffix(".drv") for name in built} <= {"nix-shell"}
    assert program.found("NIX031") == []


def test_a_changed_source_builds_nothing_of_the_shell_again(make_inside: MakeInside) -> None:
    # The builder has not seen it before, whatever other tests have built with it.
    own = f'pkgs.hello (pkgs.runCommand "own" {{ }} "mkdir $out; echo {secrets.token_hex()} > $out/own") ]'
    program = make_inside({**SHELL, "shell.nix": SHELL["shell.nix"].replace("pkgs.hello ]", own)})
    program.green()
    assert "-own.drv" in program.build_log()
    first = program.told().environment
    assert first is not None
    (program.root / "more.py").write_text("ripe = True\n")
    program.green()
    assert program.stage("build").reason == "built: sources changed"
    assert "-own' from 'file:///ci-envs/cache" in program.build_log()
    built = re.findall(r"building '/nix/store/[^-']+-([^']+)'", program.build_log())
    assert {name.removesuffix("-env.drv").removesuffix(".drv") for name in built} == {"nix-shell"}, (
        "its variables alone"
    )
    again = program.told().environment
    assert again is not None
    assert again.digest == first.digest
    assert program.inside("cat", "more.py") == "ripe = True\n"


def test_two_builds_of_one_lock_have_one_manifest(make_inside: MakeInside, nix_python: str) -> None:
    program = make_inside(SHELL)
    (program.root / "legs.yml").write_text(f'axes: {{pattern: [docker], python: ["{nix_python}"]}}\n')
    done = program.do("verify", program.leg, "--matrix=legs.yml", "--json", timeout=280)
    assert done.code == 0, done.said
    told = json.loads(done.stdout)
    assert told["same"], told
    assert program.images() == []


VARIABLES = """\
{ pkgs ? import <nixpkgs> { } }:
{
  ci = pkgs.mkShell {
    packages = [ pkgs.PYTHON ];
    lines = "one $HOME \\"two\\"\\n  \\\\ three\\n";
    API_TOKEN = "canary-4711-canary";
    shellHook = ''
      export HERE=$PWD PATH=$PWD/bin:$PATH
      echo "the hook speaks" >&2
    '';
  };
}
"""

TOLD = {"test": {"command": ["python", "-c", "import os, json; print(json.dumps(dict(os.environ)))"]}}


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_variables_are_what_the_shell_and_its_hook_set_but_for_secrets(
    engine: str, make_inside: MakeInside, request: pytest.FixtureRequest, nix_base: str
) -> None:
    config = {"nix": {"attribute": "ci", "pure": False}, "docker": {"base-image": nix_base}, **TOLD}
    program = make_inside({"default.nix": VARIABLES, "bin/tool": "#!/bin/sh\necho used\n"}, config=config)
    (program.root / "bin/tool").chmod(0o755)
    if engine == "podman":
        program = of_podman(program, request.getfixturevalue("podman_env"))
    program.green()
    log = program.layout.log(program.leg, "test").read_text()
    told = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert told["lines"] == 'one $HOME "two"\n  \\ three\n'
    assert told["HERE"] == "/app"
    assert told["PATH"].startswith("/app/bin:/nix/store/")
    assert told["PATH"].endswith(":/usr/sbin:/usr/bin:/sbin:/bin"), "an impure shell sees the image's programs, too"
    assert "API_TOKEN" not in told
    assert [each.message.partition(" ")[0] for each in program.found("IMG211")] == ["API_TOKEN"]
    assert "canary" not in json.dumps(program.inspect())
    assert "the hook speaks" in program.build_log()
    assert program.inside("tool") == "used\n"
    if engine == "podman":
        program.tidy()


def of_podman(program: DockerProgram, podman: PodmanFacts) -> DockerProgram:
    """The same project's leg on Podman."""
    assert podman.runs, podman.why_not
    told = {name: value for name, value in podman.environ.items() if name.startswith(("CONTAINER", "STORAGE"))}
    client = docker.DockerClient(base_url=podman.environ["CONTAINER_HOST"])
    words = ("--pattern=podman", *program.words[1:])
    leg = program.leg.replace("docker-", "podman-")
    return replace(program, env={**program.env, **told}, words=words, leg=leg, client=client)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("pkgs.hello ]", "pkgs.helo ]", "shell.nix:4: attribute 'helo' missing; did you mean hello?"),
        ("pkgs.hello ]", "(import ./gone.nix) ]", "gone.nix"),
        (
            "pkgs.hello ]",
            '(pkgs.runCommand "boom" { } "echo kaboom >&2; exit 4") ]',
            "the builder of boom failed with exit code 4: kaboom",
        ),
        (
            "export HOOKED=yes",
            "exit 3",
            "shell.nix: the shell's hook ended its shell, so no command can follow (exit code 3)",
        ),
    ],
)
def test_what_goes_wrong_inside_is_told_in_the_words_of_nix_and_the_names_of_the_project(
    was: str, now: str, said: str, make_inside: MakeInside
) -> None:
    program = make_inside({**SHELL, "shell.nix": SHELL["shell.nix"].replace(was, now)})
    done = program.run(timeout=280)
    assert done.code == 6, done.said
    assert said in program.stage("build").reason
    assert "Dockerfile" not in program.stage("build").reason
    assert program.images() == []
    assert program.containers() == []


def test_a_flake_without_a_lock_is_not_built_where_nothing_can_lock_it(make_inside: MakeInside) -> None:
    program = make_inside(WORLD)
    (program.root / "flake.lock").unlink()
    done = program.run()
    assert done.code == 5, done.said
    assert "flake.lock" in program.stage("lock").reason


@pytest.mark.parametrize("more", [{"packages": ["tree"]}, {"build-packages": ["tree"]}])
def test_a_distributions_packages_are_refused_where_a_shell_brings_its_own(
    more: dict[str, Any], make_inside: MakeInside, nix_base: str
) -> None:
    program = make_inside(SHELL, config={"docker": {"installer": "nix", "base-image": nix_base, **more}})
    done = program.run()
    assert done.code == 2, done.said
    assert "Add them to the shell" in done.said


def test_a_dockerfile_of_a_shell_is_not_kept(make_inside: MakeInside, nix_base: str) -> None:
    program = make_inside(DEFAULT, config={"docker": {"base-image": nix_base}, "nix": {"attribute": "shell"}})
    done = program.run("--keep-dockerfile")
    assert done.code == 2, done.said
    assert "cannot be kept" in done.said
    assert not (program.root / "Dockerfile").exists()
