"""``build-envs.yml`` is walked job by job: plan, legs, report, on our examples and in a stranger's repository.

Nothing of ci-envs is stood in for: each job makes a private environment as on GitHub (one for all jobs of a server),
builds with uv, runs tests, and hands artifacts on.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.workflow_runner.events import Event, pull_request, push, workflow_dispatch
from tests.support.workflow_runner.repositories import Repository, git
from tests.support.workflow_runner.running import TOKEN, Server, machine_variables

from ci_envs.containers.engine import find_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.channel_server import ChannelServer
    from tests.support.workflow_runner.artifacts import Artifact
    from tests.support.workflow_runner.node import Node
    from tests.support.workflow_runner.results import JobRun, Walk
    from tests.support.workflow_runner.running import Run

pytestmark = [
    pytest.mark.component,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="the runner that is stood for here is a Linux one"),
]

ROOT = Path(__file__).parents[2]
WORKFLOW = ".github/workflows/envs.yml"
SECRET = "canary-of-a-secret-of-the-caller"
PYTHONS = tuple(f"3.{minor}" for minor in sorted({11, sys.version_info.minor}))

# What a stranger writes: the eight lines of the README, which are those of this file.
EIGHT_LINES = (ROOT / "docs" / "examples" / "envs.yml").read_text("utf-8")

MATRIX = f"""\
axes:
  pattern: [uv, venv]
  python: {json.dumps(PYTHONS)}
"""

PROJECT: dict[str, str] = {
    WORKFLOW: EIGHT_LINES,
    "matrices/default.yml": MATRIX,
    "pyproject.toml": """\
[project]
name = "tiny"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["iniconfig>=2"]

[dependency-groups]
dev = ["pytest>=8"]

[tool.uv]
package = false

[tool.pytest.ini_options]
testpaths = ["tests"]
""",
    "requirements.in": "iniconfig>=2\npytest>=8\n",
    "tests/test_tiny.py": """\
import os


def test_adds() -> None:
    assert 1 + 1 == 2
    assert os.environ["HOME"]
""",
}


@dataclass
class Stranger:
    """A server with our repository and a stranger's; one private environment of ci-envs for all that runs on it."""

    server: Server
    repository: Repository

    def start(self, event: Event | None = None, workflow: str = WORKFLOW, **more: Any) -> Walk:
        """Walks the stranger's workflow, by default for a push."""
        return self.server.start(self.repository.name, workflow, event or push(self.repository), **more)


