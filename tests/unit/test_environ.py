from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci_envs.environ import leg_variables, project_environment, pure_environment, tool_environment

PREFIX = Path("/somewhere/envs/leg")
SCRIPTS = PREFIX / "bin"


def project(environ: dict[str, str], **named: object) -> dict[str, str]:
    return project_environment(environ, path=(SCRIPTS,), variables={}, **named)  # type: ignore[arg-type]  # one keyword, given by two tests


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "http_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "SystemRoot",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "CC",
        "CFLAGS",
        "LD_LIBRARY_PATH",
        "PKG_CONFIG_PATH",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_TRUSTED_HOST",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_CORP_USERNAME",
        "UV_INDEX_CORP_PASSWORD",
        "UV_HTTP_TIMEOUT",
        "UV_SYSTEM_CERTS",
        "UV_LINK_MODE",
        "UV_CACHE_DIR",
        "NETRC",
        "SSH_AUTH_SOCK",
        "GIT_CONFIG_KEY_0",
        "XDG_CONFIG_HOME",
        "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_PACKAGE",
        "NIX_PATH",
        "NIX_CONFIG",
        "NIX_CONF_DIR",
        "NIX_USER_CONF_FILES",
        "NIX_REMOTE",
        "NIX_STORE_DIR",
        "NIX_STATE_DIR",
        "NIX_SSL_CERT_FILE",
        "NIX_MIRRORS_gnu",
        "GUIX_BUILD_OPTIONS",
        "GUIX_DAEMON_SOCKET",
    ],
)
def test_a_tool_sees_what_it_needs_to_reach_index_disk_and_compiler(name: str) -> None:
    assert tool_environment({name: "/given"})[name] == "/given"


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONWARNINGS",
        "GUIX_PACKAGE_PATH",
        "PIP_TARGET",
        "PIP_USER",
        "PIP_PREFIX",
        "PIP_NO_DEPS",
        "PIP_PRE",
        "PIP_CONSTRAINT",
        "PIP_REQUIRE_VIRTUALENV",
        "UV_PYTHON",
        "UV_PROJECT_ENVIRONMENT",
        "UV_NO_SYNC",
        "UV_FROZEN",
        "UV_RESOLUTION",
        "UV_PRERELEASE",
        "UV_EXCLUDE_NEWER",
        "UV_CONSTRAINT",
        "UV_NO_VERIFY_HASHES",
        "UV_PUBLISH_TOKEN",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "GITHUB_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "LD_PRELOAD",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "SOURCE_DATE_EPOCH",
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "NIXPKGS_ALLOW_UNFREE",
        "NIX_CFLAGS_COMPILE",
        "IN_NIX_SHELL",
        "CI",
        "ANYTHING_ELSE",
    ],
)
def test_a_tool_does_not_see_what_could_bend_its_result_or_is_none_of_its_business(name: str) -> None:
    assert name not in tool_environment({name: "/given"})


def test_a_tool_builds_the_same_whatever_the_callers_shell_says() -> None:
    made = tool_environment({"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "random", "PIP_NO_INPUT": "0"})

    assert (made["TZ"], made["PYTHONHASHSEED"], made["PIP_NO_INPUT"]) == ("UTC", "0", "1")


def test_the_time_of_a_build_is_given_by_the_caller_or_by_none() -> None:
    assert "SOURCE_DATE_EPOCH" not in tool_environment({})
    assert (
        tool_environment({"SOURCE_DATE_EPOCH": "1"}, source_date_epoch="315532800")["SOURCE_DATE_EPOCH"] == "315532800"
    )


def test_index_settings_that_were_read_elsewhere_have_the_last_word() -> None:
    made = tool_environment({"PIP_CONFIG_FILE": "/mine"}, index={"PIP_CONFIG_FILE": os.devnull})

    assert made["PIP_CONFIG_FILE"] == os.devnull


def test_making_an_environment_changes_neither_the_callers_nor_this_processs() -> None:
    given = {"PATH": "/usr/bin", "PYTHONPATH": "/x"}

    tool_environment(given)["PATH"] = "/else"
    project(given)

    assert given == {"PATH": "/usr/bin", "PYTHONPATH": "/x"}


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUSERBASE",
        "__PYVENV_LAUNCHER__",
        "VIRTUAL_ENV_PROMPT",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "_CONDA_EXE",
        "__CONDA_SHLVL_0_PATH",
        "PIXI_PROJECT_ROOT",
        "_CE_CONDA",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PYTHON",
        "PIP_TARGET",
        "PIP_USER",
        "PYENV_VERSION",
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "GITHUB_ENV",
        "GITHUB_PATH",
        "GITHUB_OUTPUT",
        "PYTEST_CURRENT_TEST",
        "PYTEST_XDIST_WORKER",
        "COV_CORE_SOURCE",
        "CI_ENVS_VAR_OLD",
    ],
)
def test_the_projects_tests_do_not_see_another_python_or_the_runners_own(name: str) -> None:
    assert name not in project({name: "x"})


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "PYTEST_ADDOPTS", "PYTHONWARNINGS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "CI", "PYTHONUTF8"],
)
def test_the_projects_tests_see_the_rest_of_what_their_user_set(name: str) -> None:
    assert project({name: "x"})[name] == "x"


