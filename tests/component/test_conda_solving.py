"""Solves over channels on loopback: what a lock gets, what is kept, and what is said when nothing fits."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support import channel_broken as broken
from tests.support.channel_packages import stub_package, stub_python, variant_packages
from tests.support.channel_server import ChannelServer
from tests.support.conda_solves import LINUX, Solves, dev, versions
from tests.support.faults import Fault

from ci_envs.command import Command, run
from ci_envs.conda.solving import known_to_channels
from ci_envs.conda.virtual import VirtualPackage
from ci_envs.errors import BrokenError, LockError, UsageError
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.component

PYTHONS = (stub_python("3.11.9", "linux-64"), stub_python("3.12.7", "linux-64"))
LIB = (
    stub_package("lib", "1.0", platform="linux-64", depends=("__glibc >=2.17",)),
    stub_package("lib", "2.0", platform="linux-64", depends=("__glibc >=2.34",)),
)
APP = (
    stub_package("app", "1.0", depends=("python >=3.11", "lib <2")),
    stub_package("app", "2.0", depends=("python >=3.12", "lib >=2")),
)
TOOL = stub_package("tool", "1.0", depends=("lib",))


@pytest.fixture(autouse=True)
def no_system_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has in /etc/conda says nothing here."""
    monkeypatch.setattr("ci_envs.conda.condarc.SYSTEM", (tmp_path / "etc", tmp_path / "var"))


@pytest.fixture
def solves(tmp_path: Path) -> Solves:
    made = Solves(tmp_path)
    made.channel("main", *PYTHONS, *LIB, *APP, TOOL, sharded=True)
    return made


@pytest.fixture
def server(solves: Solves) -> Iterator[ChannelServer]:
    with ChannelServer(solves.folder / "channels") as server:
        yield server


# What a lock gets.


def test_each_package_has_its_hashes_its_build_its_needs_and_its_own_address(
    solves: Solves, server: ChannelServer
) -> None:
    url = server.url("main")

    packages = {package.name: package for package in solves.solve(["python 3.12.*", "app"], url)}

    assert versions(packages.values()) == {"app": "1.0", "lib": "1.0", "python": "3.12.7"}
    app = packages["app"]
    assert app.url == f"{url}/noarch/app-1.0-0.conda"
    assert (app.subdir, app.build, app.platform, app.manager) == ("noarch", "0", "linux-64", "conda")
    assert app.depends == ("lib <2", "python >=3.11")
    assert re.fullmatch("[0-9a-f]{32}", app.md5)
    assert re.fullmatch("[0-9a-f]{64}", app.sha256)
    assert solves.said.codes == []


def test_packages_come_by_name_whatever_the_order_of_specs(solves: Solves, server: ChannelServer) -> None:
    url = server.url("main")

    one = solves.solve(["tool", "app", "python 3.12.*"], url)
    other = solves.solve(["python 3.12.*", "app", "tool"], url)

    assert one == other
    assert [package.name for package in one] == ["app", "lib", "python", "tool"]


def test_a_package_has_every_category_that_leads_to_it(solves: Solves, server: ChannelServer) -> None:
    packages = solves.solve(["python 3.12.*", "app", dev("tool")], server.url("main"))

    categories = {package.name: package.categories for package in packages}

    assert categories == {"app": ("main",), "lib": ("main", "dev"), "python": ("main",), "tool": ("dev",)}


def test_a_spec_of_another_platform_is_left_out(solves: Solves, server: ChannelServer) -> None:
    other = msgspec.structs.replace(dev("nowhere"), platforms=("osx-64",))

    assert versions(solves.solve(["tool", other], server.url("main"))) == {"tool": "1.0", "lib": "1.0"}


def test_the_machine_decides_between_builds_and_not_the_one_that_locks(solves: Solves, server: ChannelServer) -> None:
    newer = (*LINUX[:2], VirtualPackage("__glibc", "2.36"))

    assert versions(solves.solve(["lib"], server.url("main"))) == {"lib": "1.0"}
    assert versions(solves.solve(["lib"], server.url("main"), virtual=newer)) == {"lib": "2.0"}


