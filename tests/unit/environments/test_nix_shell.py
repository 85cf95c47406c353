from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support.environments import an_inventory, dist

from ci_envs.environments import nix_shell
from ci_envs.environments.host import HostEnvironment
from ci_envs.environments.nix_shell import (
    CLOSURE_NAME,
    PROFILE,
    SHELL_NAME,
    is_in_store,
    read_closure,
    read_shell,
    shell_variables,
    why_unfit,
    with_closure,
    write_shell,
)
from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure, StorePath
from ci_envs.model.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nix is not for Windows")

BIN = "/nix/store/0-tools/bin"
CALLER = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/me",
    "MINE": "1",
    "PYTHONPATH": "/mine",
    "XDG_DATA_DIRS": "/usr/share",
}


def shell(*, pure: bool = True, **variables: str) -> Shell:
    return Shell(variables={"PATH": BIN, **variables}, path=(BIN,), pure=pure, notes=("a note",))


def prefix(folder: Path, made: Shell) -> Path:
    (folder / "store").mkdir()
    (folder / "envs").mkdir()
    (folder / "envs" / f"{PROFILE}-1-link").symlink_to(folder / "store")
    (folder / "envs" / PROFILE).symlink_to(f"{PROFILE}-1-link")
    (folder / "envs" / SHELL_NAME).write_bytes(msgspec.json.encode(made))
    return folder / "envs"


def test_a_pure_shell_has_its_own_variables_and_little_of_the_callers() -> None:
    made = shell_variables(CALLER, shell(CC="gcc"), {"CI_ENVS_LEG": "leg"})

    assert made == {"PATH": BIN, "CC": "gcc", "HOME": "/home/me", "PYTHONNOUSERSITE": "1", "CI_ENVS_LEG": "leg"}


def test_a_shell_that_is_not_pure_has_the_callers_behind_its_own(tmp_path: Path) -> None:
    caller = CALLER | {"PATH": f"{tmp_path}/venv/bin:/usr/bin", "CC": "clang"}
    made = shell_variables(
        caller, shell(pure=False, CC="gcc", XDG_DATA_DIRS="/nix/share"), {}, hide=(tmp_path / "venv/bin",)
    )

    assert (made["PATH"], made["XDG_DATA_DIRS"]) == (f"{BIN}:/usr/bin", "/nix/share:/usr/share")
    assert (made["CC"], made["MINE"]) == ("gcc", "1")
    assert "PYTHONPATH" not in made


def test_what_neither_has_is_not_set() -> None:
    assert "XDG_DATA_DIRS" not in shell_variables({"PATH": "/bin"}, shell(pure=False), {})


def test_the_legs_own_variables_have_the_last_word() -> None:
    assert shell_variables({}, shell(A="1"), {"A": "2"})["A"] == "2"


def test_a_host_environment_of_a_shell_has_its_variables_and_its_notes(tmp_path: Path) -> None:
    environment = HostEnvironment(
        prefix(tmp_path, shell(A="1")), caller=CALLER, bytecode=tmp_path / "bytecode", temp=tmp_path / "tmp"
    )

    assert environment.notes() == ("a note",)
    assert environment.variables["A"] == "1"
    # Whoever may write to the store must not leave bytecode in it.
    assert environment.variables["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode")
    assert environment.variables["TMPDIR"] == str(tmp_path / "tmp")


def test_a_shell_that_the_store_has_lost_cannot_be_used(tmp_path: Path) -> None:
    environment = HostEnvironment(prefix(tmp_path, shell()), caller={})
    (tmp_path / "store").rmdir()

    with pytest.raises(BuildError, match="the store no longer has the shell of envs"):
        environment.run(["true"])


def test_a_shell_that_holds_its_makers_home_is_nobody_elses(tmp_path: Path) -> None:
    made = msgspec.structs.replace(shell(CACHE="/home/me/.cache"), home="/home/me")
    folder = prefix(tmp_path, made)

    assert HostEnvironment(folder, caller=CALLER).variables["CACHE"] == "/home/me/.cache"
    with pytest.raises(BuildError, match="it holds HOME, which was /home/me and is /home/you") as caught:
        HostEnvironment(folder, caller={"HOME": "/home/you"}).run(["true"])
    assert caught.value.hint == "build it for this one with: ci-envs run --only envs"


