"""The server of channels answers as a real one does, and its faults do what they say.

The tables of faults are also the record of what rattler itself refuses, and of what it lets pass.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from rattler.exceptions import GatewayError, InstallerError
from tests.support import channel_broken as broken
from tests.support.channel import Channel, make_channel
from tests.support.channel_client import Rattler
from tests.support.channel_packages import stub_package
from tests.support.channel_server import ChannelServer
from tests.support.channel_synthetic import filler_packages
from tests.support.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.channel_archive import Package

pytestmark = pytest.mark.component

PLAIN = stub_package("plain", "1.0")


@pytest.fixture
def conda(tmp_path: Path) -> Rattler:
    return Rattler(tmp_path)


# What rattler refuses, and what it does not.


@dataclass(frozen=True)
class Case:
    """A sick package or channel, and what rattler says."""

    packages: tuple[Package, ...] = (PLAIN,)
    spoil: Callable[[Channel], object] = lambda _: None
    prefix: str = "prefix"
    says: str = ""


REFUSED = {
    "truncated": Case(spoil=lambda c: broken.truncate(c, PLAIN.filename), says="Invalid checksum"),
    "truncated, with hashes that fit": Case(
        spoil=lambda c: broken.truncate(c, PLAIN.filename, told=True), says="Invalid checksum"
    ),
    "hashes of no archive": Case(spoil=lambda c: broken.wrong_hash(c, PLAIN.filename), says="hash mismatch"),
    "uploaded again": Case(spoil=lambda c: broken.reupload(c, PLAIN, told=False), says="hash mismatch"),
    "md5 only, and wrong": Case(
        spoil=lambda c: c.tell(PLAIN.filename, md5="0" * 32, sha256=None),
        says="hash mismatch",
    ),
    "a path out of the prefix": Case((broken.escaping_package(),), says="failed to link '../escaped.txt'"),
    "through a link": Case((broken.symlink_package(),), says="unpack outside of destination path"),
    "a hard link out": Case((broken.hard_link_package(),), says="failed to unpack"),
    "a short placeholder": Case(
        (broken.short_placeholder_package(),), prefix="x" * 60, says="cannot be longer than the placeholder prefix"
    ),
}

LET_PASS = {
    "a short placeholder that suffices": Case((broken.short_placeholder_package(120),)),
    "no sha256": Case(spoil=lambda c: broken.without_hashes(c, PLAIN.filename, "sha256")),
    "no hash at all": Case(spoil=lambda c: broken.without_hashes(c, PLAIN.filename, "sha256", "md5")),
    "a file that is not what paths.json says": Case((broken.lying_paths_package(),)),
    "two packages with one file": Case(broken.clashing_packages()),
    # It is not unpacked, so there is nothing to refuse.
    "a member out of the prefix that paths.json is silent of": Case((broken.escaping_package(told=False),)),
}


def attempt(case: Case, folder: Path) -> Path:
    channel = make_channel(folder / "channels" / "forge", case.packages)
    case.spoil(channel)
    with ChannelServer(folder / "channels") as server:
        specs = [package.spec for package in case.packages]
        return Rattler(folder).install(server.url("forge"), *specs, prefix=folder / case.prefix)


@pytest.mark.parametrize("name", REFUSED)
def test_rattler_refuses(name: str, tmp_path: Path) -> None:
    with pytest.raises(InstallerError, match=REFUSED[name].says):
        attempt(REFUSED[name], tmp_path)

    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("name", LET_PASS)
def test_rattler_lets_pass(name: str, tmp_path: Path) -> None:
    prefix = attempt(LET_PASS[name], tmp_path)

    assert len(list((prefix / "conda-meta").glob("*.json"))) == len(LET_PASS[name].packages)
    assert not list(tmp_path.rglob("escaped*"))


def test_rattler_writes_outside_where_another_package_has_the_file(tmp_path: Path) -> None:
    path = f"../{PLAIN.stem}/{PLAIN.members[0].path}"
    escaping = replace(broken.escaping_package(path, archived=False), depends=(PLAIN.name,))

    make_channel(tmp_path / "channels" / "forge", (PLAIN, escaping))
    with ChannelServer(tmp_path / "channels") as server:
        # First alone: which of two packages is unpacked first is chance.
        Rattler(tmp_path).install(server.url("forge"), PLAIN.spec, prefix=tmp_path / "before")
        Rattler(tmp_path).install(server.url("forge"), PLAIN.spec, escaping.spec)

    assert (tmp_path / PLAIN.stem / PLAIN.members[0].path).exists(), "beside the prefix, not in it"


@pytest.mark.parametrize(
    ("fault", "path", "says"),
    [
        (Fault.status(404), "*.conda", "404 Not Found"),
        (Fault.status(500), "*.conda", "500 Internal Server Error"),
        (Fault.reset(50), "*.conda", "Connection reset by peer"),
        (Fault.flipped(), "*.conda", "failed to fetch"),
        (Fault.web_page(), "*.conda", "invalid zip archive"),
        (Fault.status(404), "*/noarch/repodata.json*", "could not find subdir 'noarch'"),
        (Fault.status(500), "*/noarch/repodata.json*", "500 Internal Server Error"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_rattler_says_what_the_server_does_wrong(fault: Fault, path: str, says: str, tmp_path: Path) -> None:
    make_channel(tmp_path / "channels" / "forge", [PLAIN])

    with ChannelServer(tmp_path / "channels") as server:
        rule = server.fail(fault, path)
        with pytest.raises((InstallerError, GatewayError), match=says):
            Rattler(tmp_path).install(server.url("forge"), "plain")

        assert rule.hits


def test_a_connection_that_breaks_once_is_tried_again(tmp_path: Path) -> None:
    make_channel(tmp_path / "channels" / "forge", [PLAIN])

    with ChannelServer(tmp_path / "channels") as server:
        server.fail(Fault.reset(50), "*.conda", times=1)
        prefix = Rattler(tmp_path).install(server.url("forge"), "plain")

        assert (prefix / PLAIN.members[0].path).exists()
        assert server.downloads == [PLAIN.filename] * 2


# The server.


def ask(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of channels with one, named ``forge``."""
    make_channel(tmp_path / "channels" / "forge", [PLAIN])
    return tmp_path / "channels"


