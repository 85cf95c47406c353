"""Every module can be imported on every system: in a process of its own that has the other one's facts.

What Windows lacks is taken away first (modules, and names of ``os``, ``signal`` and ``socket``). That a function runs
there no test of this kind can tell; mypy reads the sources for each platform (``nox -s lint``).
"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.component

# https://docs.python.org/3/library/: "Availability: Unix" of each.
_CHILD = """
import contextlib, importlib, os, pathlib, pkgutil, signal, socket, subprocess, sys

platform, name = sys.argv[1:]
import ci_envs

modules = [found.name for found in pkgutil.walk_packages(ci_envs.__path__, "ci_envs.")]
modules = [each for each in modules if not each.endswith("__main__")]
# What is not ours is here as it is: it was made for this machine.
for module in modules:
    with contextlib.suppress(Exception):
        importlib.import_module(module)
for module in [each for each in sys.modules if each.partition(".")[0] == "ci_envs"]:
    del sys.modules[module]

# A Path reads os.name whenever one is made.
sys.modules[pathlib.Path.__module__].WindowsPath = pathlib.PosixPath
sys.platform, os.name = platform, name
if platform == "win32":
    for module in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "crypt", "_posixsubprocess"):
        sys.modules[module] = None
    lacking = {
        os: "chown fchmod fchown fork forkpty getegid geteuid getgid getgroups getpgid getpgrp getresuid getsid "
        "getuid initgroups killpg lchown mkfifo mknod nice openpty posix_spawn posix_spawnp pread pwrite "
        "sched_getaffinity setegid seteuid setgid setpgid setsid setuid statvfs sysconf uname wait3 wait4 "
        "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_NOCTTY WNOHANG confstr getxattr listxattr",
        signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGQUIT SIGUSR1 SIGUSR2 SIGPIPE SIGSTOP SIGTSTP SIGWINCH alarm pause "
        "pthread_kill pthread_sigmask setitimer siginterrupt sigwait",
        socket: "AF_UNIX SCM_RIGHTS",
    }
    for owner, names in lacking.items():
        for each in names.split():
            if hasattr(owner, each):
                delattr(owner, each)
    subprocess.CREATE_NEW_PROCESS_GROUP = 0x200
if platform == "darwin":
    for each in ("sched_getaffinity", "getresuid", "posix_fadvise", "getxattr"):
        if hasattr(os, each):
            delattr(os, each)

failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failed[module] = f"{type(error).__name__}: {error}"
os.name = "posix"
print(len(modules), failed)
"""


@pytest.mark.parametrize(("platform", "name"), [("win32", "nt"), ("darwin", "posix"), ("linux", "posix")])
def test_every_module_is_imported(platform: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, platform, name], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    count, _, failed = done.stdout.strip().partition(" ")
    assert int(count) > 200
    assert failed == "{}"


def test_what_windows_lacks_is_missed() -> None:
    """The check itself sees a module that cannot be imported there."""
    planted = _CHILD.replace("failed = {}", "failed = {}\nmodules.append('fcntl')\nsys.modules['fcntl'] = None", 1)
    done = subprocess.run(
        [sys.executable, "-c", planted, "win32", "nt"], capture_output=True, text=True, timeout=100, check=False
    )
    assert "fcntl" in done.stdout, done.stderr
