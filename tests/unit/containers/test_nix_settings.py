from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.containers.nix_settings import fetching_settings, trusted_keys, with_caches

if TYPE_CHECKING:
    from pathlib import Path


def conf(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nix.conf").write_text(text)
    return folder


def test_the_machine_comes_before_the_user_and_the_variable_last(tmp_path: Path) -> None:
    conf(tmp_path / "etc/nix", "substituters = https://a.example\nsandbox = false\n")
    conf(tmp_path / "home/.config/nix", "extra-substituters = https://b.example # ours\n")
    environ = {"HOME": str(tmp_path / "home"), "NIX_CONFIG": "access-tokens = git.example=4711\ncores = 2"}
    assert fetching_settings(environ, tmp_path).splitlines() == [
        "substituters = https://a.example",
        "extra-substituters = https://b.example",
        "access-tokens = git.example=4711",
    ]


def test_where_the_files_are_can_be_said(tmp_path: Path) -> None:
    conf(tmp_path / "one", "substitute = false\n")
    conf(tmp_path / "two", "fallback = true\n")
    environ = {"NIX_CONF_DIR": str(tmp_path / "one"), "NIX_USER_CONF_FILES": str(tmp_path / "two/nix.conf")}
    assert fetching_settings(environ, tmp_path) == "substitute = false\nfallback = true\n"
    assert fetching_settings({"XDG_CONFIG_HOME": str(tmp_path)}, tmp_path) == ""


def test_a_file_that_is_included_is_read_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    conf(tmp_path / "etc/nix", "include more.conf\n!include gone.conf\ninclude gone.conf\n")
    (tmp_path / "etc/nix/more.conf").write_text("trusted-public-keys = a:b\n")
    assert fetching_settings({}, tmp_path) == "trusted-public-keys = a:b\n"


def test_caches_of_this_machine_are_nothing_to_a_build(tmp_path: Path) -> None:
    said = "substituters = file:///cache /cache https://a.example daemon\nextra-substituters = file:///cache\n"
    conf(tmp_path / "etc/nix", said)
    assert fetching_settings({}, tmp_path) == "substituters = https://a.example\n"


def test_a_file_of_no_text_and_lines_of_no_setting_are_passed_over(tmp_path: Path) -> None:
    folder = conf(tmp_path / "etc/nix", "")
    (folder / "nix.conf").write_bytes(b"\xff\xfe\nsubstitute\n= x\nsubstitute = true\n")
    assert fetching_settings({}, tmp_path) == "substitute = true\n"


@pytest.mark.parametrize("said", ["", "substitute = true\n", "substitute = false\nsubstitute = true\n"])
def test_caches_of_ours_are_asked_beside_the_users(said: str) -> None:
    settings = f"{said}substituters = https://a.example\n"
    assert with_caches(settings, ["file:///a", "file:///b"], ["ours:1"]) == (
        f"{settings}extra-substituters = file:///a file:///b\nextra-trusted-public-keys = ours:1\n"
    )


def test_who_substitutes_nothing_has_caches_of_ours_alone() -> None:
    settings = "substituters = https://a.example\nsubstitute = false\n"
    assert with_caches(settings, ["file:///a"]) == f"{settings}substitute = true\nsubstituters = file:///a\n"
    assert with_caches(settings, []) == settings


def test_keys_are_those_of_every_line() -> None:
    said = "trusted-public-keys = a:1 b:2\naccess-tokens = x=y\nextra-trusted-public-keys = c:3\n"
    assert trusted_keys(said) == ["a:1", "b:2", "c:3"]
