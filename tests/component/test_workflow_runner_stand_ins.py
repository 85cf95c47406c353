"""What stands in for actions/checkout, cache, upload-artifact, download-artifact and setup-* does what these do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.errors import NotKnownError
from tests.support.workflow_runner.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.workflow_runner.results import JobRun, Walk
    from tests.support.workflow_runner.running import Run, Server

pytestmark = pytest.mark.component

UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
CACHE = "55cc8345863c7cc4c66a329aec7e433d2d1c52a9"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
FILE = ".github/workflows/test.yml"

MAKE = "mkdir -p x/y/.hid; echo 1 > x/1; echo 2 > x/y/2; echo 3 > x/.3; echo 4 > x/y/.hid/4"


@pytest.fixture
def jobs(walk: Callable[..., Walk]) -> Callable[..., Walk]:
    """Runs jobs ``a``, ``b``, … of these steps, one after the other, whatever becomes of them."""

    def ran(*steps: str, **files: str) -> Walk:
        text = "on: push\njobs:\n"
        for name, own in zip("abcdef", steps, strict=False):
            needs = f"    needs: {chr(ord(name) - 1)}\n    if: always()\n" if name > "a" else ""
            lines = "".join(f"      {line}\n" for line in own.strip("\n").splitlines())
            text += f"  {name}:\n{needs}    runs-on: ubuntu-24.04\n    steps:\n{lines}"
        done = walk(text, **files)
        assert not done.reason, done.reason
        return done

    return ran


def errors(job: JobRun) -> list[str]:
    return [one.message for one in job.annotations if one.level == "error"]


# --- artifacts


def test_a_folder_goes_up_without_what_is_hidden_and_comes_down_by_its_name(jobs: Callable[..., Walk]) -> None:
    # upload-artifact, README: "hidden files are ignored by default"; permissions are not kept
    done = jobs(
        f"""
- {{run: '{MAKE}; chmod +x x/1; ln -s 1 x/link'}}
- {{id: up, uses: {UPLOAD}, with: {{name: n, path: x}}}}
""",
        f"""
- {{id: down, uses: {DOWNLOAD}, with: {{name: n, path: to}}}}
- {{id: s, run: 'cd to && find . -type f | sort && ls -l 1 | cut -c4'}}
""",
    )

    assert done.result == "success", done.log
    assert done.job("b").step("s").log == "./1\n./link\n./y/2\n-\n"
    assert done.job("b").step("down").outputs["download-path"].endswith("/to")
    assert done.artifacts is not None
    assert done.artifacts.kept["n"].files() == {"1": b"1\n", "link": b"1\n", "y/2": b"2\n"}


@pytest.mark.parametrize(
    ("inputs", "files"),
    [
        ("path: x/y/2", {"2"}),
        ('path: "x/1\\nx/y"', {"1", "y/2"}),
        ("path: x, include-hidden-files: true", {"1", "y/2", ".3", "y/.hid/4"}),
        ("path: x/y/.hid", set()),
    ],
)
def test_what_of_a_path_is_uploaded(jobs: Callable[..., Walk], inputs: str, files: set[str]) -> None:
    # upload-artifact, src/shared/search.ts: one file stands alone, a folder's files keep their paths in it
    done = jobs(
        f"""
- {{run: '{MAKE}'}}
- {{id: up, uses: {UPLOAD}, with: {{name: n, {inputs}}}}}
"""
    )

    assert done.artifacts is not None
    assert {name for one in done.artifacts.kept.values() for name in one.files()} == files


@pytest.mark.parametrize(
    ("word", "result", "level"),
    [("error", "failure", "error"), ("warn", "success", "warning"), ("ignore", "success", "")],
)
def test_nothing_to_upload(jobs: Callable[..., Walk], word: str, result: str, level: str) -> None:
    # upload-artifact, README: if-no-files-found
    done = jobs(f"- {{uses: {UPLOAD}, with: {{name: n, path: nowhere, if-no-files-found: {word}}}}}")

    assert done.result == result
    assert [one.level for one in done.annotations] == ([level] if level else [])


def test_two_artifacts_of_one_name_are_a_conflict_unless_one_is_to_take_the_others_place(
    jobs: Callable[..., Walk],
) -> None:
    # upload-artifact, docs/MIGRATION.md: "Artifact names are unique"; README: overwrite
    done = jobs(
        f"""
