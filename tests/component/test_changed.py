"""What has changed, as real git says, in the checkouts that actions/checkout makes."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.changed import changed_configuration, changes_since, named_base
from ci_envs.errors import UsageError
from ci_envs.github.event import Base, change_bases
from ci_envs.plan_making import Made, Wanted, make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.planning.changes import Changes

pytestmark = pytest.mark.component

MATRIX = 'axes: {pattern: [uv], python: ["3.12"], os: [linux], arch: [x86_64], project: [a, b, "c d"]}\n'
FILES = {
    "matrices/default.yml": MATRIX,
    "a/requirements.in": "x\n",
    "b/requirements.in": "x\n",
    "c d/requirements.in": "x\n",
    "README.md": "x\n",
    "pyproject.toml": '[project]\nname = "x"\n\n[tool.ci-envs]\npattern = "uv"\n',
}


class Repository:
    """A repository with a branch of its own, and clones of it as a job has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write(FILES)
        self.first = self.commit("first")

    def git(self, *words: str) -> str:
        """What git prints."""
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.folder)}
        names = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        argv = ["git", "-C", str(self.folder), "-c", "commit.gpgsign=false", *words]
        env = {**os.environ, **own, **names}
        return subprocess.run(argv, capture_output=True, text=True, check=True, env=env).stdout.strip()

    def write(self, files: dict[str, str]) -> None:
        """Files with their folders."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, message: str = "x") -> str:
        """All that is there, as a commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def pull_request(self, *commits: dict[str, str], meanwhile: dict[str, str] | None = None) -> tuple[str, str]:
        """Commits on a branch, and GitHub's merge of them with main, which is checked out: (merge, head)."""
        self.git("checkout", "-q", "-b", "topic")
        for files in commits:
            self.write(files)
            self.commit()
        head = self.git("rev-parse", "HEAD")
        self.git("checkout", "-q", "main")
        if meanwhile:
            self.write(meanwhile)
            self.commit()
        self.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
        return self.git("rev-parse", "HEAD"), head


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


def environ(tmp_path: Path, name: str, payload: Any, sha: str = "") -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    return {**os.environ, "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path), "GITHUB_SHA": sha}


def pull(tmp_path: Path, merge: str, head: str, base: str) -> dict[str, str]:
    payload = {"pull_request": {"head": {"sha": head}, "base": {"sha": base}}}
    return environ(tmp_path, "pull_request", payload, merge)


def clone(repository: Repository, target: Path, depth: int, revision: str = "main") -> Path:
    """As actions/checkout does it: one commit, with so many of those before it."""
    run = ["git", "-c", "protocol.file.allow=always"]
    url = f"file://{repository.folder}"
    subprocess.run([*run, "init", "-q", str(target)], check=True)
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    fetch = [*run, "-C", str(target), "fetch", "-q", "--no-tags", f"--depth={depth}", url, revision]
    subprocess.run(fetch, check=True)
    subprocess.run([*run, "-C", str(target), "checkout", "-q", "--detach", "FETCH_HEAD"], check=True)
    return target


def changes_of(root: Path, variables: dict[str, str]) -> Changes:
    found, problem = changes_since(change_bases(variables), root, variables)
    assert found is not None, problem
    return found


def made(root: Path, variables: dict[str, str], **more: Any) -> Made:
    return make_plan(Wanted(root=root, changed_only=True, environ=variables, **more))


def projects(plan: Made) -> list[str]:
    return [cell.leg.project for cell in plan.cells]


# --- a pull request


def test_a_pull_request_changes_what_its_commits_change(repository: Repository, tmp_path: Path) -> None:
    merge, head = repository.pull_request({"a/x.py": "1"}, {"c d/ü\n.py": "1"}, meanwhile={"b/x.py": "1"})
    root = clone(repository, tmp_path / "job", depth=2)

    plan = made(root, pull(tmp_path, merge, head, repository.first))

    assert projects(plan) == ["a", "c d"]
    legs = {leg.project: leg.kept for leg in plan.legs}
    assert legs == {"a": "a/x.py changed", "c d": "c d/ü .py changed"}
    (row,) = plan.head.left_out
    base = repository.git("rev-parse", f"{merge}^1")
    assert row.reason == f"no file of b has changed since the base branch ({base[:12]})"
    assert not plan.notes


def test_a_clone_that_is_too_shallow_keeps_every_leg_and_says_so(repository: Repository, tmp_path: Path) -> None:
    merge, head = repository.pull_request({"a/x.py": "1"})
    root = clone(repository, tmp_path / "job", depth=1)

    plan = made(root, pull(tmp_path, merge, head, repository.first))

    assert projects(plan) == ["a", "b", "c d"]
    (note,) = plan.notes
    assert note.startswith(
        "every leg is kept, since it is not known what has changed: the base branch is not in this clone"
    )


def test_the_last_commit_of_a_head_is_not_taken_for_all_of_it(repository: Repository, tmp_path: Path) -> None:
    """Where a workflow checks out the head itself, its first parent is only the commit before."""
    merge, head = repository.pull_request({"a/x.py": "1"}, {"b/x.py": "1"})
    variables = pull(tmp_path, merge, head, repository.first)

    shallow = clone(repository, tmp_path / "shallow", depth=2, revision="topic")
    deep = clone(repository, tmp_path / "deep", depth=50, revision="topic")

    assert projects(made(shallow, variables)) == ["a", "b", "c d"]
    assert projects(made(deep, variables)) == ["a", "b"]


def test_a_merge_in_the_branch_is_not_taken_for_githubs(repository: Repository, tmp_path: Path) -> None:
    repository.git("checkout", "-q", "-b", "topic")
    repository.write({"a/x.py": "1"})
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write({"b/x.py": "1"})
    base = repository.commit()
    repository.git("checkout", "-q", "topic")
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "main")
    head = repository.git("rev-parse", "HEAD")
    root = clone(repository, tmp_path / "job", depth=50, revision="topic")

    assert projects(made(root, pull(tmp_path, "f" * 40, head, base))) == ["a"]


