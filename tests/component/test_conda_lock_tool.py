"""The real conda-lock, which lets a stand-in for conda, mamba and micromamba solve over channels on loopback."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.program import alive, descendants, ended, tidy, wait_for
from tests.component.running import run_verb, snapshot
from tests.support.channel_packages import stub_package, stub_python, variant_packages
from tests.support.channel_server import ChannelServer
from tests.support.conda_solves import LINUX, Solves, dev, versions
from tests.support.faults import Fault, refused_url
from tests.support.stand_in_solver import Behaviour, solver, solves
from tests.support.work import a_leg, a_work

from ci_envs.conda import conda_lock_tool
from ci_envs.conda.conda_lock_tool import solve_with_conda_lock
from ci_envs.conda.solving import solve
from ci_envs.conda.virtual import VirtualPackage
from ci_envs.errors import BrokenError, LockError, ToolMissing, UsageError
from ci_envs.model.config import CondaConfig, Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.conda.solving import SolveRequest
    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

pytestmark = pytest.mark.component

TOOLS = ("micromamba", "mamba", "conda")
SECRET = "geheim-4711"
OFFICIAL = "https://conda.invalid/official"

PACKAGES = (
    stub_python("3.12.1", "linux-64"),
    stub_python("3.12.7", "linux-64"),
    stub_python("3.12.7", "osx-arm64"),
    stub_package("lib", "1.0", platform="linux-64", depends=("__glibc >=2.17",)),
    stub_package("lib", "2.0", platform="linux-64", depends=("__glibc >=2.34",)),
    stub_package("lib", "1.5", platform="osx-arm64"),
    stub_package("app", "1.0", depends=("python >=3.11", "lib <2", "lib >=0.5")),
    stub_package("app", "2.0", depends=("python >=3.12", "lib >=2")),
    stub_package("tool", "1.0", depends=("lib",)),
)


@dataclass
class Place:
    """A person with channels, and one program that solves."""

    solves: Solves
    tool: str = "micromamba"
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return self.solves.folder / "bin"

    @property
    def environ(self) -> dict[str, str]:
        path = f"{self.bin}:{os.defpath}"
        cache = str(self.solves.folder / "cache")
        return {"PATH": path, "HOME": str(self.solves.home), "CI_ENVS_CACHE_DIR": cache, **self.solves.variables}

    def work(self, **facts: Any) -> Work:
        folder = self.solves.folder / "project"
        folder.mkdir(exist_ok=True)
        config = Config(conda=CondaConfig(locker="conda-lock", **self.config))
        leg = a_leg(**{"pattern": "conda", **facts})
        return a_work(folder, leg=leg, environ=self.environ, config=config, stage="lock")

    def behaves(self, **behaviour: Any) -> None:
        solver(self.bin, self.tool, Behaviour(**behaviour))

    def lock(self, *requests: SolveRequest, work: Work | None = None) -> dict[str, tuple[LockedPackage, ...]]:
        return solve_with_conda_lock(requests, work or self.work())

    @property
    def asked(self) -> list[dict[str, Any]]:
        return solves(self.bin, self.tool)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(Solves(tmp_path))
    made.solves.channel("main", *PACKAGES)
    made.behaves()
    return made


@pytest.fixture
def server(place: Place) -> Iterator[ChannelServer]:
    with ChannelServer(place.solves.folder / "channels") as server:
        yield server


@pytest.fixture(params=TOOLS)
def each(request: pytest.FixtureRequest, place: Place) -> Place:
    """The place with each of the programs."""
    (place.bin / place.tool).unlink()
    place.tool = request.param
    place.behaves()
    return place


def mac(place: Place, *specs: Any, url: str) -> SolveRequest:
    virtual = (VirtualPackage("__unix", "0"), VirtualPackage("__osx", "11.0"))
    return place.solves.request(specs, url, platform="osx-arm64", virtual=virtual)


# What comes of it.


def test_two_platforms_get_what_our_own_solve_gives_them(each: Place, server: ChannelServer) -> None:
    url = server.url("main")
    specs: list[Any] = ["python 3.12.*", "app", dev("tool")]
    requests = (each.solves.request(specs, url), mac(each, *specs, url=url))

    found = each.lock(*requests)

    assert found == {request.platform: solve(request) for request in requests}
    assert {platform: versions(packages)["lib"] for platform, packages in found.items()} == {
        "linux-64": "1.0",
        "osx-arm64": "1.5",
    }
    assert [one["platform"] for one in each.asked] == ["linux-64", "osx-arm64"]


def test_it_is_told_which_versions_it_ran_with(each: Place, server: ChannelServer) -> None:
    work = each.work()

    each.lock(each.solves.request(["lib", "python"], server.url("main")), work=work)

    assert set(work.tools) == {"conda-lock", each.tool}
    assert work.tools[each.tool] in ("2.8.0", "26.7.0")


def test_packages_that_lie_in_the_tools_cache_are_locked_too(each: Place, server: ChannelServer) -> None:
    request = each.solves.request(["app", "python 3.12.*"], server.url("main"))
    each.behaves(cached=("lib", "python"))

    assert each.lock(request)["linux-64"] == solve(request)


def test_the_machine_that_locks_has_no_say(place: Place, server: ChannelServer) -> None:
    newer = (*LINUX[:2], VirtualPackage("__glibc", "2.36"), VirtualPackage("__archspec", "1", "x86_64_v3"))

    found = place.lock(place.solves.request(["lib", "python"], server.url("main"), virtual=newer))

    assert versions(found["linux-64"])["lib"] == "2.0"
    assert place.asked[0]["virtual"] == {
        "__unix": "0",
        "__linux": "5.10",
        "__glibc": "2.36",
        "__archspec": "x86_64_v3",
    }


def test_cpu_and_cuda_give_two_locks_of_one_intent(place: Place, server: ChannelServer) -> None:
    abi = stub_package("python_abi", "3.12", "8_cp312", constrains=("python 3.12.* *_cpython",))
    place.solves.channel("gpu", *variant_packages(), *PACKAGES[:3], abi)
    url = server.url("gpu")
    cpu = place.solves.request(["pytorch"], url)
    cuda = place.solves.request(["pytorch"], url, virtual=(*LINUX, VirtualPackage("__cuda", "12.9")))

    found = [place.lock(request)["linux-64"] for request in (cpu, cuda)]

    builds = [next(p.build for p in packages if p.name == "pytorch") for packages in found]
    assert builds[0].startswith("cpu_generic")
    assert builds[1].startswith("cuda12")
    assert found == [solve(cpu), solve(cuda)]
    assert ["__cuda" in one["virtual"] for one in place.asked] == [False, True]


def test_all_that_is_asked_of_a_name_holds(place: Place, server: ChannelServer) -> None:
    # conda-lock itself takes the last of several specs of a name, and forgets the others.
    request = place.solves.request(["python <3.12.5|>=4", "lib", "python 3.12.*"], server.url("main"))

    assert versions(place.lock(request)["linux-64"])["python"] == "3.12.1"
    assert place.asked[0]["specs"] == ["lib", "python <3.12.5,3.12.*|>=4,3.12.*"]


def test_a_channel_that_a_spec_names_is_taken_and_no_other_of_its_name(place: Place, server: ChannelServer) -> None:
    place.solves.channel("more", stub_package("lib", "0.7", platform="linux-64"), stub_package("app", "9.0"))
    request = place.solves.request([f"{server.url('more')}::lib", "app <9", "python"], server.url("main"))

    found = place.lock(request)["linux-64"]

    assert found == solve(request)
    assert versions(found)["lib"] == "0.7"
    assert place.asked[0]["specs"][1] == "more::lib"


def test_a_channel_that_comes_first_hides_those_below_it(place: Place, server: ChannelServer) -> None:
    place.solves.channel("first", stub_package("lib", "9.0", platform="linux-64"))
    request = place.solves.request(["lib", "python"], server.url("first"), server.url("main"))

    assert place.lock(request)["linux-64"] == solve(request)
    assert place.asked[0]["condarc"]["channel_priority"] == "strict"


def test_folders_are_channels_also_without_a_network(place: Place) -> None:
    folder = (place.solves.folder / "channels" / "main").as_uri()
    request = place.solves.request(["lib", "python"], folder, offline=True)

    assert place.lock(request)["linux-64"] == solve(request)
    assert place.asked[0]["condarc"]["offline"] is True


# Hashes.


@pytest.mark.parametrize("without", [("sha256",), ("md5",), ("md5", "sha256")])
def test_a_hash_that_the_tool_leaves_out_comes_from_the_channels_index(
    place: Place, server: ChannelServer, without: tuple[str, ...]
) -> None:
    request = place.solves.request(["app", "python 3.12.*"], server.url("main"))
    place.behaves(without=without)

    assert place.lock(request)["linux-64"] == solve(request)


def test_a_channel_that_only_the_tool_can_read_leaves_what_the_tool_has_said(
    place: Place, server: ChannelServer
) -> None:
    nowhere = refused_url().removesuffix("/simple/")
    settings = place.solves.settings(proxies={"http": nowhere}, retries=0)
    request = place.solves.request([dev("app"), "python 3.12.*"], server.url("main"), settings=settings)
    place.behaves(without=("sha256",))

    found = {package.name: package for package in place.lock(request)["linux-64"]}

    assert versions(found.values()) == {"app": "1.0", "lib": "1.0", "python": "3.12.7"}
    assert all(package.md5 and not package.sha256 for package in found.values())
    assert (found["lib"].categories, found["app"].depends) == (("dev",), ("lib <2,>=0.5", "python >=3.11"))
    assert place.asked[0]["condarc"]["proxy_servers"] == {"http": nowhere}


def test_a_file_that_is_another_to_the_tool_than_to_the_index_is_refused(place: Place, server: ChannelServer) -> None:
    place.behaves(md5="0" * 32)

    with pytest.raises(LockError, match=r"lib-1\.0-0\.conda was 0{32} to conda-lock, and is "):
        place.lock(place.solves.request(["lib", "python"], server.url("main")))


# What the tool sees.


def test_nothing_of_the_caller_bends_the_solve(each: Place, server: ChannelServer) -> None:
    each.solves.variables = {
        "CONDA_CHANNELS": "other",
        "CONDA_FLAGS": "--offline",
        "CONDA_LOCK_CONDA": "/nowhere",
        "CONDA_OVERRIDE_CUDA": "11.0",
        "CONDA_PREFIX": "/nowhere",
        "CONDA_SUBDIR": "win-64",
        "CONDARC": "/nowhere",
    }
    each.solves.condarc("create_default_packages: [tool]\npinned_packages: [lib 9]\n")
    (each.solves.home / ".netrc").write_text("machine c.example login me password it\n")

    each.lock(each.solves.request(["app", "python 3.12.*"], server.url("main")))

    (asked,) = each.asked
    assert asked["home"] == [".condarc", ".netrc"]
    assert not {"create_default_packages", "pinned_packages", "channels"} & asked["condarc"].keys()
    assert asked["env"]["CONDA_OVERRIDE_CUDA"] == ""
    assert ("--no-default-packages" in asked["argv"]) == (each.tool == "conda")


def test_our_own_process_is_left_as_it_was_and_nothing_stays_behind(place: Place, server: ChannelServer) -> None:
    before, work = dict(os.environ), place.work()

    place.lock(place.solves.request(["lib", "python"], server.url("main")), work=work)

    assert dict(os.environ) == before
    assert list(work.temp.iterdir()) == []
    assert snapshot(work.project.root) == {}


def test_only_the_caller_can_read_what_the_tool_is_given(place: Place, locking: subprocess.Popen[str]) -> None:
    given = [path for path in temporary(place) if path.is_file() and "conda-lock-" not in str(path)]

    assert {path.name for path in given} >= {"environment.yml", "virtual.yml", "names.json", ".condarc"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in given} == {0o600}
    assert locking.poll() is None


@pytest.mark.parametrize("credentials", [SECRET, f"me:{SECRET}"], ids=["token", "password"])
def test_credentials_reach_the_channel_and_nothing_that_is_written(each: Place, credentials: str) -> None:
    user, _, password = credentials.partition(":")
    asks: dict[str, Any] = {"user": user, "password": password} if password else {"token": user}
    work = each.work()
    with ChannelServer(each.solves.folder / "channels", **asks) as server:
        request = each.solves.request(["lib", "python"], server.url("main", credentials=credentials))
        found = each.lock(request, work=work)["linux-64"]

        assert found == solve(request)
        assert {package.url.partition("/linux-64/")[0] for package in found} == {server.url("main")}
    assert SECRET not in work.log.read_text()
    assert SECRET not in repr(work.findings)


def test_credentials_that_are_refused_are_told_without_them(each: Place) -> None:
    work = each.work()
    with ChannelServer(each.solves.folder / "channels", token="another") as server:
        url = server.url("main").replace("/main", f"/t/{SECRET}/main")

        with pytest.raises(BrokenError, match="401") as caught:
            each.lock(each.solves.request(["lib", "python"], url), work=work)

    assert SECRET not in f"{caught.value} {caught.value.hint}{work.log.read_text()}"


def test_a_mirror_serves_and_the_lock_names_the_channel(place: Place, server: ChannelServer) -> None:
    place.solves.config = CondaConfig(mirrors={OFFICIAL: (server.url("main"),)})

    found = place.lock(place.solves.request([f"{OFFICIAL}::app", "python 3.12.*"], OFFICIAL))["linux-64"]

    assert all(package.url.startswith(f"{OFFICIAL}/") for package in found)
    assert versions(found) == {"app": "1.0", "lib": "1.0", "python": "3.12.7"}
    assert place.asked[0]["channels"][0] == server.url("main")


# When nothing comes of it.


@pytest.mark.parametrize("keeps_log", [False, True])
def test_a_conflict_is_cut_to_itself_at_the_line_of_its_spec(
    each: Place, server: ChannelServer, keeps_log: bool
) -> None:
    each.behaves(keeps_log=keeps_log)
    work = each.work()

    with pytest.raises(LockError) as caught:
        each.lock(each.solves.request(["python 3.12.*", "tool", "app 2.*"], server.url("main")), work=work)

    told = caught.value
    assert (told.file, told.line) == ("environment.yml", 5)
    assert told.message.splitlines()[:3] == [
        "nothing meets all specs on linux-64:",
        "└─ app 2.* cannot be installed because there are no viable options:",
        "   └─ app 2.0 would require",
    ]
    assert "__glibc >=2.34" in told.message
    assert ("Traceback" in told.message, "create" in told.message) == (False, False)
    assert "lock.log" in told.hint
    assert list(work.temp.iterdir()) == []


def test_the_platform_that_cannot_be_solved_is_named(place: Place, server: ChannelServer) -> None:
    url = server.url("main")
    on_linux = place.solves.request(["python 3.12.*", "lib >=1.2"], url, virtual=LINUX[:2])

    with pytest.raises(LockError, match=r"environment\.yml:4: nothing meets all specs on linux-64"):
        place.lock(mac(place, "python 3.12.*", "lib >=1.2", url=url), on_linux)


def test_a_name_that_no_channel_has_is_told_at_its_line(each: Place, server: ChannelServer) -> None:
    with pytest.raises(LockError, match=r"environment\.yml:4: .*\n.*durian .*(none of the channels|does not exist)"):
        each.lock(each.solves.request(["python 3.12.*", "durian"], server.url("main")))


def test_a_channel_that_is_not_there_is_named(each: Place, server: ChannelServer) -> None:
    with pytest.raises(LockError, match=f"there is no channel {server.url('gone')}"):
        each.lock(each.solves.request(["lib"], server.url("gone")))


def test_a_channel_that_is_down_is_no_fault_of_the_specs(each: Place, server: ChannelServer) -> None:
    server.fail(Fault.status(503))

    with pytest.raises(BrokenError, match=r"a channel did not answer as it should: .*503"):
        each.lock(each.solves.request(["lib"], server.url("main")))


def test_a_channel_that_cannot_be_reached_is_no_fault_of_the_specs(each: Place) -> None:
    nowhere = refused_url().removesuffix("simple/")

    with pytest.raises(BrokenError, match=f"a channel did not answer as it should: .*{nowhere}"):
        each.lock(each.solves.request(["lib"], f"{nowhere}main"))


def test_a_tool_that_crashes_is_told_as_that(place: Place, server: ChannelServer) -> None:
    place.behaves(dies=int(signal.SIGSEGV))

    with pytest.raises(LockError, match="the program that solves was ended by SIGSEGV"):
        place.lock(place.solves.request(["lib"], server.url("main")))


@pytest.mark.parametrize(
    ("prints", "said"),
    [
        ("", "conda-lock ended without a lock"),
        ("no JSON at all", "Failed to parse json: 'no JSON at all"),
        ('{"actions": {"FETCH": [{"name": "lib"}], "LINK": []}}', "conda-lock ended without a lock: 'version'"),
    ],
)
def test_an_answer_that_is_none_is_no_lock(place: Place, server: ChannelServer, prints: str, said: str) -> None:
    place.behaves(prints=prints)

    with pytest.raises(LockError) as caught:
        place.lock(place.solves.request(["lib"], server.url("main")))
    assert said in caught.value.message


def test_an_answer_with_a_strange_address_is_no_lock(place: Place, server: ChannelServer) -> None:
    row = (
        '{"name": "lib", "version": "1.0", "url": "ftp://h.example/linux-64/lib-1.0-0.conda", "md5": "", "depends": []}'
    )
    place.behaves(prints=f'{{"actions": {{"FETCH": [{row}], "LINK": []}}}}')

    with pytest.raises(
        LockError, match=r"what conda-lock wrote cannot be used: the address of lib 1\.0 begins with ftp:"
    ):
        place.lock(place.solves.request(["lib"], server.url("main")))


@pytest.mark.parametrize(("config", "named"), [({}, "micromamba or mamba or conda"), ({"frontend": "mamba"}, "mamba")])
def test_without_a_program_that_solves_nothing_is_started(
    place: Place, server: ChannelServer, config: dict[str, str], named: str
) -> None:
    (place.bin / place.tool).rename(place.bin / ("conda" if config else "none"))
    place.config = config
    work = place.work()

    with pytest.raises(ToolMissing, match=f"conda-lock cannot solve by itself, and {named} is not on PATH") as caught:
        place.lock(place.solves.request(["lib"], server.url("main")), work=work)

    assert "https://mamba.readthedocs.io" in caught.value.hint
    assert "locker: rattler" in caught.value.hint
    assert not work.log.exists()


def test_the_patterns_own_program_is_asked_first(place: Place, server: ChannelServer) -> None:
    solver(place.bin, "mamba")

    place.lock(place.solves.request(["lib", "python"], server.url("main")), work=place.work(pattern="mamba"))

    assert (len(place.asked), len(solves(place.bin, "mamba"))) == (0, 1)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"as_of": "2026-05-01"}, "of 2026-05-01"),
        ({"resolution": "lowest"}, "of the lowest versions"),
        ({"offline": True}, "without a network"),
    ],
)
def test_what_conda_lock_cannot_do_is_refused(
    place: Place, server: ChannelServer, asked: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=f"conda-lock cannot make a lock {what}"):
        place.lock(place.solves.request(["lib"], server.url("main"), **asked))
    assert place.asked == []


def test_a_tool_that_takes_for_ever_is_ended(
    place: Place, server: ChannelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conda_lock_tool, "TOOL_TIMEOUT_SECONDS", 4.0)
    place.behaves(seconds=600)
    work = place.work()

    with pytest.raises(BrokenError, match=r"^conda-lock was ended after \d+ s$"):
        place.lock(place.solves.request(["lib"], server.url("main")), work=work)
    assert list(work.temp.iterdir()) == []


# Through the verbs.

INTENT = """\
channels: [{url}]
platforms: [linux-64, osx-arm64]
dependencies:
  - python >=3.12
  - app
  - pip
  - pip:
      - apple<2
