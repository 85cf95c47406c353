from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci_envs.conda.channel_settings import channel_settings
from ci_envs.errors import UsageError
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.conda.channel_settings import ChannelSettings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ci_envs.conda.condarc.SYSTEM", (tmp_path / "etc", tmp_path / "var"))
    home = tmp_path / "home"
    home.mkdir()
    return home


def read(home: Path, condarc: str = "", config: CondaConfig | None = None, **environ: str) -> ChannelSettings:
    (home / ".condarc").write_text(condarc)
    return channel_settings(environ, config or CondaConfig(), home=home)


def test_without_settings_all_is_as_conda_has_it_and_priority_is_strict(home: Path) -> None:
    settings = read(home)

    assert settings.alias.value == "https://conda.anaconda.org"
    assert (settings.priority, settings.priority_from) == ("strict", "")
    assert (settings.verify, settings.certificates, settings.offline) == (True, "", False)
    assert (settings.channels, settings.mirrors, settings.proxies) == ((), {}, {})


def test_the_home_is_that_of_the_variables_where_none_is_given(home: Path) -> None:
    (home / ".condarc").write_text("offline: true\n")

    assert channel_settings({"HOME": str(home)}, CondaConfig()).offline


def test_the_cache_is_ours(home: Path, tmp_path: Path) -> None:
    settings = read(home, CI_ENVS_CACHE_DIR=str(tmp_path / "cache"))

    assert settings.repodata == tmp_path / "cache" / "conda" / "repodata"


@pytest.mark.parametrize(
    ("condarc", "config", "priority", "told"),
    [
        ("channel_priority: flexible\n", "", "flexible", "~/.condarc:1"),
        ("channel_priority: strict\n", "", "strict", ""),
        ("channel_priority: true\n", "", "flexible", "~/.condarc:1"),
        ("channel_priority: false\n", "", "disabled", "~/.condarc:1"),
        ("channel_priority: disabled\n", "flexible", "flexible", ""),
    ],
)
def test_the_projects_priority_goes_before_the_users(
    home: Path, condarc: str, config: str, priority: str, told: str
) -> None:
    settings = read(home, condarc, CondaConfig(channel_priority=config))  # type: ignore[arg-type]  # one of its words

    assert (settings.priority, settings.priority_from) == (priority, told)


def test_certificates_are_those_of_ssl_verify_then_of_the_variables(home: Path) -> None:
    bundle = home / "ca.pem"
    bundle.write_text("")

    assert read(home, "ssl_verify: ~/ca.pem\n", SSL_CERT_FILE="/other").certificates == str(bundle)
    assert read(home, "ssl_verify: true\n", REQUESTS_CA_BUNDLE="/other").certificates == "/other"
    assert read(home, SSL_CERT_FILE="/rattlers", REQUESTS_CA_BUNDLE="/other").certificates == "/rattlers"
    assert read(home, "ssl_verify: truststore\n", SSL_CERT_FILE="/other").certificates == ""
    assert not read(home, "ssl_verify: <false>\n").verify
    assert not read(home, CONDA_SSL_VERIFY="no").verify


def test_proxies_are_condas_with_all_for_what_is_not_named(home: Path) -> None:
    text = "proxy_servers:\n  http: http://p.example:1\n  all: http://all.example\n  https://x.example: http://no.example\n"

    assert read(home, text).proxies == {"http": "http://p.example:1", "https": "http://all.example"}


def test_the_projects_mirrors_go_before_mambas_and_these_before_rattlers(home: Path) -> None:
    (home / ".rattler").mkdir()
    (home / ".rattler" / "config.toml").write_text(
        'default-channels = ["other"]\nauthentication-override-file = "/auth.json"\n[mirrors]\n'
        '"https://a.example/r" = ["https://r.example"]\nforge = ["https://late.example"]\n'
        '[proxy-config]\nhttps = "http://p.example"\n'
    )
    text = "mirrored_channels:\n  forge: [https://m.example]\n  both: [https://m.example]\n"
    config = CondaConfig(mirrors={"both": ("https://ours.example",)})

    settings = read(home, text, config)

    assert {name: said.value for name, said in settings.mirrors.items()} == {
        "both": ("https://ours.example",),
        "forge": ("https://m.example",),
        "https://a.example/r": ("https://r.example",),
    }
    assert settings.auth_file == "/auth.json"
    assert settings.proxies == {"https": "http://p.example"}
    # What a lock is made from is no business of the machine.
    assert settings.channels == ()


def test_a_named_file_of_credentials_goes_before_rattlers_own(home: Path) -> None:
    assert read(home, RATTLER_AUTH_FILE="/mine.json").auth_file == "/mine.json"


def test_settings_are_shown_without_what_may_hold_a_password(home: Path) -> None:
    text = (
        "proxy_servers: {https: 'http://me:geheim@p.example'}\nmirrored_channels: {a: ['https://me:geheim@m.example']}\n"
        "custom_channels: {b: 'https://c.example/t/geheim/x'}\n"
    )

    assert "geheim" not in repr(read(home, text, TOKEN="geheim"))


def test_settings_with_other_values_compare_by_them(home: Path) -> None:
    settings = read(home)
    settings.made["something"] = object()

    assert settings == read(home)
    assert replace(settings, retries=0) != settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel_alias: conda.example\n", "is no address"),
        ("channel_priority: high\n", "none of strict, flexible and disabled"),
        ("ssl_verify: /gone/ca.pem\n", "neither true, false, truststore nor a file"),
        ("offline: perhaps\n", "neither true nor false"),
        ("remote_max_retries: many\n", "is no count"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named_with_its_line(home: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(home, text)
    assert (caught.value.file, caught.value.line) == ("~/.condarc", 1)


def test_rattlers_file_that_is_no_toml_is_named(home: Path) -> None:
    (home / ".rattler").mkdir()
    (home / ".rattler" / "config.toml").write_text("[mirrors\n")

    with pytest.raises(UsageError, match="is not valid TOML") as caught:
        read(home)
    assert caught.value.file.endswith("config.toml")
