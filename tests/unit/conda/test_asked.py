"""What a leg asks of conda: the words that select it, and what follows for its lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs.conda.asked import read_asked, select_conda
from ci_envs.conda.making import left_out, platforms_for
from ci_envs.errors import UsageError
from ci_envs.model.conda import CondaLock
from ci_envs.model.config import CondaConfig, Config, LockConfig
from ci_envs.model.config import TestConfig as Tests
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.conda.asked import Asked
    from ci_envs.selection import Selection
    from ci_envs.work import Work

INTENT = """\
name: sea
channels: [conda-forge]
dependencies:
  - python >=3.11
  - numpy >=2
  - make  # [linux]
  - pip:
    - humanize >=4
    - -e .
variables:
  TIDE: high
"""
DEV = "channels: [conda-forge]\ncategory: dev\ndependencies: [pytest]\n"
BOTH = CondaConfig(files=("environment.yml", "environment-dev.yml"))


def selected(folder: Path, files: dict[str, str], config: Config | None = None, **leg: Any) -> Selection:
    write_project(folder, files)
    return select_conda(a_leg(pattern="conda", **leg), Project(folder), config or Config())


def asked(folder: Path, files: dict[str, str], config: Config | None = None, **leg: Any) -> tuple[Asked, Work]:
    write_project(folder, files)
    work = a_work(folder, leg=a_leg(pattern="conda", **leg), config=config, environ={"HOME": str(folder)})
    work.selection = select_conda(work.leg, work.project, work.config)
    return read_asked(work.leg, work), work


def test_what_is_asked_for_by_name_has_its_place_and_its_dialect(tmp_path: Path) -> None:
    chosen = selected(tmp_path / "p", {"environment.yml": INTENT})
    assert [(one.name, one.dialect, one.line) for one in chosen.direct] == [
        ("numpy", "conda", 5),
        ("make", "conda", 6),
        ("pip", "conda", 8),
        ("humanize", "pep508", 8),
    ]
    assert (chosen.files, chosen.variables) == (("environment.yml",), {"TIDE": "high"})


def test_requirements_of_an_included_file_are_asked_for_too(tmp_path: Path) -> None:
    files = {
        "env/environment.yml": "dependencies:\n  - python\n  - pip:\n    - -r ../more.txt\n",
        "more.txt": "apple\n",
    }
    config = Config(conda=CondaConfig(files=("env/environment.yml",), channels=("conda-forge",)))
    chosen = selected(tmp_path / "p", files, config)
    assert [(one.name, one.file) for one in chosen.direct if one.dialect == "pep508"] == [("apple", "more.txt")]


def test_the_category_that_brings_a_runner_is_installed_unless_others_are_named(tmp_path: Path) -> None:
    files, config = {"environment.yml": INTENT, "environment-dev.yml": DEV}, Config(conda=BOTH)
    assert selected(tmp_path / "p", files, config).groups == ("dev",)
    assert selected(tmp_path / "p", files, config, groups=("prod",)).groups == ()
    assert selected(tmp_path / "p", files, config, groups=("dev",)).groups == ("dev",)
    assert selected(tmp_path / "p", files, Config(conda=BOTH, test=Tests(groups=("prod",)))).groups == ()


def test_no_category_is_taken_where_main_has_the_runner(tmp_path: Path) -> None:
    files = {"environment.yml": INTENT.replace("- numpy >=2", "- pytest"), "environment-dev.yml": DEV}
    assert selected(tmp_path / "p", files, Config(conda=BOTH)).groups == ()


def test_a_category_that_is_none_is_named_with_its_neighbour(tmp_path: Path) -> None:
    files = {"environment.yml": INTENT, "environment-dev.yml": DEV}
    with pytest.raises(UsageError) as caught:
        selected(tmp_path / "p", files, Config(conda=BOTH), groups=("deb",))
    assert caught.value.message == "the project has no category 'deb'; did you mean 'dev'?"


def test_a_lock_alone_takes_any_category_until_it_is_read(tmp_path: Path) -> None:
    chosen = selected(tmp_path / "p", {"conda-lock.yml": ""}, groups=("dev",))
    assert (chosen.groups, chosen.direct, chosen.files) == (("dev",), (), ())


def test_the_legs_python_stands_first_among_the_specs(tmp_path: Path) -> None:
    found, _ = asked(tmp_path / "p", {"environment.yml": INTENT})
    assert [one.text for one in found.specs("linux-64")] == [
        "python 3.12.*",
        "python >=3.11",
        "numpy >=2",
        "make",
        "pip",
    ]
    assert "make" not in [one.text for one in found.specs("win-64")]
    assert not found.pins_python
    free, _ = asked(tmp_path / "q", {"environment.yml": INTENT}, python="3.13t")
    assert free.specs("linux-64")[0].text == "python 3.13.* *_cp313t"


@pytest.mark.parametrize("pin", ["python=3.12", "python 3.12.4", "python >=3.12,<3.13"])
def test_an_intent_that_says_which_python_is_for_no_other_leg(tmp_path: Path, pin: str) -> None:
    files = {"environment.yml": INTENT.replace("python >=3.11", pin)}
    found, _ = asked(tmp_path / "p", files)
    assert found.pins_python
    with pytest.raises(UsageError) as caught:
        asked(tmp_path / "q", files, python="3.13")
    error = caught.value
    assert (error.message, error.file, error.line) == (
        "asks for Python 3.12, and this leg has Python 3.13",
        "environment.yml",
        4,
    )


def test_a_lock_for_the_cpu_is_made_without_cuda_whatever_the_caller_says(tmp_path: Path) -> None:
    write_project(tmp_path / "p", {"environment.yml": INTENT})
    for accelerator, wanted in (("cpu", None), ("cuda12", "12.4"), ("cuda12.6", "12.6")):
        leg = a_leg(pattern="conda", accelerator=accelerator)
        work = a_work(tmp_path / "p", leg=leg, environ={"HOME": str(tmp_path), "CONDA_OVERRIDE_CUDA": "12.4"})
        work.selection = select_conda(leg, work.project, work.config)
        found = read_asked(leg, work)
        assert found.virtual("linux-64").get("__cuda") == wanted
        assert "__cuda" not in found.virtual("osx-arm64")


def test_a_secret_is_shown_nowhere_and_known_to_whoever_asks(tmp_path: Path) -> None:
    secret = "https://channel.example/t/canary-1/private"
    found, _ = asked(tmp_path / "p", {"environment.yml": f"channels: ['{secret}']\ndependencies: ['{secret}::lib']\n"})
    assert "canary-1" not in repr(found)
    assert "canary-1" not in str(found.channel_names)
    (line,) = (one for one in found.specs("linux-64") if one.name == "lib")
    assert "canary-1" in found.unmasked(line).text


# Platforms of a lock.


def test_platforms_are_the_configured_ones_else_the_intents_else_the_files(tmp_path: Path) -> None:
    old = CondaLock(path="x", format="conda-lock", platforms=("osx-arm64", "linux-ppc64le"))
    named = {"environment.yml": f"{INTENT}platforms: [win-64]\n"}
    plain, work = asked(tmp_path / "p", {"environment.yml": INTENT})
    said, other = asked(tmp_path / "q", named)
    configured = Config(lock=LockConfig(platforms=("osx-64",)))
    third, last = asked(tmp_path / "r", named, configured)
    assert platforms_for(work, plain, None) == ("linux-64",)
    assert platforms_for(work, plain, old) == ("linux-64", "osx-arm64")
    assert platforms_for(other, said, old) == ("linux-64", "win-64")
    assert platforms_for(last, third, old) == ("linux-64", "osx-64")
    assert (left_out(old), left_out(None)) == (("linux-ppc64le",), ())


def test_a_configured_platform_that_is_none_is_named(tmp_path: Path) -> None:
    found, work = asked(tmp_path / "p", {"environment.yml": INTENT}, Config(lock=LockConfig(platforms=("osx-arm46",))))
    with pytest.raises(UsageError) as caught:
        platforms_for(work, found, None)
    assert "lock.platforms names 'osx-arm46'" in caught.value.message
    assert "did you mean 'osx-arm64'?" in caught.value.message
