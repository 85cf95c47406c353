from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, Outcome
from ci_envs.errors import ToolMissing
from ci_envs.machine import arch_name, os_name
from ci_envs.nix import tool
from ci_envs.nix.tool import INSTALL, Nix, find_nix

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nix is for POSIX")


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No nix of this machine's is found; the folder is where its system would keep one."""
    folder = tmp_path / "system" / "bin"
    monkeypatch.setattr(tool, "PLACES", (str(folder),))
    return folder


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    return folder / names[0]


def saying(text: str, returncode: int = 0) -> Callable[[Command], Outcome]:
    return lambda command: Outcome(argv=command.argv, returncode=returncode, stdout=text)


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home"), "CI_ENVS_CACHE_DIR": str(tmp_path), **more}


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("nix (Nix) 2.8.0", "2.8.0"),
        ("nix (Nix) 2.34.7\n", "2.34.7"),
        ("nix (Nix) 2.4pre20211006_53e4794", "2.4pre20211006_53e4794"),
        ("nix (Lix, like Nix) 2.91.0", "2.91.0"),
        ("nix (Determinate Nix 3.8.5) 2.30.2", "2.30.2"),
    ],
)
def test_nix_on_path_says_its_version_in_each_of_its_flavours(said: str, version: str, tmp_path: Path) -> None:
    program = put(tmp_path / "bin", "nix")

    found = find_nix(environ(tmp_path), run=saying(said))

    assert (found.program, found.version) == (program, version)


def test_what_is_built_for_is_this_machine_in_nixs_words(tmp_path: Path) -> None:
    put(tmp_path / "bin", "nix")

    kernel = {"macos": "darwin"}.get(os_name(), os_name())

    assert find_nix(environ(tmp_path), run=saying("nix (Nix) 2.8.0")).system == f"{arch_name()}-{kernel}"


@pytest.mark.parametrize("place", ["home/.nix-profile/bin", "home/.local/state/nix/profile/bin", "system/bin"])
def test_nix_is_found_where_installers_put_it_by_whoever_has_not_logged_in_again(place: str, tmp_path: Path) -> None:
    program = put(tmp_path / place, "nix")

    assert find_nix(environ(tmp_path), run=saying("nix (Nix) 2.8.0")).program == program


def test_nix_on_path_comes_first(tmp_path: Path) -> None:
    put(tmp_path / "home/.nix-profile/bin", "nix")
    program = put(tmp_path / "bin", "nix")

    assert find_nix(environ(tmp_path), run=saying("nix (Nix) 2.8.0")).program == program


def test_without_nix_it_is_said_where_it_was_looked_for_and_what_brings_it(tmp_path: Path, bare_machine: Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        find_nix(environ(tmp_path))

    home = tmp_path / "home"
    assert caught.value.message == (
        f"there is no nix here: not on PATH, nor in {home}/.nix-profile/bin, {home}/.local/state/nix/profile/bin, "
        f"{bare_machine}"
    )
    assert (caught.value.hint, caught.value.exit_code) == (f"install it: `{INSTALL}`", 4)


def test_without_a_home_only_the_systems_places_are_looked_at(tmp_path: Path, bare_machine: Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        find_nix({"PATH": str(tmp_path), "CI_ENVS_CACHE_DIR": str(tmp_path)})

    assert caught.value.message == f"there is no nix here: not on PATH, nor in {bare_machine}"


@pytest.mark.parametrize("said", ["nix-env (Nix) 2.3.16", "nix (Nix) 2.3.9"])
def test_a_nix_that_is_too_old_is_missing_and_it_is_said_why(said: str, tmp_path: Path) -> None:
    program = put(tmp_path / "bin", "nix")

    with pytest.raises(ToolMissing) as caught:
        find_nix(environ(tmp_path), run=saying(said))

    version = said.rpartition(" ")[2]
    assert caught.value.message == (f"{program} is nix {version}, and flakes and `nix print-dev-env` came with 2.4")
    assert caught.value.hint == f"`nix upgrade-nix`, or `{INSTALL}`"


def test_a_program_that_does_not_run_is_no_nix(tmp_path: Path) -> None:
    put(tmp_path / "bin", "nix")

    with pytest.raises(ToolMissing, match="does not say its version"):
        find_nix(environ(tmp_path), run=saying("nix: error while loading shared libraries", returncode=127))


@pytest.mark.parametrize(
    ("version", "least", "is_least"),
    [
        ("2.8.0", (2, 8), True),
        ("2.8.0", (2, 8, 1), False),
        ("2.8.0", (2, 19), False),
        ("2.19", (2, 19), True),
        ("2.24.9", (2, 19), True),
        ("3.0", (2, 19), True),
        ("2.4pre20211006_53e4794", (2, 4), True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, least: tuple[int, ...], is_least: bool) -> None:
    assert Nix(Path("nix"), version, "x86_64-linux").at_least(*least) is is_least


def test_the_other_programs_lie_beside_it_or_beside_what_it_is_a_link_to(tmp_path: Path) -> None:
    put(tmp_path / "store/bin", "nix", "nix-store", "nix-build")
    put(tmp_path / "bin", "nix-build")
    (tmp_path / "bin/nix").symlink_to(tmp_path / "store/bin/nix")
    nix = Nix(tmp_path / "bin/nix", "2.8.0", "x86_64-linux")

    assert nix.sibling("nix-build") == tmp_path / "bin/nix-build"
    assert nix.sibling("nix-store") == tmp_path / "store/bin/nix-store"
    with pytest.raises(ToolMissing, match="there is no nix-instantiate beside"):
        nix.sibling("nix-instantiate")
