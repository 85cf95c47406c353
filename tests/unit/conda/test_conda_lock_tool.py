from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.conda_solves import LINUX, Solves

from ci_envs.command import Outcome
from ci_envs.conda.conda_lock_failure import failure
from ci_envs.conda.conda_lock_input import Wanted, settings_text, source_text, virtual_text
from ci_envs.conda.solving import prepared
from ci_envs.conda.tool_home import named_secrets, private_home, write_private
from ci_envs.conda.virtual import VirtualPackage
from ci_envs.errors import BrokenError, LockError
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.errors import CiEnvsError

FORGE = "https://c.example/forge"


@pytest.fixture
def solves(tmp_path: Path) -> Solves:
    return Solves(tmp_path)


def wanted(solves: Solves, *specs: str, channels: tuple[str, ...] = (FORGE,), platform: str = "linux-64") -> Wanted:
    solve = prepared(solves.request(specs, *channels, platform=platform))
    return Wanted(solve.request, solve.asked)


def said(solves: Solves, *specs: str, channels: tuple[str, ...] = (FORGE,)) -> list[str]:
    """The specs as conda-lock is given them."""
    return list(yaml.safe_load(source_text([wanted(solves, *specs, channels=channels)]))["dependencies"])


# What conda-lock is given.


def test_each_line_of_the_source_is_for_one_platform(solves: Solves) -> None:
    platforms = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")

    text = source_text([wanted(solves, "python 3.12.*", platform=platform) for platform in platforms])

    assert text == (
        'channels:\n  - "https://c.example/forge"\ndependencies:\n'
        '  - "python 3.12.*"  # [linux64]\n'
        '  - "python 3.12.*"  # [aarch64]\n'
        '  - "python 3.12.*"  # [osx64]\n'
        '  - "python 3.12.*"  # [arm64]\n'
        '  - "python 3.12.*"  # [win64]\n'
    )


@pytest.mark.parametrize(
    ("specs", "as_one"),
    [
        (("numpy",), "numpy"),
        (("numpy", "numpy *"), "numpy"),
        (("NumPy=2.1",), "numpy 2.1.*"),
        (("numpy 2.1",), "numpy ==2.1"),
        (("numpy >=2", "numpy >=2"), "numpy >=2"),
        (("numpy >=2", "numpy <3"), "numpy >=2,<3"),
        (("numpy >=2|1.26.*", "numpy <3,!=2.2|>=4"), "numpy >=2,<3,!=2.2|>=2,>=4|1.26.*,<3,!=2.2|1.26.*,>=4"),
        (("numpy >=2", "numpy=*=py312*"), "numpy >=2 py312*"),
        (("numpy=*=py312*",), "numpy * py312*"),
        (("numpy[version='>=2',build='py312*']",), "numpy >=2 py312*"),
        (("*::numpy >=2",), "numpy >=2"),
    ],
)
def test_all_that_is_asked_of_a_name_is_one_spec(solves: Solves, specs: tuple[str, ...], as_one: str) -> None:
    assert said(solves, *specs) == [as_one]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("numpy[build_number='>3']", "the build number of a package"),
        ("numpy[md5=0123456789abcdef0123456789abcdef]", "the md5 of a package"),
        (f"numpy[sha256={'0' * 64}]", "the sha256 of a package"),
        ("numpy[subdir=noarch]", "the subdir of a package"),
        ("numpy (>=1|>2),<3", "parentheses in a version"),
    ],
)
def test_what_conda_lock_would_leave_out_is_refused_at_its_line(solves: Solves, spec: str, field: str) -> None:
    with pytest.raises(LockError, match=rf"^environment\.yml:4: .*conda-lock cannot .*{field}") as caught:
        said(solves, "python", spec)
    assert "locker: rattler" in caught.value.hint


def test_a_spec_that_is_refused_is_told_without_its_credentials(solves: Solves) -> None:
    with pytest.raises(LockError) as caught:
        said(solves, "https://me:geheim-4711@c.example/t/tk-0815/forge::lib[build_number='>3']")
    assert ("geheim" in str(caught.value), "tk-0815" in str(caught.value)) == (False, False)


def test_two_builds_of_a_name_are_refused(solves: Solves) -> None:
    with pytest.raises(LockError, match=r"^environment\.yml:4: .* two builds of a package: py312\*, \*_cpython"):
        said(solves, "python=*=py312*", "python=*=*_cpython")


