"""A shell is made by the real nix: what its hook does, what keeps it, and what a command in it sees."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.work import a_leg, a_work

from ci_envs.building import host
from ci_envs.command import Command, run
from ci_envs.environments.nix_shell import CLOSURE_NAME, PROFILE, SHELL_NAME, is_in_store, read_shell
from ci_envs.environments.nix_shell import read_closure as read_shells_closure
from ci_envs.errors import BuildError, ToolMissing
from ci_envs.model.config import Config, NixConfig
from ci_envs.nix import hook
from ci_envs.nix.closure import altered_paths, read_closure
from ci_envs.nix.described import describe
from ci_envs.nix.impurity import warn_of_impurity
from ci_envs.nix.shell import NO_PATH, make_shell
from ci_envs.nix.tool import find_nix, run_classic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.component.nix_fixtures import MakeNix
    from tests.support.nix_store import Nix as Store

    from ci_envs.environments.host import HostEnvironment
    from ci_envs.model.record import Finding
    from ci_envs.model.shell import Shell
    from ci_envs.work import Work

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

#: Of everything that a test starts and that must not outlive it.
NAP = "86399"

KEPT = "kept: nothing it depends on has changed"


@dataclass
class Made:
    """A shell, and all that was said while it was made."""

    work: Work
    shell: Shell

    @property
    def findings(self) -> list[Finding]:
        return self.work.findings

    @property
    def log(self) -> str:
        return self.work.log.read_text("utf-8", "replace")

    def prefix(self) -> Path:
        """What the build stage would leave."""
        closure = read_closure(self.work, find_nix(self.work.environ), [self.shell.top])
        (self.work.prefix / CLOSURE_NAME).write_bytes(msgspec.json.encode(closure))
        (self.work.prefix / SHELL_NAME).write_bytes(msgspec.json.encode(self.shell))
        return self.work.prefix

    def inside(self, caller: Mapping[str, str] | None = None) -> HostEnvironment:
        """The environment, for a caller with other variables."""
        self.prefix()
        return host(self.work.layout, self.work.leg, caller or self.work.environ, "sha256:" + "0" * 64, None)


@pytest.fixture
def make(tmp_path: Path, nixpkgs: Path, nix_env: dict[str, str]) -> Callable[..., Made]:
    """Makes the shell of a project with these files; ``config`` is more of ``nix:``."""

    def made(files: Mapping[str, str], *, name: str = "project", env: Any = None, **config: Any) -> Made:
        root = tmp_path / name
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        settings = NixConfig(**{"inputs": {"nixpkgs": str(nixpkgs)}, **config})
        leg = a_leg(pattern="nix")
        work = a_work(root, stage="build", leg=leg, config=Config(nix=settings), environ={**nix_env, **(env or {})})
        work.prefix.mkdir(parents=True, exist_ok=True)
        described = describe(leg, work.project, settings)
        return Made(work, make_shell(work, find_nix(work.environ), described, work.prefix / PROFILE))

    return made


def with_hook(text: str = "", *, packages: str = "pkgs.python3", more: str = "") -> dict[str, str]:
    """A shell.nix; ``text`` is the hook as bash has it."""
    escaped = text.replace("''", "'''").replace("${", "''${")
    head = f"{{ pkgs ? import <nixpkgs> {{ }} }}:\npkgs.mkShell {{\n  packages = [ {packages} ];\n  {more}\n"
    return {"shell.nix": f"{head}  shellHook = ''\n{escaped}\n'';\n}}\n"}


def napping() -> list[int]:
    """The processes that some hook has left."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                found += [int(folder.name)] if words[:2] == [b"sleep", NAP.encode()] else []
    return found


# What it exports.


def test_a_shell_has_what_it_declares_and_what_its_hook_makes_of_it(make: Callable[..., Made]) -> None:
    made = make(with_hook("echo good morning\nexport HOOKED=$GREETING-$PWD", more='GREETING = "hello";'))

    assert made.shell.variables["GREETING"] == "hello"
    assert made.shell.variables["HOOKED"] == f"hello-{made.work.project.root}"
    assert made.shell.variables["IN_NIX_SHELL"] == "pure"
    left_out = {"HOME", "TERM", "TMPDIR", "TMP", "TEMP", "NIX_BUILD_TOP", "PWD", "OLDPWD", "SHLVL", "_", "out", "TZ"}
    assert not left_out & made.shell.variables.keys()
    assert not [name for name in made.shell.variables if name.startswith(("CI_ENVS_", "__ci_envs"))]
    assert "good morning" in made.log
    assert (made.findings, made.shell.notes) == ([], ())