FILE = "noarch/repodata.json"


def test_what_has_not_changed_is_not_sent_again(small: Path) -> None:
    with ChannelServer(small, max_age=60) as server:
        status, headers, body = ask(f"{server.url('forge')}/{FILE}")
        assert (status, body) == (200, (small / "forge" / FILE).read_bytes())
        assert headers["Cache-Control"] == "public, max-age=60"
        by_tag = ask(f"{server.url('forge')}/{FILE}", If_None_Match=headers["ETag"])
        by_time = ask(f"{server.url('forge')}/{FILE}", If_Modified_Since=headers["Last-Modified"])
        assert by_tag[0] == by_time[0] == 304
        assert by_tag[2] == b""

        Channel(small / "forge").tell(PLAIN.filename, license="Other")

        assert ask(f"{server.url('forge')}/{FILE}", If_None_Match=headers["ETag"])[0] == 200
        assert server.count(f"/forge/{FILE}") == 4
        assert server.count(status=304) == 2


def test_a_part_of_a_file_can_be_asked_for(small: Path) -> None:
    with ChannelServer(small) as server:
        status, headers, body = ask(f"{server.url('forge')}/noarch/{PLAIN.filename}", Range="bytes=0-3")

    assert (status, body) == (206, b"PK\x03\x04")
    assert headers["Content-Range"].startswith("bytes 0-3/")


@pytest.mark.parametrize("path", ["../secret", "forge/../../secret", "%2e%2e/secret", "forge", ""])
def test_nothing_outside_is_served(path: str, small: Path) -> None:
    (small.parent / "secret").write_text("canary")

    with ChannelServer(small) as server:
        assert ask(server.root_url + path)[0] == 404


def test_a_token_is_asked_for_and_is_in_no_path_of_a_fault(small: Path, conda: Rattler) -> None:
    with ChannelServer(small, token="tk-canary") as server:
        assert ask(f"{server.url('forge')}/{FILE}")[0] == 401
        assert ask(f"{server.root_url}t/other/forge/{FILE}")[0] == 401
        assert ask(f"{server.url('forge', credentials='tk-canary')}/{FILE}")[0] == 200
        conda.install(server.url("forge", credentials="tk-canary"), "plain")
        server.fail(Fault.status(503), f"/forge/{FILE}")
        assert ask(f"{server.url('forge', credentials='tk-canary')}/{FILE}")[0] == 503
        assert server.count(f"/forge/{FILE}") == 4


@pytest.mark.parametrize(
    ("wanted", "header"),
    [({"user": "me", "password": "pw"}, "Basic bWU6cHc="), ({"bearer": "tk-canary"}, "Bearer tk-canary")],
    ids=["basic", "bearer"],
)
def test_authorization_is_asked_for(wanted: dict[str, Any], header: str, small: Path) -> None:
    with ChannelServer(small, **wanted) as server:
        assert ask(f"{server.url('forge')}/{FILE}")[0] == 401
        assert ask(f"{server.url('forge')}/{FILE}", Authorization="Basic bm86bm8=")[0] == 401
        assert ask(f"{server.url('forge')}/{FILE}", Authorization=header)[0] == 200


def test_rattler_takes_a_password_that_is_in_the_address(small: Path, conda: Rattler) -> None:
    with ChannelServer(small, user="me", password="pw") as server:
        prefix = conda.install(server.url("forge", credentials="me:pw"), "plain")

        assert server.credentials == {"me:pw"}
    assert (prefix / PLAIN.members[0].path).exists()


def test_rattler_asks_again_by_etag_and_takes_packages_from_its_cache(small: Path, conda: Rattler) -> None:
    with ChannelServer(small) as server:
        conda.install(server.url("forge"), "plain", prefix=conda.folder / "one")
        conda.install(server.url("forge"), "plain", prefix=conda.folder / "two")

        assert server.count("*/repodata.json.zst", status=304) == server.count("*/repodata.json.zst", status=200) == 1
        assert server.downloads == [PLAIN.filename]


def test_a_sharded_channel_is_read_by_its_shards(tmp_path: Path, conda: Rattler) -> None:
    make_channel(tmp_path / "channels" / "forge", [PLAIN, *filler_packages(2)], sharded=True)

    with ChannelServer(tmp_path / "channels") as server:
        conda.install(server.url("forge"), "plain")

        assert server.count("*/repodata_shards.msgpack.zst")
        assert not server.count("/forge/noarch/repodata.json*")
