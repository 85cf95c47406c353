from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.trees import LAUNCHERS, Tree, record_row

from ci_envs.content import read_content
from ci_envs.record_check import examine, verify_records

if TYPE_CHECKING:
    from pathlib import Path

SITE = Tree.site


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.install("pkg", files={"pkg/__init__.py": "x = 1\n", "pkg/data.txt": "d"}, scripts={"run": "#!/bin/sh\n"})
    return tree


def found(tree: Tree) -> list[tuple[str, str, str]]:
    return [(p.code, p.distribution, p.path) for p in examine(read_content(tree.prefix))]


def test_a_sound_environment_has_nothing_to_say(tree: Tree) -> None:
    assert found(tree) == []


def test_an_edited_file_is_found_and_named(tree: Tree) -> None:
    tree.write(f"{SITE}/pkg/__init__.py", "x = 2\n")  # of the same size

    assert found(tree) == [("ENV110", "pkg", f"{SITE}/pkg/__init__.py")]
    (finding,) = verify_records(read_content(tree.prefix))
    assert (finding.code, finding.severity) == ("ENV110", "error")
    assert f"pkg 1.0: not what RECORD says: {SITE}/pkg/__init__.py" in finding.message
    assert "ci-envs run --fresh" in finding.message


def test_an_edited_script_is_found(tree: Tree) -> None:
    tree.write("bin/run", "#!/bin/sh\ncurl example\n")
    assert found(tree) == [("ENV110", "pkg", "bin/run")]


def test_a_deleted_file_is_found(tree: Tree) -> None:
    (tree.prefix / SITE / "pkg/data.txt").unlink()
    assert found(tree) == [("ENV111", "pkg", f"{SITE}/pkg/data.txt")]


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        (f"{SITE}/pkg/extra.py", "error"),
        (f"{SITE}/evil.pth", "error"),
        (f"{SITE}/pkg/notes.txt", "warning"),
        ("bin/planted", "warning"),
    ],
)
def test_a_file_that_no_record_lists_is_found(tree: Tree, path: str, severity: str) -> None:
    tree.write(path, "import os\n")

    (finding,) = verify_records(read_content(tree.prefix))
    assert (finding.code, finding.severity) == ("ENV112", severity)
    assert path in finding.message


def test_what_creators_and_interpreters_write_is_no_stranger(tree: Tree) -> None:
    tree.write(f"{SITE}/_virtualenv.py", "")
    tree.write(f"{SITE}/_virtualenv.pth", "import _virtualenv")
    tree.write(f"{SITE}/pkg/__pycache__/__init__.cpython-312.pyc", "")
    tree.write("bin/activate.fish", "")
    (tree.prefix / "bin/python3.12").symlink_to("python")
    tree.write("share/doc/readme.txt", "outside site-packages")

    assert found(tree) == []


def test_a_link_in_place_of_a_file_is_altered(tree: Tree) -> None:
    path = tree.prefix / SITE / "pkg/data.txt"
    path.unlink()
    path.symlink_to("/etc/hostname")

    (problem,) = examine(read_content(tree.prefix))
    assert (problem.code, problem.detail) == ("ENV110", "a link in place of the file")


def test_files_behind_a_linked_folder_count_as_missing(tree: Tree, tmp_path: Path) -> None:
    folder = tree.prefix / SITE / "pkg"
    folder.rename(tree.prefix / "elsewhere")
    folder.symlink_to(tree.prefix / "elsewhere")

    assert ("ENV111", "pkg", f"{SITE}/pkg/__init__.py") in found(tree)


@pytest.mark.parametrize("row", ["../../../../escaped.py", "/etc/passwd"])
def test_a_row_that_leads_outside_is_refused(tree: Tree, row: str) -> None:
    tree.install("bad", rows=(f"{row},,",))
    assert found(tree) == [("ENV117", "bad", row)]


def test_rows_without_a_hash_are_right_for_bytecode_and_record_alone(tree: Tree) -> None:
    tree.write(f"{SITE}/odd/a.py", "")
    tree.install(
        "odd",
        files={"odd/__init__.py": ""},
        rows=("odd/__pycache__/__init__.cpython-312.pyc,,", "odd/a.py,,", "odd/b.py,,"),
    )

    assert found(tree) == [("ENV111", "odd", f"{SITE}/odd/b.py"), ("ENV116", "odd", f"{SITE}/odd/a.py")]


def test_a_hash_of_another_kind_is_said_to_be_unchecked(tree: Tree) -> None:
    tree.write(f"{SITE}/odd/a.py", "")
    tree.install("odd", files={"odd/__init__.py": ""}, rows=("odd/a.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0",))

    assert [(p.code, p.detail) for p in examine(read_content(tree.prefix))] == [("ENV116", "md5 is not compared")]


