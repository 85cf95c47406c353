"""Prefixes from real packages of a local channel, linked by the embedded front end."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import Member
from tests.support.channel_broken import reupload, truncate
from tests.support.channel_packages import data_package, tool_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_installs import Place, attested, locked, noarch_package, script_python, tree_of
from tests.support.faults import Fault

from ci_envs.conda.bytecode import prefix_records
from ci_envs.conda.installing import install, package_cache
from ci_envs.conda.package_files import UnfitPackageError, read_package
from ci_envs.conda.rattler_frontend import RattlerFrontend
from ci_envs.errors import BrokenError, BuildError
from ci_envs.work import LockPolicy, Work

pytestmark = pytest.mark.component
pytest_plugins = ("tests.component.conda_places",)

#: A file system of its own on Linux.
MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made under private names


# What comes of it.


def test_a_prefix_is_what_the_packages_hold(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    work = place.install(packages)
    said = subprocess.run([work.prefix / "bin/hello-native"], capture_output=True, text=True, check=True).stdout
    assert said == f"hello from {work.prefix}\n"
    assert f"{work.prefix}/bin/python3.12" in (work.prefix / "bin/spam-run").read_text()
    assert (work.prefix / "lib/python3.12/site-packages/spam/cli.py").is_file()
    assert list(work.prefix.rglob("*.pyc")) == []
    told = {record.name: record for record in prefix_records(work.prefix)}
    assert {name: (one.version, one.build, one.url, one.sha256) for name, one in told.items()} == {
        one.name: (one.version, one.build, one.url, one.sha256) for one in packages
    }
    assert attested(work, packages).matched == tuple(sorted(one.name for one in packages))
    assert work.tools["rattler"]
    assert work.findings == []


def test_the_log_says_what_was_fetched_and_linked(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    log = place.install(packages).log.read_text()
    assert log.startswith("$ rattler ")
    assert all(f"fetched {one.url}: " in log for one in packages)
    assert "linked 4 packages into " in log
    assert "fetched" not in place.install(packages, "second").log.read_text()


def test_a_second_install_downloads_nothing(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    first = place.install(packages)
    assert sorted(server.downloads) == sorted(one.url.rpartition("/")[2] for one in packages)
    second = place.install(packages, "second")
    assert len(server.downloads) == len(packages)
    assert tree_of(first.prefix) == tree_of(second.prefix)


def test_files_are_links_into_the_cache(place: Place, channel: Channel) -> None:
    work = place.install(locked(channel))
    assert (work.prefix / "share/hello-native/data.txt").stat().st_nlink == 2
    place.install(locked(channel), "second")
    assert (work.prefix / "share/hello-native/data.txt").stat().st_nlink == 3


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
@pytest.mark.parametrize("elsewhere", ["cache", "folder"])
def test_across_file_systems_files_are_copies(place: Place, channel: Channel, elsewhere: str) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        setattr(place, elsewhere, Path(name) / "there")
        work = place.install(locked(channel))
        assert (work.prefix / "share/hello-native/data.txt").stat().st_nlink == 1
        assert attested(work, locked(channel)).altered == ()
        assert subprocess.run([work.prefix / "bin/hello-native"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("name", ["with blanks in it", "l" * 120])
def test_a_prefix_may_have_blanks_and_a_long_name(place: Place, channel: Channel, name: str) -> None:
    work = place.install(locked(channel), name)
    text = (work.prefix / "bin/spam-run").read_text()
    assert text.startswith(f"#!/bin/sh\n'''exec' \"{work.prefix}/bin/python3.12\" \"$0\"")
    said = subprocess.run([work.prefix / "bin/spam-run", "a"], capture_output=True, text=True, check=True).stdout
    assert said == f"{work.prefix}/bin/spam-run a\n", "the script is handed to the Python inside"
    assert attested(work, locked(channel)).altered == ()


def test_the_old_format_is_unpacked_too(place: Place, tmp_path: Path) -> None:
    packages = (script_python(), noarch_package(), tool_package())
    channel = make_channel(tmp_path / "old", [replace(one, suffix=".tar.bz2") for one in packages])
    work = place.install(locked(channel))
    assert attested(work, locked(channel)).altered == ()
    assert (work.prefix / "share/hello-native/link.txt").readlink() == Path("data.txt")


def test_packages_from_before_there_was_a_paths_json(tmp_path: Path) -> None:
    folder = tmp_path / "old-1-0"
    for name, text in {
        "info/index.json": json.dumps({"name": "old", "version": "1", "build": "0", "build_number": 0, "depends": []}),
        "info/files": "share/a\nbin/b\nshare/l\n",
        "info/has_prefix": "/opt/anaconda1anaconda2anaconda3 text bin/b\n",
        "share/a": "a",
        "bin/b": "/opt/anaconda1anaconda2anaconda3",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "share/l").symlink_to("a")
    rows = {row.path: row for row in read_package(folder).rows}
    assert {path: row.kind for path, row in rows.items()} == {
        "share/a": "hardlink",
        "bin/b": "hardlink",
        "share/l": "softlink",
    }
    assert rows["bin/b"].placeholder == "/opt/anaconda1anaconda2anaconda3"
    assert len(rows["share/a"].sha256) == 64
    (tmp_path / "outside").touch()
    for listed, said in (("../outside", "it lists '../outside'"), ("absent", "cannot be read")):
        (folder / "info/files").write_text(f"{listed}\n")
        with pytest.raises(UnfitPackageError, match=said):
            read_package(folder)


def test_what_one_channel_calls_a_package_is_not_what_another_does(place: Place, tmp_path: Path) -> None:
    """rattler's own cache takes one for the other once a download has failed: both have the same name and build."""
    channels = [
        make_channel(tmp_path / name, [replace(data_package(), members=(Member(path="share/whose", data=data),))])
        for name, data in (("one", b"one"), ("two", b"two"))
    ]
    packages = [locked(channel) for channel in channels]
    assert (place.install(packages[0], "a").prefix / "share/whose").read_text() == "one"
    archive = channels[1].archives[0]
    archive.rename(archive.with_suffix(".away"))
    with pytest.raises(BuildError, match="no longer has"):
        place.install(packages[1], "b")
    archive.with_suffix(".away").rename(archive)
    assert (place.install(packages[1], "b").prefix / "share/whose").read_text() == "two"
    assert (place.install(packages[0], "c").prefix / "share/whose").read_text() == "one"


