"""Conda locks under suspicion: ``lock --check --solve``, other tools' locks, locks alone, locks edited by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.component.running import run_verb, snapshot
from tests.support.channel_packages import stub_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_projects import ENVIRONMENT, LEG, OWN, SERIES, environment, failed, use_mirror
from tests.support.faults import Fault
from tests.support.projects import write_project
from tests.support.wheels import make_wheel

from ci_envs.conda.conda_lock_parts import conda_lock_part
from ci_envs.conda.explicit import write_explicit
from ci_envs.conda.lock_reading import read_lock

if TYPE_CHECKING:
    from tests.component.conda_lock_fixtures import MakeProject
    from tests.support.channel import Channel
    from tests.support.conda_projects import CondaProject

pytest_plugins = ("tests.component.conda_lock_fixtures",)
pytestmark = pytest.mark.component

RENEW_ALL = f"Renew it with: ci-envs lock --upgrade --pattern=conda --python=3.12 --only {LEG}"
THREE = "lock: {platforms: [linux-64, osx-arm64, win-64]}\n"


def changes(project: CondaProject) -> list[str]:
    """What ``--solve`` found, change by change."""
    return [f.message for f in project.check("--solve").report.findings if f.code == "LOCK036"]


# --solve.


def test_a_lock_that_a_solve_makes_again_is_in_sync(conda_project: MakeProject, stub_server: ChannelServer) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", pip=["apple"]), "ci-envs.yml": THREE})
    mine.locked()
    before = snapshot(mine.root)
    assert mine.check("--solve").verdict == (0, "passed", "")
    assert mine.check("--solve", "--offline").verdict == (0, "passed", "")
    assert snapshot(mine.root) == before


def test_a_newer_version_alone_changes_nothing(conda_project: MakeProject, stub_channel: Channel) -> None:
    mine = conda_project()
    mine.locked()
    stub_channel.add(stub_package("lib", "1.9"))
    assert mine.check("--solve").verdict == (0, "passed", "")


def test_what_only_a_solve_can_see_is_told_with_every_change(conda_project: MakeProject, stub_channel: Channel) -> None:
    mine = conda_project({**ENVIRONMENT, "ci-envs.yml": THREE})
    mine.locked()
    text = mine.text
    stub_channel.tell("lib-1.1-0.conda", constrains=["app <1"])  # corrected by whoever keeps the channel
    assert mine.check().verdict == (0, "passed", "")
    change = "lib 1.1 0 would be 1.0 0 (linux-64, osx-arm64, win-64)"
    assert failed(mine.check("--solve")) == f"{OWN}: {change}; the lock is stale. {RENEW_ALL}"
    assert changes(mine) == [change]
    assert mine.text == text
    mine.locked("--upgrade")
    assert mine.check("--solve").verdict == (0, "passed", "")


def test_every_platform_is_solved(conda_project: MakeProject, stub_channel: Channel) -> None:
    intent = "channels: [conda-forge]\ndependencies:\n- python\n- apples # [osx]\n"
    mine = conda_project({"environment.yml": intent, "ci-envs.yml": THREE})
    mine.locked()
    stub_channel.tell("apples-1.0-0.conda", depends=["sea"])
    assert changes(mine) == ["a solve of today adds sea 1.1 0 (osx-arm64)"]


def test_a_package_that_is_gone_or_was_uploaded_again_is_named(
    conda_project: MakeProject, stub_channel: Channel
) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", "sea")})
    mine.locked()
    stub_channel.remove("sea-1.1-0.conda")
    stub_channel.tell("app-1.0-0.conda", sha256="0" * 64)
    assert changes(mine) == [
        "app 1.0 0 is another file today than the one that is locked",
        "sea 1.1 0 would be 1.0 0",
    ]


def test_a_channel_that_is_down_is_no_stale_lock(conda_project: MakeProject, stub_server: ChannelServer) -> None:
    mine = conda_project()
    mine.locked()
    stub_server.fail(Fault.status(503))
    ran = mine.check("--solve", CI_ENVS_CACHE_DIR=str(mine.root.parent / "cold"))
    assert ran.verdict[1] == "broken"
    assert "the channel conda-forge did not answer as it should" in ran.verdict[2]


def test_solve_goes_with_check_alone(conda_project: MakeProject) -> None:
    ran = conda_project().do("lock", "--solve")
    assert ran.code == 2
    assert "--solve is a kind of --check" in ran.output
    assert "ci-envs lock --check --solve" in ran.output


@pytest.mark.parametrize("pattern", ["uv", "venv"])
def test_requirements_are_resolved_again_too(warm_env: dict[str, str], tmp_path: Path, pattern: str) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "apple<2\ncherry\n"})
    words = [f"--pattern={pattern}", "--python=3.12", "--json"]
    assert run_verb(["lock", *words], warm_env, project).code == 0
    (lock,) = project.glob("locks/*")
    assert run_verb(["lock", "--check", "--solve", *words], warm_env, project).verdict == (0, "passed", "")
    text = lock.read_text()
    found = re.search(r"^seed==2.0 (?:.*\\\n)*.*\n", text, re.MULTILINE)
    assert found
    lock.write_text(text.replace(found[0], "sugar==1.0 --hash=sha256:" + "0" * 64 + "\n    # via apple\n"))
    assert run_verb(["lock", "--check", *words], warm_env, project).code == 0
    ran = run_verb(["lock", "--check", "--solve", *words], warm_env, project)
    assert ran.code == 5
    assert "a resolution of today adds seed==" in ran.verdict[2]
    assert "a resolution of today leaves sugar==1.0 out" in ran.verdict[2]
    assert "ci-envs lock --upgrade" in ran.verdict[2]


def test_a_uv_lock_is_held_against_the_index(warm_env: dict[str, str], tmp_path: Path) -> None:
    pyproject = '[project]\nname = "bowl"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["apple<2"]\n'
    project = write_project(tmp_path / "project", {"pyproject.toml": pyproject})
    words = ["--pattern=uv", "--python=3.12", "--json"]
    assert run_verb(["lock", *words], warm_env, project).code == 0
    assert (project / "uv.lock").exists()
    assert run_verb(["lock", "--check", "--solve", *words], warm_env, project).verdict == (0, "passed", "")


# Locks of others.


def as_conda_lock_writes(project: CondaProject) -> Path:
    """Puts the project's lock where conda-lock puts it, by conda-lock itself: without what its format leaves out."""
    conda_lock = conda_lock_part("lockfile")  # takes a second
    lock = conda_lock.parse_conda_lock_file(project.path)
    for package in lock.package:
        package.dependencies = {name: said.split(" ")[0] for name, said in package.dependencies.items()}
    lock.metadata.content_hash = dict.fromkeys(lock.metadata.content_hash, "0" * 64)
    lock.metadata.sources = ["environment.yml"]
    project.path.unlink()
    path = project.root / "conda-lock.yml"
    conda_lock.write_conda_lock_file(lock, path, metadata_choices=set())
    return path