def test_a_file_of_two_distributions_is_a_warning_and_the_winner_is_not_altered(tree: Tree) -> None:
    tree.install("first", files={"shared/__init__.py": "first"})
    tree.install("second", files={"shared/__init__.py": "second"})

    (problem,) = examine(read_content(tree.prefix))
    assert (problem.code, problem.detail) == ("ENV115", "first and second")


def test_a_file_of_two_distributions_that_is_neithers_is_altered(tree: Tree) -> None:
    tree.install("first", files={"shared/__init__.py": "first"})
    tree.install("second", files={"shared/__init__.py": "second"})
    tree.write(f"{SITE}/shared/__init__.py", "third")

    assert [(code, name) for code, name, _ in found(tree)] == [
        ("ENV110", "first"),
        ("ENV110", "second"),
        ("ENV115", "first"),
    ]


def test_two_distributions_may_bring_the_same_bytes(tree: Tree) -> None:
    tree.install("first", files={"shared/__init__.py": "same"})
    tree.install("second", files={"shared/__init__.py": "same"})
    assert found(tree) == []


def test_a_row_of_a_script_that_became_a_launcher_is_let_pass(tree: Tree) -> None:
    tree.install("old", files={"old.py": ""}, rows=(record_row("old-1.0.data/scripts/old", b"x"),))
    assert found(tree) == []


def test_a_legacy_install_is_said_and_its_files_are_no_strangers(tree: Tree) -> None:
    tree.write(f"{SITE}/legacy-1.0.egg-info/PKG-INFO", "Name: legacy\nVersion: 1.0\n")
    tree.write(f"{SITE}/legacy-1.0.egg-info/top_level.txt", "legacy\n")
    tree.write(f"{SITE}/legacy-1.0.egg-info/installed-files.txt", "../legacy_data/x.txt\nPKG-INFO\n")
    tree.write(f"{SITE}/legacy/__init__.py", "")
    tree.write(f"{SITE}/legacy_data/x.txt", "")

    (finding,) = verify_records(read_content(tree.prefix))
    assert (finding.code, finding.severity) == ("ENV118", "info")
    assert finding.message.startswith("legacy 1.0: has no RECORD")


def test_a_distribution_of_distutils_is_a_single_file(tree: Tree) -> None:
    tree.write(f"{SITE}/ancient-1.0-py3.12.egg-info", "Name: ancient\nVersion: 1.0\n")
    assert found(tree) == [("ENV118", "ancient", f"{SITE}/ancient-1.0-py3.12.egg-info")]


def test_names_in_a_message_cannot_break_its_line(tree: Tree) -> None:
    tree.write(f"{SITE}/a\n::error::b.py", "")
    (finding,) = verify_records(read_content(tree.prefix))
    assert "\n" not in finding.message
    assert "a\\n::error::b.py" in finding.message


def test_many_files_are_counted_and_not_listed(tree: Tree) -> None:
    for number in range(12):
        tree.write(f"{SITE}/planted/m{number:02}.py", "")
    (finding,) = verify_records(read_content(tree.prefix))
    assert "m04.py and 7 more;" in finding.message
    assert "m05.py" not in finding.message


@pytest.mark.parametrize("record", ['"unclosed', "a,b,c,d,e,f\n", "\x00\n", ",,\n", "x" * 200_000])
def test_a_broken_record_is_no_crash(tree: Tree, record: str) -> None:
    tree.write(f"{SITE}/pkg-1.0.dist-info/RECORD", record)
    assert ("ENV112", "", f"{SITE}/pkg/__init__.py") in found(tree)


def test_the_seeds_of_virtualenv_have_records_of_their_own_kind(tree: Tree) -> None:
    tree.install(
        "pip",
        "26.3",
        files={"pip/__init__.py": ""},
        entry_points="[console_scripts]\npip = pkg.cli:main\n",
        rows=(
            *("../../../bin/pip-3.12,,", "pip-26.3.virtualenv,,", "pip/__pycache__,,", "pip/gone.cpython-312.pyc,,"),
            "../../../bin/pip-evil,,",
        ),
    )
    tree.write(f"{SITE}/pip-26.3.virtualenv", "")
    launcher = f"#!{tree.prefix}/bin/python\n{LAUNCHERS['uv']}"
    tree.write("bin/pip-3.12", launcher, 0o755)
    tree.write("bin/pip-evil", launcher.replace("main()", "evil()"), 0o755)
    assert found(tree) == [("ENV116", "pip", "bin/pip-evil")]
