"""What the installers' own checks do not see, in real environments."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support.trees import record_row
from tests.support.wheels import make_wheel

from ci_envs.attest import Ledger, attest, fetch_reference, to_refresh
from ci_envs.command import Command, Outcome, run
from ci_envs.content import HashCache, content_from_probe, read_content
from ci_envs.model.inventory import Inventory
from ci_envs.model.lock import Pin
from ci_envs.record_check import examine
from ci_envs.resources import probe, probe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.component


@dataclass(frozen=True)
class House:
    """A lock over two wheels, a private cache, and the uv that installs from them."""

    root: Path
    uv: str
    pins: tuple[Pin, ...]

    def ask(self, argv: Sequence[str | Path], **variables: str) -> Outcome:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "UV_CACHE_DIR": str(self.root / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "PIP_CONFIG_FILE": os.devnull,
            **variables,
        }
        return run(Command(argv=tuple(str(word) for word in argv), env=env, timeout=60))

    def do(self, argv: Sequence[str | Path]) -> None:
        outcome = self.ask(argv)
        assert outcome, outcome.output

    @property
    def source(self) -> tuple[str, ...]:
        return ("--no-index", "--find-links", str(self.root / "wheels"))

    def install(self, prefix: Path) -> Path:
        self.do((self.uv, "venv", "--clear", "--python", sys.executable, prefix))
        python = prefix / "bin/python"
        lock = self.root / "requirements.txt"
        self.do(
            (
                self.uv,
                "pip",
                "sync",
                "--python",
                python,
                *self.source,
                "--require-hashes",
                "--link-mode",
                "hardlink",
                lock,
            )
        )
        return prefix

    def wheel_says(self, prefix: Path, *, trust_first: bool = True) -> tuple[tuple[str, ...], ...]:
        """Names: altered, unknown."""
        told = attest(read_content(prefix), self.pins, Ledger(self.root / "ledger"), trust_first=trust_first)
        return tuple(pin.name for pin in told.altered), tuple(pin.name for pin in told.unknown)


@pytest.fixture
def house(tmp_path: Path, uv_bin: str) -> House:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    pins = []
    for name in ("apple", "pear"):
        modules = {f"{name}/__init__.py": "x = 1\n", f"{name}/more.py": "y = 2\n"}
        wheel = make_wheel(wheels, name, "1.0", modules=modules, scripts={f"eat-{name}": f"{name}:x"})
        pins.append(Pin(name=name, version="1.0", hashes=("sha256:" + hashlib.sha256(wheel.read_bytes()).hexdigest(),)))
    lines = (f"{pin.name}=={pin.version} --hash={pin.hashes[0]}\n" for pin in pins)
    (tmp_path / "requirements.txt").write_text("".join(lines))
    return House(tmp_path, uv_bin, tuple(pins))


def site(prefix: Path) -> Path:
    return next(prefix.glob("lib/python*/site-packages"))


def problems(prefix: Path) -> list[tuple[str, str, str]]:
    return [(p.code, p.distribution, p.path.rpartition("site-packages/")[2]) for p in examine(read_content(prefix))]


def test_an_edited_a_deleted_and_an_added_file_are_found_where_uv_and_pip_see_nothing(
    house: House, pip_python: Path, tmp_path: Path
) -> None:
    prefix = house.install(tmp_path / "env")
    assert problems(prefix) == []
    folder = site(prefix)
    edited = folder / "apple/__init__.py"
    edited.unlink()  # so that the cache keeps its own
    edited.write_text("x = 2\n")
    (folder / "pear/more.py").unlink()
    (folder / "planted.pth").write_text("import os\n")

    assert house.ask((house.uv, "pip", "check", "--python", prefix / "bin/python"))
    assert house.ask((pip_python, "-m", "pip", "--python", prefix / "bin/python", "check"))

    assert problems(prefix) == [
        ("ENV110", "apple", "apple/__init__.py"),
        ("ENV111", "pear", "pear/more.py"),
        ("ENV112", "", "planted.pth"),
    ]


def poison(prefix: Path) -> None:
    """Edits a hard-linked module in place, and RECORD to fit: both are now in uv's cache."""
    folder = site(prefix)
    module, record = folder / "apple/__init__.py", folder / "apple-1.0.dist-info/RECORD"
    with module.open("a") as file:
        file.write("evil = True\n")
    rows = record.read_text().splitlines()
    new = record_row("apple/__init__.py", module.read_bytes())
    rows = [new if row.startswith("apple/__init__.py,") else row for row in rows]
    # RECORD in the environment is uv's own copy; the wheel's is in the cache.
    (cached,) = (prefix.parent / "cache").rglob("apple-1.0.dist-info/RECORD")
    kept = [new if row.startswith("apple/__init__.py,") else row for row in cached.read_text().splitlines()]
    cached.write_text("\n".join([*kept, ""]))
    record.write_text("\n".join([*rows, ""]))


def test_a_poisoned_cache_is_found_named_and_replaced(house: House, tmp_path: Path) -> None:
    assert house.wheel_says(house.install(tmp_path / "env")) == ((), ())
    poison(tmp_path / "env")

    # uv checks the lock's hashes and installs the altered file, and its RECORD says that all is well.
    again = house.install(tmp_path / "again")
    assert "evil" in (site(again) / "apple/__init__.py").read_text()
    assert problems(again) == []
    assert house.wheel_says(again) == (("apple",), ())

    content = read_content(again)
    told = attest(content, house.pins, Ledger(house.root / "ledger"), trust_first=True)
    names = to_refresh(content, told)
    assert names == ("apple",)
    house.do((house.uv, "cache", "clean", *names))
    mended = house.install(tmp_path / "again")
    assert "evil" not in (site(mended) / "apple/__init__.py").read_text()
    assert house.wheel_says(mended) == ((), ())


