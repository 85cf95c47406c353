"""The generated Dockerfile, built by the real engine: what is in the image, what is not, and that it stays the same."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uv as uv_package
from msgspec.structs import replace
from tests.component.conda_programs import SMALL, record_of, use_channel
from tests.component.program import PACKAGE
from tests.support.docker_projects import Forwarder, ReachableIndex
from tests.support.projects import private_environment, write_project
from tests.support.work import a_leg, a_work

from ci_envs.command import Command, run
from ci_envs.conda.lock_reading import read_lock
from ci_envs.containers.base_images import PROBE, BaseImage, all_bases, probed, python_plan
from ci_envs.containers.builder import ImageBuild, build_image
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.conda_stage import conda_files
from ci_envs.containers.context import ignore_text, stage_context
from ci_envs.containers.engine import find_engine
from ci_envs.containers.firewall import user_firewall
from ci_envs.containers.image_tools import requirement_lines
from ci_envs.containers.references import parse_reference
from ci_envs.containers.secrets import Secret
from ci_envs.containers.template import ImagePlan, import_check, render
from ci_envs.content import content_from_probe, read_content
from ci_envs.digest import environment_digest
from ci_envs.interpreters import all_interpreters
from ci_envs.resources import resource
from ci_envs.sources import source_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import DockerClient
    from tests.component.conda_program_fixtures import MakeConda
    from tests.support.channel_server import ChannelServer

    from ci_envs.containers.builder import BuiltImage
    from ci_envs.containers.engine import Engine
    from ci_envs.content import Content
    from ci_envs.work import Work

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
pytest_plugins = ("tests.component.conda_program_fixtures",)

SERIES = "3.11"
LOCK = "locks/oné.txt"

#: What a build could leave behind, looked for outside of what the base brings.
LEFT = r"""
find / -xdev \( -path /usr/local/lib/python3.11 -o -path /usr/share/python-wheels \) -prune -o \( -name '*.whl' \
  -o -name '*.conda' -o -name .cache -o -name pip.conf -o -name uv.toml -o -name '*.part' -o -name 'ci-envs-*' \
  -o -name .conda-packages -o -path '/opt/*/__pycache__/*.pyc' \) -print
ls -A /tmp /run/secrets /etc/uv /root/.cache /var/log/apt 2>/dev/null | grep -v '^/.*:$\|^$'
ls -A /opt | grep -v -x -e venv -e conda
true
"""

PROJECT = {
    "requirements.in": "apple\nplum[jam]\n",
    "src/eat.py": "import apple\n",
    "run.sh": "#!/bin/sh\nexit 0\n",
    "secret.txt": "not for the image\n",
    ".dockerignore": "secret.txt\n*.log\n",
}


@dataclass
class Yard:
    """Where images are built: an engine, an index that its builds reach, and the base."""

    engine: Engine
    base: BaseImage
    environ: dict[str, str]
    folder: Path
    tags: list[str] = field(default_factory=list)

    def work(self, root: Path) -> Work:
        return a_work(root, stage="build", leg=a_leg(pattern="docker", python=SERIES), environ=self.environ)

    def build(
        self,
        name: str,
        plan: ImagePlan,
        root: Path,
        *,
        files: Mapping[str, bytes] | None = None,
        secrets: tuple[Secret, ...] = (),
        no_cache: bool = False,
    ) -> tuple[BuiltImage, str]:
        """The image, and the builder's log."""
        staged = stage_context(
            root, source_files(root), self.folder / f"{name}-context", files=files, locks=self.locks(plan, files)
        )
        dockerfile = self.folder / f"{name}.Dockerfile"
        dockerfile.write_text(render(plan))
        tag = f"ci-envs-test/generated-{name}:{os.getpid()}"
        self.tags.append(tag)
        work = self.work(root)
        work.log.parent.mkdir(parents=True, exist_ok=True)
        work.log.unlink(missing_ok=True)
        request = ImageBuild(
            context=staged.folder,
            dockerfile=dockerfile,
            tag=tag,
            secrets=secrets,
            firewall=user_firewall(work),
            epoch=1_700_000_000,
            no_cache=no_cache,
        )
        built = build_image(self.engine, request, work)
        return built, work.log.read_text("utf-8")

    @staticmethod
    def locks(plan: ImagePlan, files: Mapping[str, bytes] | None) -> tuple[str, ...]:
        return tuple(name for name in (*plan.locks, *plan.settings) if name not in (files or {}))

    def inside(self, image: str, *words: str, user: str = "", volumes: tuple[str, ...] = ()) -> tuple[int, str]:
        """What a command says in a container of the image, with its exit code."""
        made = self.engine.client.containers.create(
            image, entrypoint=list(words[:1]), command=list(words[1:]), user=user, volumes=list(volumes)
        )
        try:
            made.start()
            code = int(made.wait(timeout=120)["StatusCode"])
            return code, made.logs(stdout=True, stderr=True).decode()
        finally:
            made.remove(force=True)

    def content(self, image: str, prefix: str) -> Content:
        """Every file of a prefix, read by the probe inside."""
        probe = (f"{resource('probe.py')}:/probe.py:ro",)
        code, said = self.inside(image, "python", "/probe.py", "content", prefix, volumes=probe)
        assert code == 0, said
        return content_from_probe(json.loads(said))