def test_what_a_hook_exports_is_the_shells_whatever_its_maker_has(make: Callable[..., Made]) -> None:
    same = {"LANG": "C.UTF-8", "TZ": "Europe/Berlin", "NO_COLOR": "1"}
    text = "".join(f"export {name}={value}\n" for name, value in same.items()) + "export WHO=$USER"

    made = make(with_hook(text), env={**same, "USER": "me", "PAGER": "less"})

    assert same.items() <= made.shell.variables.items()
    assert made.shell.variables["WHO"] == "me"
    assert not {"USER", "PAGER"} & made.shell.variables.keys()
    assert made.inside({"LANG": "de_DE.UTF-8", "PAGER": "more"}).variables["LANG"] == "C.UTF-8"


def test_neither_the_hook_nor_what_it_exports_is_in_the_log(
    make: Callable[..., Made], tool: Callable[[str], Path]
) -> None:
    tool("direnv")
    files = with_hook("export API_TOKEN=$(printf 'hunter%s' 22); echo good morning", more='DECLARED = "canary-7391";')

    made = make({**files, ".envrc": "use nix\nexport FROM_DIRENV=canary-$API_TOKEN\n"})

    assert made.shell.variables["API_TOKEN"] == "hunter22"
    assert "good morning" in made.log
    assert "print-dev-env" in made.log
    assert not [word for word in ("hunter", "canary", "API_TOKEN", "bashFunctions") if word in made.log]
    assert len(made.log.splitlines()) < 60


def test_its_path_has_what_is_there_and_its_python_is_the_first(make: Callable[..., Made]) -> None:
    shell = make(with_hook("export PATH=/nowhere/bin::$PATH")).shell

    assert all(Path(folder).is_dir() for folder in shell.path)
    assert shell.variables["PATH"] == os.pathsep.join(shell.path)
    assert shell.python == f"{shell.path[0]}/python3"
    assert shell.python.startswith("/nix/store/")


def test_it_names_its_derivation_and_what_keeps_it(make: Callable[..., Made], nix_store: Store) -> None:
    shell = make(with_hook()).shell

    assert shell.drv.endswith("-env.drv")
    assert nix_store.said("nix-store", "--query", "--outputs", shell.drv).split() == [shell.top]


def test_it_can_be_made_twice_and_is_the_same(make: Callable[..., Made]) -> None:
    files = with_hook("export HOOKED=1")

    assert make(files).shell == make(files).shell


@pytest.mark.parametrize("attribute", ["", "ci"])
def test_a_flakes_shell_is_made_as_it_is_locked(make: Callable[..., Made], attribute: str) -> None:
    flake = """{
      inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";
      outputs = { self, nixpkgs }: let pkgs = nixpkgs.legacyPackages.x86_64-linux; in {
        devShells.x86_64-linux.default = pkgs.mkShell { WHICH = "default"; HOME_WAS = builtins.getEnv "HOME"; };
        devShells.x86_64-linux.ci = pkgs.mkShell { WHICH = "ci"; };
      };
    }"""
    made = make({"flake.nix": flake}, attribute=attribute)
    warn_of_impurity(made.work, find_nix(made.work.environ), describe(made.work.leg, made.work.project, NixConfig()))

    assert made.shell.variables["WHICH"] == (attribute or "default")
    assert made.shell.variables.get("HOME_WAS", "") == ""
    (finding,) = made.findings
    assert (finding.code, finding.file, finding.line) == ("NIX023", "flake.nix", 4)
    assert finding.message.startswith('getEnv "HOME" is empty in a flake')


def test_a_file_is_told_that_it_is_evaluated_for_a_shell(make: Callable[..., Made]) -> None:
    text = """{ pkgs ? import <nixpkgs> { }, inNixShell ? false }:
    pkgs.mkShell { ASKED = if inNixShell then "yes" else "no"; TOLD = builtins.getEnv "IN_NIX_SHELL"; }"""

    variables = make({"default.nix": text}).shell.variables

    assert (variables["ASKED"], variables["TOLD"]) == ("yes", "pure")


