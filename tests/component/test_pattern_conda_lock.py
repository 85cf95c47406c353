"""The lock of a conda leg as its users meet it: made, kept, checked, renewed, refused; over a small channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.component.running import run_verb, snapshot
from tests.support.channel_packages import stub_package
from tests.support.conda_projects import ENVIRONMENT, LEG, OWN, environment, failed
from tests.support.projects import write_project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.component.conda_lock_fixtures import MakeProject
    from tests.support.channel import Channel
    from tests.support.channel_server import ChannelServer

pytest_plugins = ("tests.component.conda_lock_fixtures",)
pytestmark = pytest.mark.component

RENEW = f"Renew it with: ci-envs lock --pattern=conda --python=3.12 --only {LEG}"
THREE = {"lock": {"platforms": ["linux-64", "osx-arm64", "win-64"]}}


def configured(table: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(table))


# Policy.


def test_a_lock_is_made_checked_found_stale_and_renewed(conda_project: MakeProject, stub_server: ChannelServer) -> None:
    mine = conda_project()
    assert "app" in mine.locked()
    assert mine.path == mine.root / OWN
    asked = len(stub_server.requests)
    before = snapshot(mine.root)
    assert mine.check().verdict == (0, "passed", "")
    mine.edit("environment.yml", "- app", "- app\n- lib >=2")
    assert failed(mine.check()) == (
        f"environment.yml:6: lib >=2 is not satisfied by lib 1.1 0 of {OWN}; the lock is stale. {RENEW}"
    )
    assert {name for name, digest in snapshot(mine.root).items() if before[name] != digest} == {"environment.yml"}
    assert len(stub_server.requests) == asked, "a check asks nobody"

    mine.edit("environment.yml", "- lib >=2", "- lib 1.0.*")
    assert [f.title for f in mine.lock().report.findings] == ["lock renewed"]
    assert mine.packages["linux-64"]["lib"] == "1.0"
    assert mine.check().verdict == (0, "passed", "")


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_a_lock_that_is_missing_is_not_made(conda_project: MakeProject, stub_server: ChannelServer, mode: str) -> None:
    mine = conda_project()
    ran = mine.do("run", f"--lock-mode={mode}", "-q")
    assert ran.code == 5
    assert f"{OWN}: there is no lock for {LEG}. Make it with: ci-envs lock --pattern=conda" in ran.record.reason
    assert snapshot(mine.root) == snapshot(write_project(mine.root.parent / "other", ENVIRONMENT))
    assert stub_server.requests == []


def test_frozen_takes_a_stale_lock_as_it_is(conda_project: MakeProject) -> None:
    mine = conda_project()
    mine.locked()
    mine.edit("environment.yml", "- app", "- app\n- lib >=2")
    before = snapshot(mine.root)
    ran = mine.do("run", "--lock-mode=frozen", "--stages=lock", "-q")
    assert (ran.code, ran.pins["lib"]) == (0, "1.1")
    assert snapshot(mine.root) == before


def test_pins_are_kept_when_one_spec_changes_and_go_when_they_are_upgraded(
    conda_project: MakeProject, stub_channel: Channel
) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", "sea 1.0.*")})
    mine.locked("--as-of=2100-01-01")
    stub_channel.add(stub_package("lib", "1.2"), stub_package("sea", "1.2"))
    assert mine.packages["linux-64"]["lib"] == "1.1"
    mine.edit("environment.yml", "sea 1.0.*", "sea >=1.1")
    mine.locked()
    assert mine.packages["linux-64"].items() >= {"lib": "1.1", "sea": "1.2"}.items()
    mine.locked("--upgrade")
    assert mine.packages["linux-64"]["lib"] == "1.2"


def test_nothing_that_was_made_later_is_taken(conda_project: MakeProject, stub_channel: Channel) -> None:
    later = 1_900_000_000_000
    stub_channel.add(stub_package("lib", "1.5", timestamp=later))
    mine = conda_project()
    mine.locked("--as-of=2029-12-31")
    assert mine.packages["linux-64"]["lib"] == "1.1"
    assert mine.check().verdict == (0, "passed", "")
    mine.locked("--upgrade", "--as-of=2031-01-01")
    assert mine.packages["linux-64"]["lib"] == "1.5"
    said = failed(mine.lock("--upgrade", "--as-of=1990-01-01"))
    assert "1990-01-02" in said


def test_offline_means_what_is_in_the_cache(conda_project: MakeProject, stub_server: ChannelServer) -> None:
    mine = conda_project()
    ran = mine.lock("--offline")
    assert (ran.code, ran.verdict[1]) == (5, "broken")
    assert "nothing may be downloaded, and the cache lacks repodata of conda-forge" in ran.verdict[2]
    text = mine.locked()
    asked = len(stub_server.requests)
    mine.path.unlink()
    assert mine.locked("--offline") == text
    assert len(stub_server.requests) == asked


def test_made_twice_it_is_the_same_bytes(conda_project: MakeProject) -> None:
    files = {
        "environment.yml": environment("python", "app", pip=["apple"]),
        "ci-envs.yml": configured(THREE),
    }
    one, other = conda_project(files, "one"), conda_project(files, "two")
    other.env = {**other.env, "CI_ENVS_CACHE_DIR": str(other.root.parent / "other cache"), "TZ": "Asia/Tokyo"}
    assert one.locked() == other.locked()
    one.path.unlink()
    assert one.locked() == other.text
    assert [f.code for f in one.lock("--upgrade").report.findings] == []


# Platforms, files, Pythons.


def test_several_platforms_are_locked_at_once(conda_project: MakeProject) -> None:
    mine = conda_project(
        {
            "environment.yml": "channels: [conda-forge]\ndependencies:\n- python\n- app\n- apples # [osx]\n",
            "ci-envs.yml": configured(THREE),
        }
    )
    mine.locked()
    assert set(mine.packages) == {"linux-64", "osx-arm64", "win-64"}
    assert [name for name, found in mine.packages.items() if "apples" in found] == ["osx-arm64"]


def test_a_platform_that_is_asked_for_later_is_added(conda_project: MakeProject) -> None:
    mine = conda_project()
    mine.locked()
    mine.edit("environment.yml", "channels", "platforms: [linux-64, osx-arm64]\nchannels")
    assert f"{OWN} was made for linux-64, and not for osx-arm64; the lock is stale" in failed(mine.check())
    mine.locked()
    assert set(mine.packages) == {"linux-64", "osx-arm64"}
    assert mine.check().verdict == (0, "passed", "")


def test_what_only_another_platform_lacks_is_stale_too(conda_project: MakeProject) -> None:
    mine = conda_project({**ENVIRONMENT, "ci-envs.yml": configured(THREE)})
    mine.locked()
    mine.edit("environment.yml", "- app", "- app\n- apples # [osx]")
    assert failed(mine.check()).startswith(f"environment.yml:6: apples has no pin in {OWN} for osx-arm64; the lock")
    mine.edit("environment.yml", "- apples # [osx]", "- lib 1.0.* # [win]")
    assert failed(mine.check()).startswith(
        f"environment.yml:6: lib 1.0.* is not satisfied by lib 1.1 0 of {OWN} (win-64); the lock"
    )
    mine.locked()
    assert {name: found["lib"] for name, found in mine.packages.items()} == {
        "linux-64": "1.1",
        "osx-arm64": "1.1",
        "win-64": "1.0",
    }


def test_a_platform_that_is_none_is_named(conda_project: MakeProject, stub_server: ChannelServer) -> None:
    mine = conda_project({**ENVIRONMENT, "ci-envs.yml": configured({"lock": {"platforms": ["linux-46"]}})})
    said = failed(mine.lock(), 2)
    assert said.startswith("lock.platforms names 'linux-46', and no lock is made for that; did you mean 'linux-64'?")
    assert stub_server.requests == []


def test_a_platform_that_no_lock_is_made_for_here_is_left_out_with_a_warning(
    conda_project: MakeProject,
) -> None:
    mine = conda_project()
    mine.locked()
    mine.edit(OWN, "  - linux-64\n", "  - linux-64\n  - linux-ppc64le\n")
    assert mine.check().verdict == (0, "passed", "")
    findings = mine.lock("--upgrade").report.findings
    assert [f.message for f in findings if f.code == "LOCK012"] == [
        f"no lock is made for linux-ppc64le: what {OWN} had for it was left out"
    ]


def test_several_files_make_one_lock_with_categories(conda_project: MakeProject) -> None:
    mine = conda_project(
        {
            "environment.yml": environment("python", "app"),
            "environment-dev.yml": environment("pytest", category="dev"),
            "ci-envs.yml": configured({"conda": {"files": ["environment.yml", "environment-dev.yml"]}}),
        }
    )
    mine.locked()
    packages = {p["name"]: p["category"] for p in yaml.safe_load(mine.text)["package"] if p["category"] == "dev"}
    assert {"pytest", "pluggy"} <= set(packages)
    for group, names in (("prod", {"app", "lib", "python"}), ("dev", {"app", "lib", "python", "pytest", "pluggy"})):
        ran = mine.do("run", f"--group={group}", "--stages=lock", "--lock-mode=locked", "-q")
        lock = ran.records[f"{LEG}-{group}"].lock
        assert lock is not None
        assert {pin.name for pin in lock.pins} == names
    assert "the project has no category 'devel'; did you mean 'dev'?" in mine.lock("--group=devel").verdict[2]


def test_a_spec_that_moves_to_another_category_makes_the_lock_stale(conda_project: MakeProject) -> None:
    mine = conda_project(
        {
            "environment.yml": environment("python", "app"),
            "environment-dev.yml": environment("pytest", "sea", category="dev"),
            "ci-envs.yml": configured({"conda": {"files": ["environment.yml", "environment-dev.yml"]}}),
        }
    )
    mine.locked()
    mine.edit("environment-dev.yml", "- sea\n", "")
    mine.edit("environment.yml", "- app", "- app\n- sea")
    assert failed(mine.check()).startswith(
        f"environment.yml:6: sea has no pin in {OWN} for linux-64; it is locked for dev only; the lock is stale"
    )
    mine.locked()
    mine.edit("environment.yml", "- sea\n", "")
    mine.edit("environment-dev.yml", "- pytest", "- pytest\n- sea")
    assert f"sea 1.1 0 of {OWN} is no longer asked for" in failed(mine.check())
    mine.locked()
    assert mine.check().verdict == (0, "passed", "")


def test_each_python_has_its_lock_unless_the_project_says_which(conda_project: MakeProject) -> None:
    mine = conda_project()
    for python in ("3.11", "3.12"):
        assert mine.lock(python=python).code == 0
    assert {path.name for path in mine.root.glob("locks/*")} == {
        "conda-py311.conda-lock.yml",
        "conda-py312.conda-lock.yml",
    }
    pinned = conda_project({"environment.yml": environment("app", "python=3.12")}, "pinned")
    pinned.locked()
    assert pinned.path == pinned.root / "conda-lock.yml"
    said = failed(pinned.lock(python="3.11"), 2)
    assert said == (
        "environment.yml:5: asks for Python 3.12, and this leg has Python 3.11. Exclude the leg from the matrix, "
        "with a reason, or say `python` without a version"
    )


def test_the_lowest_versions_have_a_lock_of_their_own(conda_project: MakeProject) -> None:
    matrix = "axes: {pattern: [conda], python: ['3.12'], resolution: [lowest]}\n"
    mine = conda_project({**ENVIRONMENT, "m.yml": matrix})
    ran = run_verb(["lock", "--json", "m.yml"], mine.env, mine.root)
    assert ran.verdict == (0, "passed", "")
    assert mine.path.name == "conda-py312-lowest.conda-lock.yml"
    assert mine.packages["linux-64"]["lib"] == "1.0"


@pytest.mark.parametrize("pattern", ["mamba", "micromamba"])
def test_other_front_ends_go_by_the_same_lock(conda_project: MakeProject, pattern: str) -> None:
    mine = conda_project()
    mine.locked()
    before = snapshot(mine.root)
    assert mine.check(pattern=pattern).verdict == (0, "passed", "")
    assert mine.lock(pattern=pattern).report.findings == ()
    assert snapshot(mine.root) == before


def test_a_table_of_conda_lock_in_pyproject_is_an_intent(conda_project: MakeProject) -> None:
    pyproject = """\
[tool.conda-lock]
channels = ["conda-forge"]
platforms = ["linux-64", "win-64"]

[tool.conda-lock.dependencies]
app = ">=1"
"""
    mine = conda_project({"pyproject.toml": pyproject})
    mine.locked()
    assert set(mine.packages) == {"linux-64", "win-64"}
    mine.edit("pyproject.toml", 'app = ">=1"', 'app = ">=2"')
    assert failed(mine.check()).startswith(f"pyproject.toml:6: app >=2 is not satisfied by app 1.0 0 of {OWN}; the")
