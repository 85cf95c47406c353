"""The pip: part of a conda lock, with the real uv over a local index."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_leg, a_work

from ci_envs.conda.pip_part import brought_by_conda, resolve_pip
from ci_envs.conda.targets import target
from ci_envs.errors import LockError
from ci_envs.model.conda import PLATFORMS, LockedPackage, PipLine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci_envs.work import Work

pytestmark = pytest.mark.component

FILE = "environment.yml"


def line(text: str, number: int = 5, category: str = "main") -> PipLine:
    return PipLine(text=text, file=FILE, line=number, category=category)


def a_python_package(name: str, version: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version=version,
        platform="linux-64",
        url=f"https://c.example/noarch/{name}-{version}-0.conda",
        depends=("python >=3.8",),
    )


@pytest.fixture
def work(tmp_path: Path, warm_env: dict[str, str]) -> Callable[[], Work]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("pear\n", encoding="utf-8")
    return lambda: a_work(folder, leg=a_leg(pattern="conda"), environ=warm_env, stage="lock")


def versions(packages: tuple[LockedPackage, ...]) -> dict[str, str]:
    return {package.name: package.version for package in packages}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_gets_one_file_with_a_hash_for_each_distribution(
    work: Callable[[], Work], platform: str
) -> None:
    found = resolve_pip(work(), [line("apple")], target(platform, "3.12.4"), [])

    assert versions(found) == {"apple": "2.0", "seed": "2.0"}
    assert all(re.fullmatch("[0-9a-f]{64}", package.sha256) for package in found)
    assert {package.platform for package in found} == {platform}
    assert {package.manager for package in found} == {"pip"}


def test_what_conda_brings_is_not_installed_again_and_limits_the_rest(work: Callable[[], Work]) -> None:
    conda = [a_python_package("seed", "1.5")]

    found = resolve_pip(work(), [line("apple")], target("linux-64", "3.12.4"), conda)

    # apple 2.0 needs seed 2; beside conda's seed 1.5 it is apple 1.1 that fits.
    assert versions(found) == {"apple": "1.1"}


def test_what_conda_brings_already_adds_nothing(work: Callable[[], Work]) -> None:
    conda = [a_python_package("seed", "1.5")]

    assert resolve_pip(work(), [line("seed>=1")], target("linux-64", "3.12.4"), conda) == ()


def test_a_line_that_conda_cannot_meet_is_told_with_its_place_and_condas_version(work: Callable[[], Work]) -> None:
    conda = [a_python_package("seed", "1.5")]

    with pytest.raises(LockError, match=r"environment\.yml:7: .*conda brings seed 1\.5") as told:
        resolve_pip(work(), [line("seed>=2", 7)], target("linux-64", "3.12.4"), conda)
    assert "file://" not in str(told.value)


def test_categories_follow_who_asked(work: Callable[[], Work]) -> None:
    found = resolve_pip(work(), [line("pear"), line("apple<2", category="dev")], target("linux-64", "3.12.4"), [])

    categories = {package.name: package.categories for package in found}
    assert categories == {"apple": ("dev",), "pear": ("main",), "seed": ("dev", "main")}
    assert {package.name: package.depends for package in found}["apple"] == ("seed",)


def test_a_file_of_requirements_and_the_project_itself(work: Callable[[], Work]) -> None:
    lines = [line("-r requirements.txt"), line("-e ."), line(".[dev]")]

    assert versions(resolve_pip(work(), lines, target("linux-64", "3.12.4"), [])) == {"pear": "1.1", "seed": "1.5"}


def test_versions_of_an_older_lock_stay_where_they_fit(work: Callable[[], Work]) -> None:
    kept = {"apple": "1.0", "seed": "1.0"}

    found = resolve_pip(work(), [line("apple")], target("linux-64", "3.12.4"), [], kept=kept)

    assert versions(found) == kept


def test_the_python_of_the_solve_chooses_the_files(work: Callable[[], Work]) -> None:
    def cherry(python: str) -> str:
        return versions(resolve_pip(work(), [line("cherry")], target("linux-64", python), []))["cherry"]

    assert (cherry("3.11.9"), cherry("3.12.4")) == ("1.0", "2.0")


def test_markers_are_those_of_the_platform(work: Callable[[], Work]) -> None:
    linux = resolve_pip(work(), [line("berry")], target("linux-64", "3.12.4"), [])
    windows = resolve_pip(work(), [line("berry")], target("win-64", "3.12.4"), [])

    assert set(versions(linux)) == {"berry"}
    assert set(versions(windows)) == {"berry", "sugar"}


def test_a_package_that_nobody_has_is_named(work: Callable[[], Work]) -> None:
    with pytest.raises(LockError, match=r"environment\.yml:9: .*durian"):
        resolve_pip(work(), [line("durian", 9)], target("linux-64", "3.12.4"), [])


def test_a_mirrors_address_gets_its_own_name_back(work: Callable[[], Work]) -> None:
    found = resolve_pip(
        work(),
        [line("seed")],
        target("linux-64", "3.12.4"),
        [],
        canonical=lambda address: re.sub(r"https?://[^/]+", "https://files.example", address),
    )

    assert found[0].url.startswith("https://files.example/")


def test_only_what_needs_python_stands_in() -> None:
    library = LockedPackage(name="zstd", version="1.5", platform="linux-64", url="x", depends=("libgcc",))

    assert brought_by_conda([library, a_python_package("six", "1.17")]) == {"six": "1.17"}
    assert brought_by_conda([a_python_package("pytorch", "2.5.1")]) == {"torch": "2.5.1"}
