"""One lock, one digest: real installers, two places, two users."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import make_wheel

from ci_envs.attest import Ledger, attest
from ci_envs.content import read_content
from ci_envs.digest import Digest, differences, environment_digest
from ci_envs.model.lock import Pin
from ci_envs.record_check import verify_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.component

#: Of Debian and of most others: a user that owns nothing.
NOBODY = 65534


@dataclass(frozen=True)
class House:
    """A folder of wheels, the lock that names them, and what installs from it."""

    root: Path
    uv: str
    pip: Path
    pins: tuple[Pin, ...]
    python: str = sys.executable

    @property
    def lock(self) -> Path:
        return self.root / "requirements.txt"

    def run(self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **how: int) -> None:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "UV_CACHE_DIR": str(self.root / "cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            **(env or {}),
        }
        words = [str(word) for word in argv]
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload]  # user, umask
        assert done.returncode == 0, done.stderr

    @property
    def source(self) -> tuple[str, ...]:
        return ("--no-index", "--find-links", str(self.root / "wheels"), "--require-hashes")

    def with_uv(self, prefix: Path, *options: str, env: Mapping[str, str] | None = None, **how: int) -> Path:
        self.run((self.uv, "venv", "--python", self.python, prefix), env, **how)
        python = prefix / "bin/python"
        self.run((self.uv, "pip", "sync", "--python", python, *self.source, *options, self.lock), env, **how)
        return prefix

    def with_pip(self, prefix: Path, *options: str, env: Mapping[str, str] | None = None, **how: int) -> Path:
        self.run((self.python, "-m", "venv", "--without-pip", prefix), env, **how)
        python = prefix / "bin/python"
        pip = (self.pip, "-m", "pip", "--python", python, "install", "--no-deps")
        self.run((*pip, *self.source, *options, "-r", self.lock), env, **how)
        return prefix


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, uv_bin: str, pip_python: Path) -> House:
    root = tmp_path_factory.mktemp("house")
    wheels = root / "wheels"
    wheels.mkdir()
    made = [
        make_wheel(
            wheels,
            "apple",
            "1.0",
            modules={
                "apple/__init__.py": "x = 1\n",
                "apple/cli.py": "def main(): ...\n",
                "apple/data.bin": b"\0" * 9000,
            },
            scripts={"eat": "apple.cli:main"},
            data_scripts={"peel": "#!python\nprint('peel')\n", "core": "#!/bin/sh\necho core\n"},
        ),
        make_wheel(wheels, "Big.Pear", "2.0", modules={"pear.py": "y = 2\n"}),
    ]
    pins = tuple(
        Pin(name=name, version=version, hashes=("sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),))
        for path, (name, version) in zip(made, (("apple", "1.0"), ("big-pear", "2.0")), strict=True)
    )
    lines = (f"{pin.name}=={pin.version} --hash={pin.hashes[0]}\n" for pin in pins)
    (root / "requirements.txt").write_text("".join(lines))
    return House(root, uv_bin, pip_python, pins)


def digest(prefix: Path) -> Digest:
    content = read_content(prefix)
    assert verify_records(content) == ()
    return environment_digest(content)


def test_every_installer_gives_one_digest_and_one_record(house: House, tmp_path: Path) -> None:
    long = tmp_path / ("long" * 40)
    made = {
        "uv, hard links": house.with_uv(tmp_path / "a"),
        "uv, copies": house.with_uv(tmp_path / "b", "--link-mode", "copy"),
        "uv, compiled": house.with_uv(tmp_path / "c", "--compile-bytecode"),
        "uv, a path with a blank": house.with_uv(tmp_path / "d d"),
        "uv, a path that is long": house.with_uv(long / "e"),
        "pip": house.with_pip(tmp_path / "f"),
        "pip, not compiled": house.with_pip(tmp_path / "g", "--no-compile"),
        "pip, a path that is long": house.with_pip(long / "h", "--no-compile"),
    }
    digests = {how: digest(prefix) for how, prefix in made.items()}

    reference = digests["uv, hard links"]
    assert {how: differences(reference, each) for how, each in digests.items() if each.value != reference.value} == {}
    assert {item.path: item.kind for item in reference.entries if item.path.startswith("bin/")} == {
        "bin/core": "file",
        "bin/eat": "launcher",
        "bin/peel": "file",
    }
    ledger = Ledger(tmp_path / "ledger")
    told = [attest(read_content(prefix), house.pins, ledger, trust_first=True) for prefix in made.values()]
    assert [(each.learned, each.matched) for each in told] == [(2, 0)] + [(0, 2)] * 7


def test_another_creator_gives_the_same_digest(house: House, tmp_path: Path) -> None:
    plain = house.with_uv(tmp_path / "a")
    house.run((sys.executable, "-m", "virtualenv", "--no-download", "--pip", "bundle", tmp_path / "b"))
    python = tmp_path / "b/bin/python"
    house.run((house.uv, "pip", "install", "--no-deps", "--python", python, *house.source, "-r", house.lock))

    seeded = environment_digest(read_content(tmp_path / "b"), seeds=frozenset({"pip", "setuptools", "wheel"}))
    assert differences(digest(plain), seeded) == []


def test_other_pips_give_the_same_digest(house: House, tmp_path: Path) -> None:
    house.run((sys.executable, "-m", "venv", tmp_path / "old"))  # the pip that came with this Python
    python = tmp_path / "old/bin/python"
    house.run((python, "-m", "pip", "install", "--no-deps", *house.source, "-r", house.lock))

    bundled = environment_digest(read_content(tmp_path / "old"), seeds=frozenset({"pip", "setuptools"}))
    assert differences(digest(house.with_uv(tmp_path / "a")), bundled) == []


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that every user may reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_two_folders_users_masks_and_time_zones_give_one_digest(house: House, elsewhere: Path, tmp_path: Path) -> None:
    who: dict[str, int] = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    there = House(elsewhere / "there", str(elsewhere / "uv"), house.pip, house.pins, python=_python_for_all(who))
    shutil.copytree(house.root / "wheels", there.root / "wheels")
    shutil.copy(house.lock, there.lock)
    shutil.copy(house.uv, there.uv)
    if who:  # only root can be two users; anybody can have two of the rest
        os.chown(there.root, NOBODY, NOBODY)
    here = replace(house, python=there.python)

    first = here.with_uv(tmp_path / "env", env={"TZ": "Pacific/Kiritimati", "LANG": "C"}, umask=0o077)
    second = there.with_uv(there.root / "some other env", env={"TZ": "America/Nome"}, umask=0o002, **who)

    file = f"lib/{next((second / 'lib').iterdir()).name}/site-packages/apple/__init__.py"
    assert (first / file).stat().st_mode != (second / file).stat().st_mode
    assert [(prefix / file).stat().st_uid for prefix in (first, second)] == [
        os.geteuid(),
        who.get("user", os.geteuid()),
    ]
    assert differences(digest(first), digest(second)) == []
    assert digest(first).value == digest(second).value


def _python_for_all(who: Mapping[str, int]) -> str:
    """An interpreter that the other user can start: ours may lie in a home folder."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", ""], check=False, **who).returncode == 0:  # type: ignore[call-overload]  # user, group
                return python
    pytest.fail("no interpreter here that another user may start")
