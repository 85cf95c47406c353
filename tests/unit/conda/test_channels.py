from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.conda.channels import (
    ChannelAddress,
    ChannelSettings,
    channel_findings,
    channel_settings,
    resolve,
    routes,
    to_canonical,
    to_fetch,
)
from ci_envs.errors import LockError, UsageError
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from pathlib import Path

ANACONDA = "https://conda.anaconda.org"
REPO = "https://repo.anaconda.com"


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci_envs.conda.condarc.SYSTEM", (tmp_path / "etc", tmp_path / "var"))


def settings(
    tmp_path: Path, condarc: str = "", mirrors: dict[str, tuple[str, ...]] | None = None, **environ: str
) -> ChannelSettings:
    home, root = tmp_path / "home", tmp_path / "project"
    home.mkdir(exist_ok=True)
    root.mkdir(exist_ok=True)
    (home / ".condarc").write_text(condarc)
    return channel_settings(environ, CondaConfig(mirrors=mirrors or {}), home=home, root=root)


def one(word: str, tmp_path: Path, condarc: str = "", **environ: str) -> ChannelAddress:
    (found,) = resolve([word], settings(tmp_path, condarc, None, **environ))
    return found


# What a word means.


@pytest.mark.parametrize(
    ("word", "canonical", "name"),
    [
        ("conda-forge", f"{ANACONDA}/conda-forge", "conda-forge"),
        ("conda-forge/label/rust_dev", f"{ANACONDA}/conda-forge/label/rust_dev", "conda-forge/label/rust_dev"),
        ("conda-forge/linux-64", f"{ANACONDA}/conda-forge", "conda-forge"),
        ("conda-forge[linux-64, noarch]", f"{ANACONDA}/conda-forge", "conda-forge"),
        (" pytorch/ ", f"{ANACONDA}/pytorch", "pytorch"),
        ("pkgs/main", f"{REPO}/pkgs/main", "pkgs/main"),
        ("pkgs/pro", f"{REPO}/pkgs/pro", "pkgs/pro"),
        ("https://conda.anaconda.org/conda-forge/", f"{ANACONDA}/conda-forge", "conda-forge"),
        ("https://conda.anaconda.org/conda-forge/noarch/", f"{ANACONDA}/conda-forge", "conda-forge"),
        ("https://Host.example/private/chan", "https://host.example/private/chan", "private/chan"),
        ("file:///srv/chan", "file:///srv/chan", "srv/chan"),
        ("C:\\channels\\mine", "file:///C:/channels/mine", "C:/channels/mine"),
    ],
)
def test_a_word_is_a_channel(tmp_path: Path, word: str, canonical: str, name: str) -> None:
    found = one(word, tmp_path)

    assert (found.canonical, found.name) == (canonical, name)
    assert (found.fetch, found.source, found.template) == (found.fetch, canonical, canonical)
    assert found.decided_by == ""


def test_defaults_are_condas_channels_in_one_group(tmp_path: Path) -> None:
    linux = resolve(["defaults"], settings(tmp_path), platform="linux-64")
    windows = resolve(["defaults"], settings(tmp_path), platform="win-64")

    assert [each.canonical for each in linux] == [f"{REPO}/pkgs/main", f"{REPO}/pkgs/r"]
    assert [each.canonical for each in windows] == [f"{REPO}/pkgs/main", f"{REPO}/pkgs/r", f"{REPO}/pkgs/msys2"]
    assert {each.group for each in windows} == {"defaults"}


def test_each_channel_is_there_once_in_its_place(tmp_path: Path) -> None:
    words = ["conda-forge", "defaults", f"{ANACONDA}/conda-forge/", "pkgs/main"]

    found = resolve(words, settings(tmp_path))

    assert [each.name for each in found] == ["conda-forge", "pkgs/main", "pkgs/r"]


def test_the_alias_is_where_names_are_and_that_is_said(tmp_path: Path) -> None:
    found = one("conda-forge", tmp_path, "channel_alias: https://Conda.example/mirror/\n")

    assert found.canonical == "https://conda.example/mirror/conda-forge"
    assert found.decided_by == "channel_alias in ~/.condarc:1"


def test_custom_channels_go_by_their_longest_path(tmp_path: Path) -> None:
    condarc = "custom_channels:\n  corp: https://a.example\n  corp/team: https://b.example/base\n"

    assert one("corp/label/dev", tmp_path, condarc).canonical == "https://a.example/corp/label/dev"
    assert one("corp/team/x", tmp_path, condarc).canonical == "https://b.example/base/corp/team/x"
    assert one("corporate", tmp_path, condarc).canonical == f"{ANACONDA}/corporate"
    assert one("corp", tmp_path, condarc).decided_by == "custom_channels in ~/.condarc:1"


def test_multichannels_hold_addresses_and_names(tmp_path: Path) -> None:
    condarc = "custom_multichannels:\n  ours: [https://a.example/one, two]\n"

    found = resolve(["ours"], settings(tmp_path, condarc))

    assert [(each.canonical, each.group) for each in found] == [
        ("https://a.example/one", "ours"),
        (f"{ANACONDA}/two", "ours"),
    ]
    assert found[0].decided_by == "ours in ~/.condarc:1"


