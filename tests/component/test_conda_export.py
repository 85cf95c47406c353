"""``ci-envs export``: what is written is read back by ours and by rattler, and makes the same environment again."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.component.conda_programs import CONDA_LEG, environment_file, record_of
from tests.component.program import LEG
from tests.component.running import PYTHON
from tests.support.channel import make_channel
from tests.support.channel_packages import stub_package
from tests.support.channel_server import ChannelServer

from ci_envs.conda.intent import read_intent
from ci_envs.conda.lock_reading import read_lock
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeConda, MakeCopy
    from tests.component.program import Program
    from tests.support.index import Index

pytest_plugins = ("tests.component.conda_program_fixtures",)
pytestmark = pytest.mark.component

FORMS = ("", "--no-builds", "--from-history", "--explicit")


def export(program: Program, *words: str) -> str:
    done = program.do("export", CONDA_LEG, *words)
    assert done.code == 0, done.said
    return done.stdout


def parts(text: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """An environment.yml: the document, its match specs, its lines below ``pip:``."""
    document = yaml.safe_load(text)
    specs = [one for one in document["dependencies"] if isinstance(one, str)]
    pip = [line for one in document["dependencies"] if isinstance(one, dict) for line in one["pip"]]
    return document, specs, pip


def digest(program: Program) -> str:
    facts = record_of(program).environment
    assert facts is not None
    return facts.digest


def test_the_whole_environment_is_written_with_its_builds(stood: Program) -> None:
    document, specs, pip = parts(export(stood))
    inventory = {(one.manager, one.name): one for one in record_of(stood).inventory}
    assert document["channels"] == ["https://conda.anaconda.org/conda-forge", "nodefaults"]
    assert document["name"] == CONDA_LEG
    assert "prefix" not in document
    assert specs == [
        f"{one.name}={one.version}={one.build}" for key, one in sorted(inventory.items()) if key[0] == "conda"
    ]
    assert f"hello-native=1.0={inventory['conda', 'hello-native'].build}" in specs
    assert pip == ["plum==1.0"]


def test_builds_are_left_out_where_they_are_not_wanted(stood: Program) -> None:
    _, specs, pip = parts(export(stood, "--no-builds"))
    assert {spec.count("=") for spec in specs} == {1}
    assert "apple=1.1" in specs
    assert pip == ["plum==1.0"]


def test_the_history_is_what_was_asked_for(stood: Program) -> None:
    document, specs, pip = parts(export(stood, "--from-history"))
    assert specs == [f"python={PYTHON}", "hello-native ==1.0", "apple", "pip"]
    assert pip == ["plum"]
    assert document["channels"] == ["conda-forge", "nodefaults"]


@pytest.mark.parametrize("form", ["", "--no-builds"])
def test_what_is_exported_makes_the_same_environment_again(
    make_copy: MakeCopy, make_conda: MakeConda, stood: Program, tmp_path: Path, form: str
) -> None:
    text = export(stood, *filter(None, [form]))
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "environment.yml").write_text(text, encoding="utf-8")
    intent = read_intent(Project(tmp_path / "read"), ["environment.yml"])
    assert {spec.name for spec in intent.specs} >= {"python", "apple", "seed", "hello-native"}
    assert [line.text for line in intent.pip] == ["plum==1.0"]
    assert intent.nodefaults

    again = make_conda("again", {"environment.yml": text}, cache=stood.cache)
    done = again.run("--stages=lock,build")
    assert done.code == 0, done.said
    assert digest(again) == digest(stood)
    assert {pin.hashes for pin in record_of(again).lock.pins} == {pin.hashes for pin in record_of(stood).lock.pins}  # type: ignore[union-attr]  # both have locked


def test_an_explicit_file_is_read_by_rattler_and_makes_the_same_environment(
    make_conda: MakeConda, stood: Program, tmp_path: Path
) -> None:
    from rattler.explicit_environment import ExplicitEnvironmentSpec

    text = export(stood, "--explicit")
    path = tmp_path / "explicit.txt"
    path.write_text(text, encoding="utf-8")
    read = ExplicitEnvironmentSpec.from_path(path)
    lock = read_lock((stood.root / f"locks/conda-py{PYTHON.replace('.', '')}.conda-lock.yml").read_text(), path="x")
    locked = {f"{one.url}#sha256:{one.sha256}" for one in lock.packages if one.manager == "conda"}
    assert {entry.url.replace("#sha256%3A", "#sha256:") for entry in read.packages} == locked
    assert str(read.platform) == "linux-64"

    again = make_conda("again", {"conda-linux-64.lock": text}, cache=stood.cache)
    done = again.run("--stages=lock,build")
    assert done.code == 0, done.said
    assert digest(again) == digest(stood)


def test_what_comes_from_a_channel_that_a_spec_named_keeps_its_channel(make_conda: MakeConda, tmp_path: Path) -> None:
    other = make_channel(tmp_path / "others" / "other", [stub_package("seashell", "1.0")])
    with ChannelServer(tmp_path / "others") as server:
        address = server.url(other.name)
        files = {
            "environment.yml": environment_file("python", f"{address}::seashell"),
            "ci-envs.yml": "test: {command: none}\n",
        }
        mine = make_conda("project", files)
        assert mine.run("--stages=lock,build").code == 0
        text = export(mine)
        assert f"{address}::seashell=1.0=0" in parts(text)[1]
        again = make_conda("again", {"environment.yml": text}, cache=mine.cache)
        done = again.run("--stages=lock,build")
        assert done.code == 0, done.said
    assert digest(again) == digest(mine)


def test_a_distribution_with_an_address_is_told_by_it(make_conda: MakeConda, fruit_index: Index) -> None:
    wheel = f"{fruit_index.files_url}plum-1.0-py3-none-any.whl"
    mine = make_conda("project", {"environment.yml": environment_file("python", pip=(f"plum @ {wheel}",))})
    done = mine.run("--stages=lock,build")
    assert done.code == 0, done.said
    assert parts(export(mine))[2] == [f"plum @ {wheel}"]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_written_whole_and_nothing_else(make_copy: MakeCopy, stood: Program, form: str) -> None:
    before = {path.name for path in stood.root.iterdir()}
    output = stood.root.parent / f"out{form}" / "environment.yml"
    words = [*filter(None, [form]), "--output", str(output)]
    done = stood.do("export", CONDA_LEG, *words)
    assert (done.code, done.stdout) == (0, "")
    assert f"written to {output}" in done.stderr
    assert output.read_text() == export(stood, *filter(None, [form]))
    assert [path.name for path in output.parent.iterdir()] == ["environment.yml"]
    assert stat.S_IMODE(output.stat().st_mode) & 0o444
    assert {path.name for path in stood.root.iterdir()} == before


def test_an_output_that_cannot_be_written_is_said_in_a_sentence(stood: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = stood.do("export", CONDA_LEG, "--output", str(tmp_path / "file" / "environment.yml"))
    assert done.code == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'file' / 'environment.yml'} cannot be written: ")


def test_json_has_the_leg_the_form_and_the_text(stood: Program, tmp_path: Path) -> None:
    said = json.loads(export(stood, "--json", "--no-builds"))
    assert said == {"leg": CONDA_LEG, "form": "no-builds", "text": export(stood, "--no-builds")}
    done = stood.do("export", CONDA_LEG, "--json", "--explicit", "--output", str(tmp_path / "x.txt"))
    assert json.loads(done.stdout)["text"] == (tmp_path / "x.txt").read_text()


def test_a_leg_that_was_not_built_is_refused_with_the_command(make_conda: MakeConda) -> None:
    mine = make_conda("project")
    done = mine.do("export", CONDA_LEG)
    assert done.code == 6
    assert f"{CONDA_LEG} was not built\nhint: build it with: ci-envs run --only {CONDA_LEG}" in done.stderr
    mine.run("--stages=lock")
    done = mine.do("export", CONDA_LEG)
    assert done.code == 6
    assert f"{CONDA_LEG} was not built\nhint: build it with: ci-envs run --pattern=conda" in done.stderr


def test_a_leg_of_another_pattern_is_refused(make_program: Callable[..., Program]) -> None:
    mine = make_program("project", warm=True)
    assert mine.run("--stages=lock,build").code == 0
    done = mine.do("export", LEG)
    assert done.code == 2
    assert f"{LEG} is made by uv, and this exports conda environments" in done.stderr


@pytest.mark.parametrize("form", ["", "--explicit"])
def test_a_lock_that_was_changed_since_is_refused(make_copy: MakeCopy, form: str) -> None:
    mine = make_copy("project")
    assert mine.run("--stages=lock,build").code == 0
    (lock,) = mine.root.glob("locks/*")
    lock.write_text(lock.read_text() + "# edited\n")
    done = mine.do("export", CONDA_LEG, *filter(None, [form]))
    assert done.code == 6
    assert f"is not the lock that {CONDA_LEG} was built from" in done.stderr
    lock.unlink()
    assert mine.do("export", CONDA_LEG, *filter(None, [form])).code == 6
    assert "hello-native" in export(mine, "--from-history")


def test_a_lock_alone_has_no_history(make_conda: MakeConda, stood: Program) -> None:
    mine = make_conda("project", {"conda-linux-64.lock": export(stood, "--explicit")}, cache=stood.cache)
    assert mine.run("--stages=lock,build").code == 0
    assert "apple=1.1" in export(mine, "--no-builds")
    done = mine.do("export", CONDA_LEG, "--from-history")
    assert done.code == 6
    assert "its lock is all that it was made from" in done.stderr