def test_a_lock_that_conda_lock_made_is_taken_as_it_is(conda_project: MakeProject) -> None:
    mine = conda_project(
        {
            "environment.yml": environment("python >=3.11", "app", "pip", pip=["apple"]),
            "environment-dev.yml": environment("pytest", category="dev"),
            "ci-envs.yml": "conda: {files: [environment.yml, environment-dev.yml]}\n" + THREE,
        }
    )
    mine.locked()
    path = as_conda_lock_writes(mine)
    before = path.read_bytes()
    assert mine.check().verdict == (0, "passed", "")
    assert mine.check("--solve").verdict == (0, "passed", "")
    ran = mine.do("run", "--lock-mode=locked", "--group=dev", "--stages=lock", "-q")
    assert ran.code == 0
    assert ran.pins.keys() >= {"app", "pytest", "apple"}
    assert mine.lock().report.findings == ()
    assert path.read_bytes() == before


def test_a_lock_with_a_pip_that_conda_put_there_stays(conda_project: MakeProject) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", "pip")})
    mine.locked()
    path = as_conda_lock_writes(mine)
    before = path.read_bytes()
    mine.edit("environment.yml", "- pip\n", "")
    assert mine.check().verdict == (0, "passed", "")
    assert mine.check("--solve").verdict == (0, "passed", "")
    assert path.read_bytes() == before


