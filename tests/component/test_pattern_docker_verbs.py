"""What else is done with an image once it is there: exec, check, verify, clean; and what its containers may take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_projects import DOCKER_LEG

from ci_envs.containers.listing import listed

if TYPE_CHECKING:
    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import DockerProgram

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

#: Nothing is installed, so that it is built in a second or two.
PLAIN = {"Dockerfile": "FROM BASE\nWORKDIR /app\nCOPY basket.py ./\n", "basket.py": "ripe = True\n"}
TRUE = 'test: {command: python -c "import basket"}\n'


def test_exec_runs_in_a_container_of_the_image_and_hands_on_output_and_exit_code(make_docker: MakeDocker) -> None:
    program = make_docker("plain", PLAIN, config=TRUE)
    before = program.do("exec", DOCKER_LEG, "--", "true")
    assert before.code == 6, before.said
    assert f"ci-envs run --only '{DOCKER_LEG}'" in before.stderr
    program.green()
    script = "import basket, os, sys; print(basket.ripe, os.environ['CI_ENVS_LEG']); sys.exit(7)"
    done = program.do("exec", DOCKER_LEG, "--", "python", "-c", script)
    assert (done.code, done.stdout) == (7, f"True {DOCKER_LEG}\n"), done.said
    missing = program.do("exec", DOCKER_LEG, "--", "no-such-program")
    assert missing.code in (4, 126, 127), missing.said
    assert "no-such-program" in missing.said
    assert program.containers() == []
    program.client.api.remove_image(program.image, force=True)
    gone = program.do("exec", DOCKER_LEG, "--", "true")
    assert (gone.code, "there is no image" in gone.stderr) == (6, True), gone.said


def test_check_judges_the_image_that_is_there_and_builds_none(make_docker: MakeDocker) -> None:
    program = make_docker("plain", PLAIN, config=TRUE)
    program.green()
    image = program.inspect()["Id"]
    assert program.do("check", DOCKER_LEG).code == 0
    program.write({"basket.py": "ripe = False\n"})
    stale = program.do("check", DOCKER_LEG)
    assert stale.code == 7, stale.said
    assert "sources changed" in stale.said
    assert program.inspect()["Id"] == image
    assert program.containers() == []


def test_verify_builds_twice_and_leaves_nothing(make_docker: MakeDocker) -> None:
    program = make_docker("plain", PLAIN, config=TRUE)
    done = program.do("verify", DOCKER_LEG, "--json", timeout=280)
    assert done.code == 0, done.said
    told = json.loads(done.stdout)
    assert told["same"] is True
    assert told["first"] == told["second"]
    assert told["first"].startswith("sha256:")
    assert program.images() == []
    assert ours(program, "verify") == []
    assert not list(program.state.glob("verify/*"))


def test_verify_names_layer_instruction_and_file_of_what_differs(make_docker: MakeDocker) -> None:
    text = PLAIN["Dockerfile"] + "RUN date +%N > /when\n"
    program = make_docker("dated", {**PLAIN, "Dockerfile": text}, config=TRUE)
    done = program.do("verify", DOCKER_LEG, "--json", timeout=280)
    assert done.code == 9, done.said
    told = json.loads(done.stdout)
    assert told["first"] != told["second"]
    (found,) = [one for one in told["differences"] if "when" in one[0]]
    path, kind, reason = found
    assert "RUN date +%N > /when" in path + reason
    assert "layer" in path
    assert "content" in kind
    shown = program.do("verify", DOCKER_LEG, timeout=280)
    assert shown.code == 9
    assert "when" in shown.stdout


def ours(program: DockerProgram, part: str) -> list[str]:
    """Images of state folders below the program's that are not its own."""
    names = [name for image in listed(program.client.api.images) for name in image["RepoTags"] or ()]
    return [name for name in names if part in name and "localhost/ci-envs/" in name]


def test_clean_removes_our_images_and_containers_and_nobody_elses(make_docker: MakeDocker, base_image: str) -> None:
    program = make_docker("plain", PLAIN, config=TRUE)
    other = make_docker("other", PLAIN, config=TRUE)
    program.green()
    other.green()
    client = program.client
    client.images.pull(base_image)  # builds alone bring no image under its name
    theirs = client.containers.create(base_image, ["true"], name="ci-envs-test-theirs", labels={"org.repro-envs": "no"})
    client.images.get(base_image).tag("ci-envs-test/theirs", "1")
    left = client.containers.create(
        base_image, ["true"], labels={"org.repro-envs.state": program.image.partition(":")[0].rpartition("/")[2]}
    )
    try:
        assert len(program.containers()) == 1
        done = program.do("clean", "--json")
        assert done.code == 0, done.said
        assert (program.images(), program.containers()) == ([], [])
        assert f"docker: image {program.image}" in done.stdout
        assert other.images() == [other.image]
        assert client.containers.get(theirs.id).status == "created"
        assert client.images.get("ci-envs-test/theirs:1")
        assert not (program.state / "images").exists() or not list((program.state / "images").iterdir())
    finally:
        theirs.remove(force=True)
        client.api.remove_image("ci-envs-test/theirs:1")
        assert left is not None
    one = other.do("clean", DOCKER_LEG)
    assert one.code == 0, one.said
    assert other.images() == []