@pytest.fixture(scope="module")
def gateway(engine_client: DockerClient) -> str:
    """The address by which containers, and builds, reach this machine."""
    config: list[dict[str, Any]] = engine_client.networks.get("bridge").attrs["IPAM"]["Config"]
    return str(next(one["Gateway"] for one in config if "." in one.get("Gateway", "")))


@pytest.fixture(scope="module")
def build_index(
    fruit: Path, world_wheels: Callable[..., Path], gateway: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An index with the universe and the tools of images, where builds can reach it."""
    folder = tmp_path_factory.mktemp("index")
    lock = folder.with_name("tools.txt")
    lock.write_text("\n".join(requirement_lines("pip", "py-rattler", "uv")))
    for source in (fruit, world_wheels(lock=lock)):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    with ReachableIndex(folder) as index, Forwarder(gateway, index.port) as forwarder:
        index.outside = forwarder.address
        yield f"{forwarder.address}/simple/"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yard")


@pytest.fixture(scope="module")
def yard(
    engine_host: str, engine_client: DockerClient, base_image: str, build_index: str, place: Path
) -> Iterator[Yard]:
    folder = place
    environ = private_environment(build_index, folder / "home", folder / "cache")
    host = urlsplit(build_index).hostname or ""
    environ |= {"DOCKER_HOST": engine_host, "PIP_TRUSTED_HOST": host, "PIP_DEFAULT_TIMEOUT": "30"}
    pulled = engine_client.images.pull(base_image)
    digest = pulled.attrs["RepoDigests"][0].rpartition("@")[2]
    base = BaseImage(image=base_image, digest=digest, configured=True)
    with find_engine("docker", environ) as engine:
        yard = Yard(engine, base, environ, folder)
        code, said = yard.inside(base_image, *PROBE)
        assert code == 0, said
        yard.base = probed(base, said)
        yield yard
        for tag in yard.tags:
            with contextlib.suppress(Exception):
                engine.client.images.remove(tag, force=True)


def a_plan(yard: Yard, **more: Any) -> ImagePlan:
    usual: dict[str, Any] = {
        "base": yard.base.reference,
        "python": SERIES,
        "interpreter": python_plan(yard.base, SERIES),
        "installer": "uv",
        "lock_format": "requirements",
        "locks": (LOCK,),
        "health": import_check(["apple", "plum"]),
    }
    return ImagePlan(**{**usual, **more})


@pytest.fixture(scope="module")
def interpreter(yard: Yard) -> Path:
    """This machine's Python of the very version that the base has."""
    _, said = yard.inside(yard.base.image, "python3", "-c", "import platform; print(platform.python_version())")
    found = [one for one in all_interpreters(environ=yard.environ) if one.version == said.strip()]
    assert found, f"no Python {said.strip()} here, which the base has"
    return Path(found[0].executable)


@pytest.fixture(scope="module")
def project(yard: Yard, interpreter: Path) -> Path:
    """A project of requirements, with its lock."""
    root = write_project(yard.folder / "project", PROJECT)
    (root / "locks").mkdir()
    (root / "run.sh").chmod(0o700)
    words = ("pip", "compile", "-q", "--generate-hashes", "--no-header", "--python", str(interpreter))
    done = run(
        Command(
            (uv_package.find_uv_bin(), *words, "-o", str(root / LOCK), str(root / "requirements.in")), env=yard.environ
        )
    )
    assert done, done.output
    return root


@pytest.fixture(scope="module")
def host_digest(yard: Yard, project: Path, interpreter: Path) -> str:
    """Of an environment of this machine, made from the same lock."""
    prefix = yard.folder / "host"
    for words in (
        ("venv", "-q", "--no-project", "--python", str(interpreter), str(prefix)),
        ("pip", "sync", "-q", "--require-hashes", "--python", str(prefix), str(project / LOCK)),
    ):
        done = run(Command((uv_package.find_uv_bin(), *words), env=yard.environ))
        assert done, done.output
    return environment_digest(read_content(prefix)).value


@pytest.mark.parametrize("installer", ["uv", "venv"])
def test_an_image_has_the_locked_environment_and_nothing_that_made_it(
    installer: str, yard: Yard, project: Path, host_digest: str
) -> None:
    built, _ = yard.build(installer, a_plan(yard, installer=installer), project)
    assert environment_digest(yard.content(built.id, "/opt/venv")).value == host_digest
    assert yard.inside(built.id, "sh", "-c", LEFT, user="0")[1] == ""
    assert yard.inside(built.id, "sh", "-c", "command -v gcc cc uv pip-compile")[1] == ""
    assert yard.inside(built.id, "sh", "-c", "id -u; id -g; id -un; pwd; touch a ~/b && echo writable")[1].split() == [
        *("10001", "10001", "app", "/app", "writable"),
    ]
    assert yard.inside(built.id, "sh", "-c", "touch /opt/venv/x 2>/dev/null || echo safe")[1] == "safe\n"
    listed = yard.inside(built.id, "sh", "-c", "cd /app && find . -type f | sort && stat -c %a run.sh src")[1]
    assert listed.split() == [f"./{LOCK}", "./requirements.in", "./run.sh", "./src/eat.py", "755", "755"]


def test_two_builds_without_a_cache_are_one_image(yard: Yard, project: Path) -> None:
    plan = a_plan(yard, packages=("tree",))
    first, _ = yard.build("one", plan, project, no_cache=True)
    second, _ = yard.build("two", plan, project, no_cache=True)
    assert first.reproducible, first.why_not
    assert first.manifest == second.manifest


def test_packages_of_the_distribution_leave_their_files_alone(yard: Yard, project: Path) -> None:
    built, _ = yard.build("apt", a_plan(yard, packages=("tree",), build_packages=("make",)), project)
    assert yard.inside(built.id, "sh", "-c", "command -v tree; command -v make")[1] == "/usr/bin/tree\n"
    assert yard.inside(built.id, "sh", "-c", LEFT, user="0")[1] == ""
    files = "ls /var/lib/apt/lists/*_Packages* /var/cache/apt/*.bin /var/lib/dpkg/*-old /var/log/dpkg.log 2>/dev/null"
    assert yard.inside(built.id, "sh", "-c", files)[1] == ""


def test_a_changed_source_reinstalls_nothing(yard: Yard, project: Path, tmp_path: Path) -> None:
    root = shutil.copytree(project, tmp_path / "project")
    yard.build("edit", a_plan(yard), root)
    (root / "src" / "eat.py").write_text("import apple, plum\n")
    built, log = yard.build("edit", a_plan(yard), root)
    assert "uv pip sync" in log
    assert "Installed" not in log, "the environment was installed again"
    assert yard.inside(built.id, "cat", "/app/src/eat.py")[1] == "import apple, plum\n"


def test_the_health_check_tells_of_an_image_that_works(yard: Yard, project: Path) -> None:
    built, _ = yard.build("uv", a_plan(yard), project)
    client: Any = yard.engine.client
    told = client.api.inspect_image(built.id)["Config"]["Healthcheck"]["Test"]
    assert told == ["CMD", "python", "-c", "import apple, plum"]
    # The image's own begins after a minute; its words are what is tried.
    made = client.containers.run(built.id, ["sleep", "60"], detach=True, healthcheck={"test": told, "interval": 10**9})
    try:
        deadline = time.monotonic() + 30
        while (health := client.api.inspect_container(made.id)["State"]["Health"])["Status"] == "starting":
            assert time.monotonic() < deadline, health
            time.sleep(0.2)
        assert health["Status"] == "healthy", health
    finally:
        made.remove(force=True)


def test_a_base_without_python_gets_that_of_its_distribution(yard: Yard, project: Path, registry: str) -> None:
    plain = replace(all_bases()["plain"], image=f"{registry}/library/debian:bookworm-slim", digest="")
    yard.engine.client.images.pull(plain.image)
    plan = a_plan(yard, base=plain.reference, interpreter=python_plan(plain, SERIES))
    assert plan.interpreter.source == "apt"
    built, _ = yard.build("plain", plan, project)
    assert yard.inside(built.id, "python", "-c", "import apple, plum, sys; print(sys.base_prefix)")[1] == "/usr\n"
    assert yard.inside(built.id, "sh", "-c", LEFT, user="0")[1] == ""


def test_python_as_the_first_process_ends_by_the_signal_of_the_image(yard: Yard, project: Path) -> None:
    built, _ = yard.build("uv", a_plan(yard), project)
    made = yard.engine.client.containers.run(built.id, ["python", "-c", "import time; time.sleep(60)"], detach=True)
    try:
        time.sleep(1)
        began = time.monotonic()
        made.stop(timeout=20)
        assert time.monotonic() - began < 10
    finally:
        made.remove(force=True)


def test_the_kept_file_builds_by_itself(yard: Yard, project: Path, tmp_path: Path) -> None:
    """As a person would: from the project's folder, with a plain builder and the secrets as files."""
    root = shutil.copytree(project, tmp_path / "kept")
    plan = a_plan(yard)
    (root / "Dockerfile").write_text(render(plan))
    (root / "Dockerfile.dockerignore").write_text(ignore_text(root, also=("Dockerfile*",), needed=plan.locks))
    for name in (".ci-envs/envs/x", ".venv/lib"):
        (root / name).mkdir(parents=True)
        (root / name / "huge").write_text("x")
    tag = f"ci-envs-test/kept:{os.getpid()}"
    yard.tags.append(tag)
    words = ["build", "--quiet", "--load", "--tag", tag]
    for secret in user_firewall(yard.work(root)).secrets:
        (tmp_path / secret.id).write_text(secret.value)
        words += ["--secret", f"id={secret.id},src={tmp_path / secret.id}"]
    environ = {**yard.environ, **yard.engine.environ}
    done = run(Command((str(find_buildx(environ).program), *words, "."), cwd=root, env=environ))
    assert done, done.output
    listed = yard.inside(tag, "sh", "-c", "cd /app && find . -type f | sort")[1]
    assert listed.split() == [f"./{LOCK}", "./requirements.in", "./run.sh", "./src/eat.py"]
    assert yard.inside(tag, "python", "-c", "import apple, plum")[0] == 0


@pytest.mark.parametrize("installer", ["uv", "venv"])
def test_a_project_that_is_a_package_is_installed_as_its_wheel(
    installer: str, yard: Yard, interpreter: Path, tmp_path: Path
) -> None:
    root = write_project(tmp_path / "package", PACKAGE)
    uv_bin, lock = uv_package.find_uv_bin(), "uv.lock" if installer == "uv" else LOCK
    words: tuple[str, ...]
    if installer == "uv":
        words = ("lock", "-q", "--project", str(root), "--python", str(interpreter))
    else:
        (root / "locks").mkdir()
        words = (
            "pip",
            "compile",
            "-q",
            "--generate-hashes",
            "--no-header",
            "-o",
            str(root / LOCK),
            str(root / "pyproject.toml"),
        )
    done = run(Command((uv_bin, *words), env=yard.environ, cwd=root))
    assert done, done.output
    plan = a_plan(
        yard,
        installer=installer,
        lock_format="uv.lock" if installer == "uv" else "requirements",
        locks=(lock,),
        settings=("pyproject.toml",),
        installs_project=True,
        sources=installer == "uv",
        health=import_check(["basket"]),
    )
    built, _ = yard.build(f"wheel-{installer}", plan, root)
    where = "import basket, sys; print(basket.__file__)"
    said = yard.inside(built.id, "python", "-I", "-c", where)[1].strip()
    assert said == f"/opt/venv/lib/python{SERIES}/site-packages/basket/__init__.py"
    assert yard.inside(built.id, "sh", "-c", LEFT, user="0")[1] == ""
    (root / "src" / "basket" / "__init__.py").write_text("import apple\nMARK = 1\n")
    assert yard.inside(built.id, "touch", "here")[0] == 0, "the user cannot write to the working directory"
    again, log = yard.build(f"wheel-{installer}", plan, root)
    assert yard.inside(again.id, "python", "-I", "-c", "import basket; print(basket.MARK)")[1] == "1\n"
    assert "Installed 3 packages" not in log
    assert "Collecting apple" not in log
    assert again.layers[: -3 if plan.sources else -2] == built.layers[: -3 if plan.sources else -2], (
        "more than the wheel and /app is new"
    )


ODD = "a \"b\" 'c' $HOME ${HOME} $(id) `id` \\n \\ # ; && <<EOF {{ x }} é 人"


def test_values_come_out_as_they_were(yard: Yard, project: Path) -> None:
    plan = a_plan(
        yard,
        labels={"org.example.odd": ODD},
        variables={"ODD": ODD},
        entry=("python", "-c", f"print({ODD!r})"),
        health=("printf", "%s", ODD + "\n$HOME"),
    )
    built, _ = yard.build("odd", plan, project)
    client: Any = yard.engine.client
    told = client.api.inspect_image(built.id)["Config"]
    assert told["Labels"]["org.example.odd"] == ODD
    assert f"ODD={ODD}" in told["Env"]
    assert told["Cmd"] == ["python", "-c", f"print({ODD!r})"]
    assert told["Healthcheck"]["Test"] == ["CMD", "printf", "%s", ODD + "\n$HOME"]
    assert yard.inside(built.id, "printenv", "ODD")[1] == ODD + "\n"


def test_a_conda_image_has_the_digest_of_the_hosts_environment(
    yard: Yard,
    make_conda: MakeConda,
    session_lean_server: ChannelServer,
    build_index: str,
    gateway: str,
) -> None:
    program = make_conda("conda", SMALL)
    use_channel(program, session_lean_server.url())
    done = program.run()
    assert done.code == 0, done.said
    record = record_of(program)
    assert record.environment is not None
    assert record.lock is not None
    lock = read_lock((program.root / record.lock.path).read_text(), path=record.lock.path)
    with Forwarder(gateway, session_lean_server.port) as channel:
        address = f"{channel.address}/conda-forge"
        mirrors = {"mirrors": {one.url.rsplit("/", 2)[0]: [address] for one in lock.packages if one.manager == "conda"}}
        files = conda_files(lock.of("linux-64"), {})
        plan = a_plan(
            yard,
            installer="conda",
            lock_format="conda",
            locks=tuple(files),
            interpreter=python_plan(yard.base, SERIES, conda=True),
            health=import_check(["apple", "plum"]),
        )
        secrets = (Secret("ci-envs-conda", value=json.dumps(mirrors)),)
        built, _ = yard.build("conda", plan, program.root, files=files, secrets=secrets)
        again, _ = yard.build("conda", plan, program.root, files=files, secrets=secrets, no_cache=True)
    assert environment_digest(yard.content(built.id, "/opt/conda")).value == record.environment.digest
    assert again.manifest == built.manifest
    assert yard.inside(built.id, "python", "-c", "import apple, plum, sys; print(sys.prefix)")[1] == "/opt/conda\n"
    assert yard.inside(built.id, "sh", "-c", LEFT, user="0")[1] == ""


def test_a_base_is_looked_into_for_its_python(yard: Yard, base_image: str) -> None:
    assert yard.base.brings == (SERIES,)
    assert yard.base.ensurepip == (SERIES,)
    assert yard.base.packages == "apt"
    assert yard.base.distribution == "debian-12"
    assert parse_reference(base_image).name == yard.base.reference.name
