"""An index, a disk or a lock that misbehaves: one true sentence, the right word for it, and nothing half done.

What each tool says of a fault by itself is in ``test_support_index.py``; here is what a leg says of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, Ran, run_verb, snapshot
from tests.support.faults import UNRESOLVABLE_URL, Fault, refused_url
from tests.support.projects import UNSATISFIABLE, write_project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import Index

pytestmark = pytest.mark.component

PAGE = "/simple/apple/"
WHEEL = "apple-1.0-py3-none-any.whl"
FILE = f"/files/{WHEEL}"
METADATA = f"{FILE}.metadata"
INTENT = {"requirements.in": "apple==1.0\n"}

UV = ["run", "--pattern=uv", f"--python={PYTHON}", "--stages=lock,build", "-q"]
VENV = ["run", "--pattern=venv", f"--python={PYTHON}", "--stages=lock,build", "-q"]

#: No second try within a tool, and a second's patience.
HASTY = {
    "UV_HTTP_RETRIES": "0",
    "UV_HTTP_TIMEOUT": "1",
    "PIP_RETRIES": "0",
    "PIP_RESUME_RETRIES": "0",
    "PIP_DEFAULT_TIMEOUT": "1",
}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries stay, their waits are short."""
    monkeypatch.setattr("ci_envs.work._FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", INTENT)


def nothing_is_left(ran: Ran, project: Path) -> None:
    """No environment, no lock, no part of either."""
    assert not list((project / ".ci-envs/envs").glob("*"))
    assert set(snapshot(project)) == {"requirements.in"}
    assert str(project) not in ran.record.reason


@dataclass(frozen=True)
class Case:
    fault: Fault
    path: str
    status: str
    sentence: str
    #: How often the index was asked for it by all tries together, where that matters.
    asked: int = 0

    @property
    def id(self) -> str:
        kind = {PAGE: "page", FILE: "file", METADATA: "metadata"}[self.path]
        return f"{self.fault.name} on {kind}"


NO_ANSWER = "the package index did not answer as it should: "
REFUSED = "the package index refused us: "
OTHER = "the index gave another file than the one that locks/"

LOCKING = [
    Case(Fault.status(500), PAGE, "broken", f"{NO_ANSWER}HTTP status server error (500 Internal Server Error)", 3),
    Case(Fault.status(503, retry_after=0), PAGE, "broken", f"{NO_ANSWER}HTTP status server error (503", 3),
    Case(Fault.status(429, retry_after=0), PAGE, "broken", f"{NO_ANSWER}HTTP status client error (429", 3),
    Case(Fault.status(401), PAGE, "broken", f"{REFUSED}An index URL (", 1),
    Case(Fault.status(403), PAGE, "broken", f"{REFUSED}An index (", 1),
    Case(Fault.gone(), PAGE, "failed", "Because apple was not found in the package registry and you require apple", 1),
    Case(Fault.reset(50), PAGE, "broken", f"{NO_ANSWER}Connection reset by peer (os error 104) (http://127.0.0.1:"),
    Case(Fault.short(50), PAGE, "broken", f"{NO_ANSWER}end of file before message length reached (http"),
    Case(Fault.stall(30), PAGE, "broken", f"{NO_ANSWER}operation timed out (http://127.0.0.1:"),
    Case(Fault.redirect_loop(), PAGE, "broken", f"{NO_ANSWER}Missing `Content-Type` header"),
    Case(Fault.bad_json(), PAGE, "broken", f"{NO_ANSWER}Received some unexpected JSON from `http", 1),
    Case(Fault.corrupt_gzip(), PAGE, "broken", f"{NO_ANSWER}error decoding response body"),
    Case(Fault.web_page(), PAGE, "failed", "Because there is no version of apple==1.0", 1),
    Case(Fault.status(500), METADATA, "broken", f"{NO_ANSWER}HTTP status server error (500"),
    Case(Fault.status(403), METADATA, "broken", f"{REFUSED}HTTP status client error (403"),
]


@pytest.mark.parametrize("case", LOCKING, ids=lambda case: case.id)
def test_a_lock_is_not_made_from_an_index_that_misbehaves(
    index: Index, tool_env: dict[str, str], project: Path, case: Case
) -> None:
    index.fail(case.fault, case.path)
    ran = run_verb(UV, {**tool_env, **HASTY}, project)
    assert (ran.code, ran.record.status, ran.stage("lock").status) == (5, case.status, case.status)
    assert case.sentence in ran.record.reason
    assert "\n" not in ran.record.reason
    if case.asked:
        assert index.paths.count(PAGE) == case.asked
    nothing_is_left(ran, project)
    index.heal()
    assert run_verb(UV, tool_env, project).record.status == "passed"