@pytest.fixture(scope="module")
def github(node: Node, ours: Repository, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server, for all walks of this module: what is made of a lock in one is not made again in the next."""
    folder = tmp_path_factory.mktemp("github")
    secrets = {"PASSWORD": SECRET}
    return Server(node, folder, {ours.name: ours}, secrets=secrets, share="private-venv.sh")


@pytest.fixture(scope="module")
def locked(github: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The lock files of the project, made by a walk that makes locks, as they come out of its artifacts."""
    repository = Repository.make("stranger/locks", tmp_path_factory.mktemp("locks") / "p", PROJECT)
    github.repositories[repository.name] = repository
    repository.commit("locks", {WORKFLOW: EIGHT_LINES + "      lock-mode: auto\n"})
    walk = github.start(repository.name, WORKFLOW, push(repository))
    assert walk.result == "success", walk.trouble
    assert walk.artifacts is not None
    found = {}
    for artifact in walk.artifacts.kept.values():
        files = artifact.files()
        if "record.json" in files:
            path = json.loads(files["record.json"])["lock"]["path"]
            found[path] = files[f"lock/{path}"]
    return found


@pytest.fixture
def stranger(github: Server, locked: dict[str, bytes], tmp_path: Path) -> Iterator[Stranger]:
    """A project with two patterns, its locks, and the eight lines."""
    repository = Repository.make("stranger/project", tmp_path / "project", {**PROJECT, **locked})
    github.repositories[repository.name] = repository
    github.caches.kept.clear()
    yield Stranger(github, repository)
    github.tidy()


def report(walk: Walk) -> dict[str, Any]:
    """``report.json`` of the run."""
    read: dict[str, Any] = json.loads(artifact(walk, "ci-envs-report").files()["report.json"])
    return read


def artifact(walk: Walk, name: str) -> Artifact:
    assert walk.artifacts is not None
    assert name in walk.artifacts.kept, list(walk.artifacts.kept)
    return walk.artifacts.kept[name]


def statuses(walk: Walk) -> dict[str, str]:
    """Of each leg, as the report has it."""
    return {leg["id"]: leg["status"] for leg in report(walk)["legs"]}


def reason(walk: Walk, leg: str) -> str:
    return next(str(one["reason"]) for one in report(walk)["legs"] if one["id"] == leg)


def leg(pattern: str, python: str = PYTHONS[0]) -> str:
    return f"{pattern}-py{python.replace('.', '')}-linux-x86_64"


#: Of the default matrix.
LEGS = [leg(pattern, python) for pattern in ("uv", "venv") for python in PYTHONS]


# --- green


def test_a_stranger_with_eight_lines_gets_every_environment(stranger: Stranger) -> None:
    walk = stranger.start()

    assert walk.result == "success", walk.trouble
    assert statuses(walk) == dict.fromkeys(LEGS, "passed")
    assert {job.name for job in walk.jobs.values()} >= {
        "envs / Plan",
        "envs / Report",
        *(f"envs / {name}" for name in LEGS),
    }
    outputs = walk.outputs["envs"]
    assert (outputs["status"], outputs["legs"], outputs["passed"]) == ("passed", str(len(LEGS)), str(len(LEGS)))
    assert outputs["report"] == "ci-envs-report"
    assert [one for one in walk.annotations if one.level == "error"] == []
    summary = walk.job("envs/report").summary
    assert "## Environments: passed" in summary
    assert outputs["reproduce-command"] in summary


def test_no_leg_sees_a_secret_and_no_log_or_artifact_holds_the_token(stranger: Stranger) -> None:
    walk = stranger.start()

    raw = "".join(step.raw_log for job in walk.jobs.values() for step in job.all_steps())
    assert walk.artifacts is not None
    files = [content for one in walk.artifacts.kept.values() for content in one.files().values()]
    for secret in (SECRET, TOKEN):
        assert secret not in raw
        assert not any(secret.encode() in content for content in files)
    assert walk.job("envs/report").permissions == {}
    assert walk.job("envs/plan").permissions == {"contents": "read"}


def test_the_second_run_finds_the_packages_of_the_first(stranger: Stranger) -> None:
    first, second = stranger.start(), stranger.start()

    def hits(walk: Walk) -> set[str]:
        return {job.step("restore").outputs.get("cache-hit", "") for job in walk.jobs.values() if job.matrix}

    assert hits(first) == {""}
    assert hits(second) == {"true"}
    assert statuses(second) == dict.fromkeys(LEGS, "passed")


@pytest.mark.parametrize("kind", ["packages", "environment"])
def test_a_poisoned_cache_is_refused_and_what_it_held_is_made_anew(
    stranger: Stranger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stranger.server, "parallel", 1)  # each job's workspace has the same path then, as on GitHub
    stranger.repository.commit("kept", {WORKFLOW: EIGHT_LINES + "      cache-environment: true\n"})
    first, second = stranger.start(), stranger.start()
    kept = stranger.server.caches.kept
    for key in [key for key in kept if key[0].startswith(f"ci-envs-{kind}-")]:
        kept[key] = poisoned(kept[key], b"class IniConfig" if kind == "environment" else b"iniconfig/__init__.py")

    third = stranger.start()

    assert second.annotations == []
    assert {one.title for one in third.annotations} == {"ENV121: cache was refused"}
    for walk in (first, second, third):
        assert statuses(walk) == dict.fromkeys(LEGS, "passed"), walk.trouble
    steps = [job.step("restore-environment") for job in second.jobs.values() if job.matrix]
    assert [step.outputs["cache-hit"] for step in steps] == ["true"] * len(LEGS)


def poisoned(archive: bytes, word: bytes) -> bytes:
    """The same archive with the first occurrence of a word changed in what one of its files holds."""
    content = archive.index(word)
    return archive[:content] + word.swapcase() + archive[content + len(word) :]


@pytest.mark.parametrize("most", [2, 1])
def test_more_legs_than_a_shard_holds_go_through_shards(
    stranger: Stranger, locked: dict[str, bytes], most: int
) -> None:
    # Two legs, and one leg, in a shard: one artifact alone goes straight into its folder (download-artifact v8).
    again = {f"other/{name}": text for name, text in (PROJECT | locked).items() if name != WORKFLOW}
    matrix = f'axes:\n  project: [".", other]\n  pattern: [uv, venv]\n  python: ["{PYTHONS[0]}"]\n'
    files = {WORKFLOW: EIGHT_LINES + f"      max-legs: {most}\n", "matrices/default.yml": matrix}
    stranger.repository.commit("shards", {**again, **files})
    legs = [f"{leg(pattern)}{project}" for project in ("", "-other") for pattern in ("uv", "venv")]

    walk = stranger.start()

    assert walk.result == "success", walk.trouble
    assert walk.job("envs/leg").result == "skipped"
    gathered = {key for key in walk.jobs if key.endswith("/gather")}
    assert gathered == {f"envs/shard ({number})/gather" for number in range(4 // most)}
    assert statuses(walk) == dict.fromkeys(legs, "passed")
    assert walk.outputs["envs"]["legs"] == "4"


def test_a_leg_of_a_shard_that_fails_is_red_and_named(stranger: Stranger) -> None:
    stranger.repository.commit(
        "stale", {WORKFLOW: EIGHT_LINES + "      max-legs: 1\n", "requirements.in": "colorama\n"}
    )

    walk = stranger.start()

    only_failed(walk, lambda name: name.startswith("venv"))
    assert ("requirements.in", "1") in errors(walk, "envs/report")


def test_one_leg_alone(stranger: Stranger) -> None:
    stranger.repository.commit("one", {WORKFLOW: EIGHT_LINES + f"      matrix-filter: {LEGS[0]}\n"})

    walk = stranger.start()

    assert walk.result == "success", walk.trouble
    assert statuses(walk) == {LEGS[0]: "passed"}


def test_the_workflow_is_started_by_hand_in_our_own_repository(
    github: Server, ours: Repository, locked: dict[str, bytes], tmp_path: Path
) -> None:
    # Its inputs are texts then, numbers too.
    own = Repository.make("org/repro-envs", Path(shutil.copytree(ours.folder, tmp_path / "own", symlinks=True)))
    files = {f"small/{name}": text for name, text in (PROJECT | locked).items() if name != WORKFLOW}
    own.commit("a project", files)
    server = Server(github.node, tmp_path / "server", {own.name: own}, share="private-venv.sh")
    inputs = {"working-directory": "small", "max-legs": "1", "matrix-filter": "uv-*"}

    walk = server.start(own.name, ".github/workflows/build-envs.yml", workflow_dispatch(own, inputs))

    assert walk.result == "success", walk.trouble
    assert statuses(walk) == {name: "passed" for name in LEGS if name.startswith("uv")}


# --- our examples

EXAMPLES = """\
axes:
  project: [examples/package, examples/datascience]
  pattern: [uv, venv]
  python: ["PYTHON"]
"""


#: What brings its Python with it: packages of conda, an image, a shell of nix.
CONTAINED_EXAMPLES = """\
include:
  - {pattern: conda, python: "3.12", project: examples/conda}
  - {pattern: docker, python: "3.12", project: examples/datascience}
  - {pattern: nix, python: "3.12", project: examples/nix-flake}
"""


def of_examples(folder: Path, matrix: str) -> Repository:
    """A repository with our examples and the eight lines."""
    ignored = shutil.ignore_patterns("__pycache__", ".ci-envs", ".venv", "uv.lock", ".*_cache")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    files = {WORKFLOW: EIGHT_LINES + "      lock-mode: auto\n", "matrices/default.yml": matrix}
    return Repository.make("stranger/examples", folder, files)


def test_our_examples_are_built_by_the_workflow(github: Server, tmp_path: Path) -> None:
    python = PYTHONS[-1] if PYTHONS[-1] in ("3.12", "3.13") else "3.11"
    repository = of_examples(tmp_path / "examples", EXAMPLES.replace("PYTHON", python))
    github.repositories[repository.name] = repository

    walk = github.start(repository.name, WORKFLOW, push(repository))

    assert walk.result == "success", walk.trouble
    assert len(statuses(walk)) == 4
    assert set(statuses(walk).values()) == {"passed"}


def test_examples_that_bring_their_python_are_built_by_the_workflow(
    github: Server, channel_server: ChannelServer, engine_host: str, nixpkgs: Path, tmp_path: Path
) -> None:
    condarc = tmp_path / "condarc"
    condarc.write_text(f"mirrored_channels:\n  conda-forge: [{channel_server.url('conda-forge')}]\n", encoding="utf-8")
    own = {"CONDARC": str(condarc), "DOCKER_HOST": engine_host, "CI_ENVS_NIX_INPUTS": f"nixpkgs={nixpkgs}"}
    repository = of_examples(tmp_path / "examples", CONTAINED_EXAMPLES)
    known = {**github.repositories, repository.name: repository}
    machine = {**machine_variables(), **own}
    server = Server(github.node, tmp_path / "server", known, machine=machine, share="private-venv.sh")

    walk = server.start(repository.name, WORKFLOW, push(repository))

    assert walk.result == "success", walk.trouble
    assert set(statuses(walk).values()) == {"passed"}
    assert {name.partition("-")[0] for name in statuses(walk)} == {"conda", "docker", "nix"}
    # A runner's engine goes with it; this one stays.
    in_docker = next(name for name in statuses(walk) if name.startswith("docker"))
    record = json.loads(artifact(walk, f"ci-envs-leg-{in_docker}").files()["record.json"])
    with find_engine("docker", own) as engine:
        engine.client.images.remove(record["image"]["name"], force=True)


# --- red: three planted faults


def errors(walk: Walk, job: str) -> list[tuple[str, str]]:
    """(file, line) of each error that the job annotates."""
    return [(one.file, one.line) for one in walk.job(job).annotations if one.level == "error" and one.file]


def only_failed(walk: Walk, failed: Callable[[str], bool]) -> None:
    assert walk.result == "failure"
    assert walk.job("envs/report").result == "failure"
    found = {name for name, status in statuses(walk).items() if status != "passed"}
    assert found == {name for name in LEGS if failed(name)}


def test_a_stale_lock_is_red_and_named_with_its_line(stranger: Stranger) -> None:
    stranger.repository.commit("more", {"requirements.in": "iniconfig>=2\npytest>=8\ncolorama>=0.4\n"})

    walk = stranger.start()

    only_failed(walk, lambda name: name.startswith("venv"))
    assert ("requirements.in", "3") in errors(walk, "envs/report"), walk.job("envs/report").annotations
    assert "colorama" in reason(walk, leg("venv"))


def test_a_failing_test_is_red_and_named_with_its_line(stranger: Stranger) -> None:
    stranger.repository.commit("bad", {"tests/test_tiny.py": PROJECT["tests/test_tiny.py"].replace("== 2", "== 3")})

    walk = stranger.start()

    only_failed(walk, lambda name: True)
    assert errors(walk, "envs/report") == [("tests/test_tiny.py", "5")], walk.job("envs/report").annotations
    assert all(errors(walk, f"envs / {name}") == [] for name in LEGS), "told of twice"
    (found,) = [one for one in report(walk)["findings"] if one["code"] == "TEST001"]
    assert (found["file"], found["line"], found["legs"]) == ("tests/test_tiny.py", 5, LEGS)
    summary = walk.job("envs/report").summary
    assert "tests.test_tiny.test_adds" in summary
    assert all(f"**failed** `{name}`: `test: 1 of 1 tests failed" in summary for name in LEGS), summary


def test_what_no_runner_tells_of_a_problem_matcher_sees(stranger: Stranger) -> None:
    files = {"smoke.py": "def begin():\n    raise ValueError('no')\n\nbegin()\n"}
    stranger.repository.commit("smoke", {**files, "ci-envs.yml": "test: {command: python smoke.py}\n"})

    walk = stranger.start()

    only_failed(walk, lambda name: True)
    for name in LEGS:
        assert errors(walk, f"envs / {name}") == [("smoke.py", "2")], walk.log


def test_a_tool_that_is_missing_is_red_and_says_how_to_get_it(stranger: Stranger) -> None:
    matrix = MATRIX + 'include:\n  - {pattern: guix, python: "3.12"}\n'
    channels = f'(list (channel (name \'guix) (url "https://example.invalid/guix") (commit "{"1" * 40}")))\n'
    files = {"manifest.scm": "(specifications->manifest '())\n", "channels.scm": channels}
    stranger.repository.commit("guix", {"matrices/default.yml": matrix, **files})
    assert shutil.which("guix") is None

    walk = stranger.start()

    missing = next(name for name in statuses(walk) if name.startswith("guix"))
    assert walk.result == "failure"
    assert {name for name, status in statuses(walk).items() if status != "passed"} == {missing}
    assert "there is no guix here" in reason(walk, missing)
    assert ("channels.scm", "") in errors(walk, "envs/report"), walk.job("envs/report").annotations
    assert missing in walk.job("envs/report").summary


# --- what goes wrong between the jobs


def after(name: str, do: Callable[[Run], object]) -> Callable[[JobRun, Run], None]:
    """Does something to the artifacts after the job with that name."""

    def changed(job: JobRun, run: Run) -> None:
        if job.name == name:
            do(run)

    return changed


def uploaded(run: Run, name: str) -> Mapping[str, bytes]:
    return run.artifacts.kept[name].files()


def test_a_leg_that_leaves_no_record_is_broken_and_never_forgotten(stranger: Stranger) -> None:
    lost = f"ci-envs-leg-{LEGS[1]}"

    walk = stranger.start(after_job=after(f"envs / {LEGS[1]}", lambda run: run.artifacts.kept.pop(lost)))

    assert walk.job(f"envs / {LEGS[1]}").result == "success"
    only_failed(walk, lambda name: name == LEGS[1])
    assert (statuses(walk)[LEGS[1]], reason(walk, LEGS[1])) == ("broken", "no record")


def test_a_record_that_is_cut_is_broken(stranger: Stranger) -> None:
    name = f"ci-envs-leg-{LEGS[0]}"

    def cut(run: Run) -> None:
        files = dict(uploaded(run, name))
        run.artifacts.put(name, {**files, "record.json": files["record.json"][:-40]})

    walk = stranger.start(after_job=after(f"envs / {LEGS[0]}", cut))

    only_failed(walk, lambda leg: leg == LEGS[0])
    assert statuses(walk)[LEGS[0]] == "broken"
    assert reason(walk, LEGS[0]) != "no record"


def test_an_archive_that_is_cut_makes_no_leg_pass_that_did_not_come(stranger: Stranger) -> None:
    def cut(run: Run) -> None:
        kept = run.artifacts.kept[f"ci-envs-leg-{LEGS[0]}"]
        kept.archive = kept.archive[: len(kept.archive) // 2]

    walk = stranger.start(after_job=after(f"envs / {LEGS[0]}", cut))

    assert walk.result == "failure"
    assert walk.job("envs/report").step("Download the records").outcome == "failure"
    assert statuses(walk)[LEGS[0]] == "broken"


def test_a_record_of_another_run_is_broken(stranger: Stranger) -> None:
    before = stranger.start()
    name = f"ci-envs-leg-{LEGS[0]}"
    older = dict(artifact(before, name).files())

    walk = stranger.start(after_job=after(f"envs / {LEGS[0]}", lambda run: run.artifacts.put(name, older)))

    only_failed(walk, lambda leg: leg == LEGS[0])
    assert (statuses(walk)[LEGS[0]], reason(walk, LEGS[0])) == ("broken", "its record belongs to another run")


def test_a_plan_that_is_lost_is_red(stranger: Stranger) -> None:
    walk = stranger.start(after_job=after("envs / Plan", lambda run: run.artifacts.kept.pop("ci-envs-plan")))

    assert walk.result == "failure"
    assert walk.job("envs/report").result == "failure"


def test_a_plan_that_fails_is_red_and_builds_nothing(stranger: Stranger) -> None:
    stranger.repository.commit("bad", {"matrices/default.yml": "axes: {pattern: [uv], python: [3.10]}\n"})

    walk = stranger.start()

    assert walk.result == "failure"
    assert walk.job("envs/leg").result == "skipped"
    assert ("matrices/default.yml", "1") in errors(walk, "envs/plan")
    assert walk.job("envs/report").result == "failure"
    assert walk.outputs["envs"]["status"] == "broken"


def test_what_failed_is_tried_again_and_the_newer_record_counts(stranger: Stranger) -> None:
    # The test passes in the second attempt only; the first attempt's artifacts are still there.
    test = PROJECT["tests/test_tiny.py"].replace("1 + 1 == 2", "os.environ['GITHUB_RUN_ATTEMPT'] == '2'")
    stranger.repository.commit("later", {"tests/test_tiny.py": test})

    first = stranger.start()
    before = statuses(first)
    second = stranger.start(again=first)

    assert first.result == "failure"
    assert set(before.values()) == {"failed"}
    assert second.result == "success", second.trouble
    assert statuses(second) == dict.fromkeys(LEGS, "passed")
    assert {job.attempt for job in second.jobs.values() if job.matrix} == {2}
    assert second.job("envs/plan").attempt == 1


# --- pull requests


def topic(stranger: Stranger, files: dict[str, str], labels: tuple[str, ...] = ()) -> Event:
    """A pull request that changes these files."""
    git(stranger.repository.folder, "checkout", "-q", "-b", "topic")
    stranger.repository.commit("topic", files)
    git(stranger.repository.folder, "checkout", "-q", "main")
    return pull_request(stranger.repository, "topic", labels=labels)


def test_a_pull_request_that_is_labelled_to_be_skipped_is_green_and_says_why(stranger: Stranger) -> None:
    walk = stranger.start(topic(stranger, {"README.md": "more\n"}, labels=("envs:skip",)))

    assert walk.result == "success", walk.trouble
    assert walk.job("envs/leg").result == "skipped"
    assert walk.outputs["envs"]["status"] == "skipped"
    assert "envs:skip" in walk.job("envs/report").summary


def test_a_pull_request_builds_what_its_files_concern(stranger: Stranger) -> None:
    stranger.repository.commit("changed", {WORKFLOW: EIGHT_LINES + "      changed-only: true\n"})
    event = topic(stranger, {"requirements.in": "# only a remark\niniconfig>=2\npytest>=8\n"}, labels=("envs:venv",))

    walk = stranger.start(event)

    assert set(statuses(walk)) == {name for name in LEGS if name.startswith("venv")}


def test_a_hostile_branch_and_label_reach_no_shell(stranger: Stranger) -> None:
    git(stranger.repository.folder, "checkout", "-q", "-b", "x$(touch${IFS}pwned);`touch${IFS}pwned`")
    stranger.repository.commit("topic", {"README.md": "more\n"})
    git(stranger.repository.folder, "checkout", "-q", "main")
    labels = ("envs:$(touch pwned)", "a\n::set-output name=matrix::{}", "${{ github.token }}")
    event = pull_request(stranger.repository, "x$(touch${IFS}pwned);`touch${IFS}pwned`", labels=labels)

    walk = stranger.start(event)

    assert not list(stranger.server.folder.rglob("pwned"))
    raw = "".join(step.raw_log for job in walk.jobs.values() for step in job.all_steps())
    assert TOKEN not in raw
    assert not [line for line in raw.splitlines() if line.lstrip().startswith("::set-output")]
