"""Pattern guix from end to end, over a stand-in: what it shows of guix itself is what guix's manual says."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.component.program import Program, tidy
from tests.component.running import PYTHON
from tests.support.nix_store import find_nix
from tests.support.projects import private_environment
from tests.support.stand_in_guix import CHANNELS, COMMIT, MANIFEST, TIP, calls, fail, stand_in

from ci_envs.command import Command, run
from ci_envs.environments.nix_shell import read_closure, read_shell
from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import Popen

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

LEG = make_leg(pattern="guix", python=PYTHON, os=os_name(), arch=arch_name()).id
TEST = "test:\n  command: python3 -c \"import apple, os; assert os.environ['GUIX_ENVIRONMENT']\"\n"
FILES = {"manifest.scm": MANIFEST, "channels.scm": CHANNELS, "ci-envs.yml": TEST}


@pytest.fixture
def guix(tmp_path: Path) -> Path:
    """The folder of a stand-in."""
    return stand_in(tmp_path / "guix").parent


@pytest.fixture
def make(tmp_path: Path, guix: Path) -> Iterator[Callable[..., Program]]:
    """The program over a project of pattern guix; a file is left out where its text is empty."""
    started: list[Popen[str]] = []

    def made(**changed: str) -> Program:
        files = FILES | {name.replace("_", "."): text for name, text in changed.items()}
        env = private_environment("https://index.example/simple", tmp_path / "home", tmp_path / "cache")
        env["PATH"] = os.pathsep.join((str(guix), env["PATH"]))
        words = ("--pattern=guix", f"--python={PYTHON}")
        kept = {name: text for name, text in files.items() if text}
        return Program(tmp_path / "project", env, words=words, files=kept, leg=LEG, started=started)

    yield made
    tidy(started)


def test_a_profile_is_built_checked_and_tested_and_then_kept(make: Callable[..., Program], guix: Path) -> None:
    program = make()

    first = program.run()
    made = len(calls(guix))
    second = program.run()

    assert (first.code, second.code) == (0, 0), first.said + second.said
    record = program.record
    assert record is not None
    assert record.lock is not None
    assert [(pin.name, pin.version) for pin in record.lock.pins] == [("guix", COMMIT)]
    found = {(one.manager, one.name, one.version) for one in record.inventory}
    assert {("python", "apple", "1.0"), ("guix", "python-apple", "1.0"), ("guix", "python", f"{PYTHON}.0")} <= found
    assert len(calls(guix)) == made, "what is kept is asked for of nobody"
    travel = ["time-machine", "--channels=channels.scm", "--", "shell", "--rebuild-cache", "--pure", "--search-paths"]
    assert calls(guix)[0] == [*travel, f"--root={program.prefix}/profile", "--manifest=manifest.scm"]


def test_its_closure_has_references_and_the_hashes_that_nix_would_give(make: Callable[..., Program]) -> None:
    program = make()
    assert program.run().code == 0

    closure, shell = read_closure(program.prefix), read_shell(program.prefix)

    (top,) = (one for one in closure.paths if one.path == shell.top)
    assert len(top.references) == 2
    nix = find_nix()
    assert nix is not None, "this test needs nix, which is not on PATH: .ci/nix install brings it"
    words = (str(nix.with_name("nix-hash")), "--type", "sha256", *(one.path for one in closure.paths))
    assert run(Command(words)).stdout.split() == [one.nar_hash.removeprefix("sha256:") for one in closure.paths]


def test_a_command_inside_sees_the_profile_and_little_else(make: Callable[..., Program]) -> None:
    program = make()
    assert program.run().code == 0
    program.env |= {"MINE": "1"}

    said = program.do("exec", LEG, "--", "python3", "-c", "import os, json; print(json.dumps(dict(os.environ)))")

    variables = json.loads(said.stdout)
    profile = read_shell(program.prefix).top
    assert variables["PATH"] == f"{profile}/bin"
    assert variables["GUIX_ENVIRONMENT"] == profile
    assert "MINE" not in variables


def test_what_is_not_pure_has_the_callers_programs_behind_its_own(make: Callable[..., Program]) -> None:
    program = make(**{"ci-envs_yml": TEST + "guix: {pure: false}\n"})
    assert program.run().code == 0
    program.env |= {"MINE": "1"}

    said = program.do("exec", LEG, "--", "python3", "-c", "import os; print(os.environ['PATH'], os.environ['MINE'])")

    assert said.stdout.startswith(f"{read_shell(program.prefix).top}/bin{os.pathsep}")
    assert said.stdout.endswith(" 1\n")


def test_other_bytes_in_the_store_are_found_by_who_looks_at_each(make: Callable[..., Program]) -> None:
    program = make()
    assert program.run().code == 0
    closure = read_closure(program.prefix)
    (apple,) = (one.path for one in closure.paths if one.name == "python-apple")
    module = next(path for path in (program.prefix / "profile").resolve().rglob("apple.py"))
    module.resolve().write_text("COLOUR = 'green'\n", encoding="utf-8")

    said = program.do("verify", LEG, "--json")
    deep = program.run("--deep")

    assert json.loads(said.stdout)["same"] is True, said.said
    assert "every byte was read twice, but what the store had was not built again" in said.stdout
    assert f"{apple} was altered in the store" in deep.said


def test_a_package_to_work_on_is_a_profile_of_what_it_needs(make: Callable[..., Program], guix: Path) -> None:
    program = make(manifest_scm="", guix_scm=MANIFEST)

    assert program.run().code == 0
    assert calls(guix)[0][-2:] == ["--development", "--file=guix.scm"]


def test_what_the_store_has_lost_is_built_anew(make: Callable[..., Program]) -> None:
    program = make()
    assert program.run().code == 0
    shutil.rmtree(read_shell(program.prefix).top)

    said = program.run()

    assert said.code == 0, said.said
    assert "built: the store no longer has it" in said.said


# Locks.


def test_channels_are_written_where_there_are_none_but_not_in_ci(make: Callable[..., Program]) -> None:
    program = make(channels_scm="")

    refused = program.run("--lock-mode=locked")
    made = program.do("lock", *program.words)

    assert refused.code == 5, refused.said
    assert "guix describe --format=channels > channels.scm" in refused.said
    assert made.code == 0, made.said
    assert (program.root / "channels.scm").read_text("utf-8") == CHANNELS


def test_an_upgrade_takes_the_tips_of_the_branches(make: Callable[..., Program]) -> None:
    program = make()

    said = program.do("lock", "--upgrade", "--as-of=2026-01-01", *program.words)

    assert said.code == 0, said.said
    assert "GUIX004" in said.said
    assert (program.root / "channels.scm").read_text("utf-8") == CHANNELS.replace(COMMIT, TIP)


def test_a_channel_at_no_commit_is_told_and_refused_in_ci(make: Callable[..., Program]) -> None:
    program = make(channels_scm='\n(list (channel (name \'guix) (url "https://git.example/guix.git")))\n')

    warned, refused = program.run(), program.run("--lock-mode=locked")

    assert warned.code == 0, warned.said
    assert "GUIX001" in warned.said
    assert refused.code == 5
    assert "channels.scm:2" in refused.said


def test_channels_that_are_computed_are_told(make: Callable[..., Program]) -> None:
    program = make(channels_scm="%default-channels\n")

    warned, upgraded = program.run(), program.do("lock", "--upgrade", *program.words)

    assert warned.code == 0, warned.said
    assert "GUIX002" in warned.said
    assert upgraded.code == 5
    assert "guix time-machine -C channels.scm -- describe --format=channels" in upgraded.said


# What goes wrong.


def test_where_there_is_no_guix_it_is_said_how_it_is_had(make: Callable[..., Program], guix: Path) -> None:
    program = make()
    (guix / "guix").unlink()

    said = program.run()

    assert said.code == 4, said.said
    assert "https://guix.gnu.org/manual/en/html_node/Installation.html" in said.said


def test_a_manifest_that_guix_refuses_is_named_with_its_line(make: Callable[..., Program]) -> None:
    program = make(manifest_scm='(specifications->manifest\n (list "python")\n')

    said = program.run()

    assert said.code == 6, said.said
    assert "manifest.scm:3: missing closing parenthesis" in said.said


class Said(NamedTuple):
    """What a command of guix's says when it fails, and what is made of it."""

    verb: str
    stderr: str
    status: str
    told: str