def test_default_channels_are_the_users_and_a_multichannel_of_that_name_goes_before(tmp_path: Path) -> None:
    users = "default_channels: [https://a.example/pkgs/main]\n"
    multi = users + "custom_multichannels:\n  defaults: [https://b.example/main]\n"

    assert one("defaults", tmp_path, users).canonical == "https://a.example/pkgs/main"
    assert one("pkgs/main", tmp_path, users).canonical == "https://a.example/pkgs/main"
    assert one("defaults", tmp_path, multi).canonical == "https://b.example/main"


def test_the_users_channels_are_for_an_intent_that_names_none(tmp_path: Path) -> None:
    users = settings(tmp_path, "channels:\n  - conda-forge\n  - bioconda\n")

    assert [each.name for each in resolve([], users)] == ["conda-forge", "bioconda"]
    assert resolve([], users)[0].decided_by == "channels in ~/.condarc:1"
    assert [each.name for each in resolve(["pytorch"], users)] == ["pytorch"]
    assert resolve([], settings(tmp_path)) == ()


def test_a_folder_of_the_project_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "project" / "sub").mkdir(parents=True)

    found = one("./sub/../my channel", tmp_path)

    assert found.canonical == "./my%20channel"
    assert found.name == "my channel"
    assert found.fetch == found.source == f"file://{tmp_path}/project/my%20channel"
    assert one(f"{tmp_path}/project/a", tmp_path).canonical == "./a"
    assert one("../a", tmp_path).canonical == f"file://{tmp_path}/a"
    assert one("~/a", tmp_path).canonical == f"file://{tmp_path}/home/a"


@pytest.mark.parametrize("word", ["", "conda forge", "a;b", "<unknown>", "$(x)", "local", "a//b", "https://"])
def test_a_word_that_is_no_channel_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(UsageError, match=r"channel|address"):
        one(word, tmp_path)


# Who is allowed.


def test_a_denied_channel_is_refused_with_the_place(tmp_path: Path) -> None:
    condarc = "# no licence\ndenylist_channels: [defaults]\n"

    with pytest.raises(UsageError, match=r"pkgs/main is denied by denylist_channels") as caught:
        one("pkgs/main", tmp_path, condarc)
    assert (caught.value.file, caught.value.line) == ("~/.condarc", 2)
    assert one("conda-forge", tmp_path, condarc).name == "conda-forge"


def test_only_allowed_channels_are_taken_where_some_are(tmp_path: Path) -> None:
    condarc = "allowlist_channels: [conda-forge]\n"

    with pytest.raises(UsageError, match=r"bioconda is not among allowlist_channels") as caught:
        one("bioconda", tmp_path, condarc)
    assert caught.value.hint == "allowed: conda-forge"
    assert one(f"{ANACONDA}/conda-forge", tmp_path, condarc).name == "conda-forge"


# Credentials.


def test_credentials_are_fetched_with_and_told_nowhere(tmp_path: Path) -> None:
    found = one("https://me:geheim@host.example/t/tk-4711/chan", tmp_path)

    assert found.canonical == found.source == found.shown == found.template == "https://host.example/chan"
    assert found.fetch == "https://me:geheim@host.example/t/tk-4711/chan"
    assert "geheim" not in repr(found)
    assert "tk-4711" not in repr(found)


def test_variables_bring_credentials_and_their_names_are_kept(tmp_path: Path) -> None:
    found = one("https://host.example/t/$TOKEN/chan", tmp_path, TOKEN="tk-4711")

    assert found.canonical == "https://host.example/chan"
    assert found.template == "https://host.example/t/${TOKEN}/chan"
    assert found.used_env_vars == ("TOKEN",)
    assert found.fetch == "https://host.example/t/tk-4711/chan"


def test_the_alias_can_bring_a_token(tmp_path: Path) -> None:
    found = one("chan", tmp_path, "channel_alias: https://host.example/t/${TOKEN}\n", TOKEN="tk-4711")

    assert (found.canonical, found.fetch) == ("https://host.example/chan", "https://host.example/t/tk-4711/chan")


def test_a_variable_that_is_not_set_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names the variable TOKEN, which is not set") as caught:
        one("chan", tmp_path, "custom_channels:\n  chan: https://host.example/t/$TOKEN\n")
    assert caught.value.file == "~/.condarc"
    assert caught.value.line == 1


def test_sentences_are_told_without_credentials(tmp_path: Path) -> None:
    told = settings(
        tmp_path,
        "proxy_servers: {http: 'http://p:proxy-secret@p.example'}\n",
        MY_PASSWORD="of-a-variable",
    )
    way = routes(told, resolve(["https://me:p%40ssword@host.example/t/tk-4711/chan"], told))

    said = way.masked("p@ssword, tk-4711 and of-a-variable at http://p:proxy-secret@p.example and /t/unknown/x")

    assert said == "***, *** and *** at http://***@p.example and /t/***/x"


# Mirrors.


