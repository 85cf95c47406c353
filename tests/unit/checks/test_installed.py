from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.environments import a_context, dist, lock_of

from ci_envs.checks.installed import (
    DeclaredIsInstalled,
    ExpectedVersions,
    InstalledEqualsLocked,
    MetadataIsConsistent,
    specifier,
)
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.checks import Check
    from ci_envs.model.inventory import Distribution


def pin(name: str, version: str = "1.0", **facts: Any) -> Pin:
    return Pin(name=name, version=version, **facts)


def found_by(check: Check, folder: Path, *installed: Distribution, **context: Any) -> list[str]:
    findings = list(check.run(a_context(folder, *installed, **context)))
    assert all(finding.severity == "error" for finding in findings)
    return [f"{finding.code} {finding.message}" for finding in findings]


# --- installed equals locked


def compared(folder: Path, installed: list[Distribution], locked: list[Pin], **context: Any) -> list[str]:
    return found_by(InstalledEqualsLocked(), folder, *installed, lock=lock_of(*locked), **context)


def test_the_same_set_is_no_finding(tmp_path: Path) -> None:
    assert compared(tmp_path, [dist("apple"), dist("pear", "2")], [pin("pear", "2"), pin("apple")]) == []


def test_missing_extra_and_different_are_three_findings(tmp_path: Path) -> None:
    installed = [dist("pear", "1.1"), dist("worm", "0.1")]
    assert sorted(compared(tmp_path, installed, [pin("apple"), pin("pear")])) == [
        "ENV101 apple 1.0 is locked and not installed",
        "ENV102 worm 0.1 is installed and not locked",
        "ENV103 pear: 1.0 is locked, 1.1 is installed",
    ]


def test_a_finding_stands_at_the_lock_file(tmp_path: Path) -> None:
    context = a_context(tmp_path, lock=lock_of(pin("apple"), path="locks/uv.txt"))
    assert [finding.file for finding in InstalledEqualsLocked().run(context)] == ["locks/uv.txt"]


def test_what_no_lock_speaks_of_is_said_and_is_no_finding(tmp_path: Path) -> None:
    context = a_context(tmp_path, dist("apple"), lock=msgspec.structs.replace(lock_of(), covers=("image",)))
    assert list(InstalledEqualsLocked().run(context)) == []
    assert context.left_out == ["installed equals locked: no lock names what python is to have"]


@pytest.mark.parametrize(
    ("locked", "installed"),
    [("1.0", "1.0.0"), ("1.0RC1", "1.0rc1"), ("2004d", "2004d"), ("1.0-1", "1.0.post1"), ("v1.2", "1.2")],
)
def test_versions_compare_as_versions_and_legacy_ones_as_text(tmp_path: Path, locked: str, installed: str) -> None:
    assert compared(tmp_path, [dist("apple", installed)], [pin("apple", locked)]) == []


@pytest.mark.parametrize(("locked", "installed"), [("2.2.0", "2.2.0+cu121"), ("2004d", "2004e"), ("1.0", "garbage")])
def test_a_local_or_a_legacy_version_that_is_another_is_different(tmp_path: Path, locked: str, installed: str) -> None:
    assert compared(tmp_path, [dist("torch", installed)], [pin("torch", locked)]) == [
        f"ENV103 torch: {locked} is locked, {installed} is installed"
    ]


def test_a_pin_of_an_address_may_carry_no_version(tmp_path: Path) -> None:
    locked = pin("apple", "", source="vcs", location="git+https://git.example/apple@" + "0" * 40)
    assert compared(tmp_path, [dist("apple", "3.1")], [locked]) == []


def test_an_address_that_is_not_there_is_missing(tmp_path: Path) -> None:
    locked = pin("apple", "", source="path", location="./apple")
    assert compared(tmp_path, [], [locked]) == ["ENV101 apple is locked and not installed"]


def test_seeds_and_the_project_itself_are_not_extra(tmp_path: Path) -> None:
    installed = [dist("pip", "24.0"), dist("basket", "0.1"), dist("worm")]
    told = compared(tmp_path, installed, [], seeds=frozenset({"pip"}), own=frozenset({"basket"}))
    assert told == ["ENV102 worm 1.0 is installed and not locked"]


def test_a_seed_that_is_locked_is_compared(tmp_path: Path) -> None:
    told = compared(tmp_path, [dist("pip", "24.0")], [pin("pip", "25.0")], seeds=frozenset({"pip"}))
    assert told == ["ENV103 pip: 25.0 is locked, 24.0 is installed"]


def test_the_metadata_of_a_second_version_is_different_whichever_comes_last(tmp_path: Path) -> None:
    for order in (("1.0", "1.1"), ("1.1", "1.0")):
        installed = [dist("apple", version) for version in order]
        assert compared(tmp_path, installed, [pin("apple", "1.1")]) == ["ENV103 apple: 1.1 is locked, 1.0 is installed"]


def test_packages_of_another_manager_are_none_of_the_lock(tmp_path: Path) -> None:
    assert compared(tmp_path, [dist("zlib", "1.3", manager="dpkg")], []) == []


# --- check.expect


def expected(folder: Path, wanted: dict[str, str], *installed: Distribution) -> list[str]:
    return found_by(ExpectedVersions(), folder, *installed, expect=wanted)


@pytest.mark.parametrize(
    "wanted", ["2.2.0", "==2.2.*", "2.2.*", ">=2,<3", "~=2.2", "", " == 2.2.0 ", "!=2.1", "===2.2.0"]
)
def test_a_version_within_the_specifier_is_no_finding(tmp_path: Path, wanted: str) -> None:
    assert expected(tmp_path, {"torch": wanted}, dist("torch", "2.2.0")) == []