- {{run: 'echo 1 > 1; echo 2 > 2'}}
- {{uses: {UPLOAD}, with: {{name: n, path: 1}}}}
- {{id: over, uses: {UPLOAD}, with: {{name: n, path: 2, overwrite: true}}}}
- {{id: again, uses: {UPLOAD}, with: {{name: n, path: 1}}}}
"""
    )

    job = done.job("a")
    assert (job.step("over").outcome, job.step("again").outcome) == ("success", "failure")
    assert "409" in errors(job)[0]
    assert done.artifacts is not None
    assert done.artifacts.kept["n"].files() == {"2": b"2\n"}


def test_names_that_artifacts_cannot_have(jobs: Callable[..., Walk]) -> None:
    # actions/toolkit, path-and-artifact-name-validation.ts
    done = jobs(f"- {{run: 'echo > 1'}}\n- {{uses: {UPLOAD}, with: {{name: 'a/b', path: 1}}}}")

    assert "'/'" in errors(done.job("a"))[0]


@pytest.mark.parametrize(("many", "found"), [(0, ""), (1, "./f\n"), (2, "./n-0/f\n./n-1/f\n"), (7, "")])
def test_a_pattern_puts_one_match_straight_and_several_into_folders(
    jobs: Callable[..., Walk], many: int, found: str
) -> None:
    # download-artifact v5, README: "a single artifact … is extracted directly"; src/download-artifact.ts
    ups = "\n".join(f"- {{uses: {UPLOAD}, with: {{name: n-{number}, path: f}}}}" for number in range(many))
    done = jobs(
        f"- {{run: 'echo 1 > f'}}\n- {{uses: {UPLOAD}, with: {{name: other, path: f}}}}\n{ups}",
        f"""
- {{id: down, uses: {DOWNLOAD}, with: {{pattern: n-*, path: to}}}}
- {{id: s, run: 'test -d to && cd to && find . -type f | sort'}}
""",
    )

    assert done.job("b").step("down").outcome == "success"
    log = done.job("b").step("s").log
    assert log == found if 0 < many < 7 else log.count("/f\n") == many


def test_an_artifact_that_is_not_there_or_is_cut_fails(workflow_server: Server, jobs: Callable[..., Walk]) -> None:
    # download-artifact, src/download-artifact.ts: not found; digest-mismatch is an error by default
    done = jobs(f"- {{uses: {DOWNLOAD}, with: {{name: n}}}}")
    assert "not found for name: n" in errors(done.job("a"))[0]

    def cut(job: JobRun, run: Run) -> None:
        for one in run.artifacts.kept.values():
            one.archive = one.archive[:-9]

    repository = workflow_server.repositories["stranger/project"]
    text = f"""
on: push
jobs:
  a:
    runs-on: ubuntu-24.04
    steps: [{{run: 'echo > f'}}, {{uses: {UPLOAD}, with: {{name: n, path: f}}}}]
  b:
    needs: a
    runs-on: ubuntu-24.04
    steps: [{{uses: {DOWNLOAD}, with: {{name: n}}}}]