def test_a_channel_in_a_spec_is_a_word_that_the_settings_explain(solves: Solves) -> None:
    more = ("https://d.example/a/more::lib", "python")

    assert said(solves, *more) == ["a/more::lib", "python"]
    one = wanted(solves, *more)
    told = json.loads(settings_text(one.request.settings, one.request.channels, offline=False))
    assert told["custom_channels"] == {"a/more": "https://d.example", "forge": "https://c.example"}


def test_two_channels_of_one_name_are_not_taken_for_each_other(solves: Solves) -> None:
    with pytest.raises(LockError, match=r"cannot tell the channels of this name apart: forge"):
        said(solves, "https://d.example/forge::lib")
    assert said(solves, "lib", channels=(FORGE, "https://d.example/forge")) == ["lib"]


def test_a_multichannel_keeps_its_name(solves: Solves) -> None:
    one = wanted(solves, "defaults::lib", channels=("defaults",))

    told = json.loads(settings_text(one.request.settings, one.request.channels, offline=False))

    assert said(solves, "defaults::lib", channels=("defaults",)) == ["defaults::lib"]
    assert told["default_channels"] == ["https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"]


def test_the_mirror_is_asked_under_the_name_of_the_channel(solves: Solves) -> None:
    solves.config = CondaConfig(mirrors={FORGE: ("https://m.example/x/forge",)})
    one = wanted(solves, f"{FORGE}::lib")

    assert "https://m.example/x/forge" in source_text([one])
    assert said(solves, f"{FORGE}::lib") == ["x/forge::lib"]


def test_the_settings_say_how_channels_are_reached_and_nothing_else(solves: Solves) -> None:
    solves.condarc(
        "channel_priority: flexible\nproxy_servers: {https: 'http://p.example:1'}\nssl_verify: false\n"
        "pinned_packages: [lib 9]\nremote_max_retries: 7\n"
    )
    settings = solves.settings(retries=7)

    told = json.loads(settings_text(settings, (), offline=True))

    assert told == {
        "channel_priority": "flexible",
        "custom_channels": {},
        "custom_multichannels": {},
        "notify_outdated_conda": False,
        "number_channel_notices": 0,
        "offline": True,
        "proxy_servers": {"https": "http://p.example:1"},
        "remote_max_retries": 7,
        "report_errors": False,
        "ssl_verify": False,
    }


def test_virtual_packages_are_those_of_the_request(solves: Solves) -> None:
    cuda = solves.request(["lib"], FORGE, virtual=(*LINUX, VirtualPackage("__archspec", "1", "x86_64_v3")))
    mac = solves.request(["lib"], FORGE, platform="osx-arm64", virtual=(VirtualPackage("__osx", "11.0"),))

    assert json.loads(virtual_text([cuda, mac])) == {
        "subdirs": {
            "linux-64": {
                "packages": {"__unix": "0", "__linux": "5.10", "__glibc": "2.28", "__archspec": "1 x86_64_v3"}
            },
            "osx-arm64": {"packages": {"__osx": "11.0"}},
        }
    }


def test_a_home_has_the_users_credentials_and_nothing_else(tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / ".mamba" / "auth").mkdir(parents=True)
    (user / ".mamba" / "auth" / "authentication.json").write_text("{}")
    (user / ".mamba" / ".mambarc").write_text("channels: [other]")
    (user / ".condarc").write_text("channels: [other]")
    (user / ".netrc").write_text("machine c.example")

    variables = private_home(tmp_path / "home", {"HOME": str(user)})

    found = {path.relative_to(tmp_path / "home").as_posix() for path in (tmp_path / "home").rglob("*")}
    assert found == {".mamba", ".mamba/auth", ".netrc"}
    assert variables["HOME"] == variables["USERPROFILE"] == str(tmp_path / "home")
    assert all(value.startswith(str(tmp_path / "home")) for value in variables.values())


def test_secrets_get_names_that_say_so(tmp_path: Path) -> None:
    addresses = ("https://me:pass%40word@c.example/forge", "https://c.example/t/tk-1/forge", FORGE)

    assert sorted(named_secrets(addresses).values()) == ["pass%40word", "pass@word", "tk-1"]
    assert all(name.endswith("_TOKEN") for name in named_secrets(addresses))


def test_what_is_private_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "a", "x")

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


# What conda-lock says when it comes to nothing.