def test_what_cannot_be_evaluated_is_told_with_its_line(make: Callable[..., Made]) -> None:
    with pytest.raises(BuildError, match="helo") as caught:
        make(with_hook(packages="pkgs.helo"))

    assert (caught.value.file, caught.value.line) == ("shell.nix", 3)


# What its hook may do.


def test_a_hook_that_fails_leaves_a_shell_and_is_told_of(make: Callable[..., Made]) -> None:
    made = make(with_hook("export A=1; echo 'no such thing' >&2; false"))

    assert made.shell.notes == ("the shell's hook failed (exited with 1): no such thing",)
    assert made.shell.variables["A"] == "1"
    assert made.inside().notes() == made.shell.notes


def test_a_secret_that_a_hook_has_exported_is_not_in_its_last_words(make: Callable[..., Made]) -> None:
    made = make(with_hook('export API_TOKEN=hunter22; echo "refused: $API_TOKEN" >&2; false'))

    assert made.shell.notes == ("the shell's hook failed (exited with 1): refused: ***",)


def test_a_hook_whose_last_test_says_no_has_not_failed(make: Callable[..., Made]) -> None:
    assert make(with_hook('[ -n "$NOPE" ] && export A=1')).shell.notes == ()


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("exit 0", "exited with 0"),
        ("echo bye >&2; exit 3", "exited with 3; its last words: bye"),
        ("set -e; ls /nowhere; export A=1", "exited with 1"),
        ("exec true", "exited with 0"),
        ("kill -9 $$", "was ended by SIGKILL"),
    ],
)
def test_a_hook_that_ends_its_shell_leaves_none(make: Callable[..., Made], text: str, ending: str) -> None:
    with pytest.raises(BuildError, match="the shell's hook ended its shell") as caught:
        make(with_hook(text))

    assert ending in str(caught.value)
    assert caught.value.file == "shell.nix"
    assert "build.log" in caught.value.hint


def test_a_hook_that_never_ends_is_ended(make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "HOOK_SECONDS", 1.0)
    started = time.monotonic()

    with pytest.raises(BuildError, match="the shell's hook was ended after"):
        make(with_hook(f"echo waiting; sleep {NAP} & wait"))

    assert time.monotonic() - started < 60
    assert napping() == []


@pytest.mark.parametrize(
    "text", ["read -p 'name? ' NAME; true", "cat >/dev/null", "select x in a b; do break; done; :"]
)
def test_a_hook_that_asks_gets_no_answer_and_is_told_of(make: Callable[..., Made], text: str) -> None:
    assert make(with_hook(text)).shell.notes == ("the shell's hook asks for input, and got none",)


def test_a_hook_that_reads_something_else_does_not_ask(make: Callable[..., Made]) -> None:
    made = make(with_hook("while read -r line; do export A=$line; done <<< one; echo two | cat; exec </dev/null"))

    assert (made.shell.variables["A"], made.shell.notes) == ("one", ())


@pytest.mark.parametrize(
    "start",
    [
        f"sleep {NAP} &",
        f"sleep {NAP} >/dev/null 2>&1 &",
        f"setsid sleep {NAP} >/dev/null 2>&1 & disown",
        f"(trap '' TERM; sleep {NAP}; sleep {NAP}) >/dev/null 2>&1 &",
    ],
)
def test_what_a_hook_starts_does_not_outlive_it(make: Callable[..., Made], start: str) -> None:
    (note,) = make(with_hook(start)).shell.notes

    assert note.startswith("the shell's hook left ")
    assert "running: it was ended" in note
    assert napping() == []


def test_a_hook_that_prints_garbage_changes_nothing(make: Callable[..., Made]) -> None:
    made = make(with_hook("head -c 300000 /dev/urandom; printf 'A=1\\0B=2\\0'; export LINES_OF=$'a\\nB=2'"))

    assert made.shell.variables["LINES_OF"] == "a\nB=2"
    assert not {"A", "B"} & made.shell.variables.keys()


def test_a_hook_may_change_how_its_shell_works(make: Callable[..., Made]) -> None:
    text = "set -uC; alias env=false; env() { echo no; }; exec 1>&- 2>&-; cd /; IFS=; set -a; A=1; unset PATH"

    made = make(with_hook(text))

    assert (made.shell.variables["A"], made.shell.variables["PATH"], made.shell.path) == ("1", NO_PATH, ())