# --- what containers may take

# Not nofile: runc before 1.1.13 now and then gives a process another one (https://github.com/opencontainers/runc/issues/4195).
LIMITS = """\
docker:
  memory: 256m
  shm-size: 32m
  cpus: 1
  ulimits: {nproc: "250:500"}
  env: {FRUIT: "ripe, $HOME"}
  volumes: {./cache: /cache}
  cap-add: [SYS_PTRACE]
  security-opt: [seccomp=unconfined]
test: {command: python limits.py}
"""

LIMITS_TEST = """\
import os, pathlib, resource

assert os.environ["FRUIT"] == "ripe, $HOME"
assert resource.getrlimit(resource.RLIMIT_NPROC) == (250, 500), resource.getrlimit(resource.RLIMIT_NPROC)
room = os.statvfs("/dev/shm")
assert room.f_blocks * room.f_frsize == 32 << 20
pathlib.Path("/cache/written").write_text("inside")
for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
    if os.path.exists(path):
        assert pathlib.Path(path).read_text() == f"{256 << 20}\\n", pathlib.Path(path).read_text()
        break
else:
    raise SystemExit("no limit to be read")
"""


def test_containers_get_what_the_configuration_says_and_the_record_names_what_is_relaxed(
    make_docker: MakeDocker,
) -> None:
    text = PLAIN["Dockerfile"] + "COPY limits.py ./\n"
    program = make_docker("limits", {**PLAIN, "Dockerfile": text, "limits.py": LIMITS_TEST}, config=LIMITS)
    program.green()
    assert (program.root / "cache" / "written").read_text() == "inside"
    image = program.told().image
    assert image is not None
    assert image.relaxed == ("capability SYS_PTRACE", "seccomp=unconfined")


def test_a_test_that_takes_more_memory_than_it_may_is_said_with_the_limit(make_docker: MakeDocker) -> None:
    config = "docker: {memory: 64m}\ntest:\n  command: python -c \"b'1' * (1 << 28)\"\n"
    program = make_docker("hungry", PLAIN, config=config)
    done = program.run(timeout=200)
    assert done.code == 8, done.said
    assert "ran out of memory" in program.told().reason
    assert "64m" in program.told().reason
    assert program.containers() == []


# --- a GPU that is not here

GPU_MATRIX = """\
axes: {pattern: [docker], python: ["PYTHON"], accelerator: [cuda12]}
"""


def gpu(make_docker: MakeDocker, *requirements: str, more: str = "") -> DockerProgram:
    """A leg for CUDA 12 with CUDA from wheels."""
    files = {"requirements.in": "".join(f"{one}\n" for one in requirements), "gpu.yml": GPU_MATRIX}
    config = f"docker: {{base-image: BASE}}\ntest: {{command: python -c pass}}\n{more}"
    program = make_docker("gpu", files, config=config)
    program.words = ("gpu.yml",)
    program.leg = f"{DOCKER_LEG}-cuda12"
    return program


def test_without_a_gpu_all_that_can_be_known_is_checked_and_the_rest_is_called_skipped(make_docker: MakeDocker) -> None:
    program = gpu(make_docker, "nvidia-cuda-runtime-cu12", "nvidia-cublas-cu12")
    program.green()
    record = program.told()
    assert "skipped accelerator: no GPU" in program.stage("check").reason
    assert record.image is not None
    assert record.image.cuda == "12.4"
    assert record.image.driver
    assert record.image.labels["org.repro-envs.cuda"] == "12.4"
    assert record.image.labels["org.repro-envs.lowest-driver"] == record.image.driver
    assert record.extra["cuda"]["version"] == "12.4"

    done = program.run("--expect-gpu=true")
    assert done.code == 7, done.said
    assert program.found("ENV501")
    assert program.told().status == "failed"


def test_cuda_of_two_kinds_is_a_finding_where_no_gpu_is(make_docker: MakeDocker) -> None:
    program = gpu(make_docker, "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11")
    done = program.run(timeout=280)
    assert done.code == 7, done.said
    messages = " ".join(each.message for each in program.found("ENV503"))
    assert "nvidia-cuda-runtime-cu11" in messages