# What is not the locked file.


def test_another_file_under_the_same_name_is_refused(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    reupload(channel, tool_package())
    with pytest.raises(BuildError) as caught:
        place.install(packages)
    package = next(one for one in packages if one.name == "hello-native")
    now = next(one for one in locked(channel) if one.name == "hello-native")
    assert caught.value.message.startswith("the channel gave another file than the one that the lock names")
    assert all(word in caught.value.message for word in (package.url, package.sha256, now.sha256))
    assert caught.value.hint.startswith("find out why before you lock again; ci-envs lock --upgrade")
    assert package_cache(place.work()).find(package) is None
    assert place.leftovers() == []


@pytest.mark.parametrize("fault", [Fault.truncated(300), Fault.web_page()], ids=lambda fault: fault.name)
def test_half_a_file_is_another_file(place: Place, channel: Channel, server: ChannelServer, fault: Fault) -> None:
    server.fail(fault, "*/hello-native-*")
    with pytest.raises(BuildError, match="another file"):
        place.install(locked(channel, server.url()))


def test_a_file_that_is_gone_is_named_with_the_way_on(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    channel.archive("tzdata-2025b-h78e105d_0.conda").unlink()
    with pytest.raises(
        BuildError, match="the lock names tzdata-2025b-h78e105d_0, which the channel no longer"
    ) as caught:
        place.install(packages)
    assert "ci-envs lock --upgrade" in caught.value.hint


def test_a_package_that_was_broken_when_it_was_locked(place: Place, channel: Channel) -> None:
    truncate(channel, "tzdata-2025b-h78e105d_0.conda", 300, told=True)
    with pytest.raises(BuildError, match=r"tzdata.* cannot be installed: it cannot be unpacked"):
        place.install(locked(channel))
    assert place.leftovers() == []


def test_a_lock_that_calls_a_package_by_another_name_is_refused(place: Place, channel: Channel) -> None:
    packages = [msgspec.structs.replace(one, version="9.9") if one.name == "tzdata" else one for one in locked(channel)]
    with pytest.raises(BuildError, match="it is tzdata 2025b h78e105d_0, and the lock says otherwise"):
        place.install(packages)


def test_an_md5_is_compared_and_said_to_be_weak(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = [msgspec.structs.replace(one, sha256="") for one in locked(channel, server.url())]
    work = place.install(packages)
    assert [(each.code, each.severity) for each in work.findings] == [("ENV141", "warning")]
    assert "an MD5 alone" in work.findings[0].message
    assert attested(work, packages).matched == tuple(sorted(one.name for one in packages))
    place.install(packages, "second")
    assert len(server.downloads) == len(packages)
    wrong = [msgspec.structs.replace(one, md5="0" * 32) for one in packages]
    with pytest.raises(BuildError, match="md5:00000"):
        place.install(wrong, "third")


def test_without_any_hash_every_install_asks_the_channel(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = [msgspec.structs.replace(one, sha256="", md5="") for one in locked(channel, server.url())]
    work = place.install(packages)
    assert "no hash at all" in work.findings[0].message
    place.install(packages, "second")
    assert len(server.downloads) == 2 * len(packages)


def test_two_packages_of_one_name_are_refused(place: Place, channel: Channel) -> None:
    packages = locked(channel)
    with pytest.raises(BuildError, match="the lock has tzdata twice: 2025b h78e105d_0 and 2024 h78e105d_0"):
        place.install([*packages, msgspec.structs.replace(packages[-1], version="2024")])


def test_a_prefix_that_is_there_is_not_built_over(place: Place, channel: Channel) -> None:
    place.install(locked(channel))
    with pytest.raises(BuildError, match="there is something at"):
        place.install(locked(channel))


# The channel.


def test_a_transfer_that_breaks_off_is_begun_again(place: Place, channel: Channel, server: ChannelServer) -> None:
    rule = server.fail(Fault.short(500), "*/hello-native-*", times=2)
    work = place.install(locked(channel, server.url()))
    assert rule.hits == 2
    assert work.log.read_text().count("broke off, and is asked for again") == 2
    assert attested(work, locked(channel)).altered == ()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.short(500), "did not give"),
        (Fault.reset(500), "did not give"),
        (Fault.status(503), "503 Service Unavailable"),
        (Fault.status(429), "429 Too Many Requests"),
        (Fault.status(403), "refused us hello-native-1.0-h5eee18b_0: .*403 Forbidden"),
        (Fault.status(401), "refused us hello-native-1.0-h5eee18b_0: .*401 Unauthorized"),
        (Fault.redirect_loop(), "did not give"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_a_channel_that_fails_is_broken_and_named(
    place: Place, channel: Channel, server: ChannelServer, fault: Fault, said: str
) -> None:
    server.fail(fault, "*/hello-native-*")
    with pytest.raises(BrokenError, match=said) as caught:
        place.install(locked(channel, server.url()))
    assert "hello-native-1.0-h5eee18b_0" in caught.value.message
    assert place.leftovers() == []


def test_a_channel_that_is_down_is_broken(place: Place, channel: Channel) -> None:
    with pytest.raises(BrokenError, match=r"the channel did not give http://127\.0\.0\.1:9/"):
        place.install(locked(channel, "http://127.0.0.1:9/conda-forge"))


def test_what_was_fetched_before_a_failure_is_kept(place: Place, channel: Channel, server: ChannelServer) -> None:
    server.fail(Fault.gone(), "*/tzdata-*", times=1)
    with pytest.raises(BuildError):
        place.install(locked(channel, server.url()))
    place.install(locked(channel, server.url()))
    assert server.count("*/tzdata-*", status=200) == 1


def offline(work: Work) -> Work:
    work.policy = LockPolicy(mode="frozen", offline=True)
    return work


def test_offline_the_cache_is_enough(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    place.install(packages)
    server.heal()
    work = offline(place.work("second"))
    install(work, packages, frontend=RattlerFrontend())
    assert server.requests == []
    assert attested(work, packages).altered == ()


def test_offline_what_the_cache_lacks_is_named(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    place.install([one for one in packages if one.name != "tzdata"])
    server.heal()
    with pytest.raises(BuildError, match=r"the package cache lacks tzdata-2025b-h78e105d_0$") as caught:
        install(offline(place.work("second")), packages, frontend=RattlerFrontend())
    assert "without --offline" in caught.value.hint
    assert server.requests == []


def test_offline_a_channel_in_a_folder_is_no_network(place: Place, channel: Channel) -> None:
    work = offline(place.work())
    install(work, locked(channel), frontend=RattlerFrontend())
    assert (work.prefix / "bin/hello-native").exists()


def test_a_mirror_and_its_credentials_are_used_and_written_nowhere(
    place: Place, channel: Channel, tmp_path: Path
) -> None:
    own, secret = "https://channel.example/conda-forge", "tk-0123456789"
    packages = locked(channel, own)
    wrong = [msgspec.structs.replace(one, sha256="0" * 64) for one in packages]
    with ChannelServer(channel.folder.parent, token=secret) as server:
        mirror = server.url(credentials=secret)
        work = place.install_in(place.work(), packages, lambda url: url.replace(own, mirror))
        assert len(server.downloads) == len(packages)
        server.fail(Fault.status(500), "*")
        with pytest.raises(BrokenError) as caught:
            place.install_in(place.work("second"), wrong, lambda url: url.replace(own, mirror))
    assert {record.url for record in prefix_records(work.prefix)} == {one.url for one in packages}
    assert "from http://127.0.0.1" in work.log.read_text()
    assert secret not in caught.value.message
    for folder in (work.prefix, work.layout.state, place.cache, tmp_path / "work"):
        held = [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert held == []