_TRACE = (
    "Traceback (most recent call last):\n"
    '  File "conda_solver.py", line 335, in solve_specs_for_arch\n    proc.check_returncode()\n'
    "subprocess.CalledProcessError: Command '['conda', 'create', 'app']' {how}.\n"
)


def printed(message: object, out: str = "", err: str = "", how: str = "returned non-zero exit status 1") -> str:
    """As ``solve_specs_for_arch`` of conda-lock 4.0 prints it."""
    streams = (f"    STDOUT:\n{out}\n" if out else "") + (f"    STDERR:\n{err}\n" if err else "")
    first = (
        f"Could not lock the environment for platform linux-64\n{message}\n    Command: ['conda', 'create', 'app']\n"
    )
    return f"Locking dependencies for ['linux-64']...\n{first}{streams}{_TRACE.format(how=how)}"


def of_conda(exception: str, message: str) -> str:
    told = {"caused_by": "None", "error": f"{exception}: {message}", "exception_name": exception, "message": message}
    return printed(message, json.dumps(told, indent=2))


def of_mamba(err: str, **told: Any) -> str:
    """Of libmamba before 2.8.1, which logs to standard error."""
    answer = {"success": False, **told}
    return printed(answer, json.dumps(answer, indent=4), err)


def told(solves: Solves, text: str, *specs: str, channel: str = FORGE, **outcome: Any) -> CiEnvsError:
    solve = prepared(solves.request(specs or ("python 3.12.*", "app >=2", "lib <2"), channel))
    ended = Outcome(**{"argv": ("python",), "returncode": 1, "stdout": "", "stderr": text, "seconds": 1.0, **outcome})
    return failure(ended, {"linux-64": solve}, "lock.log")


TREE = """\
The following packages are incompatible
├─ app >=2  is installable and it requires
│  └─ lib >=2 , which can be installed;
└─ lib <2  is not installable because it conflicts with any installable versions previously reported.
"""


@pytest.mark.parametrize(
    "text",
    [
        of_conda(
            "LibMambaUnsatisfiableError",
            "Encountered problems while solving:\n  - package app-2.0-0 requires lib >=2, but none of the providers "
            f"can be installed\n\nCould not solve for environment specs\n{TREE}\n",
        ),
        of_mamba(
            "error    libmamba Could not solve for environment specs\n"
            + "".join(f"    {line}\n" for line in TREE.splitlines())
            + "critical libmamba Could not solve for environment specs",
            solver_problems=["package app-2.0-0 requires lib >=2, but none of the providers can be installed"],
        ),
        of_mamba(
            "",
            solver_problems=["package app-2.0-0 requires lib >=2"],
            log_history=[
                {"message": "something else", "level": "warning", "source": "libmamba"},
                {"message": f"Could not solve for environment specs\n{TREE}", "level": "error", "source": "libmamba"},
            ],
        ),
        of_mamba(f"\x1b[31merror    libmamba\x1b[0m Could not solve for environment specs\n{TREE}"),
    ],
    ids=["conda", "mamba", "mamba with a log", "colours"],
)
def test_a_conflict_is_the_solvers_tree_and_no_more(solves: Solves, text: str) -> None:
    error = told(solves, text)

    assert isinstance(error, LockError)
    assert (error.file, error.line) == ("environment.yml", 4)
    assert error.message.splitlines() == [
        "nothing meets all specs on linux-64:",
        "├─ app >=2  is installable and it requires",
        "│  └─ lib >=2 , which can be installed;",
        "└─ lib <2  is not installable because it conflicts with any installable versions previously reported.",
    ]
    assert "lock.log" in error.hint


def test_problems_without_a_tree_are_listed(solves: Solves) -> None:
    text = of_mamba("", solver_problems=["nothing provides requested lib <2", "nothing provides requested app >=2"])

    error = told(solves, text)

    assert (type(error), error.line) == (LockError, 4)
    assert error.message.splitlines()[1:] == [
        "- nothing provides requested lib <2",
        "- nothing provides requested app >=2",
    ]


def test_an_older_conda_without_a_tree_is_told_as_it_said_it(solves: Solves) -> None:
    message = (
        "The following specifications were found\nto be incompatible with each other:\n\napp -> lib[version='>=2']"
    )

    error = told(solves, of_conda("UnsatisfiableError", message))

    assert "app -> lib[version='>=2']" in error.message
    assert error.line == 4