def test_another_python_gets_a_lock_beside_conda_locks_own(conda_project: MakeProject) -> None:
    mine = conda_project()
    mine.locked()
    path = as_conda_lock_writes(mine)
    before = path.read_bytes()
    assert failed(mine.check(python="3.11")) == (
        "locks/conda-py311.conda-lock.yml: there is no lock for "
        f"{LEG.replace('312', '311')}; conda-lock.yml has Python 3.12.7. Make it with: ci-envs lock --pattern=conda "
        f"--python=3.11 --only {LEG.replace('312', '311')}"
    )
    assert mine.lock(python="3.11").code == 0
    assert (mine.root / "locks/conda-py311.conda-lock.yml").is_file()
    assert path.read_bytes() == before
    mine.edit("environment.yml", "- app", "- app\n- sea")
    assert mine.lock().code == 0
    assert path.read_bytes() != before
    assert "made by ci-envs" in path.read_text()


# A project that has a lock and nothing else.


def lock_alone(project: CondaProject, name: str) -> None:
    """Leaves the lock as the only file, in another format where ``name`` is of one."""
    lock = read_lock(project.text, path="conda-lock.yml")
    text = write_explicit(lock, "linux-64") if name.endswith(".lock") else project.text
    for path in [*project.root.glob("*.yml"), project.path]:
        path.unlink()
    (project.root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["conda-lock.yml", "conda-linux-64.lock"])
def test_a_lock_alone_is_enough(conda_project: MakeProject, name: str) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", "sea")})
    mine.locked()
    lock_alone(mine, name)
    before = snapshot(mine.root)
    for mode in ("auto", "locked", "frozen"):
        ran = mine.do("run", f"--lock-mode={mode}", "--stages=lock", "-q")
        assert (ran.code, set(ran.pins)) == (0, {"python", "app", "lib", "sea"}), ran.output
    assert mine.check().verdict == (0, "passed", "")
    told = mine.check("--solve")
    assert told.verdict == (0, "passed", "")
    assert [f.code for f in told.report.findings] == ["LOCK007"]
    said = failed(mine.lock("--upgrade"))
    assert said.startswith(f"{name}: there is nothing that {name} could be made from: no environment.yml")
    said = failed(mine.check(python="3.11"))
    assert f"{name} has Python 3.12.7. No environment.yml says what another lock could be made from" in said
    assert snapshot(mine.root) == before


def test_the_groups_of_a_lock_alone_are_its_categories(conda_project: MakeProject) -> None:
    mine = conda_project(
        {
            "environment.yml": environment("python", "app"),
            "environment-dev.yml": environment("pytest", category="dev"),
            "ci-envs.yml": "conda: {files: [environment.yml, environment-dev.yml]}\n",
        }
    )
    mine.locked()
    lock_alone(mine, "conda-lock.yml")
    ran = mine.do("run", "--group=dev", "--stages=lock", "-q")
    assert "pytest" in ran.pins
    assert (
        "conda-lock.yml has no category 'devel'; did you mean 'dev'? It has dev, main"
        in mine.check("--group=devel").verdict[2]
    )


