from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner
from tests.support.records import ended, record

from ci_envs.cli import main_group
from ci_envs.diff import compare, render
from ci_envs.errors import UsageError
from ci_envs.model.difference import Change, PackageChange
from ci_envs.model.image import BaseImage, ImageFacts
from ci_envs.model.inventory import Distribution
from ci_envs.model.lock import Pin
from ci_envs.model.record import EnvironmentFacts, Finding, LockFacts, Stage, TestCounts
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.record import RunRecord

STALE = Finding(code="LOCK001", severity="warning", title="stale lock", message="m", file="uv.lock", line=3)


def locked(*hashes: str) -> LockFacts:
    pins = (Pin(name="numpy", version="2.1.0", hashes=hashes),)
    return LockFacts(path="uv.lock", format="uv.lock", sha256="ab", digest="sha256:" + "1" * 64, pins=pins)


def test_a_record_is_the_same_as_itself() -> None:
    assert compare(record(), record()).same
    assert render(compare(record(), record())) == "uv-py312-linux-x86_64: no difference"


def test_times_are_never_a_difference() -> None:
    later = record(written="2027-01-01T00:00:00+00:00", stages=(Stage(name="lock", status="passed", seconds=99),))

    assert compare(record(), later).same


def test_packages_are_added_removed_changed() -> None:
    difference = compare(
        record(packages={"numpy": "1", "old": "1", "click": "8"}),
        record(packages={"numpy": "2", "new": "1", "click": "8"}),
    )

    assert difference.packages == (
        PackageChange(name="new", kind="added", after="1"),
        PackageChange(name="numpy", kind="changed", before="1", after="2"),
        PackageChange(name="old", kind="removed", before="1"),
    )
    assert not difference.same


def test_the_same_version_from_other_files_is_rebuilt() -> None:
    difference = compare(record(lock=locked("sha256:a", "sha256:b")), record(lock=locked("sha256:b", "sha256:c")))

    assert difference.packages == (PackageChange(name="numpy", kind="rebuilt", before="sha256:a", after="sha256:c"),)
    assert "# numpy: same version, other files (1 hashes gone, 1 new)" in render(difference)


def test_a_lock_without_hashes_says_nothing_about_files() -> None:
    assert compare(record(lock=locked()), record(lock=locked("sha256:b"))).packages == ()


def test_a_leg_that_was_not_built_is_compared_by_its_lock() -> None:
    unbuilt = ended("build", lock=locked("sha256:numpy2.1.0"), inventory=())

    assert compare(record(), unbuilt).packages == ()


def test_a_record_without_a_lock_has_no_facts_of_one() -> None:
    difference = compare(record(), ended("lock", lock=None, environment=None, inventory=(), tests=None))

    assert Change(name="lock", before="uv.lock", after="") in difference.facts
    assert Change(name="status", before="passed", after="failed") in difference.facts
    assert difference.tests == (
        Change(name="passed", before="3", after=""),
        Change(name="failed", before="0", after=""),
        Change(name="skipped", before="0", after=""),
    )


def test_findings_tools_and_tests_are_compared() -> None:
    difference = compare(
        record(findings=(STALE,), tools={"uv": "0.13.8"}),
        record(tests=TestCounts(passed=2, failed=1), tools={"uv": "0.14.0", "pip": "26.2"}),
    )

    assert difference.findings_gone == (STALE,)
    assert difference.findings_new == ()
    assert difference.tests == (
        Change(name="passed", before="3", after="2"),
        Change(name="failed", before="0", after="1"),
    )
    assert difference.tools == (
        Change(name="uv", before="0.13.8", after="0.14.0"),
        Change(name="pip", before="", after="26.2"),
    )