def test_cpu_and_cuda_give_two_locks_of_one_intent(solves: Solves, server: ChannelServer) -> None:
    abi = stub_package("python_abi", "3.12", "8_cp312", constrains=("python 3.12.* *_cpython",))
    solves.channel("gpu", *variant_packages(), *PYTHONS, abi)

    with_cuda = solves.solve(["pytorch"], server.url("gpu"), virtual=(*LINUX, VirtualPackage("__cuda", "12.9")))
    without = solves.solve(["pytorch"], server.url("gpu"))

    builds = [next(p.build for p in packages if p.name == "pytorch") for packages in (with_cuda, without)]
    assert builds[0].startswith("cuda12")
    assert builds[1].startswith("cpu_generic")


@pytest.mark.parametrize(("strategy", "version"), [("highest", "3.12.7"), ("lowest", "3.11.9")])
def test_the_lowest_versions_are_taken_where_a_leg_asks_for_them(
    solves: Solves, server: ChannelServer, strategy: str, version: str
) -> None:
    assert versions(solves.solve(["python"], server.url("main"), resolution=strategy)) == {"python": version}


def test_another_platform_is_locked_from_here(solves: Solves, server: ChannelServer) -> None:
    solves.channel("far", stub_python("3.12.7", "osx-arm64"))

    packages = solves.solve(["python"], server.url("far"), platform="osx-arm64", virtual=())

    assert [package.subdir for package in packages] == ["osx-arm64"]


def test_specs_are_read_as_conda_reads_them(solves: Solves, server: ChannelServer) -> None:
    assert versions(solves.solve(["python=3.11"], server.url("main"))) == {"python": "3.11.9"}
    assert versions(solves.solve(["Python 3.11.9 0_cpython"], server.url("main"))) == {"python": "3.11.9"}
    assert versions(solves.solve(["python=3.11.9=*_cpython"], server.url("main"))) == {"python": "3.11.9"}


# Channels.


def test_a_channel_that_comes_first_hides_those_below_it(solves: Solves, server: ChannelServer) -> None:
    solves.channel("first", stub_package("lib", "9.0"))
    first, main = server.url("first"), server.url("main")

    assert versions(solves.solve(["lib"], first, main)) == {"lib": "9.0"}
    assert versions(solves.solve(["lib"], main, first)) == {"lib": "1.0"}


def test_a_version_that_only_a_hidden_channel_has_is_not_taken(solves: Solves, server: ChannelServer) -> None:
    solves.channel("first", stub_package("lib", "9.0"))
    first, main = server.url("first"), server.url("main")

    with pytest.raises(LockError, match=r"lib <2 \(environment\.yml:3\) is asked for") as caught:
        solves.solve(["lib <2"], first, main)
    assert "channel-priority: flexible" in caught.value.hint
    with pytest.raises(LockError) as caught:
        solves.solve(["app 1.*"], first, main)
    assert "strict channel priority" in caught.value.message
    assert "channel-priority: flexible" in caught.value.hint


def test_flexible_priority_looks_further_and_strict_does_where_the_spec_says_so(
    solves: Solves, server: ChannelServer
) -> None:
    solves.channel("first", stub_package("lib", "9.0"))
    first, main = server.url("first"), server.url("main")
    flexible = Solves(solves.folder, config=CondaConfig(channel_priority="flexible"))

    assert versions(flexible.solve(["lib <2"], first, main)) == {"lib": "1.0"}
    assert versions(flexible.solve(["lib"], first, main)) == {"lib": "9.0"}
    assert versions(solves.solve([f"{main}::lib <2"], first, main)) == {"lib": "1.0"}


def test_a_channel_that_only_a_spec_names_is_taken_in_as_the_last_one(solves: Solves, server: ChannelServer) -> None:
    solves.channel("more", stub_package("extra", "1.0", depends=("lib",)), stub_package("lib", "9.0"))

    packages = solves.solve([f"{server.url('more')}::extra"], server.url("main"))

    assert versions(packages) == {"extra": "1.0", "lib": "1.0"}
    assert packages[0].url.startswith(server.url("more"))


def test_a_channels_name_in_a_spec_is_below_the_users_alias(solves: Solves, server: ChannelServer) -> None:
    solves.channel("first", stub_package("lib", "9.0"))
    solves.condarc(f"channel_alias: {server.root_url}\n")

    packages = solves.solve(["main::lib"], "first", "main")

    assert packages[0].url == f"{server.url('main')}/linux-64/lib-1.0-0.conda"
    assert "LOCK031" in solves.said.codes


