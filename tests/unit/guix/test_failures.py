"""What guix's sentences, as its sources have them, are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_leg, a_work

from ci_envs.command import Outcome
from ci_envs.guix.failures import failure_of
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.nix.failure import Failure, Kind


def read(folder: Path, said: str, *, code: int = 1, offline: bool = False) -> Failure:
    (folder / "manifest.scm").write_text("")
    work = a_work(folder, leg=a_leg(pattern="guix"), stage="build")
    work.policy = LockPolicy(mode="auto", offline=offline)
    return failure_of(Outcome(argv=("guix",), returncode=code, stderr=said), work)


@pytest.mark.parametrize(
    ("said", "line", "sentence"),
    [
        ("manifest.scm:3:4: error: packags: unbound variable\n", 3, "packags: unbound variable"),
        ("manifest.scm:5:0: missing closing parenthesis\n", 5, "missing closing parenthesis"),
        (
            "guix shell: error: read error while loading 'manifest.scm': manifest.scm:2:1: unexpected \")\"\n",
            2,
            "read error while loading 'manifest.scm': manifest.scm:2:1: unexpected \")\"",
        ),
    ],
)
def test_a_file_of_the_project_is_named_with_its_line(tmp_path: Path, said: str, line: int, sentence: str) -> None:
    found = read(tmp_path, f'Backtrace:\n           2 (primitive-load-path "guix")\n{said}')

    assert (found.kind, found.file, found.line, found.sentence) == ("evaluation", "manifest.scm", line, sentence)


def test_the_hint_is_guixs_own(tmp_path: Path) -> None:
    said = (
        "manifest.scm:3:4: error: packags: unbound variable\nhint: Did you forget\n`(use-modules (guix profiles))'?\n\n"
    )

    assert read(tmp_path, said).hint == "Did you forget `(use-modules (guix profiles))'?"


def test_a_file_of_guixs_is_not_the_projects(tmp_path: Path) -> None:
    found = read(
        tmp_path, "/gnu/store/0-guix/gnu/packages.scm:3:4: error: no\nguix shell: error: pythn: unknown package\n"
    )

    assert (found.kind, found.file, found.sentence) == ("other", "", "pythn: unknown package")


@pytest.mark.parametrize(
    ("said", "offline", "kind", "told"),
    [
        ("guix shell: error: a: No space left on device", False, "full", "the disk is full: "),
        ("guix shell: error: failed to connect to `/s': Permission denied", False, "store", "/s: Permission denied"),
        (
            "guix time-machine: error: Git error: failed to connect to git.example: timed out",
            False,
            "network",
            "timed out",
        ),
        ("guix substitute: error: download failed: 503", True, "offline", "nothing may be fetched"),
        ("guix shell: error: build of `/gnu/store/0-a.drv' failed", False, "builder", "build of `/gnu/store/0-a.drv'"),
        (
            "guix substitute: warning: git.example: Connection refused\nguix shell: error: pythn: unknown package",
            False,
            "other",
            "pythn: unknown package",
        ),
        ("", False, "other", "did not say why"),
    ],
)
def test_each_kind_is_told_apart(tmp_path: Path, said: str, *, offline: bool, kind: Kind, told: str) -> None:
    found = read(tmp_path, said, offline=offline)

    assert found.kind == kind
    assert told in found.sentence


def test_a_builder_is_told_with_where_its_words_are(tmp_path: Path) -> None:
    said = (
        "View build log at '/var/log/guix/drvs/0/a.drv.gz'.\nguix shell: error: build of `/gnu/store/0-a.drv' failed\n"
    )

    assert read(tmp_path, said).hint == "its words are in /var/log/guix/drvs/0/a.drv.gz"


def test_a_signal_is_the_worlds(tmp_path: Path) -> None:
    found = read(tmp_path, "", code=-9)

    assert (found.kind, found.is_worlds, found.sentence) == ("ended", True, "guix was ended by SIGKILL")