BUILDING = [
    Case(Fault.gone(), FILE, "failed", "names apple==1.0, which the index no longer has. Take what is there now with"),
    Case(Fault.status(403), FILE, "broken", f"{REFUSED}HTTP status client error (403 Forbidden)"),
    Case(Fault.status(500), FILE, "broken", f"{NO_ANSWER}HTTP status server error (500"),
    Case(Fault.reset(300), FILE, "broken", f"{NO_ANSWER}Connection reset by peer"),
    Case(Fault.short(300), FILE, "broken", f"{NO_ANSWER}end of file before message length reached"),
    Case(Fault.stall(30, at=300), FILE, "broken", f"{NO_ANSWER}Failed to download distribution due to network timeout"),
    Case(Fault.corrupt_gzip(), FILE, "broken", f"{NO_ANSWER}error decoding response body"),
    Case(Fault.truncated(300), FILE, "failed", OTHER),
    Case(Fault.web_page(), FILE, "failed", OTHER),
    Case(Fault.flipped(), FILE, "failed", OTHER),
    Case(Fault.altered(), FILE, "failed", OTHER),
    Case(Fault.gone(), PAGE, "failed", "names apple, which the index no longer has"),
    Case(Fault.web_page(), PAGE, "failed", "names apple==1.0, which the index no longer has"),
]


@pytest.mark.parametrize("case", BUILDING, ids=lambda case: case.id)
def test_a_build_stops_where_the_index_misbehaves(
    index: Index, tool_env: dict[str, str], project: Path, tmp_path: Path, case: Case
) -> None:
    lock = run_verb(["lock", *UV[1:3], "-q"], tool_env, project)
    assert lock.code == 0, lock.output
    before = snapshot(project)
    index.fail(case.fault, case.path)
    env = {**tool_env, **HASTY, "CI_ENVS_CACHE_DIR": str(tmp_path / "an empty cache")}
    ran = run_verb(UV, env, project)
    assert (ran.code, ran.record.status, ran.stage("build").status) == (6, case.status, case.status)
    assert case.sentence in ran.record.reason
    assert snapshot(project) == before
    assert not list((project / ".ci-envs/envs").glob("*"))
    index.heal()
    assert run_verb(UV, env, project).record.status == "passed"


def test_a_file_that_is_not_the_locked_one_leaves_the_old_environment(
    index: Index, tool_env: dict[str, str], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "apple==1.1\n"})
    assert run_verb(UV, tool_env, project).record.status == "passed"
    (prefix,) = (project / ".ci-envs/envs").iterdir()
    before = snapshot(prefix)
    (project / "requirements.in").write_text("apple==1.0\n", encoding="utf-8")
    index.fail(Fault.altered(), FILE)
    ran = run_verb(UV, tool_env, project)
    assert (ran.code, ran.record.status) == (6, "failed")
    assert "Hash mismatch for `apple==1.0` Expected: sha256:" in ran.record.reason
    assert "Find out why before you lock again; ci-envs lock --upgrade " in ran.record.reason
    assert snapshot(prefix) == before
    asked = run_verb(["exec", prefix.name, "--", "python", "-c", "import apple"], tool_env, project)
    assert asked.code == 0


@pytest.mark.parametrize("address", [refused_url, lambda: UNRESOLVABLE_URL], ids=["refused", "no such host"])
@pytest.mark.parametrize("words", [UV, VENV], ids=["uv", "venv"])
def test_nobody_answers(warm_env: dict[str, str], project: Path, address: object, words: list[str]) -> None:
    url = address()  # type: ignore[operator]  # one of two functions
    prepared = write_project(project.parent / "other", {"requirements.in": "seed\n"})
    assert run_verb(words, warm_env, prepared).code == 0  # pip-tools is there
    ran = run_verb(words, {**warm_env, **HASTY, "UV_DEFAULT_INDEX": url, "PIP_INDEX_URL": url}, project)
    assert (ran.code, ran.record.status) == (5, "broken")
    assert f"{NO_ANSWER}" in ran.record.reason
    assert ("Connection refused" in ran.record.reason) or ("Name or service not known" in ran.record.reason)
    nothing_is_left(ran, project)


def test_nobody_answers_for_what_a_constraint_speaks_of(warm_env: dict[str, str], tmp_path: Path) -> None:
    """pip calls this a conflict of the requirement with its constraint."""
    files = {"requirements.in": "-c limits.txt\napple\n", "limits.txt": "apple<2\n"}
    prepared = write_project(tmp_path / "other", {"requirements.in": "seed\n"})
    assert run_verb(VENV, warm_env, prepared).code == 0  # pip-tools is there
    url = refused_url()
    offline = {**warm_env, **HASTY, "UV_DEFAULT_INDEX": url, "PIP_INDEX_URL": url}
    ran = run_verb(VENV, offline, write_project(tmp_path / "project", files))
    assert (ran.code, ran.record.status) == (5, "broken")
    assert "Connection refused" in ran.record.reason


