from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.trees import LAUNCHERS, Tree, record_row

from ci_envs.attest import Ledger, attest, fetch_reference, to_refresh
from ci_envs.command import Outcome
from ci_envs.content import read_content
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from collections.abc import Sequence

SITE = Tree.site
PIN = Pin(name="pkg", version="1.0", hashes=("sha256:" + "1" * 64, "sha256:" + "2" * 64))
ENTRY_POINTS = "[console_scripts]\nrun = pkg.cli:main\n"


def make(prefix: Path, installer: str = "uv", text: str = "x = 1\n", tags: str = "Tag: py3-none-any\n") -> Tree:
    """One wheel as one installer installs it: its launchers, its metadata, its bytecode."""
    tree = Tree(prefix)
    first = f"#!{prefix}/bin/python\n"
    tree.install(
        "pkg",
        files={"pkg/__init__.py": text, "pkg/cli.py": "def main(): ...\n"},
        scripts={"run": first + LAUNCHERS[installer], "tool": first + "print(1)\n", "native": "\x7fELF"},
        entry_points=ENTRY_POINTS,
        installer=installer,
        rows=("pkg/__pycache__/cli.cpython-312.pyc,,", "pkg-1.0.dist-info/REQUESTED,,") if installer != "uv" else (),
        tags=tags,
    )
    return tree


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def ask(tree: Tree, ledger: Ledger, *, trust_first: bool = True, pin: Pin = PIN) -> tuple[int, int, int, int, int]:
    """Matched, learned, altered, unknown, unattested."""
    told = attest(read_content(tree.prefix), [pin], ledger, trust_first=trust_first)
    return told.matched, told.learned, len(told.altered), len(told.unknown), len(told.unattested)


MATCHED, LEARNED, ALTERED, UNKNOWN, UNATTESTED = (tuple(int(n == k) for n in range(5)) for k in range(5))


def test_a_private_cache_is_trusted_at_first_sight_and_held_to_it(tmp_path: Path, ledger: Ledger) -> None:
    tree = make(tmp_path / "a")
    assert ask(tree, ledger) == LEARNED
    assert ask(tree, ledger) == MATCHED


@pytest.mark.parametrize("installer", LAUNCHERS)
def test_every_installer_agrees_on_one_wheel(tmp_path: Path, ledger: Ledger, installer: str) -> None:
    assert ask(make(tmp_path / "a"), ledger) == LEARNED
    assert ask(make(tmp_path / "another place", installer), ledger) == MATCHED


def test_a_file_that_was_edited_together_with_its_record_is_found_and_named(tmp_path: Path, ledger: Ledger) -> None:
    ask(make(tmp_path / "a"), ledger)
    edited = make(tmp_path / "b", text="import evil\n")

    told = attest(read_content(edited.prefix), [PIN], ledger, trust_first=True)

    assert told.altered == (PIN,)
    (finding,) = told.findings
    assert (finding.code, finding.severity) == ("ENV113", "error")
    assert "pkg 1.0" in finding.message
    assert "ci-envs run --fresh" in finding.message
    assert to_refresh(read_content(edited.prefix), told) == ("pkg",)


@pytest.mark.parametrize("script", ["tool", "native"])
def test_a_script_of_the_wheel_is_held_to_it_too(tmp_path: Path, ledger: Ledger, script: str) -> None:
    ask(make(tmp_path / "a"), ledger)
    other = make(tmp_path / "b")
    text = (other.prefix / "bin" / script).read_bytes()
    other.write(f"bin/{script}", text + b"evil")
    record = other.prefix / SITE / "pkg-1.0.dist-info/RECORD"
    rows = [line for line in record.read_text().splitlines() if not line.startswith(f"../../../bin/{script},")]
    record.write_text("\n".join([*rows, record_row(f"../../../bin/{script}", text + b"evil")]))

    assert ask(other, ledger) == ALTERED


def test_a_shared_cache_is_not_trusted_unseen(tmp_path: Path, ledger: Ledger) -> None:
    tree = make(tmp_path / "a")
    told = attest(read_content(tree.prefix), [PIN], ledger, trust_first=False)
    assert told.unknown == told.doubtful == (PIN,)
    assert [finding.severity for finding in told.findings] == ["warning"]
    assert ask(tree, ledger, trust_first=False) == UNKNOWN


@pytest.mark.parametrize(
    "pin",
    [
        Pin(name="pkg", version="1.0"),
        Pin(name="pkg", version="1.0", source="vcs", location="git+https://host.example/x@abc"),
        Pin(name="pkg", version="1.0", source="path", location="."),
        Pin(name="pkg", version="1.0", hashes=("md5:00",)),
    ],
)
def test_a_pin_that_no_hash_speaks_for_is_said_to_be_unattested(tmp_path: Path, ledger: Ledger, pin: Pin) -> None:
    assert ask(make(tmp_path / "a"), ledger, pin=pin) == UNATTESTED