def test_a_hard_link_that_was_edited_is_found_even_where_record_was_not(house: House, tmp_path: Path) -> None:
    first = house.install(tmp_path / "env")
    with (site(first) / "pear/more.py").open("a") as file:
        file.write("evil = True\n")
    again = house.install(tmp_path / "again")

    assert problems(again) == [("ENV110", "pear", "pear/more.py")]
    content = read_content(again)
    assert to_refresh(content, attest(content, (), Ledger(tmp_path / "l"), trust_first=True)) == ("pear",)


def test_a_cache_of_the_users_is_compared_with_a_fresh_download(house: House, tmp_path: Path) -> None:
    prefix = house.install(tmp_path / "env")
    poison(prefix)
    ledger = Ledger(house.root / "ledger")
    assert house.wheel_says(prefix, trust_first=False) == ((), ("apple", "pear"))

    folder = tmp_path / "reference"
    folder.mkdir()
    told = attest(read_content(prefix), house.pins, ledger, trust_first=False)
    missing = fetch_reference(
        told.doubtful,
        ledger,
        run=house.ask,
        python=prefix / "bin/python",
        folder=folder,
        uv=house.uv,
        options=house.source,
    )

    assert missing == ()
    assert house.wheel_says(prefix, trust_first=False) == (("apple",), ())


def test_sixteen_processes_agree_on_what_was_seen_first(tmp_path: Path) -> None:
    records = [f"sha256:{number:064x}" for number in range(16)]
    with ProcessPoolExecutor(16) as pool:
        held = list(pool.map(partial(_trust, tmp_path), records * 20))
    assert len(set(held)) == 1
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


def _trust(folder: Path, record: str) -> str:
    return Ledger(folder).trust("aa", Pin(name="pkg", version="1.0"), record)


def test_the_probe_answers_inside_an_environment(house: House, tmp_path: Path) -> None:
    prefix = house.install(tmp_path / "env")
    python = prefix / "bin/python"

    outcome = house.ask((python, "-I", "-S", probe.__file__, "inventory"))
    told = msgspec.json.decode(outcome.stdout, type=Inventory)

    assert told.interpreter.prefix == str(prefix)
    assert told.interpreter.executable == str(python)
    assert told.interpreter.base_prefix == sys.base_prefix
    assert told.interpreter.paths["purelib"] == site(prefix).relative_to(prefix).as_posix()
    assert [(d.name, d.version, d.modules, d.installer) for d in told.distributions] == [
        ("apple", "1.0", ("apple",), "uv"),
        ("pear", "1.0", ("pear",), "uv"),
    ]


def test_the_probe_reads_a_prefix_as_the_package_does(house: House, tmp_path: Path) -> None:
    prefix = house.install(tmp_path / "env")
    outcome = house.ask((prefix / "bin/python", "-I", "-S", probe.__file__, "content", prefix))
    assert content_from_probe(json.loads(outcome.stdout)) == read_content(prefix)


def test_an_import_is_tried_inside_and_its_output_kept_apart(house: House, tmp_path: Path) -> None:
    prefix = house.install(tmp_path / "env")
    noisy = site(prefix) / "noisy.py"
    noisy.write_text("import os\nprint('not an answer')\nos.system('echo neither')\n__version__ = '3'\n")

    def ask(name: str) -> Outcome:
        argv = (str(prefix / "bin/python"), "-s", "-", "import", name)
        env = {"PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"), "PATH": os.environ["PATH"]}
        return run(Command(argv=argv, env=env, cwd=tmp_path, stdin=probe_text(), timeout=60))

    good = ask("noisy")
    assert good
    answer = json.loads(good.stdout)
    assert (answer["ok"], answer["version"]) == (True, "3")
    assert "not an answer" in good.stderr

    (tmp_path / "shadow.py").write_text("")  # the folder it is run in is not on its path
    bad = ask("shadow")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["error"].startswith("ModuleNotFoundError")
    assert not list(prefix.rglob("*.pyc"))


def test_every_python_since_3_8_reads_the_probe(tmp_path: Path) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [path for path in versions.glob("3.*/bin/python") if int(path.parent.parent.name.split(".")[1]) >= 8]
    for python in [*found, Path(sys.executable)]:
        outcome = run(Command(argv=(str(python), "-I", "-S", probe.__file__, "inventory"), timeout=60))
        assert outcome, outcome.output
        told = msgspec.json.decode(outcome.stdout, type=Inventory)
        asked = subprocess.run(
            [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
        )
        assert told.interpreter.prefix == asked.stdout.strip()


def test_a_later_environment_of_hard_links_costs_little(house: House, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    block = os.urandom(1 << 20)
    for number in range(60):
        (big / f"{number}.bin").write_bytes(block + bytes([number]))
    later = tmp_path / "later"
    later.mkdir()
    for path in big.iterdir():
        (later / path.name).hardlink_to(path)

    def seconds(prefix: Path, cache: HashCache) -> float:
        started = time.perf_counter()
        read_content(prefix, cache=cache)
        return time.perf_counter() - started

    cache = HashCache()
    first = seconds(big, cache)
    assert min(seconds(later, cache) for _ in range(3)) < 0.4 * first
