"""``ci-envs export LEG --to``: a real shell's closure as an image, the same each time, in real engines."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import signal
from typing import TYPE_CHECKING

import pytest
from tests.component.program import leftovers, wait_for
from tests.component.test_disk import make_disk  # noqa: F401 - a fixture, found by its name
from tests.support.docker_registry import RegistryClient
from tests.support.nix_projects import DEFAULT, FLAKE, SHELL, commit

from ci_envs.containers.archive import read_image
from ci_envs.containers.labels import image_repository, state_key
from ci_envs.environments.nix_shell import read_closure, read_shell
from ci_envs.layout import Layout
from ci_envs.model.closure import Closure
from ci_envs.nix.image_layers import pack_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from docker import DockerClient
    from tests.component.nix_fixtures import MakeNix
    from tests.component.program import Program
    from tests.component.test_disk import Disk
    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component

#: Prints what Python finds installed.
VERSIONS = """\
import importlib.metadata as m, json, platform
print(json.dumps({"python": platform.python_version(), **{d.name.lower(): d.version for d in m.distributions()}}))
"""

#: A shell of a program without Python, quickly built and exported.
LEAN = {"shell.nix": '{ pkgs ? import <nixpkgs> { } }:\n\npkgs.mkShell { packages = [ pkgs.hello ]; MOOD = "good"; }\n'}

#: What the image of a project's own is called: nobody else's.
BASKET = f"basket-{secrets.token_hex(4)}"

IMAGE = f"""\
pkgs.dockerTools.buildImage {{
  name = "{BASKET}";
  tag = "1.0";
  copyToRoot = [ pkgs.hello ];
  config.Cmd = [ "/bin/hello" ];
}}"""


@pytest.fixture
def built(make_nix_program: MakeNix, engine_host: str) -> Callable[[str, Mapping[str, str]], Program]:
    """Makes a project, builds its leg, and answers with the program."""

    def made(name: str, files: Mapping[str, str]) -> Program:
        program = make_nix_program(name, files)
        program.env["DOCKER_HOST"] = engine_host
        done = program.run("--stages=detect,lock,build")
        assert done.code == 0, done.said
        return program

    return made


@pytest.fixture
def lean(built: Callable[[str, Mapping[str, str]], Program]) -> Program:
    return built("lean", LEAN)


@pytest.fixture
def name(engine_client: DockerClient) -> Iterator[str]:
    """A name in the engine that is nobody's."""
    text = f"ci-envs-test-{secrets.token_hex(4)}:1.0"
    yield text
    for image in engine_client.images.list(name=text):
        engine_client.api.remove_image(str(image.id), force=True)


def exported(program: Program, place: str, *words: str) -> dict[str, object]:
    """What the verb says in JSON."""
    done = program.do("export", program.leg, "--to", place, "--json", *words)
    assert done.code == 0, done.said
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_the_image_prints_the_versions_of_the_record(
    built: Callable[[str, Mapping[str, str]], Program], engine_client: DockerClient, name: str
) -> None:
    program = built("project", SHELL)
    told = exported(program, f"docker:{name}")
    assert program.record is not None
    assert program.record.environment is not None
    assert engine_client.images.get(name).id == told["manifest"] == told["digest"]
    run = engine_client.containers.run
    found = json.loads(run(name, ["python3", "-c", VERSIONS], remove=True))
    assert found.pop("python") == program.record.environment.python
    ours = {one.name: one.version for one in program.record.inventory if one.manager == "python"}
    assert found == ours
    assert ours["apple"] == "1.1"
    # What the shell and its hook set is there, and the default command is its interpreter.
    said = run(name, ["sh", "-c", "hello; echo $GREETING $HOOKED; pwd; id -un"], remove=True)
    assert said.decode().splitlines() == ["Hello, world!", "good morning yes", "/app", "root"]
    assert engine_client.images.get(name).attrs["Config"]["Cmd"] == [read_shell(program.prefix).python]
    labels = engine_client.images.get(name).labels
    assert labels["org.repro-envs.environment"] == program.record.environment.digest
    # What it was called in between goes; the engine is other tests', too.
    assert engine_client.images.list(name=image_repository(state_key(Layout.at(program.root, program.env)))) == []