def test_a_person_reads_sections_for_what_differs_only() -> None:
    text = render(
        compare(record(packages={"numpy": "1"}, findings=(STALE,)), record(pattern="venv", packages={"numpy": "2"}))
    )

    assert text == (
        "--- uv-py312-linux-x86_64\n"
        "+++ venv-py312-linux-x86_64\n"
        "  leg: uv-py312-linux-x86_64 -> venv-py312-linux-x86_64\n"
        "\n"
        "packages\n"
        "  ~ numpy 1 -> 2\n"
        "\n"
        "findings that are gone\n"
        "  - warning LOCK001: stale lock (uv.lock:3)"
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    write_record(tmp_path / "a.json", record())
    write_record(tmp_path / "b.json", record(packages={"numpy": "3"}))
    return str(tmp_path / "a.json"), str(tmp_path / "b.json")


def test_the_verb_exits_0_unless_it_is_asked_to_tell(files: tuple[str, str]) -> None:
    a, b = files
    run = CliRunner().invoke

    assert run(main_group, ["diff", a, b], standalone_mode=False).return_value == 0
    assert run(main_group, ["diff", a, b, "--exit-code"], standalone_mode=False).return_value == 9
    assert run(main_group, ["diff", a, a, "--exit-code"], standalone_mode=False).return_value == 0


def test_the_verb_prints_json_and_nothing_else(files: tuple[str, str]) -> None:
    result = CliRunner().invoke(main_group, ["diff", *files, "--json"], standalone_mode=False)

    assert msgspec.json.decode(result.stdout_bytes)["packages"] == [
        {"name": "numpy", "kind": "changed", "manager": "", "before": "2.1.0", "after": "3"}
    ]


def test_names_are_looked_up_in_the_project_too(files: tuple[str, str], tmp_path: Path) -> None:
    words = ["diff", "a.json", "b.json", "--project", str(tmp_path)]
    result = CliRunner().invoke(main_group, words, standalone_mode=False)

    assert "numpy 2.1.0 -> 3" in result.stdout


def test_a_file_that_is_not_there_is_a_usage_error(files: tuple[str, str]) -> None:
    result = CliRunner().invoke(main_group, ["diff", files[0], "none.json"], standalone_mode=False)

    assert isinstance(result.exception, UsageError)


def contained(*packages: Distribution, digest: str = "a", base: str = "b") -> RunRecord:
    """A leg whose environment is an image."""
    image = ImageFacts(
        name=f"ci-envs/{digest}:uv",
        id="sha256:id",
        manifest=f"sha256:{digest}",
        bases=(BaseImage(name="python:3.12", digest=f"sha256:{base}"),),
    )
    usual = Distribution(name="numpy", version="2.1.0")
    return record(image=image, inventory=(usual, *packages), environment=EnvironmentFacts(image=image.name))


def of_dpkg(name: str, version: str, arch: str = "amd64") -> Distribution:
    return Distribution(name=name, version=version, manager="dpkg", arch=arch)


def test_images_are_compared_by_digest_and_base_and_never_by_name() -> None:
    difference = compare(contained(digest="1", base="2"), contained(digest="3", base="4"))

    assert difference.facts == (
        Change(name="image digest", before="sha256:1", after="sha256:3"),
        Change(name="base image python:3.12", before="sha256:2", after="sha256:4"),
    )


def test_packages_of_the_operating_system_have_names_of_their_own() -> None:
    before = contained(of_dpkg("numpy", "9"), of_dpkg("libc6", "1"), of_dpkg("libc6", "1", "i386"))
    after = contained(of_dpkg("numpy", "9"), of_dpkg("libc6", "2"), of_dpkg("libc6", "1", "i386"))

    assert compare(before, after).packages == (
        PackageChange(name="libc6", manager="dpkg", kind="changed", before="1", after="2, 1"),
    )


def test_many_packages_of_the_operating_system_are_counted() -> None:
    difference = compare(contained(), contained(*(of_dpkg(f"lib{n:03}", "1") for n in range(300))))

    text = render(difference)
    assert len(difference.packages) == 300
    assert "packages of dpkg\n  + lib000 1\n" in text
    assert "  ... and 290 more; --json has all of them" in text
    assert text.count("+ lib") == 10


def test_few_packages_of_the_operating_system_are_listed() -> None:
    text = render(compare(contained(), contained(*(of_dpkg(f"lib{n:03}", "1") for n in range(11)))))

    assert text.count("+ lib") == 11
    assert "more" not in text