@pytest.mark.parametrize(
    "case",
    [
        Said("shell", "guix shell: error: pythn: unknown package", "failed", "pythn: unknown package"),
        Said(
            "time-machine",
            "guix time-machine: error: Git error: failed to resolve address for git.example: Name or service not known",
            "broken",
            "something could not be fetched: ",
        ),
        Said(
            "shell",
            "guix shell: error: failed to connect to `/var/guix/daemon-socket/socket': No such file or directory",
            "broken",
            "sudo systemctl start guix-daemon",
        ),
        Said("gc", "guix gc: error: mkdir: No space left on device", "broken", "guix gc --free-space=5G"),
    ],
    ids=["package", "network", "daemon", "disk"],
)
def test_what_guix_says_is_the_reason(make: Callable[..., Program], guix: Path, case: Said) -> None:
    program = make()
    fail(guix, case.verb, case.stderr)

    said = program.run()

    assert program.record is not None
    assert (said.code, program.record.status) == (6, case.status), said.said
    assert case.told in said.said
    assert not program.prefix.exists()


def test_offline_guix_is_told_to_take_no_substitutes(make: Callable[..., Program], guix: Path) -> None:
    program = make()

    said = program.run("--offline")

    assert said.code == 0, said.said
    assert "GUIX003" in said.said
    assert calls(guix)[0][:5] == ["time-machine", "--channels=channels.scm", "--no-substitutes", "--", "shell"]
