"""Pattern docker, from end to end on a real engine: images that are generated, and images of a project's own file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.component.conda_programs import SMALL, use_channel
from tests.component.program import PACKAGE
from tests.component.running import PYTHON
from tests.support.docker_projects import DOCKER_LEG, IMPORTS, Forwarder, commit_all, outside_leg

from ci_envs.command import Command, run
from ci_envs.containers.buildx import find_buildx
from ci_envs.machine import arch_name

if TYPE_CHECKING:
    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.channel_server import ChannelServer
    from tests.support.docker_projects import DockerProgram

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
pytest_plugins = ("tests.component.docker_program_fixtures", "tests.component.conda_program_fixtures")

#: Requirements, and a module of the project's own that its tests import.
FRUIT = {"requirements.in": "apple\npear\nplum[jam]\n", "basket.py": "import apple\n"}
OWN_TESTS = 'test:\n  command: python -c "import apple, pear, basket"\n'
GENERATED = f"docker: {{base-image: BASE}}\n{OWN_TESTS}"


def digests(*programs: DockerProgram) -> set[str]:
    """Of their environments."""
    told = [program.told().environment for program in programs]
    return {one.digest for one in told if one}


def on_host(program: DockerProgram, pattern: str) -> DockerProgram:
    """The same project's leg outside of an image, after a run that has to be green."""
    other = replace(program, words=(f"--pattern={pattern}", f"--python={PYTHON}"), leg=outside_leg(pattern))
    other.green()
    return other


# --- generated


def test_an_image_of_requirements_is_the_environment_of_the_host_and_its_record_says_all_of_it(
    make_docker: MakeDocker, base_image: str
) -> None:
    program = make_docker("fruit", FRUIT, config=GENERATED)
    commit = commit_all(program.root, origin="https://me:canary-4711@git.example/fruit.git")
    program.green()
    record = program.told()
    assert digests(program, on_host(program, "uv")) == {record.environment.digest if record.environment else ""}
    assert record.lock is not None
    assert (record.lock.path, record.lock.more) == (f"locks/{outside_leg('uv')}.txt", ("docker.lock",))
    images = [pin for pin in record.lock.pins if pin.source == "image"]
    assert [f"{pin.name}:{pin.version}" for pin in images] == [base_image]
    assert {each.file for each in record.evidence} == {"requirements.in"}
    assert not [each for each in record.findings if each.severity != "info"]
    assert {(each.name, each.version) for each in record.inventory if each.manager == "python"} == {
        (pin.name, pin.version) for pin in record.lock.pins if pin.manager == "python"
    }
    assert {"libc6", "netbase"} <= {each.name for each in record.inventory if each.manager == "dpkg"}

    image = record.image
    assert image is not None
    assert record.environment is not None
    assert record.environment.image == image.name == program.image
    told = program.inspect()
    assert (image.id, image.layers, image.bytes) == (told["Id"], tuple(told["RootFS"]["Layers"]), told["Size"])
    assert image.manifest == image.id
    assert [(base.name, base.digest) for base in image.bases] == [(base_image, images[0].hashes[0])]
    assert image.builder.startswith("docker-buildx ")
    assert image.reproducible
    assert image.system is not None
    assert (image.system.id, image.system.version, set(image.system.packages)) == ("debian", "12", {"dpkg"})
    assert (image.os, image.arch, image.engine, image.user) == ("linux", arch_name(), "docker", "10001:10001")
    assert image.created == told["Created"] == "2024-03-01T12:00:00Z"
    assert image.relaxed == ()
    assert image.labels == told["Config"]["Labels"]
    assert image.labels.pop("org.repro-envs.version")
    assert image.labels == {
        "org.opencontainers.image.created": "2024-03-01T12:00:00Z",
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.source": "https://git.example/fruit.git",
        "org.repro-envs.environment": record.environment.digest,
        "org.repro-envs.lock": record.lock.digest,
    }
    assert told["Config"]["Healthcheck"]["Test"] == ["CMD", "python", "-c", "import apple, pear, plum"]
    assert program.inside("id", "-u").strip() == "10001"
    assert program.images() == [program.image]
    assert program.containers() == []
    assert "canary" not in program.record_file.read_text()


def test_an_image_is_kept_until_something_it_depends_on_changes(make_docker: MakeDocker) -> None:
    program = make_docker("fruit", FRUIT, config=GENERATED)
    commit_all(program.root)
    program.green()
    first = program.inspect()["Id"]

    def built_because(why: str) -> str:
        program.green()
        assert program.stage("build").reason == f"built: {why}"
        assert len(program.images()) == 1, "the old image goes"
        again = str(program.inspect()["Id"])
        program.green()
        assert program.stage("build").reason == "kept: nothing it depends on has changed"
        return again

    program.green()
    assert program.stage("build").reason == "kept: nothing it depends on has changed"
    assert program.stage("check").reason.endswith("unchanged")
    assert program.inspect()["Id"] == first
    program.write({"basket.py": "import apple, pear\n"})
    second = built_because("sources changed")
    assert second != first
    commit_all(program.root)
    assert built_because("commit changed") != second, "the label says which commit it is"
    program.write({"requirements.in": "apple\npear\n"})
    built_because("lock and lock file and sources changed")
    program.write({"ci-envs.yml": (program.root / "ci-envs.yml").read_text().replace("{base", "{memory: 1g, base")})
    built_because("settings and sources changed")
    program.client.api.remove_image(program.image, force=True)
    built_because("docker no longer has it")
    program.green("--fresh")
    assert program.stage("build").reason == "built: asked for anew"


