from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.support.conda_trees import CondaTree
from tests.support.environments import said

from ci_envs import command
from ci_envs.conda import activation
from ci_envs.conda.activation import activate, activation_variables
from ci_envs.environments.host import HostEnvironment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> CondaTree:
    tree = CondaTree(tmp_path / "envs" / "leg")
    tree.install()
    return tree


class Shell:
    """Stands at the process seam: answers each script with what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: command.Outcome) -> None:
        self.asked: list[command.Command] = []
        self._answers = list(answers)
        monkeypatch.setattr(command, "run", self._run)

    def _run(self, asked: command.Command) -> command.Outcome:
        self.asked.append(asked)
        return self._answers.pop(0)


def variables_of(tree: CondaTree) -> tuple[dict[str, str], tuple[str, ...]]:
    found = activation_variables(tree.prefix, (tree.prefix / "bin",))
    return found.variables, found.problems


def test_an_environment_is_named_as_conda_names_it(tree: CondaTree, tmp_path: Path) -> None:
    assert variables_of(tree) == (
        {"CONDA_PREFIX": str(tree.prefix), "CONDA_DEFAULT_ENV": "leg", "CONDA_SHLVL": "1"},
        (),
    )
    elsewhere = CondaTree(tmp_path / "elsewhere")
    assert variables_of(elsewhere)[0]["CONDA_DEFAULT_ENV"] == str(elsewhere.prefix)


def test_variables_of_packages_come_first_and_the_environments_own_win(tree: CondaTree) -> None:
    tree.write("etc/conda/env_vars.d/b.json", '{"SHARED": "b", "lower": "1"}')
    tree.write("etc/conda/env_vars.d/a.json", '{"SHARED": "a", "ONLY_A": "a"}')
    tree.write("conda-meta/state", '{"version": 1, "env_vars": {"ONLY_A": "state", "GONE": "***unset***"}}')
    found, problems = variables_of(tree)

    assert {name: value for name, value in found.items() if not name.startswith("CONDA_")} == {
        "SHARED": "b",
        "ONLY_A": "state",
        "LOWER": "1",
    }
    assert problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON", "cannot be read as variables"),
        ("[]", "cannot be read as variables"),
        ("\xff", "cannot be read as variables"),
        ('{"A": 1, "B": "b", "C=D": "x", "": "y", "E": "a\\u0000b"}', "A, C=D, , E"),
        ('{"PATH": "/evil"}', "PATH, which conda ignores"),
    ],
)
def test_what_cannot_be_set_is_said(tree: CondaTree, text: str, said: str) -> None:
    tree.write("etc/conda/env_vars.d/a.json", text.encode("latin-1"))
    found, (problem,) = variables_of(tree)
    assert said in problem
    assert found.keys() - {"B"} == {"CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL"}


def test_without_scripts_no_shell_is_started(tree: CondaTree) -> None:
    assert activate(tree.prefix, {"PATH": "/usr/bin"}) == activation.Activation()


@pytest.fixture
def scripted(tree: CondaTree) -> CondaTree:
    tree.write("etc/conda/activate.d/b.sh", "")
    tree.write("etc/conda/activate.d/a.sh", "")
    tree.write("etc/conda/activate.d/a.fish", "")
    return tree


def test_each_script_sees_what_the_one_before_has_set(scripted: CondaTree, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch, said("PATH=/x:/usr/bin\0A=1\0_=x\0PWD=/\0"), said("PATH=/x:/usr/bin\0A=two\nlines\0"))
    found = activate(scripted.prefix, {"PATH": "/usr/bin", "GONE": "x", "TERM_SESSION_ID": "5"})

    first, second = shell.asked
    assert [word for word in first.argv if word.endswith(".sh")] == [f"{scripted.prefix}/etc/conda/activate.d/a.sh"]
    assert first.env == {"PATH": "/usr/bin", "GONE": "x"}
    assert second.env == {"PATH": "/x:/usr/bin", "A": "1"}
    assert (found.variables, found.unset) == ({"PATH": "/x:/usr/bin", "A": "two\nlines"}, ("GONE",))
    assert found.problems == ()


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (said("", code=3), "a.sh ended its shell (exit code 3)"),
        (said("", timed_out=True), "a.sh was ended after 60 seconds"),
        (said("A=1\0", code=2, stderr="syntax error\n"), "a.sh failed: syntax error"),
    ],
)
def test_a_script_that_fails_is_said_and_the_others_run(
    scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, outcome: command.Outcome, problem: str
) -> None:
    Shell(monkeypatch, outcome, said("PATH=/usr/bin\0B=2\0"))
    found = activate(scripted.prefix, {"PATH": "/usr/bin"})
    assert found.variables == {"B": "2"}
    assert [problem in told for told in found.problems] == [True]


def test_a_test_that_fails_at_a_scripts_end_is_no_failure(scripted: CondaTree, monkeypatch: pytest.MonkeyPatch) -> None:
    Shell(monkeypatch, said("PATH=/usr/bin\0A=1\0", code=1), said("PATH=/usr/bin\0A=1\0"))
    assert activate(scripted.prefix, {"PATH": "/usr/bin"}) == activation.Activation(variables={"A": "1"})


def test_what_cannot_be_decoded_stays_what_it_was(scripted: CondaTree, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch, *(said("PATH=/usr/bin\0ODD=a\ufffdb\0") for _ in range(2)))
    given = {"PATH": "/usr/bin", "ODD": "a\udcffb"}
    assert activate(scripted.prefix, given).variables == {}
    assert [asked.env for asked in shell.asked] == [given, given]


def test_what_scripts_did_is_remembered_for_these_variables(
    scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory, given = tmp_path / "memory" / "activation.json", {"PATH": "/usr/bin"}
    after = said("PATH=/usr/bin\0A=1\0")
    shell = Shell(monkeypatch, *[after] * 4)
    first = activate(scripted.prefix, given, memory=memory)
    assert activate(scripted.prefix, {**given, "PWD": "/else"}, memory=memory) == first
    assert len(shell.asked) == 2

    activate(scripted.prefix, {**given, "CUDA_HOME": "/cuda"}, memory=memory)
    assert len(shell.asked) == 4


@pytest.mark.parametrize("damage", ["", "{}", '{"key": "another", "variables": {}}'])
def test_a_memory_that_cannot_be_read_is_none(
    scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    memory = tmp_path / "activation.json"
    memory.write_text(damage)
    shell = Shell(monkeypatch, *[said("PATH=/usr/bin\0")] * 2)
    activate(scripted.prefix, {"PATH": "/usr/bin"}, memory=memory)
    assert len(shell.asked) == 2


def test_a_secret_is_kept_nowhere(scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory = tmp_path / "activation.json"
    Shell(monkeypatch, *[said("PATH=/usr/bin\0INDEX=https://x/?t=tok-1234567\0API_TOKEN=tok-1234567\0")] * 2)
    found = activate(scripted.prefix, {"PATH": "/usr/bin", "API_TOKEN": "tok-1234567"}, memory=memory)
    assert found.variables == {"INDEX": "https://x/?t=tok-1234567"}
    assert not memory.exists()


def test_what_scripts_say_goes_to_the_log(scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Shell(monkeypatch, *[said("PATH=/usr/bin\0", stderr="hello\n")] * 2)
    activate(scripted.prefix, {"PATH": "/usr/bin"}, log=tmp_path / "logs/check.log")
    assert (tmp_path / "logs/check.log").read_text().count("hello\n") == 2


def test_scripts_of_windows_are_called_by_its_shell(tree: CondaTree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("etc/conda/activate.d/a.bat", "")
    tree.write("etc/conda/activate.d/b&calc.bat", "")
    tree.write("etc/conda/activate.d/a.sh", "")
    monkeypatch.setattr("sys.platform", "win32")
    shell = Shell(monkeypatch, said("Path=C:\\x\r\nA=1\r\nPROMPT=$P$G\r\n=C:=C:\\\r\n"))
    found = activate(tree.prefix, {"Path": "C:\\x"})

    (asked,) = shell.asked
    assert asked.argv[:4] == ("cmd.exe", "/d", "/c", "call")
    assert found.variables == {"A": "1"}
    assert ["b&calc.bat cannot be run" in told for told in found.problems] == [True]


def test_a_variable_of_windows_has_one_spelling(tree: CondaTree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("etc/conda/activate.d/a.bat", "")
    monkeypatch.setattr("sys.platform", "win32")
    Shell(monkeypatch, said("Path=C:\\new;C:\\x\r\nNewOne=1\r\n"))
    assert activate(tree.prefix, {"PATH": "C:\\x"}).variables == {"PATH": "C:\\new;C:\\x", "NewOne": "1"}


# The environment that a command sees.


def test_a_conda_environment_is_active_and_no_virtual_one(tree: CondaTree) -> None:
    tree.write("etc/conda/env_vars.d/a.json", '{"DATA": "inside", "CI_ENVS_LEG": "never"}')
    caller = {
        "PATH": "/mine/bin:/usr/bin",
        "VIRTUAL_ENV": "/other",
        "CONDA_PREFIX": "/mine",
        "CONDA_DEFAULT_ENV": "mine",
        "CONDA_PROMPT_MODIFIER": "(mine) ",
        "DATA": "outside",
    }
    host = HostEnvironment(tree.prefix, caller=caller, variables={"CI_ENVS_LEG": "leg"}, temp=tree.prefix / "t")

    assert host.variables == {
        "PATH": f"{tree.prefix}/bin:/usr/bin",
        "CONDA_PREFIX": str(tree.prefix),
        "CONDA_DEFAULT_ENV": "leg",
        "CONDA_SHLVL": "1",
        "DATA": "inside",
        "CI_ENVS_LEG": "leg",
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), f"{tree.prefix}/t"),
    }
    assert host.notes() == ()


def test_a_virtual_environment_is_active_and_no_conda_one(tmp_path: Path) -> None:
    path = os.pathsep.join(("/mine/bin", "/usr/bin"))
    caller = {"PATH": path, "CONDA_PREFIX": "/mine", "PYTHONDONTWRITEBYTECODE": "1"}
    host = HostEnvironment(tmp_path / "env", caller=caller, bytecode=tmp_path / "bytecode")

    assert host.variables == {
        "PATH": os.pathsep.join((str(host.scheme.scripts), "/usr/bin")),
        "VIRTUAL_ENV": str(tmp_path / "env"),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }
    assert host.notes() == ()


def test_scripts_run_once_for_any_number_of_commands(
    scripted: CondaTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = said(f"PATH=/usr/bin\0A=1\0TMPDIR=/evil\0PYTHONPYCACHEPREFIX={tmp_path}\0")
    shell = Shell(monkeypatch, *[answer] * 2, said("ran"), said("ran"))
    host = HostEnvironment(scripted.prefix, caller={"PATH": "/usr/bin"}, bytecode=tmp_path / "b", temp=tmp_path / "t")
    host.run(["true"], log=tmp_path / "log")
    host.run(["true"])

    assert [bool(asked.argv[0] == "true") for asked in shell.asked] == [False, False, True, True]
    env = dict(shell.asked[-1].env or {})
    assert (env["A"], env["TMPDIR"]) == ("1", str(tmp_path / "t"))
    assert env["PYTHONPYCACHEPREFIX"] == str(tmp_path / "b")
    assert json.loads((tmp_path / "b/activation.json").read_bytes())["variables"]["A"] == "1"


def test_an_environment_without_python_has_an_inventory(tree: CondaTree) -> None:
    found = HostEnvironment(tree.prefix, caller={}).inventory()
    assert (found.interpreter.version, found.interpreter.os != "") == ("", True)
    assert [(each.manager, each.name) for each in found.distributions] == [("conda", "pkg")]