@pytest.mark.parametrize("times", [1, 2])
def test_an_index_that_recovers_is_asked_again(
    index: Index, tool_env: dict[str, str], project: Path, times: int
) -> None:
    rule = index.fail(Fault.status(503, retry_after=0), PAGE, times=times)
    ran = run_verb(UV, {**tool_env, **HASTY}, project)
    assert (ran.record.status, rule.hits) == ("passed", times)


PIP_LOCKING = [
    Case(Fault.status(500), PAGE, "broken", f"{NO_ANSWER}too many 500 error responses, for {PAGE} (http://127.", 3),
    Case(Fault.status(429), PAGE, "broken", "429 Client Error: Too Many Requests for url: http", 3),
    Case(Fault.status(401), PAGE, "broken", f"{REFUSED}http://127.0.0.1:", 1),
    Case(Fault.status(403), PAGE, "broken", "403 Client Error: Forbidden for url: http", 1),
    Case(
        Fault.gone(),
        PAGE,
        "failed",
        "requirements.in:1: the requirements cannot be locked: Could not find a version",
        1,
    ),
    Case(Fault.stall(30), PAGE, "broken", "127.0.0.1 didn't respond within 1.0 seconds", 3),
    Case(Fault.short(50), PAGE, "broken", f"{NO_ANSWER}Connection broken: IncompleteRead(50 bytes read"),
    Case(Fault.redirect_loop(), PAGE, "broken", f"{NO_ANSWER}Exceeded 30 redirects"),
    Case(Fault.bad_json(), PAGE, "broken", NO_ANSWER, 1),
    Case(Fault.status(500), METADATA, "broken", f"{NO_ANSWER}too many 500 error responses, for {METADATA}"),
]


@pytest.mark.parametrize("case", PIP_LOCKING, ids=lambda case: case.id)
def test_pip_compile_is_understood_where_it_says_no_matching_distribution_of_a_broken_page(
    index: Index, warm_env: dict[str, str], project: Path, case: Case
) -> None:
    index.fail(case.fault, case.path)
    ran = run_verb(VENV, {**warm_env, **HASTY}, project)
    assert (ran.code, ran.record.status, ran.stage("lock").status) == (5, case.status, case.status)
    assert case.sentence in ran.record.reason
    assert "Traceback" not in ran.record.reason
    assert "\n" not in ran.record.reason
    if case.asked:
        assert index.paths.count(PAGE) == case.asked
    nothing_is_left(ran, project)


PIP_INSTALLING = [
    Case(Fault.altered(), FILE, "failed", "DO NOT MATCH THE HASHES"),
    Case(Fault.gone(), FILE, "failed", f"names {WHEEL}, which the index no longer has"),
    Case(Fault.reset(300), FILE, "broken", NO_ANSWER),
]


@pytest.mark.parametrize("case", PIP_INSTALLING, ids=lambda case: case.id)
def test_pip_sync_is_understood(index: Index, warm_env: dict[str, str], tmp_path: Path, case: Case) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "seed\n"})
    env = {**warm_env, "PIP_NO_CACHE_DIR": "1"}
    words = [*VENV, "--installer=pip"]
    assert run_verb(["lock", *VENV[1:3], "-q"], env, write_project(project, INTENT)).code == 0
    index.fail(case.fault, case.path)
    ran = run_verb(words, {**env, **HASTY}, project)
    assert (ran.code, ran.record.status, ran.stage("build").status) == (6, case.status, case.status)
    assert case.sentence in ran.record.reason
    assert "\n" not in ran.record.reason


def test_an_unsatisfiable_requirement_is_told_in_the_resolvers_own_sentence(
    warm_env: dict[str, str], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", UNSATISFIABLE)
    uv, venv = (run_verb(words, warm_env, project).records for words in (UV, VENV))
    (uv_record,) = uv.values()
    assert uv_record.status == "failed"
    assert uv_record.reason.startswith(
        "lock: requirements.in:1: the requirements cannot be locked: Because all versions of pear depend on seed<2 and "
        "apple>=2.0 depends on seed>=2"
    )
    assert (
        "your requirements are unsatisfiable. Loosen one of the requirements, then run ci-envs lock "
        in uv_record.reason
    )
    assert "; the log has all of it: .ci-envs/logs/uv-" in uv_record.reason
    venv_record = next(record for record in venv.values() if record.leg.pattern == "venv")
    assert (
        "The conflict is caused by: apple 2.0 depends on seed>=2; "
        "pear 1.1 depends on seed<2; pear 1.0 depends on seed<2."
    ) in venv_record.reason
    assert set(snapshot(project)) == {"requirements.in"}


def test_a_package_whose_name_speaks_of_time_is_no_network_failure(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "pytest-timeout-connection-reset\n"})
    ran = run_verb(UV, warm_env, project)
    assert (ran.code, ran.record.status) == (5, "failed")
    assert "pytest-timeout-connection-reset was not found in the package registry" in ran.record.reason
