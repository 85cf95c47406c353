from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ci_envs.errors import UsageError
from ci_envs.indexes import IndexSettings, as_pip, as_uv, index_settings, pip_config_files, read_settings, uv_sets

posix_only = pytest.mark.skipif(os.name == "nt", reason="folders of Linux")
HOME = Path("/home/somebody")


def read(text: str = "", environ: dict[str, str] | None = None) -> IndexSettings:
    return read_settings(environ or {}, [("pip.conf", text)] if text else [], home=HOME)


def test_nothing_set_is_nothing_handed_on() -> None:
    assert as_uv(read()) == {}
    assert as_pip(read()) == {"PIP_CONFIG_FILE": os.devnull}


def test_settings_are_read_from_a_configuration_file() -> None:
    settings = read(
        "[global]\nindex-url = https://a.example/simple\nextra_index_url =\n  https://b.example/simple\n  https://c.example/simple\n"
        "trusted-host = b.example c.example\nno-index = yes\ncert = ~/ca.pem\nretries = 7\n"
    )

    assert settings.default_index == "https://a.example/simple"
    assert settings.extra_indexes == ("https://b.example/simple", "https://c.example/simple")
    assert settings.trusted_hosts == ("b.example", "c.example")
    assert settings.no_index
    assert settings.cert == str(HOME / "ca.pem")
    assert settings.retries == "7"


def test_the_section_of_the_command_wins_over_the_global_one_and_a_variable_over_both() -> None:
    text = "[install]\nindex-url = https://install.example\n[global]\nindex-url = https://global.example\n"

    assert read(text).default_index == "https://install.example"
    assert read(text, {"PIP_INDEX_URL": "https://variable.example"}).default_index == "https://variable.example"
    assert read(text, {"PIP_INDEX_URL": ""}).default_index == "https://install.example"


def test_a_later_file_replaces_a_setting_as_a_whole() -> None:
    texts = [
        ("one", "[global]\nextra-index-url = https://a.example\ntimeout = 5"),
        ("two", "[global]\nextra-index-url = https://b.example"),
    ]

    settings = read_settings({}, texts, home=HOME)

    assert settings.extra_indexes == ("https://b.example",)
    assert settings.timeout == "5"


def test_settings_of_other_commands_and_other_matters_are_none_of_ours() -> None:
    assert read("[download]\nindex-url = https://a.example\n[global]\nuser = true\ntarget = /x\n") == read()


def test_a_percent_sign_in_a_password_is_no_substitution() -> None:
    assert (
        read("[global]\nindex-url = https://u:p%40q@a.example/simple").default_index
        == "https://u:p%40q@a.example/simple"
    )


def test_a_file_that_is_no_ini_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"pip\.conf") as caught:
        read("index-url = https://a.example")
    assert caught.value.file == "pip.conf"


@posix_only
def test_the_files_are_read_in_pips_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci_envs.indexes.sys.platform", "linux")
    monkeypatch.setattr("ci_envs.indexes._ETC", Path("/etc"))
    environ = {"XDG_CONFIG_DIRS": "/one:/two", "VIRTUAL_ENV": "/venv"}

    files = [str(path) for path in pip_config_files(environ, tmp_path)]

    assert files == [
        "/one/pip/pip.conf",
        "/two/pip/pip.conf",
        "/etc/pip.conf",
        f"{tmp_path}/.pip/pip.conf",
        f"{tmp_path}/.config/pip/pip.conf",
        "/venv/pip.conf",
    ]


def test_the_null_device_means_no_file_at_all() -> None:
    assert pip_config_files({"PIP_CONFIG_FILE": os.devnull, "VIRTUAL_ENV": "/venv"}, HOME) == []


def test_a_named_file_that_exists_stands_for_the_users_own(tmp_path: Path) -> None:
    named = tmp_path / "named.conf"
    named.write_text("")

    files = pip_config_files({"PIP_CONFIG_FILE": str(named)}, tmp_path)

    assert files[-1] == named
    assert not [path for path in files[:-1] if path.is_relative_to(tmp_path)]


@posix_only
def test_what_the_user_wrote_for_pip_reaches_uv(own_home: Path) -> None:
    folder = own_home / ".config" / "pip"
    folder.mkdir(parents=True)
    links = own_home / "wheels"
    links.mkdir()
    (folder / "pip.conf").write_text(
        f"[global]\nindex-url = https://u:p@a.example/simple\nextra-index-url = https://b.example file:///not/there\n"
        f"find-links = {links} {own_home}/gone https://c.example/links\ntrusted-host = a.example b.example\n"
    )

    settings = index_settings(
        {"XDG_CONFIG_HOME": str(own_home / ".config"), "XDG_CONFIG_DIRS": "/nowhere"}, home=own_home
    )

    assert as_uv(settings) == {
        "UV_DEFAULT_INDEX": "https://u:p@a.example/simple",
        "UV_INDEX": "https://b.example file:///not/there",
        "UV_FIND_LINKS": f"{links},https://c.example/links",
        "UV_INSECURE_HOST": "a.example b.example",
    }


@posix_only
def test_a_folder_of_wheels_is_written_as_uv_can_read_it() -> None:
    settings = IndexSettings(find_links=("/a,b", "file:///c%20d", "/gone"))

    assert (
        as_uv(settings, exists=lambda path: path in ("/a,b", "/c d"))["UV_FIND_LINKS"] == "file:///a%2Cb,file:///c%20d"
    )