def test_the_members_of_a_multichannel_share_a_tier(solves: Solves, server: ChannelServer) -> None:
    solves.channel("first", stub_package("lib", "0.5"))
    solves.condarc(f"default_channels:\n  - {server.url('first')}\n  - {server.url('main')}\n")

    assert versions(solves.solve(["lib"], "defaults")) == {"lib": "1.0"}
    assert versions(solves.solve(["defaults::lib <1"], "defaults")) == {"lib": "0.5"}


def test_no_channel_at_all_is_an_error_that_says_what_to_write(solves: Solves) -> None:
    with pytest.raises(LockError, match="no channel is named") as caught:
        solves.solve(["lib"])
    assert caught.value.hint == "write `channels: [conda-forge]`"
    assert caught.value.file == "environment.yml"


# Repodata.


@pytest.mark.parametrize("kind", ["sharded", "whole"])
def test_the_second_solve_asks_whether_something_changed_and_brings_nothing(
    solves: Solves, server: ChannelServer, kind: str
) -> None:
    if kind == "whole":
        server.fail(Fault.gone(), path="*shards*")
    solves.solve(["app"], server.url("main"))
    server.requests.clear()

    solves.solve(["app"], server.url("main"))

    asked = [request for request in server.requests if request.method == "GET" and request.status != 404]
    assert {request.status for request in asked} == {304}
    assert len(asked) == 2


def test_platforms_of_one_lock_share_what_was_read(solves: Solves, server: ChannelServer) -> None:
    settings = solves.settings()
    solves.solve(["app"], server.url("main"), settings=settings)
    server.requests.clear()

    solves.solve(["app"], server.url("main"), settings=settings)

    assert server.requests == []


def test_offline_takes_what_the_cache_has(solves: Solves, server: ChannelServer) -> None:
    online = solves.solve(["app"], server.url("main"))
    server.requests.clear()

    assert solves.solve(["app"], server.url("main"), offline=True) == online
    assert server.requests == []