def test_the_base_of_pull_request_target_is_compared_with_nothing(repository: Repository, tmp_path: Path) -> None:
    payload = {"pull_request": {"head": {"sha": "e" * 40}, "base": {"sha": repository.first}}}
    variables = environ(tmp_path, "pull_request_target", payload, repository.first)

    plan = made(repository.folder, variables)

    assert len(plan.cells) == 3
    assert len(plan.notes) == 1


# --- a push


def test_a_push_changes_what_its_commits_change(repository: Repository, tmp_path: Path) -> None:
    repository.write({"b/x.py": "1"})
    repository.commit()
    repository.write({"b/y.py": "1"})
    after = repository.commit()

    plan = made(repository.folder, environ(tmp_path, "push", {"before": repository.first, "after": after}))

    assert {leg.project: leg.kept for leg in plan.legs} == {"b": "b/x.py and 1 more changed"}


@pytest.mark.parametrize("before", ["0" * 40, "d" * 40])
def test_a_push_with_nothing_before_it_keeps_every_leg(repository: Repository, tmp_path: Path, before: str) -> None:
    plan = made(repository.folder, environ(tmp_path, "push", {"before": before, "after": repository.first}))
    assert len(plan.cells) == 3
    assert "it is not known what has changed" in plan.notes[0]


def test_nothing_changed_is_a_plan_that_is_skipped(repository: Repository, tmp_path: Path) -> None:
    repository.write({"README.md": "other"})
    after = repository.commit()

    plan = made(repository.folder, environ(tmp_path, "push", {"before": repository.first, "after": after}))

    assert plan.head.status == "skipped"
    assert plan.head.reason.startswith("none of 3 legs is left: no file of a has changed since the push before")
    assert len(plan.head.left_out) == 3


def test_what_a_project_is_made_from_beside_it_changes_it(repository: Repository, tmp_path: Path) -> None:
    repository.write({"a/requirements.in": "-e ../libs/one\n", "libs/one/pyproject.toml": "[project]\n"})
    before = repository.commit()
    repository.write({"libs/one/one.py": "1"})
    after = repository.commit()

    plan = made(repository.folder, environ(tmp_path, "push", {"before": before, "after": after}))

    said = "changed, and a/requirements.in names libs/one"
    assert {leg.project: leg.kept for leg in plan.legs} == {"a": f"libs/one/one.py {said}"}
    repository.git("rm", "-qr", "libs")
    plan = made(repository.folder, environ(tmp_path, "push", {"before": after, "after": repository.commit()}))
    assert {leg.project: leg.kept for leg in plan.legs} == {"a": f"libs/one/one.py {said}"}