@pytest.mark.timeout(300)
def test_ten_builds_have_one_digest(built: Callable[[str, Mapping[str, str]], Program], tmp_path: Path) -> None:
    one, other = built("one", SHELL), built("another place", SHELL)
    manifests, archives = set(), set()
    for number in range(10):
        program = (one, other)[number % 2]
        if number > 5:
            done = program.run("--stages=detect,lock,build", "--fresh")
            assert done.code == 0, done.said
        ways = {
            "LC_ALL": ("C", "C.UTF-8")[number % 2],
            "TZ": f"UTC{number - 5:+}",
            "HOME": str(tmp_path / f"home{number}"),
        }
        place = tmp_path / f"from {number}"
        place.mkdir()
        done = program.do(
            *("export", program.leg, "--project", str(program.root), "--to", "oci:image.tar", "--json"),
            cwd=place,
            env={**program.env, **ways},
            umask=(0o022, 0o077, 0o002)[number % 3],
        )
        assert done.code == 0, done.said
        manifests.add(json.loads(done.stdout)["manifest"])
        archives.add(hashlib.sha256((place / "image.tar").read_bytes()).hexdigest())
    assert (len(manifests), len(archives)) == (1, 1)
    assert manifests == {read_image(tmp_path / "from 0/image.tar").manifest}


def test_the_closure_is_in_the_image_and_the_shells_own_output_is_not(lean: Program, tmp_path: Path) -> None:
    told = exported(lean, f"oci:{tmp_path}/image.tar", "--max-layers", "5")
    image = read_image(tmp_path / "image.tar")
    assert told["layers"] == len(image.layers) == 5
    shell, closure = read_shell(lean.prefix), read_closure(lean.prefix)
    found = {"/".join(entry.path.split("/")[:3]) for layer in image.layers[:-1] for entry in image.files(layer)} - {
        "nix",
        "nix/store",
    }
    assert found == {one.path.lstrip("/") for one in closure.paths} - {shell.top.lstrip("/")}
    assert shell.top.lstrip("/") not in found
    assert "MOOD=good" in image.config["config"]["Env"]


def test_a_second_store_gives_the_same_layers(lean: Program, nix_store: Nix, tmp_path: Path) -> None:
    shell, closure = read_shell(lean.prefix), read_closure(lean.prefix)
    paths = Closure(paths=tuple(one for one in closure.paths if one.path != shell.top)).paths
    root = tmp_path / "root"
    nix_store.said("nix", "copy", "--no-check-sigs", "--to", f"local?root={root}", *(one.path for one in paths))
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    assert pack_paths(paths, folders[0]) == pack_paths(paths, folders[1], root=root)


def test_a_registry_has_it_under_its_own_digest(
    lean: Program, engine_client: DockerClient, registry: str, name: str, tmp_path: Path
) -> None:
    manifest = exported(lean, f"oci:{tmp_path}/image.tar")["manifest"]
    reference = f"{registry}/{name}"
    done = lean.do("export", lean.leg, "--to", f"registry:{reference}")
    client, repository = RegistryClient(registry), name.partition(":")[0]
    try:
        assert done.code == 0, done.said
        assert f"as {reference}@{manifest} (" in done.stdout
        assert client.digest(repository, "1.0") == manifest
        assert engine_client.images.list(name=reference) == []
        said = engine_client.containers.run(f"{registry}/{repository}@{manifest}", ["hello"], remove=True)
        assert said == b"Hello, world!\n"
    finally:
        client.delete(repository, "1.0")
        for image in engine_client.images.list(name=f"{registry}/{repository}"):
            engine_client.api.remove_image(str(image.id), force=True)


def test_an_entry_is_what_always_runs(lean: Program, engine_client: DockerClient, name: str) -> None:
    exported(lean, f"docker:{name}", "--entry", "echo Good")
    assert engine_client.containers.run(name, ["day"], remove=True) == b"Good day\n"


