"""One suite for every front end: the embedded one, and stand-ins for the three tools that this machine has not.

A stand-in proves that we call as the tools' sources ask, and read what they say; not that a tool does what its
sources say. ``docs/patterns/conda.md`` tells what was never seen with the real ones.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_broken import reupload, short_placeholder_package
from tests.support.channel_packages import post_link_package, tool_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_installs import (
    Place,
    Spec,
    assert_whole,
    attested,
    locked,
    start_apart,
    tree_of,
)
from tests.support.faults import Fault
from tests.support.stand_in_conda import Behaviour, calls, stand_in

from ci_envs.conda.bytecode import prefix_records
from ci_envs.conda.channels import channel_settings
from ci_envs.conda.installing import install
from ci_envs.conda.post_link import run_allowed
from ci_envs.errors import BrokenError, BuildError, ToolMissing
from ci_envs.model.config import CondaConfig
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

pytestmark = pytest.mark.component
pytest_plugins = ("tests.component.conda_places",)

FRONTENDS = ("rattler", "micromamba", "mamba", "conda")

KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "2"))


@dataclass
class Bench(Place):
    """A place whose front end may be a stand-in."""

    bin: Path = field(default_factory=Path)

    def stand_in(self, **behaviour: Any) -> None:
        """Has the tool be like that; the embedded front end is as it is."""
        if self.frontend != "rattler":
            stand_in(self.bin, self.frontend, Behaviour(**behaviour))

    def spec(self, name: str, packages: Sequence[LockedPackage]) -> Spec:
        """The same install for a process of its own."""
        return Spec(
            folder=self.folder / name,
            cache=self.cache,
            packages=tuple(packages),
            frontend=self.frontend,
            path=self.path,
            home=self.home,
        )

    @property
    def calls(self) -> list[dict[str, Any]]:
        return calls(self.bin, self.frontend)


def make_bench(tmp_path: Path, frontend: str) -> Bench:
    home = tmp_path / "user's home"
    home.mkdir()
    bench = Bench(tmp_path / "work", tmp_path / "cache", frontend=frontend, home=str(home), bin=tmp_path / "bin")
    bench.bin.mkdir()
    bench.path = os.pathsep.join((str(bench.bin), os.defpath))
    bench.stand_in()
    return bench


@pytest.fixture(params=FRONTENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return make_bench(tmp_path, request.param)


@pytest.fixture(params=FRONTENDS[1:])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return make_bench(tmp_path, request.param)


@pytest.fixture(scope="session")
def expected(small_forge: Channel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, bool]]:
    """What the embedded front end makes of the small channel."""
    folder = tmp_path_factory.mktemp("expected")
    return tree_of(Place(folder / "work", folder / "cache").install(locked(small_forge)).prefix)


def offline(work: Work) -> Work:
    work.policy = LockPolicy(mode="frozen", offline=True)
    return work


# The conformance suite.


def test_every_front_end_makes_the_same_tree(
    bench: Bench, channel: Channel, server: ChannelServer, expected: dict[str, tuple[str, str, bool]]
) -> None:
    packages = locked(channel, server.url())
    work = bench.install(packages)
    assert tree_of(work.prefix) == expected
    said = subprocess.run([work.prefix / "bin/hello-native"], capture_output=True, text=True, check=True).stdout
    assert said == f"hello from {work.prefix}\n"


def test_the_records_name_the_locks_own_addresses_and_hashes(
    bench: Bench, channel: Channel, server: ChannelServer
) -> None:
    own, mirror = "https://channel.example/conda-forge", server.url()
    packages = locked(channel, own)
    work = bench.install_in(bench.work(), packages, lambda url: url.replace(own, mirror))
    told = {
        record.name: (record.version, record.build, record.url, record.sha256) for record in prefix_records(work.prefix)
    }
    assert told == {one.name: (one.version, one.build, one.url, one.sha256) for one in packages}
    assert {record.channel for record in prefix_records(work.prefix)} == {own}


def test_what_was_installed_is_attested(bench: Bench, channel: Channel) -> None:
    packages = locked(channel)
    work = bench.install(packages)
    names = tuple(sorted(one.name for one in packages))
    first = attested(work, packages, trust_first=True)
    assert (first.matched or first.learned) == names
    assert attested(bench.install(packages, "second"), packages).matched == names


def test_front_ends_agree_on_what_a_package_holds(bench: Bench, channel: Channel, tmp_path: Path) -> None:
    """What the embedded one has read when it unpacked a package is what a tool's records say."""
    packages = locked(channel)
    Place(tmp_path / "other", bench.cache).install(packages)
    assert attested(bench.install(packages), packages).matched == tuple(sorted(one.name for one in packages))