# --- what concerns all


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"matrices/default.yml": MATRIX + "# x\n"}, "matrices/default.yml changed, which says what the legs are"),
        ({"ci-envs.yml": "pattern: uv\n", "pyproject.toml": ""}, "ci-envs.yml changed"),
        ({"pyproject.toml": '[tool.ci-envs]\npattern = "venv"\n'}, "pyproject.toml changed"),
        ({"pyproject.toml": "[project]\n"}, "pyproject.toml changed"),
        ({".github/workflows/x.yml": "on: push\n"}, ".github/workflows/x.yml changed"),
    ],
)
def test_what_says_how_legs_are_made_concerns_all(
    repository: Repository, tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    repository.write(files)
    after = repository.commit()

    plan = made(repository.folder, environ(tmp_path, "push", {"before": repository.first, "after": after}))

    assert {leg.kept for leg in plan.legs} == {reason}
    assert len(plan.cells) == 3


def test_a_matrix_that_is_no_longer_there_made_other_legs(repository: Repository, tmp_path: Path) -> None:
    repository.write({"matrices/nightly.yml": MATRIX})
    before = repository.commit()
    (repository.folder / "matrices/nightly.yml").unlink()
    after = repository.commit()

    plan = made(repository.folder, environ(tmp_path, "push", {"before": before, "after": after}), tier="nightly")

    assert {leg.kept for leg in plan.legs} == {"matrices/nightly.yml changed, which says what the legs are"}


def test_the_label_all_means_unchanged_projects_too(repository: Repository, tmp_path: Path) -> None:
    repository.write({"a/x.py": "1"})
    after = repository.commit()

    variables = environ(tmp_path, "push", {"before": repository.first, "after": after})
    plan = made(repository.folder, variables, labels=("envs:all",))

    assert projects(plan) == ["a", "b", "c d"]
    assert plan.notes == ("label 'envs:all' keeps the legs of unchanged projects, too",)


def test_a_pyproject_whose_configuration_is_the_same_is_a_file_like_others(repository: Repository) -> None:
    repository.write({"pyproject.toml": FILES["pyproject.toml"].replace('"x"', '"y"')})
    repository.commit()
    root = repository.folder
    changes, _ = changes_since([named_base("HEAD~1")], root, os.environ)
    assert changes is not None
    assert changes.files == ("pyproject.toml",)
    assert changed_configuration(changes, root, os.environ) == []


def test_the_root_may_be_a_folder_of_the_repository(repository: Repository, tmp_path: Path) -> None:
    inner = {f"sub dir/{name}": text for name, text in FILES.items()}
    repository.write(inner)
    before = repository.commit()
    repository.write({"sub dir/b/x.py": "1", "a/x.py": "1"})
    after = repository.commit()

    plan = made(repository.folder / "sub dir", environ(tmp_path, "push", {"before": before, "after": after}))

    assert {leg.project: leg.kept for leg in plan.legs} == {"b": "sub dir/b/x.py changed"}


# --- git itself


def test_names_are_read_whatever_they_are(repository: Repository) -> None:
    odd = ["a/new\nline", 'a/quo"te', "a/-rf", "a/ü", "a/tab\tx", "a/::error::x", "a/${{ x }}", "a/trailing "]
    repository.write(dict.fromkeys(odd, "1"))
    repository.git("mv", "b/requirements.in", "b/moved.in")
    repository.commit()

    changes, _ = changes_since([named_base("HEAD^")], repository.folder, os.environ)

    assert changes is not None
    # A file that was moved has changed where it was, too.
    assert set(changes.files) == {*odd, "b/requirements.in", "b/moved.in"}


def test_no_setting_changes_what_has_changed(repository: Repository, tmp_path: Path) -> None:
    settings = {
        "diff.relative": "true", "diff.noprefix": "true", "diff.external": "false", "diff.renames": "copies",
        "core.quotePath": "true", "diff.orderFile": "/nowhere", "core.pager": "false", "diff.ignoreSubmodules": "all",
        "color.ui": "always", "core.fsmonitor": "false", "diff.statGraphWidth": "1", "log.showSignature": "true",
    }  # fmt: skip
    repository.write({"a/sub/x.py": "1", "b/x.py": "1"})
    repository.commit()
    for key, value in settings.items():
        repository.git("config", key, value)
    other = Repository(tmp_path / "other")
    # As a hook of another repository would be called.
    variables = {**os.environ, "GIT_DIR": str(other.folder / ".git"), "GIT_EXTERNAL_DIFF": "false", "GIT_PREFIX": "x"}

    changes, problem = changes_since([named_base("HEAD^")], repository.folder, variables)

    assert changes is not None, problem
    assert set(changes.files) == {"a/sub/x.py", "b/x.py"}


@pytest.mark.parametrize("bases", [[], [Base("HEAD", "HEAD^1", "x")]])
def test_a_folder_without_git_is_no_error(tmp_path: Path, bases: list[Base]) -> None:
    (tmp_path / "plain").mkdir()
    variables = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    found, problem = changes_since(bases, tmp_path / "plain", variables)
    assert found is None
    assert problem


def test_a_machine_without_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found, problem = changes_since([named_base("HEAD^")], tmp_path, os.environ)
    assert found is None
    assert "there is no program 'git' here" in problem


def test_an_empty_repository_is_no_error(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert changes_since([named_base("HEAD^")], tmp_path, os.environ)[0] is None


def test_a_submodule_that_a_project_is_in_concerns_it(repository: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    allow = ("-c", "protocol.file.allow=always")
    repository.git(*allow, "submodule", "--quiet", "add", str(other.folder), "module")
    repository.write({"m.yml": MATRIX.replace('"c d"', "module/a")})
    before = repository.commit()
    other.write({"b/x.py": "1"})
    other.commit()
    repository.git("-C", "module", *allow, "pull", "-q", "origin", "main")
    after = repository.commit()

    variables = environ(tmp_path, "push", {"before": before, "after": after})
    plan = made(repository.folder, variables, matrix=repository.folder / "m.yml")

    assert projects(plan) == ["module/a"]


@pytest.mark.parametrize("revision", ["--output=x", "HEAD..main", "a b", "x\ny", "$(id)", ":/fix"])
def test_what_is_no_revision_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="is no revision"):
        named_base(revision)