def test_what_a_hook_keeps_in_its_temporary_folder_is_gone_and_told_of(make: Callable[..., Made]) -> None:
    made = make(with_hook("export SOCKET=$TMPDIR/s; touch $SOCKET; export LATER=$(mktemp)"))

    assert len(made.shell.notes) == 2
    assert not {"SOCKET", "LATER"} & made.shell.variables.keys()
    assert list(made.work.temp.iterdir()) == []


def test_a_hook_runs_once(make: Callable[..., Made]) -> None:
    made = make(with_hook("echo once >> counted"))

    assert (made.work.project.root / "counted").read_text() == "once\n"


def test_a_hook_that_depends_on_home_is_told_of_and_gets_the_callers(make: Callable[..., Made], tmp_path: Path) -> None:
    home = str(tmp_path / "home of me")
    text, more = "export CACHE=$HOME/.cache SAFE=$PWD", 'AT_EVALUATION = builtins.getEnv "HOME";'

    made = make(with_hook(text, more=more), env={"HOME": home})

    assert made.shell.variables["CACHE"] == f"{home}/.cache"
    assert [(each.code, each.severity) for each in made.findings] == [("NIX020", "warning")] * 2
    assert sorted(each.message.split()[0] for each in made.findings) == ["AT_EVALUATION", "CACHE"]


def test_another_home_makes_the_shell_anew_where_a_variable_holds_it(make_nix_program: MakeNix, tmp_path: Path) -> None:
    for text, is_anew in (("export A=1", False), ("export CACHE=$HOME/.cache", True)):
        program = make_nix_program(f"project {is_anew}", with_hook(text))
        program.env["HOME"] = str(tmp_path / "one")
        first = program.run("--stages=detect,lock,build")
        assert first.code == 0, first.said
        assert KEPT in program.run("--stages=detect,lock,build").said

        program.env["HOME"] = str(tmp_path / "two")
        again = program.run("--stages=detect,lock,build")
        assert (KEPT not in again.said) is is_anew, again.said
        if is_anew:
            assert f"it holds HOME, which was {tmp_path}/one and is {tmp_path}/two" in again.said
            assert read_shell(program.prefix).variables["CACHE"] == f"{tmp_path}/two/.cache"


def test_a_hook_that_activates_an_environment_gives_its_python(make: Callable[..., Made]) -> None:
    made = make(with_hook("python3 -m venv --without-pip .venv; . .venv/bin/activate"))
    root = made.work.project.root

    assert made.shell.python == str(root / ".venv/bin/python3")
    assert [each.code for each in made.findings] == ["NIX022"]
    inventory = made.inside().inventory()
    assert inventory.interpreter.prefix == str(root / ".venv")


# What keeps it.


def dead(work: Work) -> set[str]:
    """What the next collection of garbage would take."""
    outcome = run_classic(work, find_nix(work.environ), "nix-store", "--gc", "--print-dead")
    assert outcome, outcome.tail()
    return set(outcome.stdout.split())


def test_a_collection_of_garbage_leaves_all_that_the_shell_needs(make: Callable[..., Made]) -> None:
    made = make(with_hook(packages="(pkgs.python3.withPackages (ps: [ ps.apple ]))"))
    needs = {one.path for one in read_closure(made.work, find_nix(made.work.environ), [made.shell.top]).paths}

    assert {made.shell.top, made.shell.drv} | needs
    assert not dead(made.work) & ({made.shell.top, made.shell.drv} | needs)
    assert {folder.rpartition("/bin")[0] for folder in made.shell.path} <= needs

    (made.work.prefix / PROFILE).rename(made.work.prefix / "away")  # a link to the link that the store knows
    assert made.shell.top not in dead(made.work)


def test_a_prefix_that_stands_aside_for_a_while_keeps_its_shell(make: Callable[..., Made]) -> None:
    made = make(with_hook(more='ASIDE = "yes";'))
    prefix, aside = made.prefix(), made.work.layout.aside(made.work.leg.id)
    assert is_in_store(prefix)

    prefix.rename(aside)
    aside.rename(prefix)
    assert is_in_store(prefix)
    assert made.shell.top not in dead(made.work)


