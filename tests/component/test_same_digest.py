"""One lock, one environment digest: whoever builds it, wherever, whenever, under whichever mask."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, PACKAGE, Program
from tests.component.running import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="users and masks of POSIX")]

#: Of Debian and of most others: a user that owns nothing.
NOBODY = 65534

#: Where Debian's libfaketime has its library for programs with threads; ``CI_ENVS_TEST_FAKETIME`` names another.
FAKETIME = next(
    (
        path
        for path in (
            os.environ.get("CI_ENVS_TEST_FAKETIME", ""),
            *map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")),
        )
        if path and Path(path).is_file()
    ),
    "",
)


@pytest.fixture
def first(make_program: Callable[..., Program]) -> Program:
    """A project with something of every kind: a console script, a script in data, platlib, markers, an sdist."""
    requirements = "apple\npear\nplum[jam]\nmelon\nfig\nberry\n"
    program = make_program("here", {**FRUIT, "requirements.in": requirements})
    assert digests(program).keys() == {"uv"}
    # What pip-compile would write; the lock is what the digests are held against.
    for lock in (program.root / "locks").iterdir():
        shutil.copy(lock, lock.with_name(lock.name.replace("uv-", "venv-")))
    return program


def digests(program: Program, *words: str, **how: Any) -> dict[str, str]:
    """Environment digests by pattern, as a run says them."""
    program.words = (*words, "--pattern=uv", f"--python={PYTHON}", "--json")
    if (program.root / "locks").exists():
        program.words += ("--pattern=venv", "--lock-mode=locked")
    done = program.run(**how)
    assert done.code == 0, done.said
    return {leg["pattern"]: leg["environment_digest"] for leg in json.loads(done.stdout)["legs"]}


def elsewhere(program: Program, folder: Path, env: Mapping[str, str] | None = None) -> Program:
    """The same files in another folder, with a cache and a home of their own."""
    own = {"CI_ENVS_CACHE_DIR": str(folder / "cache"), "HOME": str(folder / "home")}
    shutil.copytree(program.root, folder / "project", ignore=shutil.ignore_patterns(".ci-envs"))
    return Program(folder / "project", {**program.env, **own, **(env or {})}, started=program.started)


def test_two_folders_masks_time_zones_languages_and_patterns_give_one_digest(first: Program, tmp_path: Path) -> None:
    env = {"TZ": "Pacific/Kiritimati", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "7", "USER": "another"}
    near = elsewhere(first, tmp_path / "near")
    far = elsewhere(first, tmp_path / "a folder with a much longer name" / ("x" * 120), env)
    here = digests(near, umask=0o077)
    assert digests(far, umask=0o002) == here
    assert here["uv"] == here["venv"], "what a lock says is the same, whoever makes the environment"
    assert oct(mode(near)) == "0o600"
    assert oct(mode(far)) == "0o664"


def mode(program: Program) -> int:
    return (program.site / "apple-1.1.dist-info/RECORD").stat().st_mode & 0o777


def test_a_package_with_a_uv_lock_has_one_digest_too(make_program: Callable[..., Program], tmp_path: Path) -> None:
    program = make_program("here", PACKAGE)
    here = digests(program, umask=0o022)
    other = elsewhere(program, tmp_path / "another place", {"TZ": "America/Nome"})
    (other.root / "src/basket/__init__.py").write_text("import pear\n", encoding="utf-8")
    assert digests(other, umask=0o077) == here, "the project's own files are no part of what its lock promises"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's is not."""
    with tempfile.TemporaryDirectory(prefix="ci-envs-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_two_users_build_one_digest(first: Program, public: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a program as another user")
    setpriv = shutil.which("setpriv")
    assert setpriv, "this test needs setpriv (util-linux)"
    here = digests(first, umask=0o022)
    other = elsewhere(first, public / "theirs", {"USER": "nobody", "LOGNAME": "nobody"})
    for folder, names, files in os.walk(public):
        for name in (folder, *names, *files):
            os.chown(Path(folder, name), NOBODY, NOBODY)
    # They may read what is ours (this program and its Python lie in a home), and write nothing of it. Without
    # no_setuid_fixup access(2) would not honour that.
    may_read = [f"--{kind}=+dac_read_search" for kind in ("inh-caps", "ambient-caps")]
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--securebits=+no_setuid_fixup")
    other.through = (setpriv, *user, *may_read)
    assert digests(other, umask=0o002) == here
    assert {path.stat().st_uid for path in (other.site, other.record_file, *other.site.glob("*.dist-info"))} == {NOBODY}


@pytest.mark.parametrize("when", ["+400d", "-10y"])
def test_another_day_builds_the_same_digest(first: Program, tmp_path: Path, when: str) -> None:
    if not FAKETIME:
        pytest.fail("this test needs libfaketime (apt install faketime)")
    here = digests(first)
    other = elsewhere(
        first, tmp_path / "then", {"LD_PRELOAD": FAKETIME, "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    )
    # libfaketime fails some of the sleeps in which one leg waits for another's lock (EINVAL).
    assert digests(other, "--jobs=1") == here
    record = other.record
    assert record is not None
    distance = datetime.fromisoformat(record.written) - datetime.now(UTC)
    assert abs(distance) > timedelta(days=300)


def test_another_version_gives_another_digest(first: Program, tmp_path: Path) -> None:
    here = digests(first)
    other = elsewhere(first, tmp_path / "other")
    shutil.rmtree(other.root / "locks")
    (other.root / "requirements.in").write_text("apple==1.0\npear\nplum[jam]\nmelon\nfig\nberry\n", encoding="utf-8")
    assert digests(other)["uv"] != here["uv"]


def test_a_second_build_in_the_same_place_gives_the_same_digest(first: Program) -> None:
    here = digests(first)
    assert digests(first, "--fresh") == here
    shutil.rmtree(first.cache)
    assert digests(first, "--fresh") == here
