from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from ci_envs.conda.condarc import condarc_files, expand_home, is_true, read_condarc
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a system has its folders elsewhere on Windows")


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc and /var/lib."""
    monkeypatch.setattr("ci_envs.conda.condarc.SYSTEM", (tmp_path / "etc", tmp_path / "var"))
    return tmp_path / "etc" / "conda"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_said_is_nothing_known(home: Path) -> None:
    said = read_condarc({}, home)

    assert said.said == {}
    assert said.value("channel_alias") is None
    assert said.words("channels") == ()
    assert said.table("custom_channels") == {}


@posix_only
def test_files_are_read_in_condas_order_and_mambas_own_between(home: Path, tmp_path: Path) -> None:
    put(home / ".config" / "conda" / "condarc.d" / "b.yml", "")
    put(home / ".config" / "conda" / "condarc.d" / "a.yaml", "")
    put(home / ".config" / "conda" / "condarc.d" / "read.me", "")
    environ = {
        "CONDA_PREFIX": str(tmp_path / "prefix"),
        "CONDARC": str(tmp_path / "named"),
        "MAMBARC": str(tmp_path / "mamba"),
        "MAMBA_ROOT_PREFIX": str(tmp_path / "root"),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
    }

    files = [path.relative_to(tmp_path).as_posix() for path in condarc_files(environ, home)]

    assert files == [
        *("etc/conda/.condarc", "etc/conda/condarc", "var/conda/.condarc", "var/conda/condarc"),
        *("root/.condarc", "root/condarc", "xdg/conda/.condarc", "xdg/conda/condarc"),
        *("home/.config/conda/.condarc", "home/.config/conda/condarc"),
        *("home/.config/conda/condarc.d/a.yaml", "home/.config/conda/condarc.d/b.yml"),
        *("home/.conda/.condarc", "home/.conda/condarc", "home/.condarc"),
        *("home/.mamba/.mambarc", "home/.mamba/mambarc", "home/.mambarc"),
        *("prefix/.condarc", "prefix/condarc", "prefix/.mambarc", "named", "mamba"),
    ]


@posix_only
def test_the_last_file_wins_and_a_variable_wins_over_all(home: Path, system: Path) -> None:
    put(system / ".condarc", "channel_alias: https://system.example\nssl_verify: false\n")
    put(home / ".condarc", "# mine\nchannel_alias: https://mine.example\n")

    mine = read_condarc({}, home).value("channel_alias")
    variable = read_condarc({"CONDA_CHANNEL_ALIAS": "https://now.example"}, home).value("channel_alias")
    verified = read_condarc({}, home).value("ssl_verify")

    assert mine is not None
    assert (mine.value, mine.place) == ("https://mine.example", "~/.condarc:2")
    assert variable is not None
    assert (variable.value, variable.place) == ("https://now.example", "CONDA_CHANNEL_ALIAS")
    assert verified is not None
    assert verified.value is False
    assert verified.file == str(system / ".condarc")


@posix_only
def test_lists_are_joined_with_the_winners_words_first(home: Path, system: Path) -> None:
    put(system / ".condarc", "channels: [bioconda, conda-forge]\n")
    put(home / ".condarc", "channels:\n  - conda-forge\n  - mine\n")

    words = read_condarc({"CONDA_CHANNELS": "first, mine"}, home).words("channels")

    assert [said.value for said in words] == ["first", "mine", "conda-forge", "bioconda"]
    assert [said.file for said in words][2] == "~/.condarc"


@posix_only
def test_tables_are_merged_key_by_key(home: Path, system: Path) -> None:
    put(system / ".condarc", "custom_channels: {a: https://old.example, b: https://b.example}\n")
    put(home / ".condarc", "custom_channels:\n  a: https://new.example\ncustom_multichannels:\n  both: [a, b]\n")

    said = read_condarc({}, home)

    assert {name: one.value for name, one in said.table("custom_channels").items()} == {
        "a": "https://new.example",
        "b": "https://b.example",
    }
    assert said.table("custom_multichannels")["both"].value == ("a", "b")


def test_one_channel_may_be_written_as_text_and_other_names_are_known(home: Path) -> None:
    put(home / ".condarc", "channel: conda-forge\nwhitelist_channels: [conda-forge]\nverify_ssl: true\n")

    said = read_condarc({"MAMBA_OFFLINE": "1"}, home)

    assert [one.value for one in said.words("channels")] == ["conda-forge"]
    assert [one.value for one in said.words("allowlist_channels")] == ["conda-forge"]
    assert said.value("ssl_verify") is not None
    offline = said.value("offline")
    assert offline is not None
    assert offline.file == "MAMBA_OFFLINE"


def test_keys_that_say_nothing_of_channels_are_passed_over(home: Path) -> None:
    put(home / ".condarc", "envs_dirs: [/x]\nsolver: libmamba\nchangeps1: false\nchannels:\n")

    assert read_condarc({}, home).said == {}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("channels: {a: b}\n", 1, "channels must be a list of text"),
        ("offline: no\nchannels:\n  - [a]\n", 2, "channels must be a list of text"),
        ("custom_channels: [a]\n", 1, "custom_channels must be a table"),
        ("custom_channels:\n  a: [b]\n", 2, "a must be text"),
        ("mirrored_channels:\n  a: {b: c}\n", 2, "a must be a list of text"),
        ("channel_alias: [a]\n", 1, "channel_alias must be one value"),
        ("- a\n", 1, "must be a table of settings"),
        ("channels: [a\n", 1, "is not valid YAML"),
        ("channels:\n\t- a\n", 2, "a tab stands where YAML wants spaces"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_with_its_line(home: Path, text: str, line: int, message: str) -> None:
    put(home / ".condarc", text)

    with pytest.raises(UsageError, match=message) as caught:
        read_condarc({}, home)

    assert caught.value.file == "~/.condarc"
    # The end of an open list is seen on the line after it.
    assert caught.value.line in (line, line + 1)


def test_a_file_that_is_no_text_is_named(home: Path) -> None:
    put(home / ".condarc", "").write_bytes(b"channels:\n  - \xff\n")

    with pytest.raises(UsageError, match="is not UTF-8") as caught:
        read_condarc({}, home)
    assert (caught.value.file, caught.value.line) == ("~/.condarc", 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("yes", True), ("On", True), ("1", True), (1, True), ("<false>", False), ("off", False), (0, False),
     ("maybe", None), ("/etc/ca.pem", None)],
)  # fmt: skip
def test_truth_is_read_as_conda_reads_it(value: object, expected: object) -> None:
    assert is_true(value) is expected


def test_a_tilde_is_the_home_of_the_settings_owner(home: Path) -> None:
    assert expand_home("~/ca.pem", home) == f"{home}/ca.pem"
    assert expand_home("~other/ca.pem", home) == "~other/ca.pem"
    assert expand_home("/a~/b", home) == "/a~/b"