def test_a_prefix_that_stood_aside_while_garbage_was_collected_is_known_to_be_kept_no_more(
    make: Callable[..., Made],
) -> None:
    made = make(with_hook(more='COLLECTED = "yes";'))
    prefix, aside = made.prefix(), made.work.layout.aside(made.work.leg.id)

    prefix.rename(aside)
    assert made.shell.top in dead(made.work)  # asking removes nix's own link to where nothing is
    aside.rename(prefix)

    assert not is_in_store(prefix)


def test_a_shell_that_the_store_has_lost_is_told_of(make: Callable[..., Made], tmp_path: Path) -> None:
    environment = make(with_hook()).inside()
    profile = environment.prefix / PROFILE
    profile.unlink()
    profile.symlink_to(tmp_path / "gone")

    with pytest.raises(BuildError, match="the store no longer has the shell"):
        environment.run(["python3", "-c", "pass"])


# What a command in it sees.


def test_a_pure_shell_has_its_own_programs_alone(make: Callable[..., Made], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "bin/mine").chmod(0o755)
    caller = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": "/h", "MINE": "1", "https_proxy": "http://p"}
    environment = make(with_hook("export A=1")).inside(caller)

    with pytest.raises(ToolMissing, match="mine"):
        environment.run(["mine"])
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(environment.run(["python3", "-c", code]).stdout)
    assert (seen["A"], seen["HOME"], seen["https_proxy"], seen["CI_ENVS_LEG"]) == (
        "1",
        "/h",
        "http://p",
        "nix-py312-linux-x86_64",
    )
    assert "MINE" not in seen
    assert str(tmp_path / "bin") not in seen["PATH"]