def test_a_tree_that_fills_pages_is_cut(solves: Solves) -> None:
    branches = "".join(f"├─ p{number} {'x' * 300} requires\n" for number in range(200))

    error = told(solves, of_conda("LibMambaUnsatisfiableError", f"The following packages are incompatible\n{branches}"))

    assert len(error.message.splitlines()) < 20
    assert max(map(len, error.message.splitlines())) <= 160


def test_names_that_no_channel_has_are_told_at_their_line(solves: Solves) -> None:
    message = (
        "The following packages are not available from current channels:\n\n  - lib[version='<2']\n\n"
        "Current channels:\n\n  - https://c.example/forge\n\nTo search for alternate channels that may provide ..."
    )

    error = told(solves, of_conda("PackagesNotFoundInChannelsError", message))

    assert (error.line, error.message.splitlines()[1:]) == (5, ["lib[version='<2'] is in none of the channels"])


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            of_conda("CondaHTTPError", "HTTP 000 CONNECTION FAILED for url <https://c.example/forge/x>\nElapsed: -\n"),
            BrokenError,
            "a channel did not answer as it should: HTTP 000 CONNECTION FAILED for url <https://c.example/forge/x>",
        ),
        (
            of_conda("CondaHTTPError", "HTTP 401 UNAUTHORIZED for url <https://c.example/forge/x>\nElapsed: -\n"),
            BrokenError,
            "a channel refused us: HTTP 401 UNAUTHORIZED for url <https://c.example/forge/x>",
        ),
        (
            of_conda("UnavailableInvalidChannel", "HTTP 404 NOT FOUND for channel forge <https://c.example/forge>\n"),
            LockError,
            "there is no channel https://c.example/forge",
        ),
        (
            of_mamba("error    libmamba Download error (28) Timeout was reached [https://c.example/forge/x]\n"),
            BrokenError,
            "a channel did not answer as it should: Download error (28) Timeout was reached [https://c.example/forge/x]",
        ),
        (
            of_mamba(
                "critical libmamba Transfer finalized, status: 404 [https://c.example/forge/noarch/repodata.json] 9"
            ),
            LockError,
            "there is no channel https://c.example/forge",
        ),
        (
            printed("", "", "OSError: [Errno 28] No space left on device"),
            BrokenError,
            "the disk is full: conda-lock could not write what it has to keep",
        ),
        (
            of_conda("NotWritableError", "The current user does not have write permissions to a required path."),
            LockError,
            "conda-lock ended without a lock: NotWritableError: The current user does not have write permissions to a "
            "required path.",
        ),
        (
            printed("", how="died with <Signals.SIGSEGV: 11>"),
            LockError,
            "conda-lock ended without a lock: the program that solves was ended by SIGSEGV",
        ),
        (
            printed("", how="returned non-zero exit status 3"),
            LockError,
            "conda-lock ended without a lock: the program that solves exited with 3",
        ),
        (
            "Traceback (most recent call last):\n  File x\nRuntimeError: Failed to turn `python >=` into a MatchSpec\n",
            LockError,
            "conda-lock ended without a lock: Failed to turn `python >=` into a MatchSpec",
        ),
    ],
)
def test_what_else_can_go_wrong(solves: Solves, text: str, kind: type[CiEnvsError], said: str) -> None:
    error = told(solves, text)

    assert (type(error), error.message) == (kind, said)


def test_a_time_limit_is_told_as_that(solves: Solves) -> None:
    error = told(solves, "Locking dependencies", timed_out=True, seconds=3600.4, returncode=-15)

    assert (type(error), error.message) == (BrokenError, "conda-lock was ended after 3600 s")


def test_no_credential_of_a_channel_is_told(solves: Solves) -> None:
    secret = "https://me:geheim-4711@c.example/t/tk-0815/forge"
    text = of_conda("CondaHTTPError", f"HTTP 503 UNAVAILABLE for url <{secret}/noarch/repodata.json>")

    message = told(solves, text, "app", channel=secret).message

    assert "geheim-4711" not in message
    assert "tk-0815" not in message


def test_the_spec_of_python_is_the_last_to_be_blamed(solves: Solves) -> None:
    tree = (
        "The following packages are incompatible\n├─ python >=3.12  is requested\n"
        "└─ app  would require\n   └─ python 3.11.*\n"
    )

    assert told(solves, of_conda("LibMambaUnsatisfiableError", tree), "python >=3.12", "app").line == 4