def test_a_distribution_without_record_is_unattested(tmp_path: Path, ledger: Ledger) -> None:
    tree = make(tmp_path / "a")
    (tree.prefix / SITE / "pkg-1.0.dist-info/RECORD").unlink()
    assert ask(tree, ledger) == UNATTESTED


def test_a_pin_that_is_not_installed_is_another_checks_finding(tmp_path: Path, ledger: Ledger) -> None:
    assert ask(make(tmp_path / "a"), ledger, pin=Pin(name="gone", version="1", hashes=PIN.hashes)) == (0, 0, 0, 0, 0)


def test_wheels_of_one_release_for_other_platforms_are_kept_apart(tmp_path: Path, ledger: Ledger) -> None:
    assert ask(make(tmp_path / "a", tags="Tag: cp312-cp312-linux_x86_64\n"), ledger) == LEARNED
    other = make(tmp_path / "b", text="other\n", tags="Tag: cp313-cp313-linux_x86_64\n")
    assert ask(other, ledger) == LEARNED


def test_one_wheel_in_the_environments_of_two_pythons_is_one_wheel(tmp_path: Path, ledger: Ledger) -> None:
    assert ask(make(tmp_path / "a"), ledger) == LEARNED
    newer = make(tmp_path / "b")
    (newer.prefix / "lib/python3.12").rename(newer.prefix / "lib/python3.13")
    assert ask(newer, ledger) == MATCHED


def test_another_lock_of_the_same_release_is_another_promise(tmp_path: Path, ledger: Ledger) -> None:
    ask(make(tmp_path / "a"), ledger)
    other = Pin(name="pkg", version="1.0", hashes=("sha256:" + "3" * 64,))
    assert ask(make(tmp_path / "b", text="other\n"), ledger, pin=other) == LEARNED


def test_a_file_that_a_wheel_forgot_to_list_is_held_to_its_bytes(tmp_path: Path, ledger: Ledger) -> None:
    def forgetful(prefix: Path, text: str, row: str) -> Tree:
        tree = Tree(prefix)
        tree.write(f"{SITE}/pkg/data.txt", text)
        tree.install("pkg", files={"pkg/__init__.py": ""}, rows=(row,))
        return tree

    assert ask(forgetful(tmp_path / "uv", "d", "pkg/data.txt,,1"), ledger) == LEARNED
    assert ask(forgetful(tmp_path / "pip", "d", "pkg/data.txt,,"), ledger) == MATCHED
    assert ask(forgetful(tmp_path / "bad", "e", "pkg/data.txt,,1"), ledger) == ALTERED


def test_a_file_that_was_made_executable_is_found_though_no_record_tells_of_it(tmp_path: Path, ledger: Ledger) -> None:
    """The link in the installer's cache has the same mode."""
    ask(make(tmp_path / "a"), ledger)
    tree = make(tmp_path / "b")
    (tree.prefix / SITE / "pkg/cli.py").chmod(0o755)
    assert ask(tree, ledger) == ALTERED
    (tree.prefix / SITE / "pkg/cli.py").chmod(0o600)
    assert ask(tree, ledger) == MATCHED


def test_on_a_file_system_without_modes_they_say_nothing(tmp_path: Path, ledger: Ledger) -> None:
    ask(make(tmp_path / "a"), ledger)
    tree = make(tmp_path / "b")
    for path in tree.prefix.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o755)
    assert ask(tree, ledger) == MATCHED


def test_what_is_to_be_refreshed_names_damaged_files_too(tmp_path: Path, ledger: Ledger) -> None:
    tree = make(tmp_path / "a")
    tree.write(f"{SITE}/pkg/__init__.py", "edited, RECORD is not\n")
    content = read_content(tree.prefix)
    assert to_refresh(content, attest(content, [PIN], ledger, trust_first=True)) == ("pkg",)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"record": 3}', b'{"record": "sha256:x"}', b"\xff"])
def test_a_ledger_that_cannot_be_read_knows_nothing(tmp_path: Path, ledger: Ledger, data: bytes) -> None:
    tree = make(tmp_path / "a")
    ask(tree, ledger)
    for note in (tmp_path / "ledger").rglob("*.json"):
        note.write_bytes(data)

    assert ask(tree, ledger, trust_first=False) == UNKNOWN
    assert ask(tree, ledger) == LEARNED
    assert ask(tree, ledger) == MATCHED