def test_a_shell_that_is_not_pure_has_the_callers_behind(make: Callable[..., Made], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("mine", "python3"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho mine\n")
        (tmp_path / "bin" / name).chmod(0o755)
    made = make(
        with_hook("mine; export DATA_DIRS=$XDG_DATA_DIRS"), env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, pure=False
    )
    later = {"PATH": f"{tmp_path}/bin:/bin", "MINE": "1", "XDG_DATA_DIRS": "/later"}
    environment = made.inside(later)

    assert str(tmp_path / "bin") not in made.shell.path
    assert environment.run(["mine"]).stdout == "mine\n"
    seen = environment.run(["python3", "-c", "import os, sys; print(sys.executable, os.environ['MINE'])"]).stdout
    assert seen.startswith("/nix/store/")
    assert seen.endswith(" 1\n")
    assert environment.variables["PATH"] == ":".join([*made.shell.path, f"{tmp_path}/bin", "/bin"])
    assert environment.variables["XDG_DATA_DIRS"].endswith("/later")


def test_the_inventory_has_what_python_finds_and_what_the_store_has(make: Callable[..., Made]) -> None:
    environment = make(with_hook(packages="(pkgs.python3.withPackages (ps: [ ps.pear ])) pkgs.hello")).inside()

    inventory = environment.inventory()

    python = {each.name for each in inventory.distributions if each.manager == "python"}
    nix = {each.name for each in inventory.distributions if each.manager == "nix"}
    assert "pear" in python
    assert {"hello", "python3"} <= nix
    assert inventory.interpreter.os == "linux"


def test_packages_beside_the_interpreter_are_found(make: Callable[..., Made]) -> None:
    environment = make(with_hook(packages="pkgs.python3 pkgs.python3.pkgs.pear")).inside()

    assert environment.inventory().find("pear") is not None


def test_a_shell_without_python_is_an_environment_all_the_same(make: Callable[..., Made]) -> None:
    made = make(with_hook(packages="pkgs.hello"))
    environment = made.inside()

    assert made.shell.python == ""
    assert environment.inventory().interpreter.version == ""
    assert environment.run(["hello"])
    with pytest.raises(ToolMissing, match="python"):
        environment.run(["python", "-c", "pass"])


def test_nobody_writes_to_the_store(make: Callable[..., Made]) -> None:
    made = make(with_hook("python3 -c 'import apple, json'", packages="(pkgs.python3.withPackages (ps: [ ps.apple ]))"))
    paths = [Path(one.path) for one in read_closure(made.work, find_nix(made.work.environ), [made.shell.top]).paths]

    def listed() -> set[Path]:
        return {each for path in paths if "apple" in path.name or "python3" in path.name for each in path.rglob("*")}

    before = listed()
    environment = made.inside()
    assert environment.run(["python3", "-c", "import apple, http.server, tarfile"])
    assert environment.inventory().find("apple") is not None

    assert listed() == before


def test_tests_that_root_runs_leave_the_store_as_it_was(make_nix_program: MakeNix) -> None:
    # Its name is new each time: once it was altered, it would stay so.
    bare = f'pkgs.runCommand "bare-{time.time_ns()}" {{ }} "mkdir -p $out/lib; echo NUMBER = 1 > $out/lib/bare.py"'
    test = """\
import subprocess
import sys

import bare


def test_python_finds_what_has_no_bytecode():
    assert bare.NUMBER == 1
    subprocess.run([sys.executable, "-c", "import bare, json"], check=True)
"""
    python = "(pkgs.python3.withPackages (ps: [ ps.pytest ]))"
    # In these files the name PYTHON stands for an attribute.
    files = with_hook('export PY""THONPATH=$BARE/lib', packages=python, more=f"BARE = {bare};")
    program = make_nix_program("project", {**files, "tests/test_bare.py": test})

    done = program.run()

    assert done.code == 0, done.said
    assert program.do("exec", program.leg, "--", "python3", "-c", "import bare").code == 0
    closure = read_shells_closure(program.prefix)
    assert any(one.name.startswith("bare") for one in closure.paths)
    assert altered_paths(find_nix(program.env), program.env, closure) == ()


# direnv.

ENVRC = """\
if ! has nix_direnv_version || ! nix_direnv_version 3.0.6; then
  source_url "https://index.example/direnvrc" "sha256-x"
fi
use nix
PATH_add bin
export GREETING="$GREETING, and $HOOKED"
unset TAKEN
"""


def test_direnv_runs_the_other_lines_of_an_envrc(
    make: Callable[..., Made], tool: Callable[[str], Path], tmp_path: Path
) -> None:
    tool("direnv")
    files = with_hook("export HOOKED=good; echo ran >> counted", more='GREETING = "hello"; TAKEN = "1";')

    made = make({**files, ".envrc": ENVRC, "bin/mine": "#!/bin/sh\n"}, env={"HOME": str(tmp_path / "home")})

    assert made.shell.variables["GREETING"] == "hello, and good"
    assert "TAKEN" not in made.shell.variables
    assert made.shell.path[0] == str(made.work.project.root / "bin")
    assert not [name for name in made.shell.variables if name.startswith(("DIRENV_", "XDG_"))]
    assert (made.work.project.root / "counted").read_text() == "ran\n"
    assert (made.findings, made.shell.notes) == ([], ())
    assert not (tmp_path / "home/.local/share/direnv").exists()


def test_an_envrc_that_fails_is_told_of(make: Callable[..., Made], tool: Callable[[str], Path]) -> None:
    tool("direnv")
    made = make({**with_hook("export HOOKED=1"), ".envrc": "use nix\nexport A=1\nno-such-command\nexit 3\n"})

    (note,) = made.shell.notes
    assert note.startswith(".envrc was not run to its end: ")
    assert made.shell.variables["HOOKED"] == "1"
    assert "A" not in made.shell.variables


# What it costs.


def test_a_command_starts_without_nix(make_nix_program: MakeNix, tmp_path: Path) -> None:
    program = make_nix_program("project", with_hook() | {"tests/test_one.py": "def test_one():\n    pass\n"})
    done = program.run("--stages=detect,lock,build")
    assert done.code == 0, done.said
    python = msgspec.json.decode((program.prefix / SHELL_NAME).read_bytes())["python"]
    words = (sys.executable, "-m", "ci_envs", "exec", program.leg, "--", "python3", "-c", "pass")
    env = {**program.env, "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"), "PATH": "/nowhere"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    # Of the processor: what else the machine does would be in the time. The bench has that (`nix_again`).
    bare, ours = (min(_seconds(argv, env, program.root) for _ in range(5)) for argv in ((python, "-c", "pass"), words))

    assert ours - bare <= 0.2


def _seconds(argv: tuple[str, ...], env: Mapping[str, str], folder: Path) -> float:
    before = os.times()
    outcome = run(Command(argv, env=env, cwd=folder, timeout=60))
    assert outcome, outcome.tail()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
