"""What of the variables after a hook is the shell's. tests/component/test_nix_shell.py runs hooks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.work import a_leg, a_work

from ci_envs.model.config import Config, NixConfig
from ci_envs.nix.hook import State
from ci_envs.nix.shell import NO_PATH, Evaluated, finish_shell

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.shell import Shell

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nix is not for Windows")

DIVIDER = "/hook/callers-path-begins"


def evaluated(**exported: str) -> Evaluated:
    variables = {name: {"type": "exported", "value": value} for name, value in exported.items()}
    return msgspec.convert({"variables": variables}, Evaluated)


def finished(
    tmp_path: Path,
    after: dict[str, str],
    *,
    before: dict[str, str] | None = None,
    found: Evaluated | None = None,
    pure: bool = True,
) -> Shell:
    work = a_work(tmp_path, leg=a_leg(pattern="nix"), config=Config(nix=NixConfig(pure=pure)))
    given = {"PATH": DIVIDER, **(before or {})}
    return finish_shell(found or evaluated(), given, State(after), tmp_path / "hook", work)


def test_only_what_the_shell_or_its_hook_has_set_is_the_shells(tmp_path: Path) -> None:
    before = {"HOME": "/home/me", "USER": "me", "LANG": "C"}
    after = {**before, "FOO": "1", "LANG": "de_DE", "PWD": "/x", "OLDPWD": "/y", "SHLVL": "2", "_": "/bin/env"}

    shell = finished(tmp_path, after, before=before)

    assert shell.variables == {"FOO": "1", "LANG": "de_DE", "PATH": NO_PATH}


def test_what_the_shell_sets_as_the_caller_has_it_is_the_shells_all_the_same(tmp_path: Path) -> None:
    shell = finished(tmp_path, {"CC": "gcc"}, before={"CC": "gcc"}, found=evaluated(CC="gcc"))

    assert shell.variables["CC"] == "gcc"


@pytest.mark.parametrize("name", ["HOME", "TERM", "TZ", "TMPDIR", "NIX_BUILD_TOP", "NIX_LOG_FD", "SSL_CERT_FILE"])
def test_what_nix_leaves_to_the_caller_is_not_declared_by_a_build(name: str) -> None:
    assert evaluated(**{name: "/homeless-shelter", "A": "1"}).exported == {"A": "1"}


def test_a_hook_may_set_what_a_build_may_not(tmp_path: Path) -> None:
    before = {"HOME": "/home/me"}
    shell = finished(tmp_path, {"HOME": "/proj/home", "SSL_CERT_FILE": "/store/ca.crt"}, before=before)

    assert (shell.variables["HOME"], shell.variables["SSL_CERT_FILE"]) == ("/proj/home", "/store/ca.crt")


def test_what_only_a_build_has_a_use_for_is_left_out(tmp_path: Path) -> None:
    found = evaluated(outputs="out dev", out="/nix/store/x", dev="/nix/store/y")
    after = {
        "out": str(tmp_path / "outputs/out"),
        "dev": "/elsewhere",
        "NIX_SSL_CERT_FILE": "/no-cert-file.crt",
        "NIX_ATTRS_JSON_FILE": "/build/.attrs.json",
    }

    assert finished(tmp_path, after, found=found).variables == {"dev": "/elsewhere", "PATH": NO_PATH}


def test_outputs_are_a_table_where_attributes_are_structured() -> None:
    told = {"variables": {"outputs": {"type": "associative", "value": {"out": "/a", "dev": "/b"}}}}

    assert msgspec.convert(told, Evaluated).outputs == ("out", "dev")


@pytest.mark.parametrize("value", [1, None, ["a"]])
def test_a_variable_that_is_no_text_is_not_exported(value: Any) -> None:
    told = {"variables": {"a": {"type": "unknown"}, "b": {"type": "exported", "value": value if value != 1 else None}}}

    assert msgspec.convert(told, Evaluated).exported == {}


def test_what_names_the_hooks_temporary_folder_is_not_kept(tmp_path: Path) -> None:
    top = f"{tmp_path}/hook/nix-shell.X"
    after = {"TMPDIR": top, "NIX_BUILD_TOP": top, "TEMP": "", "SOCKET": f"unix:{top}/s", "A": "1"}

    shell = finished(tmp_path, after)

    assert shell.variables == {"A": "1", "PATH": NO_PATH}
    assert shell.notes == ("SOCKET names a temporary file of the shell's hook, which is gone: it is not set",)


def test_bytes_that_are_no_text_are_told_of_and_left_out(tmp_path: Path) -> None:
    shell = finished(tmp_path, {"A": "\udcff", "B\udcff": "1", "C": "\u00e9"})

    assert shell.variables == {"C": "\u00e9", "PATH": NO_PATH}
    assert len(shell.notes) == 2


def test_path_has_folders_that_are_there_each_once_and_none_of_the_callers(tmp_path: Path) -> None:
    for name in ("bin", "tools/bin", "late", "hook/bin", "callers"):
        (tmp_path / name).mkdir(parents=True)
    callers = f"{tmp_path}/callers"
    own = [f"{tmp_path}/bin", "/nowhere", "tools/bin", "", f"{tmp_path}/bin/", f"{tmp_path}/hook/bin"]
    path = ":".join([*own, DIVIDER, callers, f"{tmp_path}/late"])

    shell = finished(tmp_path, {"PATH": path}, before={"PATH": f"{DIVIDER}:{callers}"}, pure=False)

    assert shell.path == (f"{tmp_path}/bin", f"{tmp_path}/tools/bin", f"{tmp_path}/late")
    assert shell.variables["PATH"] == ":".join(shell.path)
    assert not shell.pure


def test_a_shell_without_programs_finds_none_in_the_current_folder(tmp_path: Path) -> None:
    shell = finished(tmp_path, {"PATH": f":{DIVIDER}"})

    assert (shell.path, shell.python, shell.variables["PATH"]) == ((), "", NO_PATH)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a/python", "b/python3"], "b/python3"),
        (["a/python3", "b/python3"], "a/python3"),
        (["b/python"], "b/python"),
        ([], ""),
    ],
)
def test_python_is_the_first_python3_and_else_the_first_python(tmp_path: Path, files: list[str], expected: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name).touch(mode=0o755)

    shell = finished(tmp_path, {"PATH": f"{tmp_path}/a:{tmp_path}/b:{DIVIDER}"})

    assert shell.python == (str(tmp_path / expected) if expected else "")


@pytest.mark.parametrize(("pure", "expected"), [(True, "pure"), (False, "impure")])
def test_commands_are_told_which_kind_of_shell_they_are_in(tmp_path: Path, pure: bool, expected: str) -> None:
    shell = finished(tmp_path, {"IN_NIX_SHELL": "impure"}, pure=pure)

    assert shell.variables["IN_NIX_SHELL"] == expected


def test_the_shells_own_bash_comes_last_on_the_path_of_its_programs() -> None:
    told = {
        "PATH": {"type": "exported", "value": "/store/a/bin:/store/b/bin"},
        "BASH": {"type": "var", "value": "/store/bash/bin/bash"},
        "builder": {"type": "exported", "value": "builtin:none"},
    }

    assert msgspec.convert({"variables": told}, Evaluated).programs == "/store/a/bin:/store/b/bin:/store/bash/bin"
