"""The local index is a real one to real tools, and its faults do what they say.

The tables at the faults are also the record of how uv and pip tell them: what a tool exits with and the sentence that
tells "the index is broken" from "what was asked for cannot be had".
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.support import wheels
from tests.support.faults import UNRESOLVABLE_URL, Fault, refused_url
from tests.support.index import Index
from tests.support.listing import JSON_TYPE
from tests.support.projects import PACKAGE, private_environment, write_project

from ci_envs.command import Command, Outcome, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.component

PAGE = "/simple/apple/"
APPLE = "apple-1.0-py3-none-any.whl"
FILE = f"/files/{APPLE}"


# The tools, each told to bring apple 1.0 alone.


@dataclass(frozen=True)
class Tools:
    """uv and pip with an environment for one index."""

    uv_bin: str
    pip_python: Path
    folder: Path
    #: Variables on top of the private ones: no second try, and a second's patience.
    hasty: dict[str, str] = field(
        default_factory=lambda: {
            "UV_HTTP_RETRIES": "0",
            "UV_HTTP_TIMEOUT": "1",
            "PIP_RETRIES": "0",
            "PIP_RESUME_RETRIES": "0",
            "PIP_DEFAULT_TIMEOUT": "1",
        }
    )

    @property
    def site(self) -> Path:
        """Where it is installed."""
        return self.folder / "site"

    def uv(self, url: str, *arguments: str, **variables: str) -> Outcome:
        """``uv pip install`` into :attr:`site`, with a cache that is empty."""
        argv = (self.uv_bin, "pip", "install", "--python", sys.executable, "--target", str(self.site), *arguments)
        return self._run(argv, url, variables)

    def pip(self, url: str, *arguments: str, **variables: str) -> Outcome:
        """``pip install`` into :attr:`site`."""
        argv = (str(self.pip_python), "-m", "pip", "install", "--target", str(self.site), *arguments)
        return self._run(argv, url, {"PIP_LOG": str(self.folder / "pip.log"), **variables})

    def _run(self, argv: tuple[str, ...], url: str, variables: dict[str, str]) -> Outcome:
        env = private_environment(url, self.folder / "home", self.folder / "cache")
        return run(Command(argv, cwd=self.folder, env={**env, **self.hasty, **variables}, timeout=60))


@pytest.fixture
def tools(uv_bin: str, pip_python: Path, tmp_path: Path) -> Tools:
    return Tools(uv_bin, pip_python, tmp_path)


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, whatever the status."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})  # noqa: S310 - our own index
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own index
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


# What it serves.


def test_a_page_carries_hashes_and_what_python_a_file_wants(own_index: Index) -> None:
    status, headers, body = get(f"{own_index.url}cherry/")
    digest = hashlib.sha256((own_index.folder / "cherry-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f'href="../../files/cherry-2.0-py3-none-any.whl#sha256={digest}"' in body.decode()
    assert 'data-requires-python="&gt;=3.12"' in body.decode()


def test_json_carries_size_upload_time_and_yank(own_index: Index) -> None:
    own_index.uploaded("apple-2.0-*", "2025-06-01T12:00:00Z")
    own_index.yank(APPLE, "worms")
    status, headers, body = get(f"{own_index.url}apple/", Accept=f"{JSON_TYPE}, text/html;q=0.1")
    page = json.loads(body)
    files = {told["filename"]: told for told in page["files"]}
    assert (status, headers["Content-Type"]) == (200, JSON_TYPE)
    assert page["versions"] == ["1.0", "1.1", "2.0"]
    assert files[APPLE]["yanked"] == "worms"
    assert files[APPLE]["size"] == (own_index.folder / APPLE).stat().st_size
    assert files["apple-1.1-py3-none-any.whl"]["yanked"] is False
    assert files["apple-2.0-py3-none-any.whl"]["upload-time"] == "2025-06-01T12:00:00Z"


def test_metadata_is_served_on_its_own_under_its_own_hash(own_index: Index) -> None:
    told = json.loads(get(f"{own_index.url}apple/", Accept=JSON_TYPE)[2])["files"][0]
    _, _, metadata = get(f"{told['url']}.metadata")
    assert b"Requires-Dist: seed>=1" in metadata
    assert told["core-metadata"] == {"sha256": hashlib.sha256(metadata).hexdigest()}


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None)],
)
def test_a_range_of_a_file_is_served(own_index: Index, asked: str, first: int, end: int | None) -> None:
    data = (own_index.folder / APPLE).read_bytes()
    status, _, body = get(f"{own_index.files_url}{APPLE}", Range=asked)
    assert (status, body) == (206, data[first:end])


def test_a_range_past_the_end_is_refused(own_index: Index) -> None:
    assert get(f"{own_index.files_url}{APPLE}", Range="bytes=999999-")[0] == 416


def test_a_name_that_is_not_normal_is_sent_to_the_one_that_is(own_index: Index) -> None:
    assert b"apple-1.0" in get(f"{own_index.url}Apple")[2]
    assert own_index.paths == ["/simple/Apple", PAGE]


def test_credentials_are_asked_for_and_seen(fruit: Path, tools: Tools) -> None:
    with Index(fruit, user="eve", password="canary-password") as index:
        assert get(f"{index.url}apple/")[0] == 401
        wrong = base64.b64encode(b"eve:guess").decode()
        assert get(f"{index.url}apple/", Authorization=f"Basic {wrong}")[0] == 401
        assert tools.uv(index.url_with("eve:canary-password"), "apple==1.0", "--no-deps")
        assert index.credentials == {"eve:guess", "eve:canary-password"}
        assert index.downloads == [APPLE]


@pytest.mark.parametrize("json_too", [True, False], ids=["json", "html only"])
def test_uv_and_pip_resolve_and_install_from_it(fruit: Path, tools: Tools, json_too: bool) -> None:
    for tool in (tools.uv, tools.pip):
        with Index(fruit, json=json_too) as index:
            outcome = tool(index.url, "apple", "pear", "plum[jam]", "melon")
            assert outcome, outcome.output
            accepted = {name.split("-")[0] for name in index.downloads}
        assert accepted == {"apple", "pear", "seed", "plum", "sugar", "melon"}
        assert (tools.site / "apple-1.1.dist-info").is_dir(), "apple 2.0 and pear cannot be together"


def test_an_sdist_is_built_with_nothing_but_itself(own_index: Index, tools: Tools) -> None:
    for tool in (tools.uv, tools.pip):
        own_index.heal()
        outcome = tool(own_index.url, "fig", "--no-deps", "--upgrade")
        assert outcome, outcome.output
        assert own_index.downloads == ["fig-1.0.tar.gz"]
        assert (tools.site / "fig" / "__init__.py").read_text() == '__version__ = "1.0"\n'


def test_a_folder_of_files_is_an_index_too(own_index: Index, tools: Tools) -> None:
    url = own_index.write_static(tools.folder / "static")
    assert tools.uv(url, "apple==1.0")
    assert tools.pip(url, "apple==1.0", "--upgrade")
    assert own_index.requests == []


def test_upload_times_reach_the_resolver(own_index: Index, tools: Tools) -> None:
    own_index.uploaded("apple-[12].[01]-*", "2025-06-01T00:00:00Z")
    own_index.uploaded(APPLE, "2024-06-01T00:00:00Z")
    assert tools.uv(own_index.url, "apple", "--exclude-newer", "2025-01-01T00:00:00Z")
    assert (tools.site / "apple-1.0.dist-info").is_dir()


def test_a_yanked_file_is_passed_over_unless_pinned(own_index: Index, tools: Tools) -> None:
    own_index.yank("apple-2.0-*", "worms")
    assert tools.uv(own_index.url, "apple")
    assert (tools.site / "apple-1.1.dist-info").is_dir()
    assert 'is yanked (reason: "worms")' in tools.uv(own_index.url, "apple==2.0").stderr


def test_a_package_of_the_universe_is_installed_editable_with_its_own_backend(
    index: Index, tool_env: dict[str, str], uv_bin: str, tmp_path: Path
) -> None:
    project = write_project(tmp_path / "basket", PACKAGE)
    env = {**tool_env, "UV_PYTHON": sys.executable}
    outcome = run(Command((uv_bin, "run", "--group", "test", "pytest", "-q"), cwd=project, env=env, timeout=60))
    assert outcome, outcome.output
    assert "3 passed" in outcome.stdout
    assert run(Command((uv_bin, "run", "carry"), cwd=project, env=env)).stdout == "carries 1.1\n"
    assert "seed-1.5-py3-none-any.whl" in index.downloads


# Its faults.


@dataclass(frozen=True)
class Case:
    """A fault, and how each tool tells it: exit code and a part of its sentence."""

    fault: Fault
    path: str
    uv: tuple[int, str]
    pip: tuple[int, str] | None = None

    @property
    def id(self) -> str:
        return f"{self.fault.name} on {'page' if self.path == PAGE else 'file'}"


NO_MATCH = (1, "No matching distribution found for apple==1.0")
BAD_HASH = (1, "DO NOT MATCH THE HASHES")
JSON_PAGE = Fault.web_page(JSON_TYPE)

CASES = [
    Case(Fault.status(500), PAGE, (2, "HTTP status server error (500"), NO_MATCH),
    Case(Fault.status(502), PAGE, (2, "HTTP status server error (502")),
    Case(Fault.status(503, retry_after=1), PAGE, (2, "HTTP status server error (503"), NO_MATCH),
    Case(Fault.status(429, retry_after=1), PAGE, (2, "HTTP status client error (429"), NO_MATCH),
    Case(Fault.status(401), PAGE, (1, "lack of valid authentication credentials (401"), NO_MATCH),
    Case(Fault.status(403), PAGE, (1, "returned a 403 Forbidden error"), NO_MATCH),
    Case(Fault.gone(), PAGE, (1, "apple was not found in the package registry"), NO_MATCH),
    Case(Fault.reset(50), PAGE, (2, "Connection reset by peer"), (1, "Connection broken: ConnectionResetError")),
    Case(Fault.short(50), PAGE, (2, "end of file before message length reached"), (1, "IncompleteRead(50 bytes read")),
    Case(Fault.stall(30), PAGE, (2, "operation timed out"), NO_MATCH),
    Case(Fault.redirect_loop(), PAGE, (1, "Missing `Content-Type` header"), (1, "Exceeded 30 redirects")),
    Case(Fault.web_page(), PAGE, (1, "there is no version of apple==1.0"), NO_MATCH),
    Case(JSON_PAGE, PAGE, (1, "Received some unexpected JSON"), (2, "JSONDecodeError")),
    Case(Fault.bad_json(), PAGE, (1, "Received some unexpected JSON")),
    Case(Fault.corrupt_gzip(), PAGE, (2, "deflate decompression error"), (1, "failed to decode it")),
    Case(Fault.gone(), FILE, (1, "HTTP status client error (404"), (1, "HTTP error 404 while getting")),
    Case(Fault.status(403), FILE, (2, "HTTP status client error (403"), (1, "HTTP error 403 while getting")),
    Case(Fault.status(500), FILE, (2, "HTTP status server error (500"), (1, "too many 500 error responses")),
    Case(Fault.reset(300), FILE, (2, "Connection reset by peer"), (1, "incomplete-download")),
    Case(Fault.short(300), FILE, (2, "end of file before message length reached"), (1, "incomplete-download")),
    Case(Fault.truncated(300), FILE, (1, "I/O operation failed during extraction"), BAD_HASH),
    Case(
        Fault.stall(30, at=300),
        FILE,
        (1, "network timeout. Try increasing UV_HTTP_TIMEOUT"),
        (1, "incomplete-download"),
    ),
    Case(Fault.web_page(), FILE, (1, "Invalid zip file structure"), BAD_HASH),
    Case(Fault.corrupt_gzip(), FILE, (2, "deflate decompression error"), BAD_HASH),
    Case(Fault.flipped(), FILE, (1, "Failed to extract archive"), BAD_HASH),
    Case(Fault.altered(), FILE, (1, "Hash mismatch for `apple==1.0`"), BAD_HASH),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_uv_tells_the_fault(own_index: Index, tools: Tools, case: Case) -> None:
    rule = own_index.fail(case.fault, case.path)
    outcome = tools.uv(own_index.url, "apple==1.0", "--no-deps")
    code, sentence = case.uv
    assert sentence in " ".join(outcome.stderr.split())  # uv breaks its lines where it likes
    assert (outcome.returncode, rule.hits > 0) == (code, True)
    assert not (tools.site / "apple").exists()


@pytest.mark.parametrize("case", [case for case in CASES if case.pip], ids=lambda case: case.id)
def test_pip_tells_the_fault(own_index: Index, tools: Tools, case: Case) -> None:
    rule = own_index.fail(case.fault, case.path)
    outcome = tools.pip(own_index.url, "apple==1.0", "--no-deps")
    code, sentence = case.pip or (0, "")
    assert sentence in " ".join(outcome.stderr.split())  # uv breaks its lines where it likes
    assert (outcome.returncode, rule.hits > 0) == (code, True)
    assert not (tools.site / "apple").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.status(503), "too many 503 error responses"),
        (Fault.status(429), "429 Client Error"),
        (Fault.status(401), "401 Client Error"),
        (Fault.status(403), "403 Client Error"),
        (Fault.stall(30), "didn't respond within"),
        (Fault.gone(), "404 Client Error"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_only_the_log_of_pip_tells_a_broken_page_from_one_that_is_not_there(
    own_index: Index, tools: Tools, fault: Fault, reason: str
) -> None:
    own_index.fail(fault, PAGE)
    outcome = tools.pip(own_index.url, "apple==1.0", "--no-deps")
    told = f"Could not fetch URL {own_index.url}apple/:"
    assert told not in outcome.output
    line = next(line for line in (tools.folder / "pip.log").read_text().splitlines() if told in line)
    assert reason in line


@pytest.mark.parametrize(
    ("address", "uv_sentence", "pip_sentence"),
    [
        (refused_url, "Connection refused", "Connection refused"),
        (lambda: UNRESOLVABLE_URL, "dns error", "No matching distribution found"),
    ],
    ids=["refused", "no such host"],
)
def test_nobody_answers(tools: Tools, address: Callable[[], str], uv_sentence: str, pip_sentence: str) -> None:
    outcome = tools.uv(address(), "apple==1.0")
    assert (outcome.returncode, uv_sentence in outcome.stderr) == (2, True), outcome.stderr
    outcome = tools.pip(address(), "apple==1.0", PIP_RETRIES="1")
    assert (outcome.returncode, pip_sentence in outcome.stderr) == (1, True), outcome.stderr


def test_an_index_goes_down_and_comes_back_at_its_address(own_index: Index, tools: Tools) -> None:
    url = own_index.url
    own_index.stop()
    assert "Connection refused" in tools.uv(url, "apple==1.0").stderr
    own_index.start()
    assert own_index.url == url
    assert tools.uv(url, "apple==1.0")


def test_a_fault_lasts_as_often_as_was_said(own_index: Index, tools: Tools) -> None:
    rule = own_index.fail(Fault.status(503, retry_after=0), PAGE, times=2)
    outcome = tools.uv(own_index.url, "apple==1.0", UV_HTTP_RETRIES="3")
    assert outcome, outcome.output
    answers = [request.status for request in own_index.requests if request.path == PAGE]
    assert (rule.hits, answers[:2], set(answers[2:])) == (2, [503, 503], {200})


def test_faults_add_up_and_heal(own_index: Index) -> None:
    own_index.fail(Fault.web_page(), PAGE)
    own_index.fail(Fault.truncated(15), PAGE)
    assert get(f"{own_index.url}apple/")[2] == b"<!DOCTYPE html>"
    own_index.heal()
    assert b"apple-1.0" in get(f"{own_index.url}apple/")[2]


def test_a_slow_answer_is_slow(own_index: Index) -> None:
    size = (own_index.folder / APPLE).stat().st_size
    own_index.fail(Fault.slow(size * 4), FILE)
    started = time.monotonic()
    body = get(f"{own_index.files_url}{APPLE}")[2]
    assert (len(body), time.monotonic() - started > 0.2) == (size, True)


def test_stopping_does_not_wait_for_a_stalled_answer(fruit: Path) -> None:
    with Index(fruit) as index:
        index.fail(Fault.stall(60))
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(index.url, timeout=0.2)  # noqa: S310 - our own index
        started = time.monotonic()
    assert time.monotonic() - started < 15


def test_a_mistake_of_the_index_itself_is_not_lost(fruit: Path) -> None:
    def mistake(_: object) -> None:
        raise ZeroDivisionError

    index = Index(fruit)
    index.start()
    index.fail(Fault("mistake", mistake))  # type: ignore[arg-type]  # the mistake is the point
    with pytest.raises(OSError, match="closed connection"):
        urllib.request.urlopen(index.url, timeout=5)  # noqa: S310 - our own index
    with pytest.raises(ZeroDivisionError):
        index.stop()


# Its packages, sound and sick.


def test_a_wheel_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (
        wheels.make_wheel(tmp_path / turn, "apple", "1.0", requires=["seed"], scripts={"eat": "apple:main"})
        for turn in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()


def test_an_sdist_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (wheels.make_sdist(tmp_path / turn, "fig", "1.0", extras={"x": ["seed"]}) for turn in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_an_altered_wheel_is_sound_and_only_its_hash_differs(own_index: Index, tmp_path: Path) -> None:
    other = tmp_path / APPLE
    other.write_bytes(wheels.altered((own_index.folder / APPLE).read_bytes()))
    content = wheels.members(other)
    rows = [row.split(",") for row in content["apple-1.0.dist-info/RECORD"].decode().splitlines()]
    for path, digest, _ in rows[:-1]:
        found = base64.urlsafe_b64encode(hashlib.sha256(content[path]).digest()).rstrip(b"=").decode()
        assert digest == f"sha256={found}", path
    with zipfile.ZipFile(other) as archive:
        assert archive.testzip() is None


@dataclass(frozen=True)
class Sick:
    """A sick wheel, and how each tool takes it: exit code and a part of its sentence."""

    name: str
    make: Callable[[Path], object]
    uv: tuple[int, str]
    pip: tuple[int, str]


SICK = [
    # Both install it and see nothing: RECORD is for us to check.
    Sick("wrong RECORD", wheels.with_wrong_record, (0, ""), (0, "")),
    Sick(
        "other version in METADATA",
        lambda wheel: wheels.with_other_metadata(wheel, version="9.9"),
        (2, "Wheel version does not match filename"),
        NO_MATCH,
    ),
    Sick(
        "other name in METADATA",
        lambda wheel: wheels.with_other_metadata(wheel, name="pear"),
        (2, "which indicates a malformed wheel"),
        NO_MATCH,
    ),
    Sick(
        "another package's bytes",
        lambda wheel: wheels.as_other_file(wheel.with_name("pear-1.0-py3-none-any.whl"), APPLE),
        (2, "which indicates a malformed wheel"),
        NO_MATCH,
    ),
    # uv leaves the member out without a word.
    Sick(
        "escaping member", wheels.with_escaping_member, (0, ""), (1, "trying to install outside the target directory")
    ),
    Sick(
        "two members of one name",
        wheels.with_duplicate_member,
        (1, "multiple entries with different contents"),
        (0, ""),
    ),
    Sick("bad CRC", wheels.with_bad_crc, (1, "Bad CRC"), (2, "Bad CRC-32 for file")),
    Sick("trailing bytes", wheels.with_trailing_bytes, (1, "trailing contents after"), (0, "")),
]


@pytest.mark.parametrize("sick", SICK, ids=lambda sick: sick.name)
@pytest.mark.parametrize("name", ["uv", "pip"])
def test_a_sick_wheel_is_told_or_taken(own_index: Index, tools: Tools, sick: Sick, name: str) -> None:
    sick.make(own_index.folder / APPLE)
    outcome = getattr(tools, name)(own_index.url, "apple==1.0", "--no-deps")
    code, sentence = sick.uv if name == "uv" else sick.pip
    assert sentence in " ".join(outcome.stderr.split())  # uv breaks its lines where it likes
    assert outcome.returncode == code, outcome.output
    assert not list(tools.folder.rglob("escaped.py"))
