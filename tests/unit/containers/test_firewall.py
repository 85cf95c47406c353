"""What a build is handed of the user's settings, and how a Dockerfile is made to have it."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import BUNDLE, CA, CA_FILE, PIP, UV, Firewall, Mount, fitted, gather, mounted
from ci_envs.errors import UsageError
from ci_envs.indexes import IndexSettings, read_settings

_INDEX = "https://user:hunter22@index.example/simple"


def _certificate(word: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{word}\n-----END CERTIFICATE-----\n"


def _gather(
    environ: dict[str, str] | None = None,
    root: Path = Path("/nowhere"),
    *,
    pip: str = "",
    tables: Any = (),
    **more: Any,
) -> Firewall:
    environ = environ or {}
    settings = read_settings(environ, [("pip.conf", pip)], home=Path("/home/x"))
    return gather(settings, tables, environ, root=root, **more)


def _texts(firewall: Firewall) -> dict[str, str]:
    return {secret.id: secret.value for secret in firewall.secrets}


def _pip(firewall: Firewall) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(_texts(firewall)[PIP])
    return dict(parser["global"])


def _uv(firewall: Firewall) -> dict[str, Any]:
    return tomllib.loads(_texts(firewall)[UV])


def test_whoever_has_set_nothing_is_handed_nothing() -> None:
    found = _gather()
    assert not found
    assert found == Firewall()


def test_how_long_pip_waits_is_no_reason_to_hand_anything_over() -> None:
    assert not _gather({"PIP_DEFAULT_TIMEOUT": "100", "PIP_RETRIES": "1"})


def test_pips_settings_become_a_pip_conf() -> None:
    found = _gather(
        {"PIP_INDEX_URL": _INDEX, "PIP_DEFAULT_TIMEOUT": "100"},
        pip="[global]\nextra-index-url = https://a.example/s https://b.example/s\ntrusted-host = a.example\n",
    )
    assert _pip(found) == {
        "index-url": _INDEX,
        "extra-index-url": "\nhttps://a.example/s\nhttps://b.example/s",
        "trusted-host": "a.example",
        "timeout": "100",
    }


def test_uv_is_told_of_pips_index_and_not_of_its_extra_ones() -> None:
    found = _gather({"PIP_INDEX_URL": _INDEX, "PIP_EXTRA_INDEX_URL": "https://extra.example/s"})
    assert _uv(found) == {"index-url": _INDEX}


def test_uvs_own_settings_win_for_uv_and_reach_pip_where_it_was_told_nothing() -> None:
    found = _gather({"UV_DEFAULT_INDEX": f"corp={_INDEX}", "UV_INDEX": "https://two.example/s"})
    assert _uv(found) == {"index-url": _INDEX, "extra-index-url": ["https://two.example/s"]}
    assert _pip(found)["index-url"] == _INDEX


def test_uvs_files_are_handed_on_with_the_logins_of_their_indexes() -> None:
    table = {"index": [{"name": "corp", "url": "https://index.example/simple", "default": True}], "link-mode": "copy"}
    found = _gather({"UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "p@ss"}, tables=[table])
    assert _uv(found)["index"] == [{"name": "corp", "url": "https://me:p%40ss@index.example/simple", "default": True}]
    assert "link-mode" not in _uv(found)


def test_the_users_uv_file_wins_over_the_machines() -> None:
    tables = [{"index-url": "https://mine.example/s"}, {"index-url": "https://all.example/s", "no-index": True}]
    assert _uv(_gather(tables=tables)) == {"index-url": "https://mine.example/s", "no-index": True}


def test_a_variable_takes_the_default_index_of_a_file_away() -> None:
    table = {"index": [{"url": "https://a.example/s", "default": True}, {"url": "https://b.example/s"}]}
    found = _uv(_gather({"UV_DEFAULT_INDEX": _INDEX}, tables=[table]))
    assert found == {"index-url": _INDEX, "index": [{"url": "https://b.example/s"}]}


def test_folders_of_this_machine_are_left_out_and_told() -> None:
    found = _gather({"PIP_FIND_LINKS": "/wheels https://links.example/", "PIP_INDEX_URL": "file:///index"})
    assert _pip(found) == {"find-links": "https://links.example/"}
    assert any("find-links" in note for note in found.notes)
    assert any("index-url" in note for note in found.notes)


# --- certificates


def _system(root: Path, *, added: bool) -> None:
    (root / "etc/ssl/certs").mkdir(parents=True)
    (root / "etc/ssl/certs/ca-certificates.crt").write_text(f"# canary\n{_certificate('SYSTEM')}", "utf-8")
    folder = root / "usr/local/share/ca-certificates/corp"
    folder.mkdir(parents=True)
    if added:
        (folder / "corp.crt").write_text(_certificate("CORP"), "utf-8")


def test_a_system_as_it_was_delivered_is_not_handed_over(tmp_path: Path) -> None:
    _system(tmp_path, added=False)
    assert not _gather(root=tmp_path)


def test_an_authority_that_an_administrator_added_is_why_the_bundle_is(tmp_path: Path) -> None:
    _system(tmp_path, added=True)
    found = _gather(root=tmp_path)
    assert _texts(found)[CA] == _certificate("SYSTEM")
    assert _pip(found) == {"cert": CA_FILE}
    assert _uv(found) == {"native-tls": True}
    assert {mount.target for mount in found.mounts if mount.id == CA} == {CA_FILE, BUNDLE}


@pytest.mark.parametrize("name", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_users_file_is_handed_over_with_what_the_system_trusts(tmp_path: Path, name: str) -> None:
    _system(tmp_path, added=False)
    own = tmp_path / "own.pem"
    own.write_text(f"canary\r\n{_certificate('OWN')}{_certificate('SYSTEM')}", "utf-8")
    assert _texts(_gather({name: str(own)}, tmp_path))[CA] == _certificate("OWN") + _certificate("SYSTEM")


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    found = _gather({"SSL_CERT_FILE": str(tmp_path / "none.pem")}, tmp_path)
    assert not found
    assert found.notes == ("none.pem, which is to hold certificates, holds none that can be read",)


def test_more_than_a_builder_takes_is_told(tmp_path: Path) -> None:
    big = tmp_path / "big.pem"
    big.write_text("".join(_certificate(f"{number:0100}") for number in range(5000)), "utf-8")
    found = _gather({"SSL_CERT_FILE": str(big)}, tmp_path)
    assert CA not in _texts(found)
    assert "500 KiB" in found.notes[0]


def test_certificates_are_no_secret_and_settings_are(tmp_path: Path) -> None:
    _system(tmp_path, added=True)
    assert {secret.id: secret.private for secret in _gather(root=tmp_path).secrets} == {PIP: True, UV: True, CA: False}


# --- proxies


def test_proxies_of_both_spellings_are_build_arguments() -> None:
    told = {"HTTPS_PROXY": "http://u:p@proxy.example:3128", "no_proxy": "corp.example", "OTHER_PROXY": "x"}
    assert _gather(told).build_args == {name: told[name] for name in ("HTTPS_PROXY", "no_proxy")}


def test_no_proxy_alone_is_nothing() -> None:
    assert not _gather({"NO_PROXY": "corp.example"})


@pytest.mark.parametrize("host", ["localhost:3128", "http://127.0.0.1:3128", "http://u:p@[::1]:1"])
def test_a_proxy_on_this_machine_is_not_reached_from_a_build(host: str) -> None:
    found = _gather({"HTTPS_PROXY": host})
    assert not found.build_args
    assert "HTTPS_PROXY names this machine" in found.notes[0]
    assert _gather({"HTTPS_PROXY": host}, loopback=True).build_args == {"HTTPS_PROXY": host}


def test_a_proxy_that_the_dockerfile_declares_is_not_handed_over() -> None:
    found = _gather({"HTTP_PROXY": "http://u:hunter22@proxy.example", "HTTPS_PROXY": "http://proxy.example"})
    dockerfile = read_dockerfile("FROM base\nARG A=1 HTTP_PROXY\nRUN x\n", file="Dockerfile")
    less = fitted(found, dockerfile)
    assert less.build_args == {"HTTPS_PROXY": "http://proxy.example"}
    assert less.notes[0].startswith("Dockerfile:2 declares ARG HTTP_PROXY")
    assert "hunter22" not in " ".join(less.notes)
    assert fitted(found, read_dockerfile("FROM base\n")) is found


def test_nothing_of_it_shows_its_content() -> None:
    told = {"HTTPS_PROXY": "http://u:hunter22@proxy.example", "PIP_INDEX_URL": _INDEX}
    assert "hunter22" not in repr(_gather(told))


# --- Dockerfiles

_PIP = Mount(PIP, "/etc/pip.conf")
_BUNDLE = Mount(CA, BUNDLE)


def _mounted(text: str, *mounts: Mount) -> str:
    return mounted(text, read_dockerfile(text), Firewall(mounts=mounts))


def test_every_run_has_the_mounts_before_its_own_flags() -> None:
    text = "FROM base\nRUN --network=none \\\n  # comment\n  make\nCOPY a b\n\trun\ttwo\n"
    both = f"{_PIP} {_BUNDLE}"
    assert _mounted(text, _PIP, _BUNDLE) == (
        f"FROM base\nRUN {both} --network=none \\\n  # comment\n  make\nCOPY a b\n\trun {both}\ttwo\n"
    )


def test_exec_form_and_a_run_that_begins_on_its_next_line_have_them() -> None:
    assert _mounted('FROM a\nRUN ["x"]\nRUN\\\n x\n', _PIP) == f'FROM a\nRUN {_PIP} ["x"]\nRUN {_PIP}\\\n x\n'


def test_what_is_no_run_is_left_alone() -> None:
    text = "# syntax=a/b\nFROM base\nONBUILD RUN x\nRUN <<EOF\nRUN not this\nEOF\nENV A=RUN\nLABEL RUN=1\n"
    assert _mounted(text, _PIP) == text.replace("RUN <<EOF", f"RUN {_PIP} <<EOF")


@pytest.mark.parametrize(
    "flag",
    [
        "--mount=type=bind,source=pip.conf,target=/etc/pip.conf",
        "--mount=type=secret,id=ci-envs-pip,target=/elsewhere",
        "--mount=type=cache,dst=/etc/pip.conf",
    ],
)
def test_what_a_run_mounts_itself_is_left_to_it(flag: str) -> None:
    text = f"FROM base\nRUN {flag} make\n"
    assert _mounted(text, _PIP) == text


@pytest.mark.parametrize(
    "command",
    [
        "apt-get install -y git",
        "apt install git",
        "dpkg -i x.deb",
        "cp corp.crt /usr/local/share/ca-certificates && update-ca-certificates",
        "apk add ca-certificates",
        "apk --no-cache upgrade",
        "cat corp.pem >> /etc/ssl/certs/ca-certificates.crt",
        "./setup.sh # ca-certificates",
        "<<EOF\nset -e\napt-get install git\nEOF",
    ],
)
def test_a_run_that_may_replace_the_bundle_does_not_have_it_mounted(command: str) -> None:
    text = f"FROM base\nRUN {command}\n"
    assert _mounted(text, _PIP, _BUNDLE) == text.replace("RUN ", f"RUN {_PIP} ", 1)


@pytest.mark.parametrize("command", ["pip install x", "curl https://a.example", "apk add git", "adapt x", "aptly"])
def test_any_other_run_has_the_bundle(command: str) -> None:
    assert str(_BUNDLE) in _mounted(f"FROM base\nRUN {command}\n", _BUNDLE)


def test_windows_line_ends_stay() -> None:
    assert _mounted("FROM a\r\nRUN x\r\n", _PIP) == f"FROM a\r\nRUN {_PIP} x\r\n"


_LINES = st.sampled_from(
    [
        "RUN make",
        "RUN one \\",
        "  two",
        "# comment",
        "",
        "RUN <<EOF",
        "EOF",
        "COPY a b",
        'run ["x"]',
        "ONBUILD RUN y",
        "\t RUN z",
    ]
)


@given(st.lists(_LINES, max_size=12))
def test_the_lines_and_the_commands_stay_what_they_were(lines: list[str]) -> None:
    text = "\n".join(["FROM base", *lines, ""])
    try:
        before = read_dockerfile(text)
    except UsageError:  # a heredoc without an end
        return
    after = read_dockerfile(_mounted(text, _PIP))
    assert [(one.name, one.first, one.last, one.arguments, one.heredocs) for one in after.instructions] == [
        (one.name, one.first, one.last, one.arguments, one.heredocs) for one in before.instructions
    ]


def test_settings_without_anything_make_no_secret() -> None:
    assert gather(IndexSettings(), (), {}, root=Path("/nowhere")).secrets == ()