def test_a_mirror_is_fetched_from_and_the_lock_names_the_channel(tmp_path: Path) -> None:
    told = settings(tmp_path, mirrors={"conda-forge": ("https://me:pw@m.example/cf/", "https://n.example/cf")})

    (found,) = resolve(["conda-forge"], told)

    assert found.canonical == found.source == f"{ANACONDA}/conda-forge"
    assert found.fetches == ("https://me:pw@m.example/cf", "https://n.example/cf")
    assert routes(told).mirrors == {f"{ANACONDA}/conda-forge": found.fetches}
    assert to_canonical("https://m.example/cf/noarch/x-1-0.conda", told) == f"{found.canonical}/noarch/x-1-0.conda"
    assert to_canonical("https://m.example/cf2/noarch/x-1-0.conda", told) == "https://m.example/cf2/noarch/x-1-0.conda"
    assert to_fetch(f"{found.canonical}/noarch/x-1-0.conda", told) == f"{found.canonical}/noarch/x-1-0.conda"


def test_a_mirror_of_a_host_serves_all_its_channels_and_the_nearest_decides(tmp_path: Path) -> None:
    told = settings(
        tmp_path, mirrors={ANACONDA: ("https://all.example/conda",), "bioconda": ("https://bio.example/b",)}
    )

    found = {each.name: each.fetch for each in resolve(["conda-forge", "bioconda", "bioconda/label/x"], told)}

    assert found == {
        "conda-forge": "https://all.example/conda/conda-forge",
        "bioconda": "https://bio.example/b",
        "bioconda/label/x": "https://bio.example/b/label/x",
    }


def test_a_folder_that_is_there_is_a_mirror_and_one_that_is_not_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    there, gone, web = f"file://{tmp_path}/mirror", f"file://{tmp_path}/gone", "https://m.example/cf"

    def fetches(*urls: str) -> tuple[str, ...]:
        return resolve(["conda-forge"], settings(tmp_path, mirrors={"conda-forge": urls}))[0].fetches

    assert fetches(gone, there, web) == (there,)
    assert fetches(gone, web) == (web,)
    assert fetches(web, there) == (web,)
    assert fetches(gone) == (gone,)
    told = settings(tmp_path, mirrors={"conda-forge": (str(tmp_path / "mirror"),)})
    assert to_fetch(f"{ANACONDA}/conda-forge/noarch/x-1-0.conda", told) == f"{there}/noarch/x-1-0.conda"
    assert to_canonical(f"{there}/noarch/x-1-0.conda", told) == f"{ANACONDA}/conda-forge/noarch/x-1-0.conda"


def test_a_mirror_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the mirror 'm\.example/cf' is no address") as caught:
        resolve(["conda-forge"], settings(tmp_path, "mirrored_channels:\n  conda-forge: [m.example/cf]\n"))
    assert caught.value.file == "~/.condarc"
    with pytest.raises(UsageError, match="defaults stands for several channels"):
        resolve(["conda-forge"], settings(tmp_path, mirrors={"defaults": ("https://m.example/pkgs",)}))


def test_addresses_that_nothing_is_known_of_are_only_cleaned(tmp_path: Path) -> None:
    told = settings(tmp_path)

    assert to_canonical("https://me:pw@h.example/t/tk/c/x-1-0.conda", told) == "https://h.example/c/x-1-0.conda"
    assert to_canonical(f"file://{tmp_path}/project/wheels/x.whl", told) == "./wheels/x.whl"
    assert to_fetch("https://h.example/c/noarch/x-1-0.conda", told) == "https://h.example/c/noarch/x-1-0.conda"
    assert to_fetch("./c/noarch/x-1-0.conda", told) == f"file://{tmp_path}/project/c/noarch/x-1-0.conda"
    with pytest.raises(LockError, match="leads out of the project"):
        to_fetch("./../c/noarch/x-1-0.conda", told)


# What is said of them.


def test_nothing_is_found_where_all_is_as_everywhere(tmp_path: Path) -> None:
    told = settings(tmp_path, mirrors={"conda-forge": ("https://m.example/cf",)})

    assert channel_findings(resolve(["conda-forge", "defaults"], told), told) == ()


def test_channels_that_the_intent_does_not_name_are_found(tmp_path: Path) -> None:
    told = settings(tmp_path, "channels: [conda-forge]\n")

    (found,) = channel_findings(resolve([], told), told)

    assert found.code == "LOCK031"
    assert found.message.startswith("no channel is asked for, and channels in ~/.condarc:1 names conda-forge")


def test_what_binds_a_lock_to_a_machine_is_found(tmp_path: Path) -> None:
    told = settings(tmp_path, "channel_alias: https://corp.example\nssl_verify: false\nchannel_priority: flexible\n")

    found = channel_findings(resolve(["conda-forge", "file:///srv/chan", "./chan"], told), told)

    assert [(one.code, one.severity) for one in found] == [
        ("LOCK031", "warning"),
        ("LOCK030", "warning"),
        ("LOCK030", "warning"),
        ("LOCK031", "warning"),
        ("LOCK032", "warning"),
    ]
    assert "conda-forge is https://corp.example/conda-forge, as channel_alias in ~/.condarc:1 says" in found[0].message
    assert "`conda: {channel-priority: flexible}`" in found[3].message