def test_offline_without_repodata_says_so(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(BrokenError, match="nothing may be downloaded, and the cache lacks repodata") as caught:
        solves.solve(["app"], server.url("main"), offline=True)
    assert caught.value.hint == "run it once without --offline"


def test_the_names_of_cached_channels_are_known_without_a_request(solves: Solves, server: ChannelServer) -> None:
    request = solves.request(["app"], server.url("main"))
    solves.solve(["app"], server.url("main"))
    server.requests.clear()

    known = known_to_channels(["lib", "requests"], request.channels, "linux-64", request.settings)
    elsewhere = known_to_channels(["tool"], request.channels, "osx-64", request.settings)

    assert known == {"lib"}
    assert elsewhere == {"tool"}  # it is noarch
    assert server.requests == []


def test_names_of_a_channel_that_was_never_read_are_not_known(solves: Solves, server: ChannelServer) -> None:
    request = solves.request(["app"], server.url("main"))

    assert known_to_channels(["lib"], request.channels, "linux-64", request.settings) == frozenset()
    assert known_to_channels(["lib"], request.channels, "linux-64", request.settings, offline=False) == {"lib"}


# Times.


def _at(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)


def test_nothing_is_taken_that_was_made_later(solves: Solves, server: ChannelServer) -> None:
    solves.channel(
        "timed", stub_package("timed", "1.0", timestamp=_at(2020)), stub_package("timed", "2.0", timestamp=_at(2022))
    )
    url = server.url("timed")

    assert versions(solves.solve(["timed"], url)) == {"timed": "2.0"}
    assert versions(solves.solve(["timed"], url, as_of="2021-06-01")) == {"timed": "1.0"}
    assert versions(solves.solve(["timed"], url, as_of="2022-01-01T00:00:00Z")) == {"timed": "2.0"}
    # An hour before midnight there is the second hour of the new year here.
    assert versions(solves.solve(["timed"], url, as_of="2021-12-31T23:00:00-03:00")) == {"timed": "2.0"}
    assert versions(solves.solve(["timed"], url, as_of="2022-01-01T01:00:00+03:00")) == {"timed": "1.0"}


def test_a_package_of_no_known_time_is_not_taken(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("timed", stub_package("timed", "1.0", timestamp=_at(2020)), stub_package("timed", "2.0"))
    channel.tell("timed-2.0-0.conda", timestamp=None)

    assert versions(solves.solve(["timed"], server.url("timed"), as_of="2030-01-01")) == {"timed": "1.0"}


def test_a_date_before_all_packages_is_told(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(LockError, match="cutoff date") as caught:
        solves.solve(["lib"], server.url("main"), as_of="1999-01-01")
    assert caught.value.hint == "nothing is taken that was made after 1999-01-01: take a later date"
    with pytest.raises(UsageError, match="'soon' is no date"):
        solves.solve(["lib"], server.url("main"), as_of="soon")


# What the lock had before.


def test_what_was_locked_is_kept_where_nothing_speaks_against_it(solves: Solves, server: ChannelServer) -> None:
    url = server.url("main")
    before = solves.solve(["tool"], url)
    newer = stub_package("lib", "1.5", platform="linux-64", depends=("__glibc >=2.17",))
    solves.channel("main", *PYTHONS, *LIB, *APP, TOOL, newer, sharded=True)

    assert versions(solves.solve(["tool"], url)) == {"tool": "1.0", "lib": "1.5"}
    assert solves.solve(["tool"], url, kept=before) == before
    assert versions(solves.solve(["tool", "lib >1"], url, kept=before)) == {"tool": "1.0", "lib": "1.5"}
    assert solves.said.codes == []


def test_what_left_the_channel_is_not_locked_again_and_is_named(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("small", stub_package("lib", "1.0"), stub_package("lib", "1.1"))
    before = solves.solve(["lib"], server.url("small"))
    channel.remove("lib-1.1-0.conda")

    assert versions(solves.solve(["lib"], server.url("small"), kept=before)) == {"lib": "1.0"}
    assert solves.said.codes == ["LOCK035"]
    assert "lib 1.1 0 for linux-64 left the channel" in solves.said.findings[0].message


def test_what_was_uploaded_again_is_locked_as_it_is_now_and_named(solves: Solves, server: ChannelServer) -> None:
    package = stub_package("lib", "1.0")
    channel = solves.channel("small", package)
    before = solves.solve(["lib"], server.url("small"))
    broken.reupload(channel, package)

    after = solves.solve(["lib"], server.url("small"), kept=before)

    assert after[0].sha256 != before[0].sha256
    assert solves.said.codes == ["LOCK034"]


def test_a_lock_of_other_channels_is_no_news(solves: Solves, server: ChannelServer) -> None:
    before = solves.solve(["lib"], server.url("main"))
    solves.channel("other", stub_package("lib", "3.0"))

    assert versions(solves.solve(["lib"], server.url("other"), kept=before)) == {"lib": "3.0"}
    assert solves.said.codes == []


# Hashes.


def test_a_missing_hash_is_taken_from_the_file_that_has_the_other(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("small", stub_package("lib", "1.0"))
    whole = solves.solve(["lib"], server.url("small"))
    broken.without_hashes(channel, "lib-1.0-0.conda", "md5")

    assert solves.solve(["lib"], server.url("small")) == whole
    assert server.downloads == ["lib-1.0-0.conda"]
    assert solves.said.codes == []


def test_a_file_without_any_hash_is_locked_as_it_came_and_that_is_said(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("small", stub_package("lib", "1.0"))
    whole = solves.solve(["lib"], server.url("small"))
    broken.without_hashes(channel, "lib-1.0-0.conda", "md5", "sha256")

    assert solves.solve(["lib"], server.url("small")) == whole
    assert solves.said.codes == ["LOCK033"]


def test_a_file_that_is_not_what_the_index_says_is_not_locked(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("small", stub_package("lib", "1.0"))
    broken.wrong_hash(channel, "lib-1.0-0.conda")
    broken.without_hashes(channel, "lib-1.0-0.conda", "md5")

    with pytest.raises(LockError, match=r"lib-1\.0-0\.conda is not the file that the channel's index tells of"):
        solves.solve(["lib"], server.url("small"))


def test_a_file_that_cannot_be_had_for_its_hash_is_told(solves: Solves, server: ChannelServer) -> None:
    channel = solves.channel("small", stub_package("lib", "1.0"), *PYTHONS)
    broken.without_hashes(channel, "lib-1.0-0.conda", "md5")
    server.fail(Fault.status(503), path="*.conda")

    with pytest.raises(BrokenError, match="503"):
        solves.solve(["lib"], server.url("small"))
    with pytest.raises(LockError, match="nothing may be downloaded"):
        solves.solve(["lib"], server.url("small"), offline=True)


# When nothing fits.


def test_a_conflict_is_told_with_the_lines_that_ask_for_it(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(LockError) as caught:
        solves.solve(["python 3.11.*", "app >=2"], server.url("main"), virtual=(VirtualPackage("__glibc", "2.40"),))

    assert caught.value.message.splitlines()[0] == "nothing meets all specs on linux-64:"
    assert "python 3.11.* (environment.yml:3) is asked for" in caught.value.message
    assert "app >=2 (environment.yml:4) is asked for" in caught.value.message or "app 2.0" in caught.value.message
    assert (caught.value.file, caught.value.line) == ("environment.yml", 3)


def test_a_machine_that_is_too_old_is_told_with_what_the_lock_is_made_for(
    solves: Solves, server: ChannelServer
) -> None:
    with pytest.raises(LockError, match=r"__glibc >=2\.34") as caught:
        solves.solve(["python 3.12.*", "app 2.*"], server.url("main"))
    assert "made for a machine with __glibc 2.28" in caught.value.hint


def test_a_long_explanation_is_cut(solves: Solves, server: ChannelServer) -> None:
    needs = tuple(f"part{number} >=2" for number in range(30))
    parts = [stub_package(f"part{number}", "1.0") for number in range(30)]
    wide = [stub_package("wide", f"1.{number}", depends=(needs[number],)) for number in range(30)]
    solves.channel("wide", *parts, *wide)

    with pytest.raises(LockError) as caught:
        solves.solve(["wide"], server.url("wide"))

    told = caught.value.message.splitlines()
    assert len(told) <= 15
    assert all(len(line) <= 160 for line in told)
    assert re.fullmatch(r"\.\.\. and \d+ more lines", told[-1])


def test_an_unknown_name_is_told_with_the_nearest_one(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(LockError, match=r"no package of \S+ is called 'pythn'; did you mean 'python'\?") as caught:
        solves.solve(["app", "pythn"], server.url("main"))
    assert (caught.value.file, caught.value.line) == ("environment.yml", 4)


def test_a_version_that_is_not_there_is_told_with_those_that_are(solves: Solves, server: ChannelServer) -> None:
    solves.channel("many", *(stub_package("many", f"1.{number}") for number in range(12)))

    with pytest.raises(LockError) as caught:
        solves.solve(["many >=2"], server.url("many"))

    assert caught.value.message.endswith("is 'many >=2': there is ..., 1.6, 1.7, 1.8, 1.9, 1.10, 1.11")
    assert caught.value.line == 3


def test_a_package_of_other_platforms_is_told_with_them(solves: Solves, server: ChannelServer) -> None:
    solves.channel("far", stub_package("far", "1.0", platform="win-64"), TOOL)

    with pytest.raises(LockError, match="far is not there for linux-64, only for win-64") as caught:
        solves.solve(["far"], server.url("far"))
    assert "# [win]" in caught.value.hint


def test_a_spec_that_is_none_is_told_with_its_line(solves: Solves, server: ChannelServer) -> None:
    with pytest.raises(LockError, match="'lib >=>1' is no match spec") as caught:
        solves.solve(["app", "lib >=>1"], server.url("main"))
    assert (caught.value.file, caught.value.line) == ("environment.yml", 4)


# When a channel fails.


def test_a_channel_that_is_not_there_is_named_with_the_nearest(solves: Solves, server: ChannelServer) -> None:
    solves.condarc(f"channel_alias: {server.root_url}\n")
    solves.intent("name: conda-forg\nchannels:\n  - main\n  - conda-forg  # all the rest\n")

    with pytest.raises(LockError, match=r"there is no channel conda-forg .*did you mean 'conda-forge'") as caught:
        solves.solve(["lib"], "main", "conda-forg")
    assert (caught.value.file, caught.value.line) == ("environment.yml", 4)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.status(500), "500 Internal Server Error"),
        (Fault.status(503), "503 Service Unavailable"),
        (Fault.status(429), "429 Too Many Requests"),
        (Fault.stall(30), "operation timed out"),
        (Fault.reset(), ""),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_channel_that_is_down_is_broken_and_named(
    solves: Solves, server: ChannelServer, fault: Fault, said: str
) -> None:
    server.fail(fault, path="/main/linux-64/*")
    solves.answer_seconds = 1

    with pytest.raises(BrokenError, match=re.escape(f"the channel {server.url('main')} did not answer")) as caught:
        solves.solve(["lib"], server.url("main"))
    assert said in caught.value.message


def test_a_fault_that_passes_is_not_seen(solves: Solves, server: ChannelServer) -> None:
    server.fail(Fault.status(503), times=1)
    solves.retries = 2

    assert versions(solves.solve(["lib"], server.url("main"))) == {"lib": "1.0"}


def test_a_channel_nobody_listens_for_is_broken(solves: Solves, server: ChannelServer) -> None:
    url = server.url("main")
    server.stop()

    with pytest.raises(BrokenError, match="Connection refused"):
        solves.solve(["lib"], url)


@pytest.mark.parametrize("path", ["/main/*/repodata_shards*", "/main/*/repodata.json*"])
def test_repodata_that_is_none_is_broken_and_the_channel_is_named(
    solves: Solves, server: ChannelServer, path: str
) -> None:
    solves.channel("fine", stub_package("fine", "1.0"))
    if "shards" not in path:
        server.fail(Fault.gone(), path="*shards*")
    server.fail(Fault.web_page(), path=path)

    with pytest.raises(BrokenError, match=f"the repodata of {server.url('main')} cannot be read"):
        solves.solve(["lib"], server.url("fine"), server.url("main"))


def test_a_refusal_says_how_credentials_are_given(solves: Solves) -> None:
    with (
        ChannelServer(solves.folder / "channels", user="me", password="geheim") as server,
        pytest.raises(BrokenError, match=r"the channel \S+ refused us: .*401 Unauthorized") as caught,
    ):
        solves.solve(["lib"], server.url("main"))
    assert "RATTLER_AUTH_FILE" in caught.value.hint


@pytest.mark.parametrize("spec", ["lib >=99", "nosuch", "lib[version='1.0", "lib >=2,<1"])
def test_no_message_holds_the_password_of_a_channel_in_a_spec(solves: Solves, spec: str) -> None:
    with ChannelServer(solves.folder / "channels", user="me", password="geheim") as server:
        address = server.url("main").replace("://", "://me:geheim@")
        with pytest.raises((LockError, UsageError, BrokenError)) as caught:
            solves.solve([f"{address}::{spec}"], address)
    assert "geheim" not in f"{caught.value} {caught.value.hint}"


def test_a_folder_that_is_no_channel_is_told(solves: Solves) -> None:
    (solves.folder / "empty").mkdir()

    with pytest.raises(LockError, match=r"there is no channel file://\S*/empty: it has no noarch/repodata\.json"):
        solves.solve(["lib"], f"file://{solves.folder}/empty")


def test_a_cache_that_cannot_be_written_is_broken(solves: Solves, server: ChannelServer) -> None:
    (solves.folder / "cache").write_text("a file")

    with pytest.raises(BrokenError, match="cache folder"):
        solves.solve(["lib"], server.url("main"))


@pytest.mark.skipif(sys.platform != "linux", reason="mounts tmpfs")
def test_a_full_disk_is_broken_and_leaves_nothing_that_is_taken_for_repodata(
    solves: Solves, server: ChannelServer, tmp_path: Path
) -> None:
    many = (stub_package(f"part{number}", "1.0", depends=(f"{'x' * 300} >1",)) for number in range(300))
    solves.channel("large", *many, stub_package("lib", "1.0", platform="linux-64"))
    disk = tmp_path / "small"
    disk.mkdir()
    mounting = Command(argv=("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)))
    if not run(mounting):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        settings = solves.settings(cache=disk / "conda")
        with pytest.raises(BrokenError, match="the disk is full"):
            solves.solve(["lib"], server.url("large"), settings=settings)
        assert run(Command(argv=("mount", "-o", "remount,size=16m", str(disk))))
        assert versions(solves.solve(["lib"], server.url("large"), settings=solves.settings(cache=disk / "conda"))) == {
            "lib": "1.0"
        }
    finally:
        run(Command(argv=("umount", "--lazy", str(disk))))


def test_findings_of_channels_go_with_the_solve(solves: Solves) -> None:
    channel = solves.channel("folder", stub_package("lib", "1.0"))

    packages = solves.solve(["lib"], channel.url)

    assert packages[0].url == f"{channel.url}/noarch/lib-1.0-0.conda"
    assert solves.said.codes == ["LOCK030"]


def test_a_request_can_be_given_again(solves: Solves, server: ChannelServer) -> None:
    request = solves.request(["lib"], server.url("main"))

    assert replace(request, platform="linux-aarch64").channels == request.channels
