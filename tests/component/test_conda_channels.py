"""How channels are reached, over loopback: mirrors, folders, credentials, proxies, certificates; and what is told."""

from __future__ import annotations

import base64
import json
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.channel_packages import stub_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_solves import Solves, versions
from tests.support.faults import Fault, refused_url

from ci_envs.command import Command, run
from ci_envs.conda.channels import make_client, to_canonical, to_fetch
from ci_envs.conda.engine import complete
from ci_envs.errors import BrokenError, UsageError
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.channel import Channel

    from ci_envs.model.conda import LockedPackage

pytestmark = pytest.mark.component

#: Nothing answers there: what is locked from it came from elsewhere.
OFFICIAL = "https://conda.invalid/official"
SECRET = "geheim-4711"
BASIC = f"me:{SECRET}"


@pytest.fixture(autouse=True)
def no_system_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has in /etc/conda says nothing here."""
    monkeypatch.setattr("ci_envs.conda.condarc.SYSTEM", (tmp_path / "etc", tmp_path / "var"))


@pytest.fixture
def solves(tmp_path: Path) -> Solves:
    return Solves(tmp_path)


@pytest.fixture
def official(solves: Solves) -> Channel:
    return solves.channel("official", stub_package("lib", "1.0"), stub_package("app", "1.0", depends=("lib",)))


@pytest.fixture
def server(official: Channel) -> Iterator[ChannelServer]:
    with ChannelServer(official.folder.parent) as server:
        yield server


def mirrored(solves: Solves, *urls: str) -> Solves:
    return replace(solves, config=CondaConfig(mirrors={OFFICIAL: urls}))


def is_official(packages: tuple[LockedPackage, ...]) -> bool:
    return all(package.url.startswith(f"{OFFICIAL}/noarch/") for package in packages) and len(packages) == 2


def written(solves: Solves) -> str:
    """Every byte that was kept."""
    kept = [path for path in (solves.folder / "cache").rglob("*") if path.is_file()]
    assert kept
    return "".join(path.read_bytes().decode("latin-1") for path in kept)


# Mirrors.


def test_a_mirror_serves_and_the_lock_names_the_channel(solves: Solves, server: ChannelServer) -> None:
    with_mirror = mirrored(solves, server.url("official"))

    assert is_official(with_mirror.solve(["app"], OFFICIAL))
    assert with_mirror.said.codes == []


def test_a_mirror_can_be_named_in_condarc_by_the_channels_name(solves: Solves, server: ChannelServer) -> None:
    solves.condarc(
        f"channel_alias: https://conda.invalid\nmirrored_channels:\n  official: [{server.url('official')}]\n"
    )

    assert is_official(solves.solve(["app"], "official"))


def test_the_next_mirror_is_asked_where_one_is_down(solves: Solves, server: ChannelServer) -> None:
    several = mirrored(replace(solves, retries=3), refused_url().removesuffix("simple/"), server.url("official"))

    assert is_official(several.solve(["app"], OFFICIAL))


def test_a_channel_whose_name_begins_like_a_mirrored_one_is_not_sent_there(
    solves: Solves, server: ChannelServer
) -> None:
    with pytest.raises(BrokenError, match="official2"):
        mirrored(solves, server.url("official")).solve(["app"], f"{OFFICIAL}2")
    assert server.requests == []


def test_a_folder_can_be_a_mirror_and_the_lock_names_the_channel(solves: Solves, official: Channel) -> None:
    assert is_official(mirrored(solves, official.url).solve(["app"], OFFICIAL))


def test_a_folder_that_is_not_there_is_passed_over(solves: Solves, server: ChannelServer) -> None:
    with_both = mirrored(solves, f"file://{solves.folder}/gone", server.url("official"))

    assert is_official(with_both.solve(["app"], OFFICIAL))


def test_a_lock_made_through_a_mirror_is_that_of_the_channel_itself(solves: Solves, server: ChannelServer) -> None:
    own = solves.solve(["app"], server.url("official"))
    through = replace(solves, config=CondaConfig(mirrors={server.url("official"): (f"{server.root_url}copy",)}))
    (solves.folder / "channels" / "copy").symlink_to(solves.folder / "channels" / "official")

    assert through.solve(["app"], server.url("official")) == own


def test_files_of_a_lock_are_fetched_from_the_mirror_and_the_folder(
    solves: Solves, server: ChannelServer, official: Channel
) -> None:
    file = "noarch/lib-1.0-0.conda"
    settings = mirrored(solves, server.url("official")).settings()
    in_folder = mirrored(solves, official.url).settings()

    assert downloaded(f"{OFFICIAL}/{file}", settings) == official.archive("lib-1.0-0.conda").read_bytes()
    assert to_fetch(f"{OFFICIAL}/{file}", settings) == f"{OFFICIAL}/{file}"
    assert to_fetch(f"{OFFICIAL}/{file}", in_folder) == f"{official.url}/{file}"
    assert to_canonical(f"{official.url}/{file}", in_folder) == f"{OFFICIAL}/{file}"


def downloaded(url: str, settings, channels=()) -> bytes:  # type: ignore[no-untyped-def]
    from rattler.package_streaming import download_bytes

    return complete(download_bytes(make_client(settings, channels), url))


# Credentials.


@pytest.fixture
def private(official: Channel) -> Iterator[ChannelServer]:
    user, _, password = BASIC.partition(":")
    with ChannelServer(official.folder.parent, user=user, password=password) as server:
        yield server


@pytest.fixture
def tokens(official: Channel) -> Iterator[ChannelServer]:
    with ChannelServer(official.folder.parent, token=SECRET) as server:
        yield server


def test_a_token_in_an_address_is_used_and_written_nowhere(solves: Solves, tokens: ChannelServer) -> None:
    packages = solves.solve(["app"], tokens.url("official", credentials=SECRET))

    assert {package.url for package in packages} == {
        f"{tokens.url('official')}/noarch/{name}-1.0-0.conda" for name in ("app", "lib")
    }
    assert SECRET not in repr(solves.request(["app"], tokens.url("official", credentials=SECRET)))
    assert SECRET not in written(solves)


def test_a_token_can_come_from_a_variable(solves: Solves, tokens: ChannelServer) -> None:
    solves.variables = {"MY_TOKEN": SECRET}
    url = f"{tokens.root_url}t/${{MY_TOKEN}}/official"

    request = solves.request(["app"], url)

    assert len(solves.solve(["app"], url)) == 2
    assert request.channels[0].canonical == tokens.url("official")
    assert request.channels[0].template == url
    assert request.channels[0].used_env_vars == ("MY_TOKEN",)


def test_a_spec_can_name_a_channel_with_a_token(solves: Solves, tokens: ChannelServer) -> None:
    solves.variables = {"MY_TOKEN": SECRET}

    packages = solves.solve([f"{tokens.root_url}t/$MY_TOKEN/official::lib"], tokens.url("official", credentials=SECRET))

    assert packages[0].url == f"{tokens.url('official')}/noarch/lib-1.0-0.conda"


def test_a_password_in_an_address_is_used_and_written_nowhere(solves: Solves, private: ChannelServer) -> None:
    url = private.url("official", credentials=BASIC)

    packages = solves.solve(["app"], url)

    assert packages[0].url == f"{private.url('official')}/noarch/app-1.0-0.conda"
    assert private.credentials == {BASIC}
    assert SECRET not in written(solves)
    assert base64.b64encode(BASIC.encode()).decode() not in written(solves)


def test_files_are_fetched_with_the_credentials_of_their_channel(
    solves: Solves, private: ChannelServer, official: Channel
) -> None:
    request = solves.request(["app"], private.url("official", credentials=BASIC))
    url = f"{private.url('official')}/noarch/lib-1.0-0.conda"

    assert downloaded(url, request.settings, request.channels) == official.archive("lib-1.0-0.conda").read_bytes()


def test_a_file_of_credentials_is_read(solves: Solves, private: ChannelServer) -> None:
    user, _, password = BASIC.partition(":")
    path = solves.folder / "auth.json"
    path.write_text(json.dumps({"127.0.0.1": {"BasicHTTP": {"username": user, "password": password}}}))
    solves.variables = {"RATTLER_AUTH_FILE": str(path)}

    assert len(solves.solve(["app"], private.url("official"))) == 2


def test_a_file_of_credentials_that_cannot_be_read_is_named(solves: Solves, private: ChannelServer) -> None:
    path = solves.folder / "auth.json"
    path.write_text('{"127.0.0.1": ')
    solves.variables = {"RATTLER_AUTH_FILE": str(path)}

    with pytest.raises(UsageError, match="file of credentials cannot be read") as caught:
        solves.solve(["app"], private.url("official"))
    assert str(path) in caught.value.hint


def test_netrc_of_the_users_own_home_is_read(solves: Solves, private: ChannelServer) -> None:
    user, _, password = BASIC.partition(":")
    (solves.home / ".netrc").write_text(f"machine 127.0.0.1 login {user} password {password}\n")

    assert len(solves.solve(["app"], private.url("official"))) == 2


def test_a_mirror_gets_its_own_credentials_and_not_the_channels(solves: Solves, private: ChannelServer) -> None:
    user, _, password = BASIC.partition(":")
    path = solves.folder / "auth.json"
    mirror = {"127.0.0.1": {"BasicHTTP": {"username": user, "password": password}}}
    path.write_text(json.dumps({"conda.invalid": {"BearerToken": "of-the-channel"}, **mirror}))
    solves.variables = {"RATTLER_AUTH_FILE": str(path)}

    assert is_official(mirrored(solves, private.url("official")).solve(["app"], OFFICIAL))
    assert private.credentials == {BASIC}


def test_a_mirror_can_have_its_password_in_its_address(solves: Solves, private: ChannelServer) -> None:
    with_mirror = mirrored(solves, private.url("official", credentials=BASIC))

    assert is_official(with_mirror.solve(["app"], OFFICIAL))
    assert SECRET not in written(solves)


def test_a_password_goes_to_its_own_channel_alone(solves: Solves, private: ChannelServer) -> None:
    solves.channel("other", stub_package("other", "1.0"))

    with pytest.raises(BrokenError, match=r"other refused us: .*401"):
        solves.solve(["other"], private.url("official", credentials=BASIC), private.url("other"))


@pytest.mark.parametrize("fault", [Fault.status(403), Fault.status(500), Fault.web_page(), Fault.gone()])
def test_no_error_tells_a_credential(solves: Solves, tokens: ChannelServer, fault: Fault) -> None:
    tokens.fail(fault, path="/official/*")
    solves.variables = {"MY_TOKEN": SECRET}

    with pytest.raises(Exception, match="official") as caught:
        solves.solve(["app"], f"{tokens.root_url}t/$MY_TOKEN/official")

    error = caught.value
    assert SECRET not in f"{error} {getattr(error, 'hint', '')}"


# Proxies and certificates.


def test_a_proxy_of_condarc_is_asked(solves: Solves, server: ChannelServer) -> None:
    solves.condarc(f"proxy_servers:\n  http: {server.root_url}\n")
    server.answer = _as_proxy(server)  # type: ignore[method-assign]  # for this server alone

    packages = solves.solve(["app"], "http://conda.invalid/official")

    assert packages[0].url == "http://conda.invalid/official/noarch/app-1.0-0.conda"
    assert server.paths


def _as_proxy(server: ChannelServer):  # type: ignore[no-untyped-def]
    """A request to a proxy names the whole address (RFC 9112, 3.2.2)."""
    whole = server.answer

    def answer(asked):  # type: ignore[no-untyped-def]
        return whole(replace(asked, path=asked.path.removeprefix("http://conda.invalid")))

    return answer


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.pem``, and a certificate for 127.0.0.1 that it has signed: ``server.pem``, ``server.key``."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile names",
    ):
        outcome = run(Command(argv=("openssl", *line.split()), cwd=folder))
        assert outcome, outcome.output
    return folder


@pytest.fixture
def secure(official: Channel, authority: Path) -> Iterator[ChannelServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    with ChannelServer(official.folder.parent) as server:
        assert server._server is not None
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        yield server


def https(server: ChannelServer) -> str:
    return server.url("official").replace("http:", "https:")


def test_a_certificate_that_nobody_trusts_is_told_with_what_to_set(solves: Solves, secure: ChannelServer) -> None:
    with pytest.raises(BrokenError, match=r"could not be trusted: invalid peer certificate: UnknownIssuer") as caught:
        solves.solve(["app"], https(secure))
    assert "ssl_verify" in caught.value.hint


@pytest.mark.parametrize("way", ["condarc", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_users_authority_is_trusted(solves: Solves, secure: ChannelServer, authority: Path, way: str) -> None:
    if way == "condarc":
        solves.condarc(f"ssl_verify: {authority / 'ca.pem'}\n")
    else:
        solves.variables = {way: str(authority / "ca.pem")}

    assert len(solves.solve(["app"], https(secure))) == 2


def test_certificates_are_not_verified_where_the_user_says_so_and_that_is_said(
    solves: Solves, secure: ChannelServer
) -> None:
    solves.condarc("ssl_verify: false\n")

    assert len(solves.solve(["app"], https(secure))) == 2
    assert solves.said.codes == ["LOCK032"]


def test_no_password_is_sent_to_whoever_has_no_certificate(solves: Solves, secure: ChannelServer) -> None:
    solves.condarc("ssl_verify: false\n")

    with pytest.raises(UsageError, match="ssl_verify: false cannot go together"):
        mirrored(solves, https(secure)).solve(["app"], OFFICIAL)
    with pytest.raises(UsageError, match="ssl_verify: false cannot go together"):
        solves.solve(["app"], https(secure).replace("://", f"://{BASIC}@"))


def test_a_channel_that_speaks_no_tls_is_told(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(BrokenError, match="could not be trusted"):
        solves.solve(["app"], https(server))


# Folders.


def test_a_folder_of_the_project_is_named_relative_to_it_and_found_again(solves: Solves) -> None:
    channel = solves.channel("../project/channel", stub_package("lib", "1.0"))
    settings = solves.settings()

    packages = solves.solve(["lib"], "./channel")

    assert packages[0].url == "./channel/noarch/lib-1.0-0.conda"
    assert solves.said.codes == ["LOCK030"]
    assert Path(to_fetch(packages[0].url, settings).removeprefix("file://")).is_file()
    assert solves.solve(["lib"], channel.url) == packages


def test_the_lock_of_a_projects_own_channel_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    locks = []
    for name in ("here", "there with a blank"):
        (tmp_path / name).mkdir()
        solves = Solves(tmp_path / name)
        solves.channel("../project/channel", stub_package("lib", "1.0"))
        locks.append(solves.solve(["lib"], "./channel"))

    assert locks[0] == locks[1]


def test_versions_of_a_folder_are_read_anew(solves: Solves) -> None:
    channel = solves.channel("folder", stub_package("lib", "1.0"))
    assert versions(solves.solve(["lib"], channel.url)) == {"lib": "1.0"}

    channel.add(stub_package("lib", "2.0"))

    assert versions(solves.solve(["lib"], channel.url)) == {"lib": "2.0"}