def test_the_environments_programs_come_first_and_no_other_is_active() -> None:
    made = project({"PATH": "/usr/bin", "VIRTUAL_ENV": "/other"})

    assert "VIRTUAL_ENV" not in made
    assert made["PATH"].split(os.pathsep) == [str(SCRIPTS), "/usr/bin"]


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
def test_what_the_callers_conda_environment_has_set_is_taken_back() -> None:
    made = project(
        {
            "CONDA_PREFIX": "/home/me/envs/other",
            "GDAL_DATA": "/home/me/envs/other/share/gdal",
            "PKG_CONFIG_PATH": "/home/me/envs/other/lib/pkgconfig:/srv/x/lib/pkgconfig",
            "JAVA_HOME": "/home/me/envs/other",
            "MINE": "/home/me/envs/other-too/share",
            "EMPTY": "",
        }
    )

    assert made.keys() == {"PATH", "PKG_CONFIG_PATH", "MINE", "EMPTY"}
    assert made["PKG_CONFIG_PATH"] == "/srv/x/lib/pkgconfig"


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize("prefix", ["/usr/local", "/usr/", "/", ""])
def test_an_environment_that_is_the_whole_machine_takes_nothing_with_it(prefix: str) -> None:
    assert project({"CONDA_PREFIX": prefix, "SHELL": "/usr/local/bin/zsh"})["SHELL"] == "/usr/local/bin/zsh"


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("environ", "hide"),
    [
        ({"VIRTUAL_ENV": "/own/.venv", "PATH": "/own/.venv/bin:/usr/bin"}, []),
        ({"VIRTUAL_ENV": "/own/.venv", "PATH": "/own/.venv/bin/:/usr/bin"}, []),
        ({"CONDA_PREFIX": "/conda", "PATH": "/conda/bin:/usr/bin:/conda/bin"}, []),
        ({"PATH": "/own/.venv/bin:/usr/bin"}, [Path("/own/.venv/bin")]),
    ],
)
def test_programs_of_another_environment_cannot_stand_in_for_missing_ones(
    environ: dict[str, str], hide: list[Path]
) -> None:
    assert project(environ, hide=hide)["PATH"] == f"{SCRIPTS}:/usr/bin"


def test_without_a_path_the_systems_own_is_taken() -> None:
    assert project({})["PATH"].startswith(f"{SCRIPTS}{os.pathsep}")
    assert os.defpath in project({})["PATH"]


def test_variables_of_the_leg_are_added_as_they_are() -> None:
    made = project_environment({"A": "1"}, path=(SCRIPTS,), variables={"A": "2", "CI_ENVS_VAR_DB": "pg"})

    assert (made["A"], made["CI_ENVS_VAR_DB"]) == ("2", "pg")


def test_axes_of_the_matrix_author_get_names_that_a_shell_can_read() -> None:
    assert leg_variables({"db": "pg", "numpy-2": "yes"}) == {"CI_ENVS_VAR_DB": "pg", "CI_ENVS_VAR_NUMPY_2": "yes"}


@pytest.mark.parametrize(
    "name",
    ["HOME", "USER", "TERM", "TZ", "DISPLAY", "XDG_RUNTIME_DIR", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "CI"],
)
def test_a_pure_shell_is_left_who_and_where_one_is_and_how_the_network_is_reached(name: str) -> None:
    assert pure_environment({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "CC",
        "TMPDIR",
        "VIRTUAL_ENV",
        "NIX_PATH",
        "GITHUB_TOKEN",
        "MINE",
        "BASH_ENV",
    ],
)
def test_a_pure_shell_is_left_nothing_that_changes_what_is_run(name: str) -> None:
    assert pure_environment({name: "value"}) == {}
