"""locked, auto, frozen, update and ``lock --check``, for every kind of lock: what is written, and what is asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, Ran, run_verb, snapshot
from tests.support.index import Index
from tests.support.projects import FROZEN, PACKAGE, private_environment, write_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.component

CHECK = ["lock", "--check", "--json"]
LOCK = ["lock", "--json"]

#: What a resolver writes into a pylock.toml for one package, with the address of the file left open.
PYLOCK = """\
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "seed"
version = "1.5"

[[packages.wheels]]
url = "{url}seed-1.5-py3-none-any.whl"
hashes = {{ sha256 = "{sha256}" }}
"""


def words(pattern: str) -> list[str]:
    return [f"--pattern={pattern}", f"--python={PYTHON}"]


@dataclass(frozen=True)
class Kind:
    """A kind of project and of lock, and how its intent is made to differ from it."""

    name: str
    pattern: str
    files: dict[str, str]
    #: The lock's path; ``*`` where the leg's id is in it.
    lock: str
    edit: tuple[str, str, str]
    #: What the sentence says of it.
    stale: str
    more: dict[str, str] = field(default_factory=dict)

    def change(self, project: Path) -> None:
        """Edits the intent."""
        file, old, new = self.edit
        text = (project / file).read_text(encoding="utf-8")
        assert old in text
        (project / file).write_text(text.replace(old, new), encoding="utf-8")

    def lock_text(self, project: Path) -> str:
        """The lock as it is."""
        (path,) = project.glob(self.lock)
        return path.read_text(encoding="utf-8")


SMALL = {"requirements.in": "apple\npear\n"}
PROJECT = {"pyproject.toml": '[project]\nname = "bowl"\nversion = "1"\ndependencies = ["apple<2"]\n'}

KINDS = [
    Kind(
        "uv.lock",
        "uv",
        PACKAGE,
        "uv.lock",
        ("pyproject.toml", "apple>=1,<2", "apple==1.0"),
        "pyproject.toml:5: apple==1.0 is not satisfied by apple==1.1 of uv.lock; the lock is stale",
    ),
    Kind(
        "uv requirements",
        "uv",
        SMALL,
        "locks/uv-*.txt",
        ("requirements.in", "apple", "apple<1.1"),
        "requirements.in:1: apple<1.1 is not satisfied by apple==1.1 of locks/uv-",
    ),
    Kind(
        "venv requirements",
        "venv",
        SMALL,
        "locks/venv-*.txt",
        ("requirements.in", "pear", "cherry"),
        "requirements.in:2: cherry has no pin in locks/venv-",
    ),
    Kind(
        "venv project",
        "venv",
        PROJECT,
        "locks/venv-*.txt",
        ("pyproject.toml", '"apple<2"', '"apple<1.1"'),
        "pyproject.toml:4: apple<1.1 is not satisfied by apple==1.1 of locks/venv-",
    ),
]


def made(kind: Kind, env: dict[str, str], folder: Path) -> Path:
    """A project of the kind with its lock."""
    project = write_project(folder / "project", kind.files)
    ran = run_verb([*LOCK, *words(kind.pattern)], env, project)
    assert ran.verdict == (0, "passed", ""), ran.output
    assert [(f.code, f.title) for f in ran.report.findings] == [("LOCK003", "lock made")]
    return project


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def test_a_lock_is_made_checked_found_stale_and_renewed(
    kind: Kind, index: Index, warm_env: dict[str, str], tmp_path: Path
) -> None:
    project = made(kind, warm_env, tmp_path)
    first = kind.lock_text(project)
    check = [*CHECK, *words(kind.pattern)]

    index.requests.clear()
    before = snapshot(project)
    assert run_verb(check, warm_env, project).verdict == (0, "passed", "")
    kind.change(project)
    changed = snapshot(project)
    code, status, reason = run_verb(check, warm_env, project).verdict
    assert (code, status) == (5, "failed")
    assert f"lock: {kind.stale}" in reason
    assert f"Renew it with: ci-envs lock --pattern={kind.pattern} --python={PYTHON} --only {kind.pattern}-" in reason
    assert snapshot(project) == changed
    assert {name for name in before if before[name] != changed[name]} == {kind.edit[0]}
    assert index.requests == []

    renewed = run_verb([*LOCK, *words(kind.pattern)], warm_env, project)
    assert renewed.verdict == (0, "passed", "")
    assert [f.title for f in renewed.report.findings] == ["lock renewed"]
    assert kind.lock_text(project) != first
    assert run_verb(check, warm_env, project).verdict == (0, "passed", "")


def test_no_request_is_made_with_a_cold_cache_either(
    kind: Kind, index: Index, warm_env: dict[str, str], tmp_path: Path
) -> None:
    project = made(kind, warm_env, tmp_path)
    index.requests.clear()
    cold = {**warm_env, "CI_ENVS_CACHE_DIR": str(tmp_path / "cold")}
    assert run_verb([*CHECK, *words(kind.pattern)], cold, project).verdict == (0, "passed", "")
    kind.change(project)
    assert run_verb([*CHECK, *words(kind.pattern)], cold, project).code == 5
    assert index.requests == []


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_a_missing_lock_is_not_made(
    kind: Kind, index: Index, warm_env: dict[str, str], tmp_path: Path, mode: str
) -> None:
    project = write_project(tmp_path / "project", kind.files)
    ran = run_verb(["run", *words(kind.pattern), f"--lock-mode={mode}", "-q"], warm_env, project)
    assert (ran.code, ran.record.status) == (5, "failed")
    leg = ran.record.leg.id
    assert f"there is no lock for {leg}. Make it with: ci-envs lock --pattern={kind.pattern} " in ran.record.reason
    assert snapshot(project) == snapshot(write_project(tmp_path / "other", kind.files))
    assert index.requests == []


def test_ci_means_locked(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", SMALL)
    ran = run_verb(["run", *words("uv"), "-q"], {**warm_env, "CI": "true"}, project)
    assert (ran.code, ran.stage("lock").status) == (5, "failed")
    assert run_verb(["run", *words("uv"), "--lock-mode=auto", "-q"], {**warm_env, "CI": "true"}, project).code == 0


def test_frozen_takes_a_stale_lock_as_it_is(kind: Kind, warm_env: dict[str, str], tmp_path: Path) -> None:
    project = made(kind, warm_env, tmp_path)
    kind.change(project)
    before = snapshot(project)
    run = ["run", *words(kind.pattern), "--lock-mode=frozen", "--stages=lock,build", "-q"]
    ran = run_verb(run, warm_env, project)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.installed["apple"] == "1.1"
    assert snapshot(project) == before


@pytest.mark.parametrize("pattern", ["uv", "venv"])
def test_pins_are_kept_until_they_are_upgraded(own: Own, tmp_path: Path, pattern: str) -> None:
    index, env = own()
    project = write_project(tmp_path / "project", {"requirements.in": "apple\n"})
    index.yank("apple-2.0-*")
    index.yank("apple-1.1-*")
    assert run_verb([*LOCK, *words(pattern)], env, project).code == 0
    index.heal()
    (lock,) = project.glob("locks/*.txt")
    assert "apple==1.0 " in lock.read_text()
    (project / "requirements.in").write_text("apple\ncherry\n")
    assert run_verb([*LOCK, *words(pattern)], env, project).code == 0
    assert "apple==1.0 " in lock.read_text()
    assert "cherry==" in lock.read_text()
    assert run_verb([*LOCK, "--upgrade", *words(pattern)], env, project).code == 0
    assert "apple==2.0 " in lock.read_text()
    asked = run_verb(["run", *words(pattern), "--lock-mode=update", "--stages=lock", "-q"], env, project)
    assert asked.stage("lock").reason.endswith(lock.name)


@pytest.mark.parametrize(
    ("pattern", "files", "lock"),
    [("uv", PROJECT, "uv.lock"), ("uv", SMALL, "locks/uv-*.txt"), ("venv", SMALL, "locks/venv-*.txt")],
    ids=["uv.lock", "uv requirements", "venv"],
)
def test_nothing_that_was_uploaded_later_is_taken(
    own: Own, tmp_path: Path, pattern: str, files: dict[str, str], lock: str
) -> None:
    index, env = own()
    index.uploaded("*", "2024-01-01T00:00:00Z")
    index.uploaded("apple-1.1-*", "2025-06-01T00:00:00Z")
    index.uploaded("apple-2.0-*", "2025-06-01T00:00:00Z")
    project = write_project(tmp_path / "project", files)
    assert run_verb([*LOCK, "--as-of=2025-05-31", *words(pattern)], env, project).code == 0
    (path,) = project.glob(lock)
    text = path.read_text()
    assert '"apple"\nversion = "1.0"' in text or "apple==1.0 " in text
    index.requests.clear()
    for as_of in ([], ["--as-of=2025-05-31"], ["--as-of=2025-06-01"]):
        assert run_verb([*CHECK, *as_of, *words(pattern)], env, project).verdict == (0, "passed", "")
    assert index.requests == []
    assert path.read_text() == text
    assert run_verb([*LOCK, "--upgrade", "--as-of=2025-06-01", *words(pattern)], env, project).code == 0
    assert "1.1" in path.read_text()


@pytest.mark.parametrize("pattern", ["uv", "venv"])
def test_an_index_that_tells_no_upload_times_is_named(own: Own, tmp_path: Path, pattern: str) -> None:
    _, env = own(json=False)
    project = write_project(tmp_path / "project", SMALL)
    code, status, reason = run_verb([*LOCK, "--as-of=2025-05-31", *words(pattern)], env, project).verdict
    assert (code, status) == (5, "failed")
    assert "An index that tells no upload times has nothing as of 2025-06-01T00:00:00Z" in reason


def test_pylock_is_taken_as_it_is(index: Index, universe: Path, warm_env: dict[str, str], tmp_path: Path) -> None:
    digest = hashlib.sha256((universe / "seed-1.5-py3-none-any.whl").read_bytes()).hexdigest()
    text = PYLOCK.format(url=index.files_url, sha256=digest)
    project = write_project(tmp_path / "project", {"pylock.toml": text})
    before = snapshot(project)
    assert run_verb([*CHECK, *words("uv")], warm_env, project).verdict == (0, "passed", "")
    ran = run_verb(["run", *words("uv"), "--lock-mode=locked", "-q"], warm_env, project)
    assert ran.record.status == "passed", ran.record.reason
    assert (ran.pins, ran.installed) == ({"seed": "1.5"}, {"seed": "1.5"})
    assert ran.record.lock is not None
    assert (ran.record.lock.path, ran.record.lock.format) == ("pylock.toml", "pylock")
    assert snapshot(project) == before
    (project / "pylock.toml").write_text(text.replace(digest, "0" * 64))
    refused = run_verb(["run", *words("uv"), "-q"], {**warm_env, "CI_ENVS_CACHE_DIR": str(tmp_path / "c")}, project)
    assert (refused.code, refused.record.status) == (6, "failed")
    assert "the index gave another file than the one that pylock.toml names: " in refused.record.reason


@pytest.mark.parametrize("pattern", ["uv", "venv"])
def test_a_file_that_was_frozen_by_hand_is_never_written(
    index: Index, warm_env: dict[str, str], tmp_path: Path, pattern: str
) -> None:
    project = write_project(tmp_path / "project", FROZEN)
    before = snapshot(project)
    for mode in ("auto", "update", "locked", "frozen"):
        ran = run_verb(["run", *words(pattern), f"--lock-mode={mode}", "--stages=lock", "-q"], warm_env, project)
        assert (ran.code, ran.stage("lock").reason) == (0, "3 pins of requirements.txt")
    index.requests.clear()
    assert run_verb([*CHECK, *words(pattern)], warm_env, project).verdict == (0, "passed", "")
    assert index.requests == []
    assert snapshot(project) == before


HEADERS = {
    "another Python": ("uv-py39-linux-x86_64", "was made for Python 3.9"),
    "another platform": ("uv-{tag}-macos-aarch64", "was made for macos-aarch64"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_lock_that_was_made_for_another_machine_is_refused(
    index: Index, warm_env: dict[str, str], tmp_path: Path, case: str
) -> None:
    maker, sentence = HEADERS[case]
    kind = KINDS[1]
    project = made(kind, warm_env, tmp_path)
    (path,) = project.glob(kind.lock)
    text = path.read_text()
    tag = path.name.split("-")[1]
    path.write_text(text.replace(path.stem, maker.format(tag=tag), 1))
    index.requests.clear()
    before = snapshot(project)
    ran = run_verb(["run", *words("uv"), "--lock-mode=locked", "-q"], warm_env, project)
    assert (ran.code, ran.record.status) == (5, "failed")
    assert sentence in ran.record.reason
    assert (snapshot(project), index.requests) == (before, [])
    assert run_verb([*LOCK, *words("uv")], warm_env, project).code == 0
    assert path.read_text() == text


def test_a_pin_that_nobody_asks_for_any_more_is_named(warm_env: dict[str, str], tmp_path: Path) -> None:
    kind = KINDS[1]
    project = made(kind, warm_env, tmp_path)
    (project / "requirements.in").write_text("pear\n")
    _, _, reason = run_verb([*CHECK, *words("uv")], warm_env, project).verdict
    assert "apple==1.1 of locks/uv-" in reason
    assert "is no longer asked for (it was, by -r requirements.in); the lock is stale" in reason


def test_a_pyproject_that_asks_for_another_python_makes_the_lock_stale(
    warm_env: dict[str, str], tmp_path: Path
) -> None:
    project = made(KINDS[0], warm_env, tmp_path)
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('requires-python = ">=3.11"', 'requires-python = ">=3.10"'))
    code, _, reason = run_verb([*CHECK, *words("uv")], warm_env, project).verdict
    assert code == 5
    assert "uv would resolve uv.lock to something else; the lock is stale. Renew it with: ci-envs lock" in reason


SICK = {
    "requirements.in": ("uv", "apple == = 1\n", "requirements.in:1"),
    "requirements.txt": ("venv", "apple\n  ===\n", "requirements.txt:2"),
    "pylock.toml": ("uv", "lock-version = \n", "pylock.toml"),
    "uv.lock": ("uv", "version = 1\n[[package]\n", "uv.lock"),
}


@pytest.mark.parametrize("name", SICK)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    index: Index, warm_env: dict[str, str], tmp_path: Path, name: str
) -> None:
    pattern, text, place = SICK[name]
    project = write_project(tmp_path / "project", {**PROJECT, name: text} if name == "uv.lock" else {name: text})
    before = snapshot(project)
    ran = run_verb(["run", *words(pattern), "-q"], warm_env, project)
    assert ran.code in (2, 5)
    assert ran.record.status == "failed"
    assert place in ran.record.reason
    assert snapshot(project) == before
    assert index.requests == []


def test_text_of_a_requirement_never_reaches_a_shell(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "project", {"requirements.in": "apple; touch harm\n$(touch harm)\n`touch harm`\n"}
    )
    ran = run_verb(["run", *words("uv"), "-q"], warm_env, project)
    assert (ran.code, ran.record.status) == (2, "failed")
    assert "requirements.in:1" in ran.record.reason
    assert not list(tmp_path.rglob("harm"))


if TYPE_CHECKING:
    Own = Callable[..., tuple[Index, dict[str, str]]]


@pytest.fixture
def own(universe: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Own:
    """An index of the test's own over the whole universe, and variables that know it alone."""

    def make(*, json: bool = True) -> tuple[Index, dict[str, str]]:
        index = Index(universe, json=json)
        index.start()
        request.addfinalizer(index.stop)
        env = private_environment(index.url, tmp_path / "home", tmp_path / "cache")
        return index, env

    return make


def test_the_report_says_nothing_of_a_run_that_did_not_happen(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = made(KINDS[1], warm_env, tmp_path)
    ran: Ran = run_verb([*CHECK, *words("uv")], warm_env, project)
    assert ran.records == {}
    (leg,) = ran.report.legs
    assert [stage.name for stage in leg.stages] == ["detect", "lock"]