def test_a_local_build_and_a_pre_release_are_versions_too(tmp_path: Path) -> None:
    installed = (dist("torch", "2.2.0+cu121"), dist("numpy", "2.3.0rc1"))
    assert expected(tmp_path, {"torch": "==2.2.0", "numpy": ">=2.2"}, *installed) == []


def test_names_are_normalised_and_python_is_one(tmp_path: Path) -> None:
    wanted = {"Scikit_Learn": "1.5", "python": "==3.12.*"}
    assert expected(tmp_path, wanted, dist("scikit-learn", "1.5")) == []


def test_what_is_not_as_expected_says_what_there_is(tmp_path: Path) -> None:
    wanted = {"torch": "==2.2.*", "jax": "", "python": "3.11.*", "old": ">=1"}
    assert expected(tmp_path, wanted, dist("torch", "2.3.0"), dist("old", "2004d")) == [
        "ENV104 torch ==2.2.* is expected; 2.3.0 is installed",
        "ENV104 jax is expected; it is not installed",
        "ENV104 python 3.11.* is expected; 3.12.4 is installed",
        "ENV104 old >=1 is expected; 2004d is installed",
    ]


def test_what_is_no_specifier_is_told_and_not_passed(tmp_path: Path) -> None:
    assert expected(tmp_path, {"torch": "newest"}, dist("torch")) == [
        "ENV104 check.expect says torch: 'newest', which is no version"
    ]


def test_cuda_is_left_to_the_accelerator_check(tmp_path: Path) -> None:
    assert expected(tmp_path, {"cuda": "12.4"}) == []


def test_a_bare_version_is_an_equality() -> None:
    assert str(specifier("2.2.*")) == "==2.2.*"
    assert str(specifier(" >=2 ")) == ">=2"


# --- metadata


def consistency(folder: Path, *installed: Distribution, **context: Any) -> list[str]:
    return found_by(MetadataIsConsistent(), folder, *installed, **context)


def test_requirements_that_are_met_are_no_finding(tmp_path: Path) -> None:
    apple = dist("apple", "2.0", requires=("Seed_Of.Apple>=2", "sugar<3,>=1.5"))
    assert consistency(tmp_path, apple, dist("seed-of-apple", "2.0"), dist("sugar", "2.0a1")) == []


def test_missing_and_wrong_versions_are_told_with_who_requires_them(tmp_path: Path) -> None:
    apple = dist("apple", "2.0", requires=("seed>=2", "sugar"))
    pear = dist("pear", "1.1", requires=("seed<1.5",))
    assert consistency(tmp_path, pear, apple, dist("seed", "1.5")) == [
        "ENV201 apple 2.0 requires seed>=2; 1.5 is installed",
        "ENV201 apple 2.0 requires sugar, which is not installed",
        "ENV201 pear 1.1 requires seed<1.5; 1.5 is installed",
    ]


def test_extras_and_other_platforms_are_not_required(tmp_path: Path) -> None:
    lines = ("jam; extra == 'sweet'", "wine; sys_platform == 'win32'", "old; python_version < '3.12'")
    assert consistency(tmp_path, dist("apple", requires=lines)) == []


def test_markers_are_those_of_the_environment_and_not_of_this_program(tmp_path: Path) -> None:
    apple = dist("apple", requires=("tomli; python_version < '3.11'",))
    markers = {"python_version": "3.9", "python_full_version": "3.9.18"}
    assert consistency(tmp_path, apple, interpreter={"version": "3.9.18", "markers": markers}) == [
        "ENV201 apple 1.0 requires tomli, which is not installed"
    ]


def test_an_address_is_met_by_any_version(tmp_path: Path) -> None:
    apple = dist("apple", requires=("seed @ https://index.example/seed-9.tar.gz",))
    assert consistency(tmp_path, apple, dist("seed", "1.0")) == []


def test_a_legacy_version_meets_a_bare_name_and_no_specifier(tmp_path: Path) -> None:
    apple = dist("apple", requires=("pytz", "pytz>=2004"))
    assert consistency(tmp_path, apple, dist("pytz", "2004d")) == [
        "ENV201 apple 1.0 requires pytz>=2004; 2004d is installed"
    ]


def test_a_line_that_is_no_requirement_is_told(tmp_path: Path) -> None:
    assert consistency(tmp_path, dist("apple", requires=("seed>=",))) == [
        "ENV201 apple 1.0 requires 'seed>=', which is no valid requirement"
    ]


# --- declared is installed


def declared(folder: Path, *installed: Distribution, asked: tuple[str, ...]) -> list[str]:
    lock = msgspec.structs.replace(lock_of(direct=asked), covers=("nix",))
    return found_by(DeclaredIsInstalled(), folder, *installed, lock=lock)


def test_what_the_project_asks_for_must_be_there_and_fit(tmp_path: Path) -> None:
    installed = (dist("apple", "1.5"), dist("pear", "1.0"))
    assert declared(tmp_path, *installed, asked=("apple>=1", "pear>=2", "plum", "wine; os_name == 'nt'")) == [
        "ENV105 the project asks for pear>=2; 1.0 is installed",
        "ENV105 the project asks for plum, which is not installed",
    ]


def test_a_lock_that_names_distributions_has_the_last_word(tmp_path: Path) -> None:
    assert found_by(DeclaredIsInstalled(), tmp_path, lock=lock_of(direct=("plum",))) == []