"""


WITHOUT_PIP = INTENT.partition("  - pip")[0]


def project(place: Place, url: str, *, locker: str = "conda-lock", name: str = "project", intent: str = INTENT) -> Path:
    folder = place.solves.folder / name
    folder.mkdir(exist_ok=True)
    (folder / "environment.yml").write_text(intent.format(url=url))
    (folder / "ci-envs.yml").write_text(f"conda: {{locker: {locker}}}\n")
    return folder


def words(verb: str = "lock", *more: str) -> list[str]:
    return [verb, "--pattern=conda", "--python=3.12", *more]


@pytest.fixture
def locking(place: Place, server: ChannelServer) -> Iterator[subprocess.Popen[str]]:
    """``ci-envs lock`` in a process of its own, whose tool is at work and does not come to an end."""
    place.behaves(seconds=600)
    folder = project(place, server.url("main"), intent=WITHOUT_PIP)
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_envs", *words()],
        cwd=folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: place.asked or process.poll() is not None, 60)
        assert process.poll() is None, ended(process).said
        yield process
    finally:
        tidy([process])


def temporary(place: Place) -> list[Path]:
    return list((place.solves.folder / "project" / ".ci-envs" / "tmp").rglob("*"))


@pytest.fixture
def with_pip(place: Place) -> Place:
    place.solves.channel("main", *PACKAGES, stub_package("pip", "25.3", depends=("python >=3.9",)))
    return place


def test_the_lock_of_the_verb_is_the_one_of_the_embedded_solver_byte_by_byte(
    with_pip: Place, server: ChannelServer, warm_env: dict[str, str]
) -> None:
    place, texts = with_pip, []
    env = {**warm_env, "PATH": f"{place.bin}:{warm_env['PATH']}"}
    for locker in ("conda-lock", "rattler"):
        folder = project(place, server.url("main"), locker=locker, name=locker)
        ran = run_verb(words(), env, folder)
        assert ran.code == 0, ran.output
        texts.append((folder / "locks" / "conda-py312.conda-lock.yml").read_text())
        assert set(snapshot(folder)) == {"environment.yml", "ci-envs.yml", "locks/conda-py312.conda-lock.yml"}

    assert texts[0] == texts[1]
    assert texts[0].count("name: apple") == 2
    assert "sources:\n  - ../environment.yml\n" in texts[0]
    strange = (str(place.solves.folder), str(Path.home()), "conda-lock-fake", "name: __glibc", ".ci-envs")
    assert [text for text in strange if text in texts[0]] == []
    assert len(place.asked) == 2


def test_a_lock_that_is_in_sync_asks_nobody_and_an_update_asks_again(
    place: Place, server: ChannelServer, warm_env: dict[str, str]
) -> None:
    env = {**warm_env, "PATH": f"{place.bin}:{warm_env['PATH']}"}
    folder = project(place, server.url("main"), intent=WITHOUT_PIP)
    counts = []
    for more in ((), (), ("--check",), ("--check", "--solve"), ("--upgrade",)):
        ran = run_verb(words("lock", *more), env, folder)
        assert ran.code == 0, ran.output
        counts.append(len(place.asked))

    assert counts == [2, 2, 2, 2, 4]


def test_a_conflict_ends_the_verb_and_leaves_no_lock(
    place: Place, server: ChannelServer, warm_env: dict[str, str]
) -> None:
    env = {**warm_env, "PATH": f"{place.bin}:{warm_env['PATH']}"}
    folder = project(place, server.url("main"), intent=WITHOUT_PIP.replace("- app", "- app >=2"))

    ran = run_verb(words(), env, folder)

    assert ran.code == 5
    assert "environment.yml:5" in ran.output
    assert set(snapshot(folder)) == {"environment.yml", "ci-envs.yml"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_tool_and_leaves_nothing(
    place: Place, locking: subprocess.Popen[str], number: signal.Signals
) -> None:
    children = descendants(locking.pid)
    assert len(children) >= 2  # conda-lock, and who solves for it

    locking.send_signal(number)
    done = ended(locking)

    assert done.code == 130, done.said
    assert [pid for pid in children if alive(pid)] == []
    assert [path for path in temporary(place) if path.is_file()] == []
    assert set(snapshot(place.solves.folder / "project")) == {"environment.yml", "ci-envs.yml"}