@pytest.mark.parametrize(
    ("given", "unset"),
    [
        ({"UV_DEFAULT_INDEX": "https://mine.example"}, "UV_DEFAULT_INDEX"),
        ({"UV_INDEX_URL": "https://mine.example"}, "UV_DEFAULT_INDEX"),
        ({"UV_EXTRA_INDEX_URL": "https://mine.example"}, "UV_INDEX"),
        ({"UV_FIND_LINKS": "/mine"}, "UV_FIND_LINKS"),
        ({"SSL_CERT_FILE": "/mine.pem"}, "SSL_CERT_FILE"),
        ({"UV_SYSTEM_CERTS": "1"}, "SSL_CERT_FILE"),
        ({"https_proxy": "http://proxy.example"}, "HTTPS_PROXY"),
    ],
)
def test_what_the_user_told_uv_itself_stands(given: dict[str, str], unset: str) -> None:
    text = (
        "[global]\nindex-url = https://a.example\nextra-index-url = https://b.example\nfind-links = https://c.example\n"
        "cert = /ca.pem\nproxy = http://other.example\n"
    )

    assert unset in as_uv(read(text))
    assert unset not in as_uv(read(text, given))


@posix_only
def test_what_uvs_own_files_say_stands(tmp_path: Path) -> None:
    folder = tmp_path / "uv"
    folder.mkdir()
    (folder / "uv.toml").write_text('[[index]]\nurl = "https://mine.example"\ndefault = true\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere", "PIP_INDEX_URL": "https://a.example"}
    environ["PIP_EXTRA_INDEX_URL"] = "https://b.example"

    assert as_uv(index_settings(environ, home=tmp_path)) == {"UV_INDEX": "https://b.example"}


def test_what_the_project_says_to_uv_stands(own_home: Path) -> None:
    tables: dict[str, Any] = {"index": [{"url": "https://mine.example", "default": True}]}
    environ = {"PIP_INDEX_URL": "https://a.example", "PIP_CONFIG_FILE": os.devnull}

    assert as_uv(index_settings(environ, home=own_home)) == {"UV_DEFAULT_INDEX": "https://a.example"}
    assert as_uv(index_settings(environ, home=own_home, project=tables)) == {}


@pytest.mark.parametrize(
    ("table", "decided"),
    [
        ({}, set()),
        ({"index": [{"url": "https://a.example", "default": True}]}, {"default"}),
        ({"index": [{"url": "https://a.example"}]}, {"extra"}),
        ({"index": [{"name": "torch", "url": "https://a.example", "explicit": True}]}, set()),
        ({"index-url": "https://a.example"}, {"default"}),
        ({"pip": {"extra-index-url": ["https://a.example"], "find-links": ["x"]}}, {"extra", "find-links"}),
        ({"index": "nonsense", "pip": 3}, set()),
    ],
)
def test_uvs_tables_decide_only_what_they_name(table: dict[str, Any], decided: set[str]) -> None:
    assert uv_sets(table) == decided


@pytest.mark.parametrize(
    ("written", "handed"), [("180", "180"), ("12.5", "13"), ("0", "1"), ("soon", None), ("inf", None)]
)
def test_a_time_limit_is_a_whole_number_for_uv(written: str, handed: str | None) -> None:
    assert as_uv(IndexSettings(timeout=written)).get("UV_HTTP_TIMEOUT") == handed


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"])
def test_certificates_that_pip_trusts_are_trusted_by_uv(name: str) -> None:
    assert as_uv(read(environ={name: "/ca.pem"})) == {"SSL_CERT_FILE": "/ca.pem"}


def test_certificates_that_uv_trusts_are_trusted_by_pip() -> None:
    assert as_pip(read(environ={"SSL_CERT_FILE": "/ca.pem"}))["PIP_CERT"] == "/ca.pem"
    assert "PIP_CERT" not in as_pip(read(environ={"SSL_CERT_FILE": "/ca.pem", "REQUESTS_CA_BUNDLE": "/other.pem"}))


def test_settings_for_pip_keep_their_meaning_without_its_files() -> None:
    settings = read(
        "[global]\nindex-url = https://a.example\nextra-index-url = https://b.example\nno-index = 1\nuser = yes\n"
    )

    assert as_pip(settings) == {
        "PIP_INDEX_URL": "https://a.example",
        "PIP_EXTRA_INDEX_URL": "https://b.example",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


@posix_only
def test_what_only_uv_was_told_reaches_pip() -> None:
    environ = {
        "UV_DEFAULT_INDEX": "corp=https://a.example/simple",
        "UV_INDEX": "extra=https://b.example https://c.example",
        "UV_FIND_LINKS": "/wheels,/my wheels",
        "UV_INDEX_CORP_USERNAME": "me",
        "UV_INDEX_CORP_PASSWORD": "p@ss",
    }

    made = as_pip(read(environ=environ))

    assert made["PIP_INDEX_URL"] == "https://me:p%40ss@a.example/simple"
    assert made["PIP_EXTRA_INDEX_URL"] == "https://b.example https://c.example"
    assert made["PIP_FIND_LINKS"] == "/wheels file:///my%20wheels"


def test_what_pip_was_told_is_not_mixed_with_what_uv_was_told() -> None:
    made = as_pip(read(environ={"PIP_INDEX_URL": "https://a.example", "UV_INDEX": "https://b.example"}))

    assert made["PIP_INDEX_URL"] == "https://a.example"
    assert "PIP_EXTRA_INDEX_URL" not in made


def test_an_address_with_an_equals_sign_is_no_named_index() -> None:
    address = "https://a.example/simple?key=value"

    assert as_pip(read(environ={"UV_DEFAULT_INDEX": address}))["PIP_INDEX_URL"] == address