def test_of_two_that_see_a_wheel_first_one_wins(ledger: Ledger) -> None:
    assert ledger.trust("aa", PIN, "sha256:" + "a" * 64) == "sha256:" + "a" * 64
    assert ledger.trust("aa", PIN, "sha256:" + "b" * 64) == "sha256:" + "a" * 64


def test_a_file_system_without_hard_links_will_do(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    ledger.trust("aa", PIN, "sha256:" + "a" * 64)
    assert ledger.known("aa") == "sha256:" + "a" * 64


def test_the_ledger_leaves_no_parts(tmp_path: Path, ledger: Ledger) -> None:
    for record in ("a", "b"):
        ledger.trust("aa", PIN, "sha256:" + record * 64)
        ledger.learn("bb", PIN, "sha256:" + record * 64)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["aa.json", "bb.json"]


class Index:
    """Answers ``uv pip install`` at the process seam: installs what it has, fails where it lacks a pin."""

    def __init__(self, *wheels: str, text: str = "x = 1\n") -> None:
        self.wheels = wheels
        self.text = text
        self.asked: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> Outcome:
        self.asked.append(list(argv))
        wanted = [line.split("==")[0] for line in Path(argv[-1]).read_text().splitlines()]
        if not set(wanted) <= set(self.wheels):
            return Outcome(argv=tuple(argv), returncode=1)
        prefix = Path(argv[argv.index("--prefix") + 1])
        if "pkg" in wanted:
            make(prefix, text=self.text)
        return Outcome(argv=tuple(argv), returncode=0)


def fetch(pins: Sequence[Pin], ledger: Ledger, index: Index, folder: Path) -> tuple[Pin, ...]:
    return fetch_reference(
        pins,
        ledger,
        run=index,
        python=Path("python"),
        folder=folder,
        options=("--index-url", "https://index.example/simple"),
    )


def test_a_fresh_reference_is_fetched_past_every_cache_and_decides(tmp_path: Path, ledger: Ledger) -> None:
    index = Index("pkg")

    assert fetch([PIN], ledger, index, tmp_path) == ()

    (asked,) = index.asked
    assert {"--no-cache", "--no-deps", "--verify-hashes", "--only-binary"} <= set(asked)
    assert (tmp_path / "reference-all.txt").read_text() == (
        f"pkg==1.0 --hash=sha256:{'1' * 64} --hash=sha256:{'2' * 64}\n"
    )
    assert ask(make(tmp_path / "good"), ledger, trust_first=False) == MATCHED
    assert ask(make(tmp_path / "bad", text="evil\n"), ledger, trust_first=False) == ALTERED


def test_a_fresh_reference_corrects_what_was_only_seen_first(tmp_path: Path, ledger: Ledger) -> None:
    poisoned, good = make(tmp_path / "a", text="evil\n"), make(tmp_path / "b")
    assert ask(poisoned, ledger) == LEARNED
    assert ask(good, ledger) == ALTERED
    fetch([PIN], ledger, Index("pkg"), tmp_path)
    assert ask(good, ledger) == MATCHED
    assert ask(poisoned, ledger) == ALTERED


def test_a_pin_without_a_wheel_does_not_hide_the_others(tmp_path: Path, ledger: Ledger) -> None:
    built = Pin(name="built", version="2.0", hashes=PIN.hashes)
    bare = Pin(name="bare", version="1.0")

    assert fetch([built, PIN, bare], ledger, Index("pkg"), tmp_path) == (built, bare)
    assert ask(make(tmp_path / "a"), ledger, trust_first=False) == MATCHED


def test_a_reference_of_nothing_asks_nobody(tmp_path: Path, ledger: Ledger) -> None:
    index = Index()
    assert fetch([], ledger, index, tmp_path) == ()
    assert index.asked == []


def test_a_pin_of_an_address_is_fetched_from_there(tmp_path: Path, ledger: Ledger) -> None:
    index = Index()
    pin = Pin(name="pkg", version="1.0", source="url", location="https://host.example/pkg.whl", hashes=PIN.hashes[:1])
    assert fetch([pin], ledger, index, tmp_path) == (pin,)
    text = (tmp_path / "reference-all.txt").read_text()
    assert text == f"pkg @ https://host.example/pkg.whl --hash=sha256:{'1' * 64}\n"


def test_reading_a_ledger_that_was_removed_is_no_error(tmp_path: Path, ledger: Ledger) -> None:
    tree = make(tmp_path / "a")
    ask(tree, ledger)
    shutil.rmtree(tmp_path / "ledger")
    assert ask(tree, ledger, trust_first=False) == UNKNOWN
