"""Unit tests start no process, reach no network, and see none of the settings of whoever runs them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Every way of the standard library to start a process; those that this platform lacks are left out.
_STARTERS = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "startfile", "_spawnvef", "spawnv", "spawnve")

_LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - names, nothing binds

# Variables whose value would decide what a test sees on one machine and not on another.
_BENDING = (
    "ACTIONS_", "AGENT_", "ASDF_", "CI_ENVS_", "CONDA_", "GITHUB_", "MISE_", "PIP_", "PYENV_", "PYTHON", "RUNNER_",
    "RYE_", "SSL_CERT_", "UV_", "VIRTUAL_ENV",
)  # fmt: skip
#: What is tested on Linux and macOS alone, by its folder or file here: Windows has none of it.
_NOT_ON_WINDOWS = {
    "containers": "images are built on Linux; Windows' engines are not looked at",
    "environments/test_nix_shell.py": "nix has no Windows",
    "guix": "guix has no Windows",
    "nix": "nix has no Windows",
    "test_nar.py": "nix has no Windows",
}

#: ERROR_PRIVILEGE_NOT_HELD: https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes--1300-1699-
_NO_PRIVILEGE = 1314

_BENDING_NAMES = frozenset({"CI", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SOURCE_DATE_EPOCH", "TZ"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what Windows has none of."""
    if sys.platform != "win32":
        return
    here = Path(__file__).parent
    for item in items:
        inside = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        for start, reason in _NOT_ON_WINDOWS.items():
            if inside == start or inside.startswith(f"{start}/"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    with _skipped_where_it_cannot_be():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with _skipped_where_it_cannot_be():
        yield


@contextlib.contextmanager
def _skipped_where_it_cannot_be() -> Iterator[None]:
    """What a test cannot make on a system, it cannot test there; it fails for any other reason.

    Windows lets not everybody make links, and macOS' file systems take no name that is not UTF-8.
    """
    try:
        yield
    except OSError as error:
        if getattr(error, "winerror", 0) == _NO_PRIVILEGE:
            pytest.skip("this user may make no symbolic links")
        if sys.platform == "darwin" and error.errno == errno.EILSEQ:
            pytest.skip("this file system takes no name that is not UTF-8")
        raise


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a process raises."""

    def refuse(*arguments: object, **_named: object) -> NoReturn:
        # The first argument of Popen.__init__ is the object itself.
        shown = [argument for argument in arguments if not isinstance(argument, subprocess.Popen)]
        pytest.fail(f"a unit test must not start a process: {shown!r}")

    # A Popen whose __init__ was never finished still has its __del__ called, which reads this.
    monkeypatch.setattr(subprocess.Popen, "_child_created", False, raising=False)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    for name in _STARTERS:
        if hasattr(os, name):
            monkeypatch.setattr(os, name, refuse)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaching or looking up another machine raises."""
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, _local_only(getattr(socket.socket, name)))
    look_up: Callable[..., Any] = socket.getaddrinfo

    def local_lookup(host: str | bytes | None, *arguments: Any, **named: Any) -> Any:
        _refuse_far(host)
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", local_lookup)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, caches and settings of the test's own, so that the user's never matter. Answers with the home."""
    for name in list(os.environ):
        if name.startswith(_BENDING) or name in _BENDING_NAMES:
            monkeypatch.delenv(name)
    # Not mktemp, which looks through all folders that the session has made so far.
    home = Path(tempfile.mkdtemp(prefix="home-", dir=tmp_path_factory.getbasetemp()))
    monkeypatch.setattr("ci_envs.indexes._ETC", home / "etc")
    # Windows' registry tells of this machine's interpreters, and reading it starts them.
    monkeypatch.setattr("ci_envs.places._registered", lambda *_: iter(()))
    for name, folder in {
        "HOME": "",
        "USERPROFILE": "",
        "APPDATA": "AppData/Roaming",
        "LOCALAPPDATA": "AppData/Local",
        "XDG_CACHE_HOME": ".cache",
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
        "XDG_CONFIG_DIRS": "etc/xdg",
        "CI_ENVS_CACHE_DIR": ".cache/ci-envs",
    }.items():
        monkeypatch.setenv(name, str(home / folder))
    return home


def _local_only(original: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if isinstance(address, tuple):
            _refuse_far(address[0])
        return original(self, *arguments)

    return checked


def _refuse_far(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host or ""
    if name not in _LOCAL_HOSTS:
        pytest.fail(f"a unit test must not reach another machine: {name!r}")
