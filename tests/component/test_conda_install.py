"""Prefixes from real packages of a local channel, linked by the embedded front end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import Member, Package, write_package
from tests.support.channel_broken import (
    escaping_package,
    hard_link_package,
    reupload,
    short_placeholder_package,
    symlink_package,
    truncate,
)
from tests.support.channel_forge import packable_interpreters
from tests.support.channel_packages import data_package, stub_package, tool_package
from tests.support.channel_python import python_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_installs import (
    Spec,
    conda_work,
    locked,
    noarch_package,
    script_python,
    start_apart,
    tree_of,
)
from tests.support.faults import Fault

from ci_envs.conda.bytecode import prefix_records
from ci_envs.conda.installing import install, package_cache, plain_download
from ci_envs.conda.package_files import UnfitPackageError, read_package
from ci_envs.conda.package_ledger import Attestation, attest_records
from ci_envs.conda.post_link import run_allowed
from ci_envs.conda.rattler_frontend import RattlerFrontend
from ci_envs.errors import BrokenError, BuildError
from ci_envs.model.config import CondaConfig
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

pytestmark = pytest.mark.component

#: How often an install is killed; the nightly does more.
KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "5"))

#: Installs that begin at once.
AT_ONCE = 16

PACKAGES = (script_python(), noarch_package(), tool_package(), data_package())


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """Not to be changed; :func:`channel` is a copy."""
    return make_channel(tmp_path_factory.mktemp("forge") / "conda-forge", PACKAGES)


@pytest.fixture
def channel(forge: Channel, tmp_path: Path) -> Channel:
    return Channel(Path(shutil.copytree(forge.folder, tmp_path / "channels" / "conda-forge")))


@pytest.fixture
def server(channel: Channel) -> Iterator[ChannelServer]:
    with ChannelServer(channel.folder.parent) as running:
        yield running


@dataclass
class Place:
    """Where a test installs: prefixes of one cache."""

    folder: Path
    cache: Path

    def work(self, name: str = "project", **config: Any) -> Work:
        return conda_work(self.folder / name, self.cache, config=CondaConfig(**config))

    def install(self, packages: Sequence[LockedPackage], name: str = "project", **config: Any) -> Work:
        """As the product does, but for retries, which would make a test of a fault slow."""
        from rattler import Client

        work = self.work(name, **config)
        download = plain_download(work, client=lambda: Client.default_client(max_retries=1))
        front = RattlerFrontend()
        quick = _Quick(front, download)
        install(work, packages, frontend=quick)
        return work

    def leftovers(self) -> list[str]:
        """What the cache should not hold once nobody works in it."""
        return [str(path) for path in self.cache.rglob(".*") if path.suffix in (".part", ".gone")]


@dataclass
class _Quick:
    front: RattlerFrontend
    download: Any
    name: str = "rattler"
    runs_scripts: bool = False

    def install(self, work: Work, packages: Sequence[LockedPackage], _download: object) -> None:
        self.front.install(work, packages, self.download)

    def forget(self, work: Work, packages: Sequence[LockedPackage]) -> None:
        self.front.forget(work, packages)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "work", tmp_path / "cache")


def attested(work: Work, packages: Sequence[LockedPackage]) -> Attestation:
    files = (path for path in work.prefix.rglob("*") if path.is_file() and not path.is_symlink())
    executable = {str(path.relative_to(work.prefix)) for path in files if path.stat().st_mode & 0o100}
    ledger = package_cache(work).ledger
    return attest_records(work.prefix, packages, prefix_records(work.prefix), ledger, executable=executable)


# What comes of it.


def test_a_prefix_is_what_the_packages_hold(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    work = place.install(packages)
    said = subprocess.run([work.prefix / "bin/hello-native"], capture_output=True, text=True, check=True).stdout
    assert said == f"hello from {work.prefix}\n"
    assert f"{work.prefix}/bin/python3.12" in (work.prefix / "bin/spam-run").read_text()
    assert (work.prefix / "lib/python3.12/site-packages/spam/cli.py").is_file()
    assert [path for path in work.prefix.rglob("*.pyc")] == []
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


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
@pytest.mark.parametrize("elsewhere", ["cache", "folder"])
def test_across_file_systems_files_are_copies(place: Place, channel: Channel, elsewhere: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        place = replace(place, **{elsewhere: Path(name) / "there"})
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
    channel = make_channel(tmp_path / "old", [replace(one, suffix=".tar.bz2") for one in PACKAGES])
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
    with pytest.raises(BrokenError, match="the channel did not give http://127.0.0.1:9/"):
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
    with ChannelServer(channel.folder.parent, token=secret) as server:
        mirror = server.url(credentials=secret)
        work = place.work()
        download = plain_download(work, address=lambda url: url.replace(own, mirror))
        RattlerFrontend().install(work, packages, download)
        assert len(server.downloads) == len(packages)
        server.fail(Fault.status(500), "*")
        with pytest.raises(BrokenError) as caught:
            wrong = [msgspec.structs.replace(one, sha256="0" * 64) for one in packages]
            RattlerFrontend().install(place.work("second"), wrong, download)
    assert {record.url for record in prefix_records(work.prefix)} == {one.url for one in packages}
    assert "from http://127.0.0.1" in work.log.read_text()
    assert secret not in caught.value.message
    for folder in (work.prefix, work.layout.state, place.cache, tmp_path / "work"):
        held = [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert held == []


# Packages that reach outside.


def _linked_by_another() -> tuple[Package, ...]:
    """One package makes a link, the next one writes through it."""
    first = replace(data_package("first"), members=(Member(path="out", link="/tmp", mode=0o777),))
    second = replace(data_package("second"), members=(Member(path="out/escaped.txt", data=b"x"),))
    return first, second


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param((escaping_package("../escaped.txt"),), id="dots"),
        pytest.param((escaping_package("../escaping-1.0-0/../../escaped.txt"),), id="dots-to-what-is-there"),
        pytest.param((escaping_package("share/../../escaped.txt", archived=False),), id="dots-told"),
        pytest.param((escaping_package("/tmp/ci-envs-escaped.txt"),), id="absolute"),
        pytest.param((escaping_package("/tmp/ci-envs-escaped.txt", archived=False),), id="absolute-told"),
        pytest.param((escaping_package("conda-meta/other-1.0-0.json"),), id="another-record"),
        pytest.param((symlink_package("/etc"),), id="link"),
        pytest.param((symlink_package("../../.."),), id="relative-link"),
        pytest.param((replace(data_package("l"), members=(Member(path="l", link="/etc/passwd"),)),), id="link-alone"),
        pytest.param((hard_link_package("/etc/hostname"),), id="hard-link"),
        pytest.param((hard_link_package("../../../../escaped.txt"),), id="relative-hard-link"),
        pytest.param(_linked_by_another(), id="link-of-another"),
    ],
)
@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_package_that_reaches_outside_is_refused_and_writes_nothing(
    place: Place, tmp_path: Path, packages: tuple[Package, ...], suffix: Any
) -> None:
    channel = make_channel(tmp_path / "evil", [stub_package("plain", "1.0")])
    for package in packages:
        write_package(channel.folder / package.subdir, replace(package, suffix=suffix))
    told = [_told(channel, replace(package, suffix=suffix)) for package in packages]
    escaped = Path("/tmp/ci-envs-escaped.txt")
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(place.cache)}
    with pytest.raises(BuildError, match="cannot be installed"):
        place.install([*locked(channel), *told])
    after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(place.cache)}
    assert {path for path in after - before if path.is_relative_to(place.work().prefix)} == set()
    assert not [path for path in tmp_path.rglob("escaped.txt")]
    assert not escaped.exists()
    assert place.leftovers() == []


def _told(channel: Channel, package: Package) -> LockedPackage:
    """As a lock names it; an index would refuse some of these."""
    import hashlib

    from ci_envs.model.conda import LockedPackage

    archive = channel.folder / package.subdir / package.filename
    return LockedPackage(
        name=package.name,
        version=package.version,
        build=package.build,
        subdir=package.subdir,
        platform="linux-64",
        url=f"{channel.url}/{package.subdir}/{package.filename}",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )


def test_a_placeholder_without_room_is_told_with_both_lengths(place: Place, tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "short", [short_placeholder_package(24)])
    with pytest.raises(BuildError) as caught:
        place.install(locked(channel))
    prefix = place.work().prefix
    assert f"a name of {len(str(prefix))} bytes, and bin/short-native of short-native has room for 24" in str(
        caught.value
    )
    assert "CI_ENVS_STATE_DIR" in caught.value.hint


def test_python_packages_need_a_python(place: Place, channel: Channel) -> None:
    with pytest.raises(BuildError, match="Python packages, and no python"):
        place.install([one for one in locked(channel) if one.name == "spam"])


# The cache.


def test_many_installs_at_once_fill_one_cache(place: Place, tmp_path: Path) -> None:
    members = tuple(Member(path=f"share/{{}}/{number}", data=os.urandom(20_000)) for number in range(40))
    packages = [
        replace(
            stub_package(f"pkg{number}", "1.0"),
            members=tuple(replace(one, path=one.path.format(number)) for one in members),
        )
        for number in range(10)
    ]
    channel = make_channel(tmp_path / "channels" / "conda-forge", packages)
    with ChannelServer(channel.folder.parent) as server:
        names = locked(channel, server.url())
        specs = [Spec(folder=place.folder / str(n), cache=place.cache, packages=tuple(names)) for n in range(AT_ONCE)]
        running = [start_apart(spec) for spec in specs]
        said = [process.communicate(timeout=300)[0] for process in running]
        assert [process.returncode for process in running] == [0] * AT_ONCE, said
        assert sorted(server.downloads) == sorted(one.url.rpartition("/")[2] for one in names), "each is fetched once"
    trees = [tree_of(conda_work(spec.folder, spec.cache).prefix) for spec in specs]
    assert len(trees[0]) == 400
    assert all(tree == trees[0] for tree in trees)
    assert place.leftovers() == []


def _assert_whole(prefix: Path, packages: Sequence[LockedPackage]) -> None:
    """Every file is what its package says; all packages are there."""
    import hashlib

    records = prefix_records(prefix)
    assert {record.name for record in records} == {one.name for one in packages}
    for record in records:
        for claim in record.claims:
            path = prefix / claim.path
            if claim.kind == "hardlink":
                assert hashlib.sha256(path.read_bytes()).hexdigest() == (claim.installed or claim.sha256), path
            elif claim.kind == "softlink":
                assert path.is_symlink(), path


@pytest.fixture
def heavy(tmp_path: Path) -> Channel:
    """Packages that take a while."""
    noise = random.Random(7)
    members = [Member(path=f"share/heavy/{number}", data=noise.randbytes(200_000)) for number in range(100)]
    packages = [
        replace(
            stub_package(f"heavy{n}", "1.0"), members=tuple(replace(one, path=f"{one.path}-{n}") for one in members)
        )
        for n in range(3)
    ]
    return make_channel(tmp_path / "heavy", packages)


def test_a_killed_install_leaves_nothing_that_is_taken_for_whole(place: Place, heavy: Channel) -> None:
    packages = locked(heavy)
    began = time.monotonic()
    peace = start_apart(Spec(folder=place.folder / "peace", cache=place.folder / "other", packages=tuple(packages)))
    peace.communicate(timeout=120)
    assert peace.returncode == 0
    seconds = time.monotonic() - began
    chance = random.Random(os.environ.get("CI_ENVS_TEST_SEED", "3"))
    for number in range(KILLS):
        spec = Spec(folder=place.folder / str(number), cache=place.cache, packages=tuple(packages))
        process = start_apart(spec)
        time.sleep(seconds * chance.uniform(0.3, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        work = place.work(f"after {number}")
        install(work, packages, frontend=RattlerFrontend())
        _assert_whole(work.prefix, packages)
        assert attested(work, packages).altered == ()
        assert place.leftovers() == []
        if number % 2:  # half of them begin with a cache that has something in it
            shutil.rmtree(place.cache)


def _entry(place: Place, package: LockedPackage) -> Path:
    found = package_cache(place.work()).find(package)
    assert found is not None
    return found.folder


def test_a_cache_that_lost_files_is_filled_again(place: Place, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    tool = next(one for one in packages if one.name == "hello-native")
    place.install(packages)
    for number, lost in enumerate(("share/hello-native/data.txt", "info/index.json")):
        (_entry(place, tool) / lost).unlink()
        work = place.install(packages, str(number))
        assert attested(work, packages).altered == ()
        assert "the package cache was damaged (1 of its packages): once more" in work.log.read_text()
    (_entry(place, tool) / "info/paths.json").unlink()  # rattler then makes do with what older packages have
    assert attested(place.install(packages, "last"), packages).altered == ("hello-native",)


def test_a_link_that_the_cache_lost_is_told_by_the_ledger(place: Place, channel: Channel) -> None:
    """rattler leaves it out without a word, from its record too."""
    packages = locked(channel)
    tool = next(one for one in packages if one.name == "hello-native")
    place.install(packages)
    (_entry(place, tool) / "share/hello-native/link.txt").unlink()
    work = place.install(packages, "second")
    assert attested(work, packages).altered == ("hello-native",)
    RattlerFrontend().forget(work, [tool])
    assert attested(place.install(packages, "third"), packages).altered == ()


def test_a_cache_that_was_altered_with_its_own_list_is_told_by_the_ledger(place: Place, channel: Channel) -> None:
    packages = locked(channel)
    spam = next(one for one in packages if one.name == "spam")
    place.install(packages)
    entry = _entry(place, spam)
    module, listed = entry / "site-packages/spam/cli.py", entry / "info/paths.json"
    told = json.loads(listed.read_text())
    module.write_text("import os\n")
    row = next(row for row in told["paths"] if row["_path"] == "site-packages/spam/cli.py")
    row |= {"sha256": __import__("hashlib").sha256(b"import os\n").hexdigest(), "size_in_bytes": 10}
    listed.write_text(json.dumps(told))
    work = place.install(packages, "second")
    assert attested(work, packages).altered == ("spam",)
    RattlerFrontend().forget(work, [spam])
    again = place.install(packages, "third")
    assert attested(again, packages).altered == ()
    assert (again.prefix / "lib/python3.12/site-packages/spam/cli.py").read_text() == "def main(): ...\n"


def test_an_entry_point_that_was_altered_in_the_cache_is_told_by_the_ledger(place: Place, channel: Channel) -> None:
    packages = locked(channel)
    place.install(packages)
    link = _entry(place, next(one for one in packages if one.name == "spam")) / "info/link.json"
    link.write_text(link.read_text().replace("spam.cli:main.run", "os:abort"))
    assert attested(place.install(packages, "second"), packages).altered == ("spam",)


def test_forgetting_while_others_install_breaks_nobody(place: Place, heavy: Channel) -> None:
    packages = locked(heavy)
    specs = [Spec(folder=place.folder / str(n), cache=place.cache, packages=tuple(packages)) for n in range(4)]
    running = [start_apart(spec) for spec in specs]
    work = place.work("forgetful")
    while any(process.poll() is None for process in running):
        RattlerFrontend().forget(work, packages)
        time.sleep(0.1)
    said = [process.communicate()[0] for process in running]
    for process, spec, text in zip(running, specs, said, strict=True):
        # Whoever was disturbed twice gives up with a message, and never with half an environment.
        assert process.returncode == 0 or "linking the packages failed" in text, text
        if process.returncode == 0:
            _assert_whole(conda_work(spec.folder, spec.cache).prefix, packages)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs")
@pytest.mark.parametrize("full", ["cache", "folder"])
def test_a_full_disk_is_broken_and_leaves_nothing(
    place: Place, heavy: Channel, tmp_path: Path, full: str, request: pytest.FixtureRequest
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=25m", "tmpfs", str(small)], check=False)
    if done.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    request.addfinalizer(lambda: subprocess.run(["umount", str(small)], check=True))
    place = replace(place, **{full: small / "there"})
    with pytest.raises(BrokenError, match="the disk is full"):
        place.install(locked(heavy))
    assert place.leftovers() == []


# What is run.


def _with_script(text: str, name: str = "linker") -> Package:
    script = Member(path=f"bin/.{name}-post-link.sh", data=text.encode(), mode=0o755)
    return replace(stub_package(name, "1.5", "py_3", build_number=3), members=(script,))


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., list[LockedPackage]]:
    def make(text: str) -> list[LockedPackage]:
        return locked(make_channel(tmp_path / "scripted", [_with_script(text)]))

    return make


def test_a_script_that_nobody_allowed_is_not_run_and_named(place: Place, scripted: Callable[..., Any]) -> None:
    packages = scripted('touch "$PREFIX/ran"')
    work = place.install(packages)
    run_allowed(work, packages, ())
    assert not (work.prefix / "ran").exists()
    (finding,) = work.findings
    assert (finding.code, finding.severity) == ("ENV140", "warning")
    assert "post-link-scripts: [linker]" in finding.message


def test_a_script_that_is_allowed_runs_as_conda_would_run_it(place: Place, scripted: Callable[..., Any]) -> None:
    packages = scripted(
        'echo "$PREFIX|$PKG_NAME|$PKG_VERSION|$PKG_BUILDNUM|$PATH|$PWD" > "$PREFIX/ran"; echo told >> "$PREFIX/.messages.txt"'
    )
    work = place.install(packages)
    run_allowed(work, packages, ("linker",))
    prefix, name, version, number, path, folder = (work.prefix / "ran").read_text().strip().split("|")
    assert (prefix, name, version, number) == (str(work.prefix), "linker", "1.5", "3")
    assert path.split(os.pathsep)[0] == folder == str(work.prefix / "bin")
    assert work.findings == []
    assert not (work.prefix / ".messages.txt").exists()
    assert "told" in work.log.read_text()


def test_a_script_that_fails_fails_the_build(place: Place, scripted: Callable[..., Any]) -> None:
    packages = scripted('echo "no license" >> "$PREFIX/.messages.txt"; exit 3')
    work = place.install(packages)
    with pytest.raises(BuildError, match="the post-link script of linker failed: no license"):
        run_allowed(work, packages, ("linker",))


def test_what_a_front_end_ran_though_nobody_allowed_it_fails_the_build(
    place: Place, scripted: Callable[..., Any]
) -> None:
    packages = scripted("true")
    work = place.install(packages)
    run_allowed(work, packages, ("linker",), already=True)
    with pytest.raises(BuildError, match="ran the post-link scripts of linker, which nobody allowed"):
        run_allowed(work, packages, (), already=True)


@pytest.mark.timeout(300)
def test_bytecode_is_made_where_it_is_asked_for(place: Place, tmp_path: Path) -> None:
    (interpreter, *_) = packable_interpreters() or [None]
    if interpreter is None:
        pytest.fail("this test needs an interpreter that can be packed")
    spam = replace(
        noarch_package(), members=(*noarch_package().members, Member(path="site-packages/bad.py", data=b"("))
    )
    channel = make_channel(tmp_path / "real", [python_package(interpreter), spam])
    work = place.install(locked(channel), compile_bytecode=True)
    made = sorted(path.relative_to(work.prefix) for path in work.prefix.rglob("spam/__pycache__/*.pyc"))
    assert [path.name.split(".")[0] for path in made] == ["__init__", "cli"]
    flags = int.from_bytes((work.prefix / made[0]).read_bytes()[4:8], "little")
    assert flags == 0b11, "checked by the source's hash (PEP 552)"
    assert attested(work, locked(channel)).altered == ()
