"""An environment of Windows meets digest, ledger, RECORD check and probe: a tree of files, read on any system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.windows_trees import PREFIX, SITE, WindowsTree, launcher

from ci_envs.attest import Ledger, attest
from ci_envs.digest import environment_digest
from ci_envs.launchers import is_launcher
from ci_envs.model.lock import Pin
from ci_envs.record_check import examine
from ci_envs.resources.probe import distributions

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.content import Content

PIN = Pin(name="pkg", version="1.0", hashes=("sha256:" + "1" * 64,))
INSTALLERS = ("uv", "pip 23", "pip 25", "pip 26", "distlib")


def problems(content: Content) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in examine(content)]


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_sound_environment_has_nothing_to_say(tmp_path: Path, installer: str) -> None:
    tree = WindowsTree(tmp_path, creator="uv" if installer == "uv" else "venv")
    tree.install(installer)
    assert problems(tree.content()) == []


def test_what_was_changed_is_found(tmp_path: Path) -> None:
    tree = WindowsTree(tmp_path)
    tree.install("pip 26")
    tree.write("Scripts/run.exe", launcher("pip 26", text="import evil\n"))
    tree.write(f"{SITE}/pkg/cli.py", b"import evil\n")
    tree.write(f"{SITE}/evil.pyd", b"MZ")
    tree.write("Scripts/evil.exe", b"MZ")
    (tmp_path / SITE / "pkg/_speed.cp312-win_amd64.pyd").unlink()

    assert problems(tree.content()) == [
        ("ENV110", f"{SITE}/pkg/cli.py"),
        ("ENV110", "Scripts/run.exe"),
        ("ENV111", f"{SITE}/pkg/_speed.cp312-win_amd64.pyd"),
        ("ENV112", f"{SITE}/evil.pyd"),
        ("ENV112", "Scripts/evil.exe"),
    ]


def test_installers_creators_and_drives_have_one_digest(tmp_path: Path) -> None:
    values = set()
    for number, installer in enumerate(INSTALLERS):
        prefix = rf"{'CDEFG'[number]}:\somewhere else {number}\env"
        tree = WindowsTree(tmp_path / str(number), creator="venv" if number % 2 else "uv")
        tree.install(installer, prefix=prefix)
        digest = environment_digest(tree.content(prefix=prefix))
        kinds = {item.path: (item.kind, item.value) for item in digest.entries}
        assert kinds["Scripts/run.exe"] == ("launcher", "pkg.cli:main")
        assert not kinds.keys() & {"Scripts/python.exe", "Scripts/python312.dll", "Scripts/activate.bat"}
        values.add(digest.value)
    assert len(values) == 1


def test_a_launcher_of_another_environment_is_another_content(tmp_path: Path) -> None:
    tree = WindowsTree(tmp_path)
    tree.install("pip 26", prefix=r"D:\elsewhere\env")
    (program,) = [item for item in environment_digest(tree.content()).entries if item.path == "Scripts/run.exe"]
    assert program.kind == "file"


def test_the_ledger_knows_a_wheel_again_whichever_installer_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for number, installer in enumerate(INSTALLERS):
        tree = WindowsTree(tmp_path / str(number))
        tree.install(installer)
        told = attest(tree.content(), [PIN], ledger, trust_first=True)
        assert (told.learned, told.matched) == ((0, 1) if number else (1, 0))

    tree = WindowsTree(tmp_path / "altered")
    tree.install(more=((f"{SITE}/pkg/cli.py", "pkg/cli.py", b"import evil\n"),))
    assert attest(tree.content(), [PIN], ledger, trust_first=True).altered == (PIN,)


@pytest.mark.parametrize(
    "spelled",
    [
        PREFIX,
        PREFIX.replace("D:", "d:"),
        PREFIX.upper(),
        PREFIX.replace("\\", "/"),
    ],
    ids=["as it is", "another drive letter", "upper case", "forward slashes"],
)
def test_windows_gives_one_folder_in_several_spellings(spelled: str) -> None:
    program = launcher("pip 26", prefix=spelled)
    assert is_launcher(program, "pkg.cli:main", (f"{PREFIX}\\Scripts",))
    assert not is_launcher(program, "pkg.cli:main", (f"{PREFIX}2\\Scripts",))


def test_on_posix_the_case_of_a_folder_is_told_apart() -> None:
    text = b"#!/Env/bin/python\nimport sys\nfrom pkg.cli import main\nif __name__ == '__main__':\n"
    text += b"    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(main())\n"
    assert is_launcher(text, "pkg.cli:main", ("/Env/bin",))
    assert not is_launcher(text, "pkg.cli:main", ("/env/bin",))


# --- names that differ by their case


HEADER = ("Include/site/python3.12/pkg/pkg.h", "../../include/site/python3.12/pkg/pkg.h", b"#define PKG\n")


def test_a_file_is_found_under_the_spelling_that_the_disk_has(tmp_path: Path) -> None:
    tree = WindowsTree(tmp_path)
    tree.install("pip 26", more=(HEADER,))
    assert problems(tree.content()) == []
    # Elsewhere that are two names.
    assert problems(tree.content(folds_case=False)) == [("ENV111", "include/site/python3.12/pkg/pkg.h")]


def test_two_spellings_of_one_file_are_two_claims_on_it(tmp_path: Path) -> None:
    tree = WindowsTree(tmp_path)
    tree.install("pip 26", more=((f"{SITE}/pkg/data.txt", "pkg/data.txt", b"one"),), rows=("pkg/Data.txt,sha256=x,3",))
    assert problems(tree.content()) == [("ENV115", f"{SITE}/pkg/data.txt")]
    assert problems(tree.content(folds_case=False)) == [("ENV111", f"{SITE}/pkg/Data.txt")]


def test_the_forms_of_one_letter_are_one_name(tmp_path: Path) -> None:
    composed, decomposed = "pkg/caf\u00e9.txt", "pkg/cafe\u0301.txt"
    tree = WindowsTree(tmp_path)
    tree.install("pip 26", more=((f"{SITE}/{decomposed}", composed, b"one"),))
    assert problems(tree.content()) == []


def test_a_header_counts_alike_whoever_wrote_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for number, (on_disk, written) in enumerate((HEADER[:2], ("include/site/python3.12/pkg/pkg.h", HEADER[1]))):
        tree = WindowsTree(tmp_path / str(number))
        tree.install("pip 26", more=((on_disk, written, HEADER[2]),))
        told = attest(tree.content(), [PIN], ledger, trust_first=True)
        assert (told.learned, told.matched) == ((0, 1) if number else (1, 0))


# --- what the probe reads


@pytest.mark.parametrize("installer", ["uv", "pip 26"])
def test_the_probe_reads_what_is_installed(tmp_path: Path, installer: str) -> None:
    tree = WindowsTree(tmp_path)
    tree.install(installer)
    (found,) = distributions(str(tmp_path / SITE), str(tmp_path))
    assert (found["name"], found["version"], found["metadata"]) == ("pkg", "1.0", f"{SITE}/pkg-1.0.dist-info")
    assert found["modules"] == ["pkg"]