def test_a_package_with_a_uv_lock_is_installed_as_its_users_have_it(make_docker: MakeDocker) -> None:
    program = make_docker("basket", PACKAGE, config="docker: {base-image: BASE}\n" + IMPORTS.replace("apple", "basket"))
    program.green()
    uv = on_host(program, "uv")
    assert digests(program, uv) == digests(uv)
    record = program.told()
    assert record.lock is not None
    assert (record.lock.path, record.lock.format) == ("uv.lock", "uv.lock")
    assert "basket" in {each.name for each in record.inventory}
    assert "site-packages" in program.inside("python", "-c", "import basket; print(basket.__file__)")
    assert program.inside("sh", "-c", "ls /app").strip() == "", "sources that are installed are not there twice"


def test_a_pylock_is_installed_as_it_is_on_the_host(make_docker: MakeDocker) -> None:
    program = make_docker("fruit", FRUIT, config=f"lock: {{format: pylock}}\n{GENERATED}")
    program.green()
    record = program.told()
    assert record.lock is not None
    assert record.lock.format == "pylock"
    assert len(digests(program, on_host(program, "uv"))) == 1


def test_an_image_and_the_host_are_made_from_one_lock_at_once(make_docker: MakeDocker) -> None:
    program = make_docker("fruit", FRUIT, config=GENERATED.replace("{base", "{installer: venv, base"))
    program.words = (*program.words, "--pattern=venv", "--jobs=2")
    program.green()
    host = replace(program, leg=outside_leg("venv"))
    assert len(digests(program, host)) == 1
    records = program.told(), host.told()
    assert {one.lock.path for one in records if one.lock} == {f"locks/{outside_leg('venv')}.txt"}
    assert [one.status for one in records] == ["passed", "passed"]
    assert program.inside("sh", "-c", "ls /opt/venv/bin/pip 2>&1 || true").startswith("ls: cannot access")


def test_a_conda_image_gives_the_digest_of_the_conda_leg(
    make_docker: MakeDocker, session_lean_server: ChannelServer, bridge: str
) -> None:
    program = make_docker("conda", SMALL, config=f"docker: {{base-image: BASE}}\n{SMALL['ci-envs.yml']}")
    with Forwarder(bridge, session_lean_server.port) as channel:
        path = urlsplit(session_lean_server.url()).path
        use_channel(program, f"{channel.address}{path}")
        program.green()
        conda = on_host(program, "conda")
    assert digests(program, conda) == digests(conda)
    record = program.told()
    assert {each.manager for each in record.inventory} >= {"conda", "python", "dpkg"}
    assert program.inside("python", "-c", "import sys; print(sys.prefix)") == "/opt/conda\n"


def test_a_kept_dockerfile_builds_the_same_by_hand_and_is_the_projects_own(make_docker: MakeDocker) -> None:
    program = make_docker("fruit", FRUIT, config=GENERATED)
    program.green("--keep-dockerfile")
    assert [each.file for each in program.found("IMG210")] == ["Dockerfile"]
    assert {"Dockerfile", "Dockerfile.dockerignore"} <= {path.name for path in program.root.iterdir()}
    text = (program.root / "Dockerfile").read_text()
    first = digests(program)

    refused = program.run("--keep-dockerfile")
    assert refused.code == 2, refused.said
    assert "there is a Dockerfile already, which is not written over" in refused.said
    assert (program.root / "Dockerfile").read_text() == text

    program.write({"ci-envs.yml": OWN_TESTS})
    program.green()
    record = program.told()
    assert "Dockerfile" in {each.file for each in record.evidence}
    assert record.lock is not None
    assert record.lock.path == f"locks/{outside_leg('uv')}.txt"
    assert digests(program) == first
    assert program.run("--keep-dockerfile").code == 2, "nor where the file is what is built"
    program.green()
    by_hand = build_by_hand(program)
    said = program.client.containers.run(by_hand, ["python", "-c", "import apple, basket, plum"], remove=True)
    assert said == b""
    assert program.inspect()["RootFS"]["Layers"] == program.client.api.inspect_image(by_hand)["RootFS"]["Layers"]
    program.client.api.remove_image(by_hand, force=True)


def build_by_hand(program: DockerProgram) -> str:
    """`docker buildx build .` with the index's settings as secrets, as the file says it; returns the image's name."""
    folder, env = program.root.parent, program.env
    host = env["PIP_TRUSTED_HOST"]
    (folder / "pip.conf").write_text(f"[global]\nindex-url = {env['PIP_INDEX_URL']}\ntrusted-host = {host}\n")
    (folder / "uv.toml").write_text(f'[[index]]\nurl = "{env["UV_DEFAULT_INDEX"]}"\ndefault = true\n')
    secrets = [f"--secret=id=ci-envs-{name.partition('.')[0]},src={folder / name}" for name in ("pip.conf", "uv.toml")]
    tag, archive = program.image.replace(DOCKER_LEG, "by-hand"), folder / "image.tar"
    words = ["--provenance=false", f"--output=type=oci,dest={archive},name={tag},rewrite-timestamp=true", "."]
    epoch = program.told().inputs["commit"].split()[-1]
    done = run(
        Command(
            (str(find_buildx(env).program), "build", *secrets, *words),
            cwd=program.root,
            env={**env, "SOURCE_DATE_EPOCH": epoch},
            timeout=200,
        )
    )
    assert done, done.output
    with archive.open("rb") as stream:
        program.client.images.load(stream)
    return tag