def test_another_file_is_refused_with_both_hashes(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    reupload(channel, tool_package())
    now = next(one for one in locked(channel) if one.name == "hello-native")
    with pytest.raises(BuildError, match="the channel gave another file than the one that the lock names") as caught:
        bench.install(packages)
    package = next(one for one in packages if one.name == "hello-native")
    assert all(word in caught.value.message for word in (package.url, package.sha256, now.sha256))
    assert caught.value.hint.startswith("find out why before you lock again; ci-envs lock --upgrade")


def test_a_package_that_is_gone_is_named(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    channel.archive("tzdata-2025b-h78e105d_0.conda").unlink()
    with pytest.raises(BuildError, match="names tzdata-2025b-h78e105d_0, which the channel no longer has") as caught:
        bench.install(packages)
    assert "ci-envs lock --upgrade" in caught.value.hint


def test_a_channel_that_is_down_is_broken(bench: Bench, channel: Channel) -> None:
    with pytest.raises(BrokenError, match=r"the channel did not give http://127\.0\.0\.1:9/"):
        bench.install(locked(channel, "http://127.0.0.1:9/conda-forge"))


def test_a_channel_that_refuses_us_is_broken(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    server.fail(Fault.status(403), "*/tzdata-*")
    with pytest.raises(BrokenError, match="the channel refused us tzdata-2025b-h78e105d_0"):
        bench.install(locked(channel, server.url()))


def test_offline_the_cache_is_enough(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    first = bench.install(packages)
    server.heal()
    second = bench.install_in(offline(bench.work("second")), packages)
    assert server.requests == []
    assert tree_of(second.prefix) == tree_of(first.prefix)


def test_offline_what_is_missing_is_named(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    bench.install([one for one in packages if one.name != "tzdata"])
    server.heal()
    with pytest.raises(BuildError, match=r"the package cache lacks tzdata-2025b-h78e105d_0$"):
        bench.install_in(offline(bench.work("second")), packages)
    assert server.requests == []


def test_a_forgotten_package_is_downloaded_anew(bench: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    work = bench.install(packages)
    server.heal()
    bench.front(work).forget(work, [one for one in packages if one.name == "tzdata"])
    bench.install(packages, "second")
    assert server.downloads == ["tzdata-2025b-h78e105d_0.conda"]


@pytest.mark.parametrize("name", ["with blanks in it", "l" * 120])
def test_a_prefix_may_have_blanks_and_a_long_name(bench: Bench, channel: Channel, name: str) -> None:
    work = bench.install(locked(channel), name)
    said = subprocess.run([work.prefix / "bin/spam-run", "a"], capture_output=True, text=True, check=True).stdout
    assert said == f"{work.prefix}/bin/spam-run a\n"
    assert attested(work, locked(channel), trust_first=True).altered == ()


def test_a_placeholder_without_room_is_told_with_both_lengths(bench: Bench, tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "short", [short_placeholder_package(24)])
    with pytest.raises(BuildError, match="has room for 24") as caught:
        bench.install(locked(channel))
    assert f"a name of {len(str(bench.work().prefix))} bytes" in caught.value.message
    assert "CI_ENVS_STATE_DIR" in caught.value.hint


def test_bytecode_of_noarch_packages_is_not_there(bench: Bench, channel: Channel) -> None:
    work = bench.install(locked(channel))
    assert list(work.prefix.rglob("__pycache__")) == []


def test_an_md5_is_compared_where_the_lock_has_nothing_better(
    bench: Bench, channel: Channel, server: ChannelServer
) -> None:
    packages = [msgspec.structs.replace(one, sha256="") for one in locked(channel, server.url())]
    work = bench.install(packages)
    assert [finding.code for finding in work.findings] == ["ENV141"]
    reupload(channel, tool_package())
    bench.front(work).forget(work, packages)
    with pytest.raises(BuildError, match="md5:"):
        bench.install(packages, "second")


def test_a_tools_own_name_and_version_are_recorded(bench: Bench, channel: Channel) -> None:
    work = bench.install(locked(channel))
    assert list(work.tools) == [bench.frontend]
    assert work.tools[bench.frontend]


def test_the_users_settings_and_home_are_left_alone(bench: Bench, channel: Channel) -> None:
    """Their rc files would make the stand-ins fail; what they write they would write into the home."""
    home = bench.home
    for name in (".condarc", ".mambarc", ".config/conda/condarc", ".conda/environments.txt", ".netrc", ".bashrc"):
        path = Path(home) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("channels: [evil]\n")
    before = {path: path.read_bytes() for path in Path(home).rglob("*") if path.is_file()}
    work = bench.work()
    bent = {
        "CONDA_CHANNELS": "evil",
        "CONDA_PREFIX": "/elsewhere",
        "MAMBA_PLATFORM": "win-64",
        "XDG_CONFIG_HOME": f"{home}/.config",
    }
    work.environ = {**work.environ, **bent}
    bench.install_in(work, locked(channel))
    assert {path: path.read_bytes() for path in Path(home).rglob("*") if path.is_file()} == before


def test_an_install_that_was_killed_is_begun_anew(bench: Bench, channel: Channel) -> None:
    packages = locked(channel)
    chance = random.Random(os.environ.get("CI_ENVS_TEST_SEED", "5"))  # noqa: S311 - moments, no secret
    for number in range(KILLS):
        process = start_apart(bench.spec(str(number), packages))
        time.sleep(chance.uniform(0.5, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        work = bench.install(packages, f"after {number}")
        assert_whole(work.prefix, packages)
        assert attested(work, packages, trust_first=True).altered == ()


def test_mirrors_and_logins_of_the_settings_are_used_and_written_nowhere(
    bench: Bench, channel: Channel, tmp_path: Path
) -> None:
    own, password = "https://channel.example/conda-forge", "pw-0123456789"
    packages = locked(channel, own)
    with ChannelServer(channel.folder.parent, user="me", password=password) as server:
        config = CondaConfig(mirrors={own: (server.url(credentials=f"me:{password}"),)})
        work = bench.work()
        settings = channel_settings(work.environ, config, home=Path(bench.home))
        install(work, packages, frontend=bench.front(work), settings=settings)
        assert sorted(server.downloads) == sorted(one.url.rpartition("/")[2] for one in packages)
    assert {record.url for record in prefix_records(work.prefix)} == {one.url for one in packages}
    held = [path for path in tmp_path.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert held in ([], [bench.bin / f"{bench.frontend}.calls"]), "the stand-in alone keeps what it was told"


def test_a_channel_inside_the_project_is_named_relative_to_it(bench: Bench, channel: Channel) -> None:
    work = bench.work()
    inside = Channel(Path(shutil.copytree(channel.folder, work.project.root / "channel")))
    packages = locked(inside, "./channel")
    settings = channel_settings(work.environ, CondaConfig(), home=Path(bench.home), root=work.project.root)
    install(offline(work), packages, frontend=bench.front(work), settings=settings)
    assert {record.channel for record in prefix_records(work.prefix)} == {inside.url}


# What only tools do.


def test_a_tool_is_told_what_to_install_and_nothing_else(tool: Bench, channel: Channel, server: ChannelServer) -> None:
    packages = locked(channel, server.url())
    work = tool.install(packages)
    (call,) = tool.calls
    assert call["explicit"].splitlines()[:2] == ["# platform: linux-64", "@EXPLICIT"]
    assert sorted(call["explicit"].splitlines()[2:]) == sorted(f"{one.url}#sha256:{one.sha256}" for one in packages)
    order = call["explicit"].index
    assert order("/python-") < order("/spam-"), "what others need comes first"
    assert call["argv"][:4] == ["create", "--yes", "--prefix", str(work.prefix)]
    assert call["env"]["CONDA_PKGS_DIRS"] == str(tool.cache / "conda" / f"pkgs-{tool.frontend}")
    assert call["env"]["HOME"] != tool.home
    assert not [name for name in call["env"] if name.startswith(("PIP_INDEX", "UV_INDEX"))]
    if tool.frontend == "conda":
        assert {"--json", "--no-default-packages"} <= set(call["argv"])
        assert call["env"]["CONDA_REGISTER_ENVS"] == "false"
        assert call["env"]["CONDA_SAFETY_CHECKS"] == "enabled"
    else:
        assert {"--no-rc", "--no-pyc", "--safety-checks", "--skip-run-link-scripts"} <= set(call["argv"])
        assert call["env"]["MAMBA_ROOT_PREFIX"].startswith(str(tool.cache))


def test_a_tool_finds_the_users_credentials_and_nothing_else_of_theirs(tool: Bench, channel: Channel) -> None:
    home = Path(tool.home)
    (home / ".netrc").write_text("machine channel.example login me password secret\n")
    (home / ".mamba/auth").mkdir(parents=True)
    (home / ".mamba/auth/authentication.json").write_text("{}")
    (home / ".condarc").write_text("channels: [evil]\n")
    tool.install(locked(channel))
    assert tool.calls[0]["home"] == [".mamba", ".mamba/auth", ".netrc"]


def test_a_token_reaches_the_tool_and_no_log(tool: Bench, channel: Channel) -> None:
    own, secret = "https://channel.example/conda-forge", "tk-0123456789"
    packages = locked(channel, own)
    with ChannelServer(channel.folder.parent, token=secret) as server:
        mirror = server.url(credentials=secret)
        tool.install_in(tool.work(), packages, lambda url: url.replace(own, mirror))
        assert len(server.downloads) == len(packages)
        server.fail(Fault.status(500), "*")
        shutil.rmtree(tool.cache)
        with pytest.raises(BrokenError) as caught:
            tool.install_in(tool.work("second"), packages, lambda url: url.replace(own, mirror))
    assert secret in tool.calls[0]["explicit"]
    assert secret not in str(caught.value)
    files = (path for folder in (tool.folder, tool.cache) for path in folder.rglob("*") if path.is_file())
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(("name", "old"), [("conda", "24.7.1"), ("mamba", "1.5.8"), ("micromamba", "2.0.5")])
def test_a_tool_that_would_not_check_hashes_is_refused(tmp_path: Path, channel: Channel, name: str, old: str) -> None:
    tool = make_bench(tmp_path, name)
    tool.stand_in(version=old)
    with pytest.raises(ToolMissing, match=f"{name} {old} does not check the SHA-256") as caught:
        tool.install(locked(channel))
    assert "frontend: rattler" in caught.value.hint
    assert tool.calls == []


def test_a_tool_that_is_ended_in_its_middle_fails_the_build(tool: Bench, channel: Channel) -> None:
    tool.stand_in(dies=True)
    with pytest.raises(BuildError, match="linking the packages failed"):
        tool.install(locked(channel))


@pytest.mark.parametrize("frontend", ["mamba", "micromamba"])
def test_scripts_are_left_to_us_where_the_tool_can_be_told(tmp_path: Path, frontend: str) -> None:
    tool = make_bench(tmp_path, frontend)
    packages = locked(make_channel(tmp_path / "scripted", [post_link_package()]))
    work = tool.install(packages)
    assert not tool.front(work).runs_scripts
    assert not (work.prefix / "share/linker/linked.txt").exists()
    run_allowed(work, packages, ("linker",), already=tool.front(work).runs_scripts)
    assert (work.prefix / "share/linker/linked.txt").read_text() == "linker 1.0\n"


@pytest.mark.parametrize("frontend", FRONTENDS[1:])
def test_a_tool_that_runs_scripts_anyway_may_only_where_they_are_allowed(tmp_path: Path, frontend: str) -> None:
    tool = make_bench(tmp_path, frontend)
    tool.stand_in(skips_scripts=False)
    packages = locked(make_channel(tmp_path / "scripted", [post_link_package()]))
    work = tool.install(packages)
    assert tool.front(work).runs_scripts
    run_allowed(work, packages, ("linker",), already=True)
    with pytest.raises(BuildError, match="ran the post-link scripts of linker, which nobody allowed"):
        run_allowed(work, packages, (), already=True)


def test_the_stand_in_knows_only_the_words_of_its_tool(tmp_path: Path) -> None:
    """A flag of another tool, or none of any, must not go through by kindness."""
    for name, wrong in (("conda", "--no-rc"), ("mamba", "--no-default-packages"), ("micromamba", "--copy-all")):
        program = stand_in(tmp_path, name)
        words = [str(program), "create", "--prefix", "p", "--file", "f", wrong]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done
        assert "unrecognized arguments" in done.stderr