def test_the_commit_dates_it_and_secrets_stay_here(make_nix_program: MakeNix, tmp_path: Path) -> None:
    text = LEAN["shell.nix"].replace('MOOD = "good";', 'API_TOKEN = "hunter22"; shellHook = "export HERE=$PWD/data";')
    program = make_nix_program("project", {"shell.nix": text})
    commit(program.root, {**program.env, "GIT_COMMITTER_DATE": "2025-01-02T03:04:05Z"})
    done = program.run("--stages=detect,lock,build")
    assert done.code == 0, done.said
    done = program.do("export", program.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 0, done.said
    assert "variables that may be secrets: API_TOKEN" in done.stderr
    assert "names folders of this machine: HERE" in done.stderr
    config = read_image(tmp_path / "image.tar").config
    assert config["created"] == config["history"][0]["created"] == "2025-01-02T03:04:05Z"
    assert "hunter22" not in json.dumps(config)
    assert str(tmp_path) not in json.dumps(config)
    program.env["SOURCE_DATE_EPOCH"] = "1"
    exported(program, f"oci:{tmp_path}/other.tar")
    assert read_image(tmp_path / "other.tar").config["created"] == "1970-01-01T00:00:01Z"


# --- what goes wrong


def test_a_full_disk_is_said_and_nothing_is_left(
    lean: Program,
    make_disk: Callable[[str], Disk],  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    disk = make_disk("size=512k")
    done = lean.do("export", lean.leg, "--to", f"oci:{disk.path}/image.tar")
    assert done.code == 1
    assert done.stderr == f"error: the disk is full: {disk.path}/image.tar cannot be written\n"
    assert list(disk.path.iterdir()) == []
    # The same where the layers are made.
    lean.env["CI_ENVS_STATE_DIR"] = str(disk.path / "state")
    disk.remount("size=16m")
    done = lean.run("--stages=detect,lock,build")
    assert done.code == 0, done.said
    with disk.with_room_for(200_000):
        done = lean.do("export", lean.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 1
    assert "the disk is full" in done.stderr
    assert not (tmp_path / "image.tar").exists()
    assert leftovers(disk.path) == []
    assert [path for path in disk.path.glob("state/tmp/*/*") if path.name.startswith("export-")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_ended_leaves_nothing_that_looks_whole(
    built: Callable[[str, Mapping[str, str]], Program], tmp_path: Path, number: signal.Signals
) -> None:
    program = built("project", SHELL)
    process = program.start("export", program.leg, "--to", f"oci:{tmp_path}/image.tar")
    rooms = program.state / "tmp"
    wait_for(lambda: list(rooms.glob("*/export-*/layers/blobs/sha256/*")))
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert not list(tmp_path.glob("*.tar*"))
    if number == signal.SIGINT:
        assert not list(rooms.glob("*/export-*"))
    # What was killed has left its room, and the next one clears it.
    exported(program, f"oci:{tmp_path}/image.tar")
    assert not list(rooms.glob("*/export-*"))


def test_an_altered_store_path_becomes_no_image(lean: Program, tmp_path: Path) -> None:
    closure = lean.prefix / "closure.json"
    told = json.loads(closure.read_bytes())
    hello = next(one for one in told["paths"] if one["name"] == "hello")
    hello["nar_hash"] = f"sha256:{'0' * 64}"
    closure.write_text(json.dumps(told))
    done = lean.do("export", lean.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 6
    assert f"what is built of {lean.leg} is not what its record tells of" in done.stderr
    assert not (tmp_path / "image.tar").exists()


def test_a_shell_that_the_store_has_lost_has_no_image(lean: Program, tmp_path: Path) -> None:
    (lean.prefix / "profile").unlink()
    done = lean.do("export", lean.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 6
    assert "error: the store no longer has /nix/store/" in done.stderr


# --- images that the project describes itself

OWN = {
    "flake": (
        {
            "flake.nix": FLAKE["flake.nix"].replace(
                "  outputs = { self, nixpkgs }: {\n",
                "  outputs = { self, nixpkgs }: {\n"
                "    packages = nixpkgs.lib.genAttrs nixpkgs.lib.systems.flakeExposed (system:\n"
                f"      let pkgs = nixpkgs.legacyPackages.${{system}}; in {{ image = {IMAGE}; }});\n",
            )
        },
        "image",
    ),
    "file": (
        {
            "default.nix": DEFAULT["default.nix"].replace(
                "inherit (pkgs) hello;", f"inherit (pkgs) hello; image = {IMAGE};"
            )
        },
        "image",
    ),
    "program": (
        {
            "default.nix": DEFAULT["default.nix"].replace(
                "inherit (pkgs) hello;",
                'inherit (pkgs) hello; image.stream = pkgs.writeShellScript "stream" '
                f"''echo streaming >&2; exec ${{pkgs.busybox}}/bin/zcat ${{{IMAGE}}}'';",
            )
        },
        "image.stream",
    ),
}


@pytest.fixture(params=OWN)
def own(
    request: pytest.FixtureRequest, make_nix_program: MakeNix, nixpkgs: Path, engine_host: str
) -> tuple[Program, str]:
    """A project that has an image of its own, and the attribute that it has."""
    files, attribute = OWN[request.param]
    # Nobody fetches from the world here; where it is taken from otherwise is another test's.
    told = {name: text.replace("github:NixOS/nixpkgs/nixos-25.11", f"path:{nixpkgs}") for name, text in files.items()}
    shell = "" if request.param == "flake" else "shell"
    program = make_nix_program(request.param, told, nix={"image": attribute, "attribute": shell})
    program.env["DOCKER_HOST"] = engine_host
    done = program.run("--stages=detect,lock,build")
    assert done.code == 0, done.said
    return program, attribute


def test_an_image_of_the_projects_own_is_taken_as_it_is(
    own: tuple[Program, str], engine_client: DockerClient, name: str, tmp_path: Path
) -> None:
    program, attribute = own
    told = exported(program, f"oci:{tmp_path}/image.tar")
    assert (told["form"], told["attribute"], told["manifest"]) == ("docker-archive", attribute, "")
    data = (tmp_path / "image.tar").read_bytes()
    is_packed = data.startswith(b"\x1f\x8b")
    assert is_packed == (attribute == "image")
    (tmp_path / "plain.tar").write_bytes(gzip.decompress(data) if is_packed else data)
    assert read_image(tmp_path / "plain.tar").config_digest == told["config"]
    exported(program, f"docker:{name}")
    assert engine_client.containers.run(name, remove=True) == b"Hello, world!\n"
    # The name in the archive is not the one that was asked for.
    assert engine_client.images.list(name=BASKET) == []


def test_an_attribute_that_is_no_image_is_said(make_nix_program: MakeNix, tmp_path: Path) -> None:
    program = make_nix_program("project", DEFAULT, nix={"image": "hello", "attribute": "shell"})
    assert program.run("--stages=detect,lock,build").code == 0
    done = program.do("export", program.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 6
    assert "hello is /nix/store/" in done.stderr
    assert "which is neither an archive nor a program that writes one" in done.stderr
    (program.root / "ci-envs.yml").write_text(
        (program.root / "ci-envs.yml").read_text().replace('"image": "hello"', '"image": "helo"')
    )
    done = program.do("export", program.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 6, done.said
    assert "helo" in done.stderr
    assert list(tmp_path.glob("*.tar")) == []


def test_an_image_that_is_compressed_in_a_way_that_is_not_read_is_said(
    make_nix_program: MakeNix, tmp_path: Path
) -> None:
    image = 'image = pkgs.runCommand "image.tar.zst" { } "printf \'\\\\050\\\\265\\\\057\\\\375\' > $out";'
    text = DEFAULT["default.nix"].replace("inherit (pkgs) hello;", f"inherit (pkgs) hello; {image}")
    program = make_nix_program("project", {"default.nix": text}, nix={"image": "image", "attribute": "shell"})
    assert program.run("--stages=detect,lock,build").code == 0
    done = program.do("export", program.leg, "--to", f"oci:{tmp_path}/image.tar")
    assert done.code == 6, done.said
    assert "image is compressed by zstd, which is not read here" in done.stderr
