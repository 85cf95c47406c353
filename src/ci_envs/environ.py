"""Which variables a child process sees: the tools that lock and build, and the project's own tests. Pure.

A tool gets what is on a list: what it needs to reach the index, the disk and a compiler. Everything else could bend
its result, and a result that depends on the caller's shell is not the same tomorrow. The project's own commands get
the caller's variables, less what belongs to another Python or to the machinery around us.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["leg_variables", "project_environment", "pure_environment", "tool_environment"]


def _words(text: str, prefix: str = "") -> frozenset[str]:
    return frozenset(prefix + word for word in text.split())


# Compared in upper case: Windows does not tell the cases apart, and proxies are written in both.
_TOOL_NAMES = _words(
    """
    PATH HOME USER LOGNAME SHELL TMPDIR TEMP TMP LANG LANGUAGE
    USERPROFILE USERNAME APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES PROGRAMW6432 COMMONPROGRAMFILES
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE PROCESSOR_ARCHITEW6432
    XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR XDG_CONFIG_DIRS XDG_DATA_DIRS
    DBUS_SESSION_BUS_ADDRESS NETRC SSH_AUTH_SOCK
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY
    SSL_CERT_FILE SSL_CERT_DIR SSL_CLIENT_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS SSH_ASKPASS GIT_SSL_CAINFO GIT_SSL_CAPATH GIT_PROXY_COMMAND
    CC CXX CPP LD AR NM RANLIB FC F77 F90 CFLAGS CXXFLAGS CPPFLAGS FFLAGS FCFLAGS LDFLAGS LDSHARED ARCHFLAGS MAKEFLAGS
    CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    PKG_CONFIG PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR CMAKE_PREFIX_PATH CMAKE_GENERATOR CMAKE_ARGS
    MACOSX_DEPLOYMENT_TARGET SDKROOT DEVELOPER_DIR INCLUDE LIB LIBPATH VCINSTALLDIR DISTUTILS_USE_SDK MSSDK
    CARGO_HOME RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTFLAGS CUDA_HOME CUDA_PATH CUDACXX
    """
)

# pip's options are variables too (https://pip.pypa.io/en/stable/topics/configuration/#environment-variables). These
# say where files come from and how they are reached. Left out are those that say what is chosen or where it goes:
# PIP_TARGET, PIP_USER, PIP_PREFIX, PIP_NO_DEPS, PIP_PRE, PIP_CONSTRAINT, PIP_NO_BINARY, PIP_REQUIRE_VIRTUALENV, ...
_PIP_NAMES = _words(
    """
    INDEX_URL PYPI_URL EXTRA_INDEX_URL NO_INDEX FIND_LINKS TRUSTED_HOST CERT CLIENT_CERT PROXY TIMEOUT DEFAULT_TIMEOUT
    RETRIES KEYRING_PROVIDER CONFIG_FILE CACHE_DIR NO_CACHE_DIR
    """,
    prefix="PIP_",
)

# The same for uv (https://docs.astral.sh/uv/reference/environment/). Left out are UV_PYTHON, UV_PROJECT,
# UV_PROJECT_ENVIRONMENT, UV_WORKING_DIR, UV_NO_SYNC, UV_FROZEN, UV_RESOLUTION, UV_PRERELEASE, UV_EXCLUDE_NEWER,
# UV_CONSTRAINT, UV_OVERRIDE, UV_NO_BINARY, UV_TORCH_BACKEND, UV_NO_VERIFY_HASHES, UV_COMPILE_BYTECODE, ...
# UV_LINK_MODE stays: the content of an environment is the same whichever way it was linked, and a user whose cache
# is on another disk has set it for a reason.
_UV_NAMES = _words(
    """
    DEFAULT_INDEX INDEX INDEX_URL EXTRA_INDEX_URL INDEX_STRATEGY FIND_LINKS INSECURE_HOST NATIVE_TLS SYSTEM_CERTS
    HTTP_TIMEOUT HTTP_CONNECT_TIMEOUT REQUEST_TIMEOUT HTTP_RETRIES OFFLINE KEYRING_PROVIDER CREDENTIALS_DIR CONFIG_FILE
    CACHE_DIR LINK_MODE CONCURRENT_DOWNLOADS CONCURRENT_BUILDS CONCURRENT_INSTALLS PYTHON_INSTALL_DIR PYTHON_CACHE_DIR
    PYTHON_DOWNLOADS PYTHON_INSTALL_MIRROR PYPY_INSTALL_MIRROR PYTHON_DOWNLOADS_JSON_URL GIT_LFS
    """,
    prefix="UV_",
)

# The same for nix (https://nix.dev/manual/nix/latest/command-ref/env-common.html), and what nixpkgs' fetchers take into
# their builds. Left out are NIX_PAGER, NIX_SHOW_STATS, NIX_BUILD_SHELL, NIXPKGS_ALLOW_UNFREE, ..., and what a nix shell
# around us has set: IN_NIX_SHELL, NIX_CFLAGS_COMPILE, NIX_LDFLAGS, ...
_NIX_NAMES = _words(
    """
    PATH CONFIG CONF_DIR USER_CONF_FILES REMOTE STORE STORE_DIR STATE_DIR DATA_DIR LOG_DIR DAEMON_SOCKET_PATH
    IGNORE_SYMLINK_STORE SSL_CERT_FILE SSHOPTS CURL_FLAGS CONNECT_TIMEOUT HASHED_MIRRORS GIT_SSL_CAINFO
    """,
    prefix="NIX_",
)

# The same for guix: which daemon is asked, where its locales lie, and the options that a user has for each build
# (https://guix.gnu.org/manual/en/html_node/Common-Build-Options.html). Left out is GUIX_PACKAGE_PATH, which brings
# other packages than those of the channels.
_GUIX_NAMES = _words("DAEMON_SOCKET LOCPATH BUILD_OPTIONS STATE_DIRECTORY", prefix="GUIX_")

_ALLOWED = _TOOL_NAMES | _PIP_NAMES | _UV_NAMES | _NIX_NAMES | _GUIX_NAMES
# GIT_CONFIG_COUNT, _KEY_<n> and _VALUE_<n> carry the credentials of private repositories (git-config(1)); a version
# that is given for one named distribution is how a shallow clone of a setuptools-scm project is built at all.
_ALLOWED_PREFIXES = (
    "LC_",
    "GIT_CONFIG_",
    "NIX_MIRRORS_",
    "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_",
    "PROGRAMFILES(",
    "COMMONPROGRAMFILES(",
)
_INDEX_LOGIN = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")

_TOOL_FIXED = {
    # Sets have one order while a source distribution is built (https://reproducible-builds.org/docs/randomness/).
    "PYTHONHASHSEED": "0",
    # Python writes what its pipe is read as, also on Windows.
    "PYTHONIOENCODING": "utf-8",
    # What a user installed for themselves is none of a tool's.
    "PYTHONNOUSERSITE": "1",
    # A build that writes the time writes the same one everywhere.
    "TZ": "UTC",
    # Nothing may wait for a person.
    "PIP_NO_INPUT": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

# Each of these points a Python at another Python's files, makes it stop or start differently, or tells a tool that
# another environment is active (https://docs.python.org/3/using/cmdline.html#environment-variables).
_FOREIGN = _words(
    """
    PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONPLATLIBDIR PYTHONEXECUTABLE PYTHONINSPECT PYTHONSAFEPATH
    PYTHONCASEOK PYTHONPYCACHEPREFIX PYTHON_BASIC_REPL __PYVENV_LAUNCHER__
    PYENV_VERSION PYENV_DIR PYENV_VIRTUAL_ENV PYENV_ACTIVATE_SHELL PIPENV_ACTIVE POETRY_ACTIVE PDM_PROJECT_ROOT
    UV UV_PROJECT UV_PROJECT_ENVIRONMENT UV_PYTHON UV_RUN_RECURSION_DEPTH UV_WORKING_DIR
    PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_PYTHON
    PYTEST_CURRENT_TEST PYTEST_XDIST_WORKER PYTEST_XDIST_WORKER_COUNT PYTEST_XDIST_TESTRUNUID PYTEST_VERSION
    COV_CORE_SOURCE COV_CORE_CONFIG COV_CORE_DATAFILE COVERAGE_PROCESS_START
    """
)
_FOREIGN_PREFIXES = ("VIRTUAL_ENV", "CONDA_", "_CONDA_", "__CONDA_", "_CE_", "PIXI_", "CI_ENVS_VAR_")

# A conda environment lies there in some images; what is below belongs to the whole machine.
_MACHINES_OWN = frozenset(("", "/", "/usr", "/usr/local"))

# Where environments keep programs; on Windows conda's are in all but the first.
_PROGRAMS = ("bin", "Scripts", "Library/bin", "Library/usr/bin", "Library/mingw-w64/bin")

# What ``nix-shell --pure`` keeps, which is who and where one is, and how the network is reached
# (https://nix.dev/manual/nix/latest/command-ref/nix-shell#opt-pure); and what says that nobody is watching.
_PURE_NAMES = _words(
    """
    HOME USER LOGNAME XDG_RUNTIME_DIR DISPLAY WAYLAND_DISPLAY WAYLAND_SOCKET TERM TZ PAGER SHLVL LANG
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY NIX_SSL_CERT_FILE SSL_CERT_FILE CI NO_COLOR FORCE_COLOR
    """
)

# The runner hands its jobs a token of their own under ACTIONS_ (cache, artifacts, OIDC), and files through which a
# step sets the variables, PATH, outputs and state of later ones. A project's tests are code that we were given.
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#environment-files
_RUNNER_PREFIX = "ACTIONS_"
_RUNNER_FILES = frozenset(("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE"))


def tool_environment(
    environ: Mapping[str, str], *, index: Mapping[str, str] | None = None, source_date_epoch: str = ""
) -> dict[str, str]:
    """What a command that locks or builds sees of the caller's variables.

    ``index`` is what :mod:`ci_envs.indexes` made of the user's index settings, and has the last word.
    ``SOURCE_DATE_EPOCH`` is never the caller's own: two machines would build two wheels.
    """
    made = {name: value for name, value in environ.items() if _is_for_tools(name)}
    if "PATH" in made:
        made["PATH"] = _deactivated(made["PATH"], environ)
    made.update(_TOOL_FIXED)
    if source_date_epoch:
        made["SOURCE_DATE_EPOCH"] = source_date_epoch
    return made | dict(index or {})


def project_environment(
    environ: Mapping[str, str], *, path: Iterable[Path], variables: Mapping[str, str], hide: Iterable[Path] = ()
) -> dict[str, str]:
    """What the project's own tests and checks see: the caller's variables, with the environment active.

    ``path`` comes first on PATH, and the folders of other environments are taken off it (those that are active
    by the variables, and ``hide``): a test runner that the leg lacks must be missed, not found in a neighbour.
    ``variables``, those that say what is active among them, are added as they are.
    """
    made = {name: value for name, value in environ.items() if _is_for_projects(name)}
    rest = _deactivated(made.get("PATH", os.defpath), environ, hide)
    folders = os.pathsep.join(filter(None, (*map(str, path), rest)))
    return _without_conda(made, environ.get("CONDA_PREFIX", "")) | {"PATH": folders} | dict(variables)


def pure_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a shell of its own programs alone is left of the caller's variables: none that changes what is run."""
    return {name: value for name, value in environ.items() if name.upper() in _PURE_NAMES}


