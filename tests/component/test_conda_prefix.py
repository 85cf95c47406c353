"""Environments that rattler installs from a real channel: read, compared, activated, listed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import PLACEHOLDER, Member, Package, text_member
from tests.support.channel_client import Rattler

from ci_envs import command
from ci_envs.conda import activation
from ci_envs.content import read_content
from ci_envs.digest import differences, environment_digest
from ci_envs.environments.host import HostEnvironment
from ci_envs.record_check import verify_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.component

SPECS = ("python 3.12.*", "numpy", "pytest", "six 1.16.*", "hello-native ==1.0")
SITE = "lib/python3.12/site-packages"


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Rattler:
    return Rattler(tmp_path_factory.mktemp("rattler"))


@pytest.fixture(scope="session")
def installed(client: Rattler, forge: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment for the whole session; not to be changed."""
    return client.install(forge.url, *SPECS, prefix=tmp_path_factory.mktemp("envs") / "env")


@pytest.fixture
def prefix(client: Rattler, forge: Channel, tmp_path: Path) -> Path:
    """One that this test may change: files that it writes anew are no longer rattler's hard links."""
    return client.install(forge.url, *SPECS, prefix=tmp_path / "env")


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a file without touching the cache that it is linked from."""
    data, mode = path.read_bytes(), path.stat().st_mode
    path.unlink()
    path.write_bytes(change(data))
    path.chmod(mode)


def codes(prefix: Path) -> list[str]:
    return [finding.code for finding in verify_records(read_content(prefix))]


def host(prefix: Path, caller: dict[str, str] | None = None, bytecode: Path | None = None) -> HostEnvironment:
    return HostEnvironment(prefix, caller=caller or dict(os.environ), bytecode=bytecode)


def test_what_rattler_installs_is_what_its_packages_have(installed: Path) -> None:
    content = read_content(installed)
    findings = verify_records(content)
    relocated = {claim.path for record in content.conda for claim in record.claims if claim.placeholder}

    assert findings == ()
    assert len(relocated) > 5
    assert content.originals.keys() == relocated
    assert content.masked == {}


@pytest.mark.parametrize("name", ["env", "with blanks in it", "l" * 120])
def test_an_environment_has_one_digest_wherever_it_lies(
    client: Rattler, forge: Channel, installed: Path, tmp_path: Path, name: str
) -> None:
    other = client.install(forge.url, *SPECS, prefix=tmp_path / name)
    first, second = environment_digest(read_content(installed)), environment_digest(read_content(other))
    assert differences(first, second) == []
    assert first.value == second.value
    assert codes(other) == []


def test_running_python_inside_changes_nothing_that_counts(prefix: Path) -> None:
    before = environment_digest(read_content(prefix)).value
    argv = (str(prefix / "bin/python"), "-c", "import numpy, pytest")
    assert command.run(command.Command(argv, env={"PATH": os.environ["PATH"]}, timeout=60))
    content = read_content(prefix)
    assert any("__pycache__" in entry.path for entry in content.entries)
    assert environment_digest(content).value == before
    assert verify_records(content) == ()


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("bin/python3.12", lambda data: data.replace(b"python3", b"pythom3", 1)),
        ("bin/pytest", lambda data: data.replace(b"import", b"import evil;", 1)),
        ("bin/hello-native", lambda data: data + b"\0"),
        (f"{SITE}/six.py", lambda data: data + b"import evil\n"),
    ],
)
def test_an_altered_file_shows_in_check_and_digest(prefix: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    before = environment_digest(read_content(prefix))
    rewrite(prefix / path, change)
    after = environment_digest(read_content(prefix))
    assert [found.path for found in differences(before, after)] == [path]
    assert codes(prefix) == ["ENV130"]


def test_removed_and_added_files_show(prefix: Path) -> None:
    (prefix / f"{SITE}/six.py").unlink()
    (prefix / f"{SITE}/evil.pth").write_text("import evil\n")
    assert codes(prefix) == ["ENV112", "ENV131"]


def test_the_inventory_tells_who_brought_what(installed: Path) -> None:
    inventory = host(installed).inventory()
    by_key = {(each.manager, each.name): each for each in inventory.distributions}

    assert inventory.interpreter.series == "3.12"
    assert by_key["python", "numpy"].brought_by == "numpy"
    numpy = by_key["conda", "numpy"]
    assert (numpy.brings, len(numpy.sha256), numpy.build != "") == (("numpy",), 64, True)
    assert numpy.channel.endswith("/conda-forge")
    assert ("python", "python") not in by_key
    assert by_key["conda", "hello-native"].brings == ()
    records = {path.name for path in (installed / "conda-meta").glob("*.json")}
    assert len(records) == sum(each.manager == "conda" for each in inventory.distributions)


@pytest.fixture
def pip_over_conda(prefix: Path, world_wheels: Callable[..., Path], uv_bin: str) -> Callable[[str], Path]:
    """Has uv install a distribution into the environment."""

    def install(requirement: str) -> Path:
        wheels = world_wheels("--no-deps", requirement)
        words = ("pip", "install", "--quiet", "--no-index", "--reinstall", "--find-links", str(wheels))
        argv = (uv_bin, *words, "--python", str(prefix / "bin/python"), requirement)
        outcome = command.run(command.Command(argv, timeout=60))
        assert outcome, outcome.output
        return prefix

    return install


@pytest.mark.parametrize("requirement", ["six==1.17.0", "six==1.16.0"])
def test_a_distribution_that_uv_has_put_over_condas_is_uvs(
    pip_over_conda: Callable[[str], Path], requirement: str
) -> None:
    prefix = pip_over_conda(requirement)
    assert codes(prefix) == []
    six = {each.manager: each for each in host(prefix).inventory().distributions if each.name == "six"}
    assert (six["conda"].version, six["conda"].brings) == ("1.16.0", ("six",))
    assert (six["python"].version, six["python"].brought_by) == (requirement.partition("==")[2], "")

    rewrite(prefix / f"{SITE}/six.py", lambda data: data + b"import evil\n")
    assert codes(prefix) == ["ENV110"]


def test_what_uv_adds_beside_conda_is_compared_with_its_record(pip_over_conda: Callable[[str], Path]) -> None:
    prefix = pip_over_conda("click")
    assert codes(prefix) == []
    before = environment_digest(read_content(prefix))
    rewrite(prefix / f"{SITE}/click/core.py", lambda data: data + b"import evil\n")
    assert codes(prefix) == ["ENV110"]
    assert [found.path for found in differences(before, environment_digest(read_content(prefix)))] == [
        f"{SITE}/click/core.py"
    ]


# Activation, by a real shell.


def scripts(folder: Path, texts: dict[str, str]) -> Path:
    members = tuple(text_member(f"etc/conda/activate.d/{name}", text) for name, text in texts.items())
    data = Member(path="share/scripted.txt", data=b"x")
    package = Package(name="scripted", version="1.0", build="0", noarch="generic", members=(data, *members))
    channel = make_channel(folder / "channel", [package])
    return Rattler(folder / "rattler").install(channel.url, "scripted", prefix=folder / "envs" / "env")


def test_a_tools_own_activation_is_applied(installed: Path) -> None:
    environment = host(installed, {"PATH": os.environ["PATH"], "HELLO_HOME": "/mine"})
    outcome = environment.run(["sh", "-c", 'hello-native; echo "$HELLO_HOME|$HELLO_GREETING|$CONDA_PREFIX"'])

    assert outcome.stdout.splitlines()[0] == f"hello from {installed}"
    home, greeting, active = outcome.stdout.splitlines()[1].split("|")
    assert (home.startswith(str(installed)), bool(greeting), active) == (True, True, str(installed))
    assert environment.notes() == ()


def test_scripts_run_in_the_order_of_their_names_in_one_environment(tmp_path: Path) -> None:
    prefix = scripts(
        tmp_path,
        {
            "b.sh": 'export CHAIN="$CHAIN-b"; unset GONE\n',
            "a.sh": f'export CHAIN="a:$CONDA_PREFIX:{PLACEHOLDER}"; export PATH="/added/bin:$PATH"\n',
            "c.sh": 'export "ODD"="$(printf "two\\nlines")"; echo to nobody; local_only=1\n',
            "d.csh": "syntax of another shell (\n",
        },
    )
    caller = {"PATH": os.environ["PATH"], "GONE": "x", "CHAIN": "mine"}
    variables = host(prefix, caller).variables

    assert variables["CHAIN"] == f"a:{prefix}:{prefix}-b"
    assert variables["ODD"] == "two\nlines"
    assert variables["PATH"].startswith(f"/added/bin:{prefix}/bin:")
    assert variables.keys() & {"GONE", "local_only", "_", "SHLVL", "PWD"} == set()


def test_scripts_that_misbehave_are_told_of_and_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "SCRIPT_SECONDS", 2.0)
    prefix = scripts(
        tmp_path,
        {
            "a.sh": "export A=1; exit 7\n",
            "b.sh": "export B=1; false\n",
            "c.sh": "export C=1; set -e; false; export C=2\n",
            "d.sh": "export D=1; sleep 60\n",
            "e.sh": "export E=1; this is no command\n",
            "f.sh": "export F=1; exec >/dev/null; set -u\n",
            "g.sh": 'export G="$F-g"; [ -n "$UNSET_VARIABLE" ] && export H=1\n',
        },
    )
    log = tmp_path / "check.log"
    environment = host(prefix, {"PATH": os.environ["PATH"]})
    environment.run(["true"], log=log)

    told = {note.split(" ")[0].rpartition("/")[2]: note for note in environment.notes()}
    assert set(told) == {"a.sh", "c.sh", "d.sh", "e.sh"}
    assert "exit code 7" in told["a.sh"]
    assert "2 seconds" in told["d.sh"]
    found = environment.variables
    assert {name for name in "ABCDEFGH" if name in found} == set("BEFG")
    assert found["G"] == "1-g"
    assert "this is no command" in log.read_text() or "not found" in log.read_text()


def test_scripts_are_run_once_and_remembered(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    prefix = scripts(tmp_path, {"a.sh": f'echo ran >> "{marks}"; export A=1\n'})
    caller = {"PATH": os.environ["PATH"]}
    for _ in range(3):
        environment = host(prefix, caller, tmp_path / "bytecode")
        for _ in range(2):
            assert environment.run(["sh", "-c", "echo $A"]).stdout == "1\n"
    assert marks.read_text() == "ran\n"


def test_an_environment_without_python_runs_and_is_listed(tmp_path: Path, forge: Channel, client: Rattler) -> None:
    prefix = client.install(forge.url, "hello-native ==1.0", prefix=tmp_path / "env")
    environment = host(prefix)
    inventory = environment.inventory()
    assert inventory.interpreter.version == ""
    assert [each.name for each in inventory.distributions] == ["hello-native"]
    assert environment.run(["hello-native"]).stdout == f"hello from {prefix}\n"
    assert codes(prefix) == []