@pytest.mark.parametrize(
    ("home", "now", "why"),
    [
        ("/home/me", {"HOME": "/home/me/"}, ""),
        ("/home/me", {"HOME": "/home/you"}, "it holds HOME, which was /home/me and is /home/you"),
        ("/home/me", {}, "it holds HOME, which was /home/me and is not set"),
        ("", {"HOME": "/home/you"}, ""),
    ],
)
def test_another_home_is_a_reason_to_build_where_a_variable_holds_it_alone(
    tmp_path: Path, home: str, now: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prefix(tmp_path, msgspec.structs.replace(shell(), home=home))
    monkeypatch.setitem(nix_shell._STATES, "nix", roots(tmp_path, folder / f"{PROFILE}-1-link"))

    assert why_unfit(folder, now) == why
    (folder / f"{PROFILE}-1-link").unlink()
    assert why_unfit(folder, now) == "the store no longer has it"


def test_what_a_hook_exports_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    made = shell(API_TOKEN="hunter22")
    before = os.umask(0)
    try:
        write_shell(tmp_path, made)
    finally:
        os.umask(before)

    assert read_shell(tmp_path) == made
    assert (tmp_path / SHELL_NAME).stat().st_mode & 0o777 == 0o600


def test_a_shell_without_python_has_an_interpreter_without_a_version(tmp_path: Path) -> None:
    folder = prefix(tmp_path, shell())
    (folder / CLOSURE_NAME).write_bytes(msgspec.json.encode(Closure()))

    inventory = HostEnvironment(folder, caller={}).inventory()

    assert (inventory.interpreter.version, inventory.distributions) == ("", ())


@pytest.mark.parametrize("text", ["", "{}", "[", '{"variables": 1}'])
def test_what_cannot_be_read_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / SHELL_NAME).write_text(text)

    with pytest.raises(BuildError, match="cannot be read") as caught:
        read_shell(tmp_path)
    assert "--fresh" in caught.value.hint
    with pytest.raises(BuildError, match="cannot be read"):
        read_closure(tmp_path)


def store_path(name: str, version: str, digit: str) -> StorePath:
    return StorePath(
        path=f"/nix/store/{digit * 32}-{name}-{version}",
        name=name,
        version=version,
        nar_hash=f"sha256:{digit * 64}",
        nar_size=1,
    )


def test_paths_of_the_store_are_packages_of_nix(tmp_path: Path) -> None:
    paths = (store_path("zlib", "1.3", "1"), store_path("bash", "5.2", "2"), store_path("bash", "5.2", "2"))
    (tmp_path / CLOSURE_NAME).write_bytes(msgspec.json.encode(Closure(paths=paths)))

    found = with_closure(an_inventory(dist("apple", "1.0")), tmp_path).distributions

    assert [(each.manager, each.name, each.version) for each in found] == [
        ("python", "apple", "1.0"),
        ("nix", "bash", "5.2"),
        ("nix", "zlib", "1.3"),
    ]
    assert found[1].sha256 == "2" * 64


def roots(folder: Path, *targets: Path) -> Path:
    """nix's own folder, with roots that lead there."""
    auto = folder / "nix/gcroots/auto"
    auto.mkdir(parents=True)
    for number, target in enumerate(targets):
        (auto / str(number)).symlink_to(target)
    return folder / "nix"


def test_a_shell_is_kept_where_the_store_has_it_and_knows_its_root(tmp_path: Path) -> None:
    folder = prefix(tmp_path, shell())
    state = roots(tmp_path, tmp_path / "gone", folder / f"{PROFILE}-1-link")

    assert is_in_store(folder, state=state)
    folder.rename(tmp_path / "aside")
    assert not is_in_store(tmp_path / "aside", state=state)
    (tmp_path / "aside").rename(folder)
    assert is_in_store(folder, state=state)


def test_a_profile_of_guixs_has_its_root_in_the_store_itself(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / PROFILE).symlink_to(tmp_path / "store")

    assert is_in_store(tmp_path / "envs", state=roots(tmp_path, tmp_path / "envs" / PROFILE))
    assert not is_in_store(tmp_path / "envs", state=roots(tmp_path / "other", tmp_path / "store" / "more"))


def test_a_shell_whose_root_nix_has_forgotten_is_not_kept(tmp_path: Path) -> None:
    folder = prefix(tmp_path, shell())

    assert not is_in_store(folder, state=roots(tmp_path, tmp_path / "another"))


def test_where_roots_cannot_be_read_the_store_is_believed(tmp_path: Path) -> None:
    folder = prefix(tmp_path, shell())

    assert is_in_store(folder, state=tmp_path / "nowhere")
    (tmp_path / "store").rmdir()
    assert not is_in_store(folder, state=tmp_path / "nowhere")
