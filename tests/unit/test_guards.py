"""The guards of tests/unit/conftest.py hold: a guard that lets things through would make every test here a lie."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ci_envs import command


def test_starting_a_process_fails_a_unit_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="must not start a process"):
        subprocess.run([sys.executable, "-c", "pass"], check=False)


def test_the_door_for_processes_is_closed_too() -> None:
    with pytest.raises(pytest.fail.Exception, match="must not start a process"):
        command.run(command.Command(argv=(sys.executable, "-c", "pass")))


@pytest.mark.parametrize("starter", [name for name in ("fork", "system", "posix_spawn") if hasattr(os, name)])
def test_the_doors_of_the_os_module_are_closed(starter: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="must not start a process"):
        getattr(os, starter)("true")


def test_another_machine_cannot_be_reached_by_number() -> None:
    with socket.socket() as one, pytest.raises(pytest.fail.Exception, match="another machine"):
        one.connect(("192.0.2.1", 80))


def test_another_machine_cannot_be_reached_by_name() -> None:
    with pytest.raises(pytest.fail.Exception, match="another machine"):
        socket.create_connection(("index.example", 443), timeout=1)


def test_a_server_of_the_tests_own_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as one:
        assert one.getpeername() == server.getsockname()


def test_the_home_is_the_tests_own(own_home: Path) -> None:
    assert Path.home() == own_home
    assert not [name for name in os.environ if name.startswith(("PIP_", "UV_", "PYTHON"))]
