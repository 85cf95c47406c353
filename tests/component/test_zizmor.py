"""zizmor over our own workflows, and over those that break a requirement.

It stands in the lock of the tests, as pytest does, and takes a moment: these tests run with every `make test`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_mutations import MUTATIONS, PUBLISH, PUBLISHING, Mutation, mutated
from tests.support.workflows import ROOT, Repository, files_of
from tests.support.zizmor import OPTIONS, audits, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def ours() -> Repository:
    return files_of()


def test_the_auditor_finds_nothing_in_our_files(ours: Repository, tmp_path: Path) -> None:
    assert audits(write(ours, tmp_path)) == []


def test_nox_lint_asks_zizmor_the_same() -> None:
    (told,) = re.findall(r"^ZIZMOR = \((.*)\)$", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(word.strip('"') for word in told.split(", ")) == OPTIONS


def test_a_file_that_cannot_be_parsed_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/sick.yml").write_text("on: push: now\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="zizmor ended badly"):
        audits(tmp_path)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.requirement}: {mutation.name}")
def test_it_is_known_what_zizmor_alone_would_see(mutation: Mutation, ours: Repository, tmp_path: Path) -> None:
    found = audits(write(mutated(ours, mutation), tmp_path))
    assert {one.partition(":")[0] for one in found} == mutation.zizmor


def test_zizmor_has_nothing_against_the_workflow_that_publishes(ours: Repository, tmp_path: Path) -> None:
    files = {**ours.files, PUBLISH: PUBLISHING}
    assert audits(write(Repository(files), tmp_path)) == []


def test_most_of_what_we_check_zizmor_does_not_see() -> None:
    seen = [mutation for mutation in MUTATIONS if mutation.zizmor]
    assert 0 < len(seen) < len(MUTATIONS) / 2