def test_a_pixi_lock_alone_is_enough(conda_project: MakeProject) -> None:
    mine = conda_project()
    mine.locked()
    records = yaml.safe_load(mine.text)["package"]
    url = "https://conda.anaconda.org/conda-forge/"
    pixi = {
        "version": 6,
        "environments": {
            "default": {
                "channels": [{"url": url}],
                "packages": {"linux-64": [{"conda": record["url"]} for record in records]},
            }
        },
        "packages": [
            {
                "conda": record["url"],
                **record["hash"],
                "depends": [f"{n} {s}" for n, s in record["dependencies"].items()],
            }
            for record in records
        ],
    }
    lock_alone(mine, "x.yml")
    (mine.root / "x.yml").unlink()
    (mine.root / "pixi.lock").write_text(yaml.safe_dump(pixi, sort_keys=False))
    ran = mine.do("run", "--lock-mode=locked", "--stages=lock", "-q")
    assert (ran.code, set(ran.pins)) == (0, {"python", "app", "lib"}), ran.output


# By hand.

EDITS = {
    "a version": ("version: '1.1'", "version: '1.0'", "lib 1.0 has the address of lib 1.1. The file was edited or cut"),
    "an address": ("/lib-1.1-0.conda", "/lib-2.0-0.conda", "lib 1.1 has the address of lib 2.0"),
    "a hash that is none": ("    md5: ", "    md5: x", "the md5 of app 1.0 has 33 characters"),
    "a merge": ("- name: lib", "<<<<<<< HEAD\n- name: lib", "merge"),
    "a tag": ("- name: lib", "- name: !!python/object/apply:os.system ['true']", "os.system' is not read"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_lock_that_was_edited_is_refused_with_its_line(conda_project: MakeProject, edit: str) -> None:
    old, new, sentence = EDITS[edit]
    mine = conda_project()
    mine.locked()
    path = mine.path
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    for words in ([], ["--upgrade"], ["--check"]):
        said = failed(mine.lock(*words))
        assert re.match(rf"{re.escape(OWN)}:\d+: ", said), said
        assert sentence in said
    assert path.read_text() == text.replace(old, new, 1)


def test_a_package_that_was_cut_out_is_missed(conda_project: MakeProject) -> None:
    mine = conda_project()
    whole = mine.locked()
    entry = re.search(r"- name: lib\n(?:  .*\n)*", whole)
    assert entry
    mine.path.write_text(whole.replace(entry[0], ""))
    assert failed(mine.check()).startswith(
        f"{OWN}: app 1.0 0 of {OWN} needs lib >=1,<2, which has no pin; the lock is stale"
    )
    assert mine.locked() == whole


def test_a_lock_with_md5_alone_is_taken_and_told_of(conda_project: MakeProject) -> None:
    mine = conda_project()
    whole = mine.locked()
    mine.path.write_text(re.sub(r"    sha256: .*\n", "", whole))
    ran = mine.check()
    assert ran.verdict == (0, "passed", "")
    assert [(f.code, f.severity) for f in ran.report.findings] == [("LOCK020", "warning")]
    assert mine.check("--solve").verdict == (0, "passed", "")
    assert mine.locked("--upgrade") == whole


# What cannot be locked.


@pytest.mark.parametrize(
    ("specs", "sentence"),
    [
        (["appp"], "environment.yml:5: no package of conda-forge is called 'appp'; did you mean 'app'?"),
        (["app >=2"], "environment.yml:5: no app of conda-forge for linux-64 is 'app >=2': there is 1.0"),
        (["apples"], "environment.yml:5: apples is not there for linux-64, only for osx-arm64 (conda-forge)"),
        (["lib >=>1"], "environment.yml:5: 'lib >=>1' is not a match spec"),
        (["app", "lib 2.*"], "app 1.0 would require\n      └─ lib >=1,<2"),
    ],
)
def test_what_is_asked_for_in_vain_is_named(conda_project: MakeProject, specs: list[str], sentence: str) -> None:
    mine = conda_project({"environment.yml": environment("python", *specs)})
    ran = mine.lock()
    assert (ran.code, ran.verdict[1]) in ((5, "failed"), (2, "failed"))
    assert sentence in ran.verdict[2]
    assert len(ran.verdict[2].splitlines()) < 24
    assert len(ran.verdict[2]) < 1500
    assert not list(mine.root.glob("locks/*"))


def test_a_channel_that_does_not_exist_is_named_with_its_line(conda_project: MakeProject) -> None:
    intent = ENVIRONMENT["environment.yml"].replace("- conda-forge", "- conda-forg")
    mine = conda_project({"environment.yml": intent})
    address = mine.env["CONDARC"]
    assert "conda-forge" in Path(address).read_text()
    url = re.search(r"http://[^\"]+", Path(address).read_text())
    assert url
    mine.env = use_mirror(mine.root.parent, mine.env, url[0], channel_alias=url[0].rpartition("/")[0])
    said = failed(mine.lock())
    assert said.startswith("environment.yml:2: there is no channel conda-forg")
    assert "did you mean 'conda-forge'?" in said


def test_a_pip_part_that_cannot_be_met_beside_conda_names_both(conda_project: MakeProject) -> None:
    mine = conda_project({"environment.yml": environment("python", "app", "setuptools", pip=["setuptools <70"])})
    said = failed(mine.lock())
    assert said.startswith("environment.yml:8: the pip: part cannot be locked")
    assert "conda brings setuptools 80.0" in said


# Secrets, and settings of this machine.


def test_a_token_of_a_channel_is_nowhere_in_what_is_written(conda_project: MakeProject, stub_channel: Channel) -> None:
    canary = "canary-b6fb01"
    with ChannelServer(stub_channel.folder.parent, token=canary) as guarded:
        mine = conda_project({"environment.yml": environment("python", "app")})
        mine.edit("environment.yml", "- conda-forge", f"- {guarded.url('conda-forge', credentials=canary)}")
        mine.env.pop("CONDARC")
        ran = mine.do("run", "--stages=lock", "-v", "-v")
        assert ran.code == 0, ran.output
        assert guarded.count("/conda-forge/*") > 0
        assert ran.pins.keys() == {"python", "app", "lib"}
        mine.edit("environment.yml", "- app", "- appp")
        again = mine.do("run", "--stages=lock", "-v", "-v")
        assert again.code == 5
    written = [path for path in mine.root.rglob("*") if path.is_file() and path.name != "environment.yml"]
    assert mine.path in written
    assert [path for path in written if canary.encode() in path.read_bytes()] == []
    assert canary not in ran.output + again.output
    assert SERIES in ran.pins["python"]


def test_extra_indexes_and_links_of_this_machine_are_in_no_lock(conda_project: MakeProject, fruit: Path) -> None:
    mine = conda_project({"environment.yml": environment("python", pip=["apple", "elsewhere"])})
    config = mine.root.parent / "pip.conf"
    links = mine.root.parent / "links"
    links.mkdir()
    make_wheel(links, "elsewhere", "1.0")
    config.write_text(f"[global]\nfind-links = {links}\nextra-index-url = file://{links}/simple\n")
    said = failed(mine.lock(PIP_CONFIG_FILE=str(config), PIP_FIND_LINKS=str(links)))
    assert "elsewhere was not found in the package registry" in said
    mine.edit("environment.yml", "  - elsewhere\n", "")
    text = mine.locked(PIP_CONFIG_FILE=str(config), PIP_FIND_LINKS=str(links))
    assert "apple" in mine.packages["linux-64"]
    assert str(links) not in text
    assert "file:" not in text


def test_a_package_without_hashes_is_locked_by_what_was_downloaded_and_told_of(
    conda_project: MakeProject, stub_channel: Channel
) -> None:
    stub_channel.tell("lib-1.1-0.conda", md5=None, sha256=None)
    mine = conda_project()
    ran = mine.lock()
    assert ran.verdict == (0, "passed", "")
    assert [f.code for f in ran.report.findings] == ["LOCK033", "LOCK003"]