def _without_conda(made: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The variables without what the caller's own conda environment has set when it was activated.

    Its packages' scripts set what no list can name (GDAL_DATA, PKG_CONFIG_PATH, JAVA_HOME, ...), to places inside.
    """
    top = os.path.normcase(prefix).rstrip("/\\")
    if top in _MACHINES_OWN:
        return dict(made)
    kept = {}
    for name, value in made.items():
        parts = value.split(os.pathsep)
        outside = [part for part in parts if not f"{os.path.normcase(part)}{os.sep}".startswith(top + os.sep)]
        if outside:
            kept[name] = value if len(outside) == len(parts) else os.pathsep.join(outside)
    return kept


def leg_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """``CI_ENVS_VAR_<NAME>`` for the matrix author's own axes: upper case, ``_`` for all but letters and digits."""
    return {f"CI_ENVS_VAR_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}": value for name, value in variables.items()}


def _is_for_tools(name: str) -> bool:
    upper = name.upper()
    return upper in _ALLOWED or upper.startswith(_ALLOWED_PREFIXES) or _INDEX_LOGIN.fullmatch(upper) is not None


def _is_for_projects(name: str) -> bool:
    upper = name.upper()
    return not (upper in _FOREIGN or upper.startswith((*_FOREIGN_PREFIXES, _RUNNER_PREFIX)) or upper in _RUNNER_FILES)


def _deactivated(path: str, environ: Mapping[str, str], hide: Iterable[Path] = ()) -> str:
    """PATH without the programs of the environments that are active, as their own ``deactivate`` would leave it."""
    active = [environ[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if environ.get(name)]
    hidden = {os.path.normcase(os.path.join(prefix, folder)) for prefix in active for folder in _PROGRAMS}  # noqa: PTH118 - text on PATH is compared as text
    hidden |= {os.path.normcase(folder) for folder in hide}
    return os.pathsep.join(
        entry for entry in path.split(os.pathsep) if os.path.normcase(entry.rstrip("/\\")) not in hidden
    )
