"""One cache for everybody: many at once, killed, altered, full."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import Member
from tests.support.channel_packages import stub_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_installs import Place, Spec, assert_whole, attested, conda_work, locked, start_apart, tree_of

from ci_envs.conda.installing import install, package_cache
from ci_envs.conda.rattler_frontend import RattlerFrontend
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.conda import LockedPackage

pytestmark = pytest.mark.component
pytest_plugins = ("tests.component.conda_places",)

#: How often an install is killed; the nightly does more.
KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "5"))

#: Installs that begin at once.
AT_ONCE = 16


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


@pytest.fixture
def heavy(tmp_path: Path) -> Channel:
    """Packages that take a while."""
    noise = random.Random(7)  # noqa: S311 - bytes that do not compress
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
    chance = random.Random(os.environ.get("CI_ENVS_TEST_SEED", "3"))  # noqa: S311 - moments, no secret
    for number in range(KILLS):
        spec = Spec(folder=place.folder / str(number), cache=place.cache, packages=tuple(packages))
        process = start_apart(spec)
        time.sleep(seconds * chance.uniform(0.3, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        work = place.work(f"after {number}")
        install(work, packages, frontend=RattlerFrontend())
        assert_whole(work.prefix, packages)
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
    (_entry(place, tool) / "info/paths.json").write_text("{")
    assert attested(place.install(packages, "garbage"), packages).altered == ()
    assert not [path for path in place.cache.glob("conda/views/*/*-*-*") if path.is_dir() and not path.is_symlink()]
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
    row |= {"sha256": hashlib.sha256(b"import os\n").hexdigest(), "size_in_bytes": 10}
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
            assert_whole(conda_work(spec.folder, spec.cache).prefix, packages)


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
    setattr(place, full, small / "there")
    with pytest.raises(BrokenError, match="the disk is full"):
        place.install(locked(heavy))
    assert place.leftovers() == []
