from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.conda.lock_values import CASES, CHANNEL, FILES, refusal

from ci_envs.conda.lock_reading import findings_of, read_lock

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = CASES[0].parent / "pixi"
VERSIONS = ("v4", "v5", "v6", "v7")
SIX = (FOLDER / "v6.lock").read_text("utf-8")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_format_gives_the_same_lock(version: str) -> None:
    read = read_lock((FOLDER / f"{version}.lock").read_text("utf-8"), path="pixi.lock")

    assert read == read_lock(SIX, path="pixi.lock")
    assert (read.format, read.platforms, read.channels) == ("pixi", ("linux-64",), (CHANNEL,))
    assert findings_of(read) == ()


def test_packages_are_those_of_the_default_environment_without_the_project_itself() -> None:
    found = {one.name: one for one in read_lock(SIX, path="pixi.lock").packages}

    assert list(found) == ["python", "tzdata", "idna", "requests"]
    python = found["python"]
    assert (python.version, python.build, python.subdir) == ("3.12.8", "h9e4cc4f_1_cpython", "linux-64")
    assert python.depends == ("__glibc >=2.17,<3.0.a0", "tzdata")
    assert (len(python.md5), len(python.sha256)) == (32, 64)
    assert found["tzdata"].subdir == "noarch"


def test_a_distribution_needs_what_holds_on_the_platform_and_no_extras() -> None:
    found = {one.name: one for one in read_lock(SIX, path="pixi.lock").packages}

    assert found["requests"].depends == ("idna <4", "idna <4,>=2.5")
    assert found["requests"].url == f"{FILES}/f9/9b/requests-2.32.3-py3-none-any.whl"


def test_reading_leaves_nothing_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read_lock(SIX, path="pixi.lock")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version: 6", "version: 12", "is of version 12; versions 1 and 2 of conda-lock.yml and 4 to 7 of pixi.lock"),
        ("version: 6\n", "", "says no version"),
        ("  default:\n", "  py312:\n", "has no environment 'default'; it has"),
        ("- pypi: ./\n", "- pypi: ./lib\n", "demo comes from './lib', which no hash holds"),
        ("    channels:\n", "    channels: [\n", "is not valid YAML"),
        ("environments:\n", "<<<<<<< HEAD\nenvironments:\n", "a merge that was not ended"),
        ("  depends:\n", "  depends: 7\n  was:\n", "cannot be read: "),
        ("  md5: '", "  md5: 'zz", "cannot be read: "),
    ],
)
def test_sick_locks_are_refused(old: str, new: str, words: str) -> None:
    error = refusal(SIX.replace(old, new), "pixi.lock")

    assert words in error.message
    assert error.file == "pixi.lock"
    assert "/tmp" not in error.message  # noqa: S108 - where it was read from is nobody's business


def test_a_lock_without_environments_is_none() -> None:
    assert "holds no environments" in refusal("version: 6\nenvironments:\n", "pixi.lock").message
    assert "holds no environments" in refusal("version: 6\n", "pixi.lock").message


def test_an_environment_without_packages_has_its_platforms_and_nothing_else() -> None:
    text = "version: 6\nenvironments:\n  default:\n    channels: []\n    packages: {}\npackages: []\n"

    assert read_lock(text, path="pixi.lock").packages == ()


def test_a_token_in_an_address_is_told_and_not_kept() -> None:
    secret = "https://channel.example/t/tk-abcdef/conda-forge"
    text = SIX.replace(CHANNEL, secret)
    read = read_lock(text, path="pixi.lock")

    assert [one.code for one in findings_of(read)] == ["LOCK021"]
    assert "tk-abcdef" not in repr(read)
    assert read.channels == (CHANNEL,)