"""
    from tests.support.workflow_runner.events import push

    repository.commit("more", {FILE: text})
    done = workflow_server.start(repository.name, FILE, push(repository), after_job=cut)
    assert "digest validation failed" in errors(done.job("b"))[0]


# --- caches


def cache(verb: str, key: str, path: str = "${{ runner.temp }}/kept") -> str:
    return f"- {{id: {verb}, uses: actions/cache/{verb}@{CACHE}, with: {{path: '{path}', key: {key}}}}}"


def test_a_cache_is_found_by_its_key_in_a_later_job_and_a_later_run(jobs: Callable[..., Walk]) -> None:
    # actions/cache, restore/README.md and save/README.md: cache-hit is not set where nothing was found
    show = '- {id: s, run: \'cat "$RUNNER_TEMP/kept/f" || echo none; echo "[${{ steps.restore.outputs.cache-hit }}]"\'}'
    make = '- {run: \'mkdir "$RUNNER_TEMP/kept"; cd "$RUNNER_TEMP/kept"; echo 1 > f; ln f g\'}'
    done = jobs(f"{cache('restore', 'k')}\n{make}\n{cache('save', 'k')}", f"{cache('restore', 'k')}\n{show}")
    later = jobs(f"{cache('restore', 'k')}\n{show}", f"{cache('restore', 'k2')}\n{show}")

    assert done.result == "success", done.log
    assert done.job("b").step("s").log == "1\n[true]\n"
    assert later.job("a").step("s").log == "1\n[true]\n"
    assert later.job("b").step("s").log.endswith("none\n[]\n")


def test_saving_never_fails_a_job_and_never_changes_what_is_there(
    workflow_server: Server, jobs: Callable[..., Walk]
) -> None:
    # actions/cache, src/saveImpl.ts: warnings only; caches cannot be changed ("Dependency caching reference")
    done = jobs(
        f"{cache('save', 'k')}",
        f"- {{run: 'echo 1 > \"$RUNNER_TEMP/kept\"'}}\n{cache('save', 'k')}",
        f"- {{run: 'echo 2 > \"$RUNNER_TEMP/kept\"'}}\n{cache('save', 'k')}",
        f"{cache('restore', 'k')}\n- {{id: s, run: 'cat \"$RUNNER_TEMP/kept\"'}}",
    )

    assert done.result == "success"
    assert [one.level for one in done.annotations] == ["warning", "warning"]
    assert "do(es) not exist" in done.job("a").annotations[0].message
    assert "Unable to reserve cache" in done.job("c").annotations[0].message
    assert done.job("d").step("s").log == "1\n"
    assert len(workflow_server.caches.kept) == 1


# --- checkout, setup-*


def test_a_checkout_has_the_commit_as_much_history_as_asked_for_and_nothing_uncommitted(
    workflow_server: Server, jobs: Callable[..., Walk]
) -> None:
    # actions/checkout, README: fetch-depth, "Number of commits to fetch. 0 indicates all history"
    repository = workflow_server.repositories["stranger/project"]
    for number in range(3):
        repository.commit(f"{number}", {"f": f"{number}\n"})
    (repository.folder / ".gitignore").write_text("ignored\n")
    (repository.folder / "ignored").write_text("")
    steps = "\n".join(
        f"- {{uses: {CHECKOUT}, with: {{persist-credentials: false, fetch-depth: {depth}}}}}\n"
        "- {run: 'git log --oneline | wc -l; ls; cat .git/config | grep -ci auth || true'}"
        for depth in (1, 2, 0)
    )
    done = jobs(steps)

    logs = [step.log.splitlines() for step in done.job("a").steps if step.name.startswith("Run git")]
    # first, three, and the workflow's own
    assert [log[0].strip() for log in logs] == ["1", "2", "5"]
    assert logs[0][1:] == ["f", "0"]


def test_another_repository_may_be_checked_out_into_a_folder(
    workflow_server: Server, jobs: Callable[..., Walk]
) -> None:
    # docs/github.md, for servers that do not know $/: the workflow's own repository at its own commit
    other = Repository.make("org/tools", workflow_server.folder.parent / "tools", {"t": "1\n"})
    workflow_server.repositories[other.name] = other
    sha = other.sha("HEAD")
    other.commit("later", {"t": "2\n"})

    done = jobs(
        f"""
- uses: {CHECKOUT}
  with: {{persist-credentials: false, repository: org/tools, ref: {sha}, path: tools}}
- {{id: s, run: cat tools/t}}
"""
    )

    assert done.job("a").step("s").log == "1\n"


def test_what_an_action_is_given_that_is_not_known_raises(jobs: Callable[..., Walk]) -> None:
    with pytest.raises(NotKnownError, match="compression-level"):
        jobs(f"- {{uses: {UPLOAD}, with: {{name: n, path: f, compression-level: 9}}}}")
    with pytest.raises(NotKnownError, match="restore-keys"):
        jobs(f"- {{uses: actions/cache/restore@{CACHE}, with: {{path: f, key: k, restore-keys: a}}}}")


def test_python_and_uv_are_set_up(jobs: Callable[..., Walk], tmp_path: Path) -> None:
    # actions/setup-python: update-environment; astral-sh/setup-uv: uv on PATH
    version = f"3.{sys.version_info.minor}"
    pinned = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97"
    done = jobs(
        f"""
- {{id: kept, uses: {pinned}, with: {{python-version: '{version}', update-environment: false}}}}
- {{id: before, run: 'echo "[$pythonLocation]"'}}
- {{id: set, uses: {pinned}, with: {{python-version: '{version}'}}}}
- {{id: after, run: 'python3 -c "import sys; print(*sys.version_info[:2], sep=chr(46))"; test -n "$pythonLocation"'}}
- {{id: uv, uses: astral-sh/setup-uv@20cfd1bf945f4377ade1205e4dbc17946fc9a30d, with: {{enable-cache: false}}}}
- {{id: ask, run: 'uv --version; command -v uv'}}
- {{id: none, uses: {pinned}, with: {{python-version: '3.99'}}}}
"""
    )

    job = done.job("a")
    assert job.step("before").log == "[]\n"
    assert job.step("kept").outputs["python-version"].startswith(version)
    assert job.step("after").log == f"{version}\n"
    assert job.step("ask").log.splitlines()[1] == job.step("uv").outputs["uv-path"]
    assert "3.99" in errors(job)[0]
