from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.trees import LAUNCHERS, Tree

from ci_envs.content import read_content
from ci_envs.digest import Difference, Digest, differences, environment_digest

if TYPE_CHECKING:
    from pathlib import Path

SITE = Tree.site
ENTRY_POINTS = "[console_scripts]\nrun = pkg.cli:main\n"


def make(prefix: Path, *, launcher: str = "uv", configuration: str = "", data_script: str = "print(1)\n") -> Tree:
    tree = Tree(
        prefix, configuration or "home = /usr/bin\nimplementation = CPython\nuv = 0.13.8\nversion_info = 3.12.1\n"
    )
    first = f"#!{prefix}/bin/python\n"
    tree.install(
        "pkg",
        files={"pkg/__init__.py": "", "pkg/cli.py": "def main(): ...\n"},
        scripts={"run": first + LAUNCHERS[launcher], "tool": first + data_script, "plain": "#!/bin/sh\n"},
        entry_points=ENTRY_POINTS,
        installer=launcher.split(maxsplit=1)[0],
    )
    return tree


def digest(tree: Tree, **options: frozenset[str]) -> Digest:
    return environment_digest(read_content(tree.prefix), **options)


def test_another_path_time_and_owner_make_no_difference(tmp_path: Path) -> None:
    first, second = make(tmp_path / "first"), make(tmp_path / "a rather longer second/env")
    for path in sorted(second.prefix.rglob("*")):
        os.utime(path, ns=(1, 1), follow_symlinks=False)
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755 | 0o020)

    assert differences(digest(first), digest(second)) == []
    assert digest(first).value == digest(second).value
    assert digest(first).value.startswith("sha256:")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_whose_launchers_they_are_makes_no_difference(tmp_path: Path, launcher: str) -> None:
    assert digest(make(tmp_path / "a")).value == digest(make(tmp_path / "b", launcher=launcher)).value


@pytest.mark.parametrize(
    "configuration",
    [
        "home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.12.1\n"
        "executable = /usr/local/bin/python3.12\ncommand = /usr/local/bin/python -m venv /env\n",
        "home = /usr/bin\nimplementation = CPython\nversion_info = 3.12.1.final.0\nversion = 3.12.1\nvirtualenv = 21\n",
        "home = /usr/bin\nimplementation = CPython\nversion_info = 3.12.1\nrelocatable = true\nprompt = env\n",
    ],
    ids=["venv", "virtualenv", "uv"],
)
def test_who_created_the_environment_makes_no_difference(tmp_path: Path, configuration: str) -> None:
    assert digest(make(tmp_path / "a")).value == digest(make(tmp_path / "b", configuration=configuration)).value


@pytest.mark.parametrize(
    "configuration",
    [
        "version = 3.12.2\n",
        "version = 3.12.1\ninclude-system-site-packages = true\n",
        "version = 3.12.1\nimplementation = PyPy\n",
    ],
)
def test_another_interpreter_is_another_environment(tmp_path: Path, configuration: str) -> None:
    (found,) = differences(digest(make(tmp_path / "a")), digest(make(tmp_path / "b", configuration=configuration)))
    assert (found.path, found.kind) == ("pyvenv.cfg", "different")


@pytest.mark.parametrize(
    "path",
    [
        f"{SITE}/pkg/__pycache__/__init__.cpython-312.pyc",
        f"{SITE}/pkg-1.0.dist-info/REQUESTED",
        f"{SITE}/pkg-1.0.dist-info/direct_url.json",
        f"{SITE}/pkg-1.0.dist-info/uv_cache.json",
        *("bin/activate.csh", "bin/Activate.ps1", "bin/python3.12", ".gitignore", "CACHEDIR.TAG", ".lock"),
    ],
)
def test_what_installers_and_creators_add_makes_no_difference(tmp_path: Path, path: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.write(path, "anything")
    assert differences(before, digest(tree)) == []


def test_the_link_of_lib64_makes_no_difference_but_only_as_venv_makes_it(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    (tmp_path / "lib64").symlink_to("lib")
    assert digest(tree).value == before.value
    (tmp_path / "lib64").unlink()
    (tmp_path / "lib64").symlink_to("/evil")
    assert differences(before, digest(tree)) == [Difference("lib64", "only-in-b", "")]


# Tampering: whatever is left out or rewritten must not hide it.


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{SITE}/pkg/__init__.py", "import evil\n"),
        (f"{SITE}/evil.pth", "import evil\n"),
        (f"{SITE}/pkg/evil.pyc", "bytecode without its source"),
        (f"{SITE}/pkg/direct_url.json", "not in a metadata folder"),
        (f"{SITE}/evil-1.0.dist-info.d/RECORD", "not a metadata folder"),
        (f"{SITE}/pkg-1.0.dist-info/entry_points.txt", "[x]\ny = z:w\n"),
        (f"{SITE}/pkg-1.0.dist-info/METADATA", "Name: pkg\n"),
        ("bin/planted", "#!/bin/sh\n"),
        ("bin/activate-too", "#!/bin/sh\n"),
        ("bin/plain", "#!/bin/sh\nevil\n"),
        ("sitecustomize.py", "import evil\n"),
        (".gitignore.d/x", ""),
    ],
)
def test_an_altered_or_added_file_shows(tmp_path: Path, path: str, text: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.write(path, text)
    assert path in {found.path for found in differences(before, digest(tree))}


def test_a_removed_file_shows(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    (tmp_path / SITE / "pkg/cli.py").unlink()
    assert differences(before, digest(tree)) == [Difference(f"{SITE}/pkg/cli.py", "only-in-a", "")]


@pytest.mark.parametrize(
    ("old", "new"),
    [("sys.exit(main())", "sys.exit(evil())"), ("/bin/python\n", "/bin/python -i\n"), ("#!", "#!/usr/bin/env ")],
)
def test_an_altered_launcher_shows(tmp_path: Path, old: str, new: str) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    text = (tmp_path / "bin/run").read_text()
    assert old in text
    tree.write("bin/run", text.replace(old, new), 0o755)

    (found,) = differences(before, digest(tree))
    assert (found.path, found.kind) == ("bin/run", "different")
    assert "no launcher" in found.reason


def test_a_script_of_a_wheel_shows_its_text_and_its_interpreter(tmp_path: Path) -> None:
    tree = make(tmp_path / "a")
    assert digest(tree).value != digest(make(tmp_path / "b", data_script="evil()\n")).value
    before = digest(tree)
    tree.write("bin/tool", "#!/usr/bin/python\nprint(1)\n", 0o755)
    assert [found.path for found in differences(before, digest(tree))] == ["bin/tool"]


def test_a_launcher_for_which_no_entry_point_speaks_counts_as_it_is(tmp_path: Path) -> None:
    trees = [make(tmp_path / name) for name in ("a", "b")]
    for tree in trees:
        tree.write("bin/other", f"#!{tree.prefix}/bin/python\n{LAUNCHERS['uv']}", 0o755)
    kinds = {item.path: item.kind for item in digest(trees[0]).entries}
    assert (kinds["bin/run"], kinds["bin/other"]) == ("launcher", "file")


def test_bytecode_that_a_wheel_ships_counts(tmp_path: Path) -> None:
    tree = make(tmp_path)
    tree.install("binary", files={"binary/__pycache__/m.cpython-312.pyc": "code"})
    before = digest(tree)
    tree.write(f"{SITE}/binary/__pycache__/m.cpython-312.pyc", "evil")
    (found,) = differences(before, digest(tree))
    assert "bytecode" in found.reason


def test_the_executable_mark_counts_outside_the_scripts_folder(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    (tmp_path / SITE / "pkg/cli.py").chmod(0o755)
    (tmp_path / "bin/plain").chmod(0o644)  # pip and uv differ over it
    assert differences(before, digest(tree)) == [
        Difference(f"{SITE}/pkg/cli.py", "different", "only one of them may be executed")
    ]


def test_an_unreadable_file_is_no_silent_equality(tmp_path: Path) -> None:
    tree = make(tmp_path)
    content = read_content(tmp_path)
    lost = tuple(e._replace(kind="unreadable", sha256="") if e.path.endswith("cli.py") else e for e in content.entries)
    changed = type(content)(content.prefix, content.roots, lost, content.data)
    (found,) = differences(digest(tree), environment_digest(changed))
    assert found.reason == "a file and a unreadable"


# Seeds and what is left out.


def test_seeds_are_left_out_where_they_are_named_and_only_what_is_theirs(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    planted = f"{SITE}/evil.pth"
    tree.write(planted, "import evil\n")
    tree.install(
        "pip",
        files={"pip/__init__.py": ""},
        scripts={"pip": "x", "pip3": "x", "pip3.12": "x"},
        rows=("evil.pth,sha256=AAAA,1",),  # a RECORD may claim anything
    )
    names = ("setuptools/__init__.py", "_distutils_hack/__init__.py", "distutils-precedence.pth")
    tree.install("setuptools", files=dict.fromkeys(names, ""))

    seeded = digest(tree, seeds=frozenset({"pip", "setuptools"}))
    assert [found.path for found in differences(before, seeded)] == [planted]
    assert len(differences(before, digest(tree))) > 5


def test_virtualenvs_patch_is_left_out_only_where_its_loader_does_nothing_else(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.write(f"{SITE}/_virtualenv.py", "...")
    tree.write(f"{SITE}/_virtualenv.pth", "import _virtualenv")
    assert digest(tree).value == before.value
    tree.write(f"{SITE}/_virtualenv.pth", "import _virtualenv, evil")
    assert len(differences(before, digest(tree))) == 2


def test_the_project_itself_can_be_left_out(tmp_path: Path) -> None:
    tree = make(tmp_path)
    before = digest(tree)
    tree.install("project", files={"_project.pth": str(tmp_path)}, scripts={"project": "x"})
    assert digest(tree, exclude=frozenset({"project"})).value == before.value


def test_headers_lie_under_a_name_that_installers_spell_differently(tmp_path: Path) -> None:
    trees = [make(tmp_path / name) for name in ("a", "b")]
    trees[0].write("include/site/python3.12/Foo_Bar/x.h", "int x;")
    trees[1].write("include/site/python3.12/foo-bar/x.h", "int x;")
    assert digest(trees[0]).value == digest(trees[1]).value


def test_the_launchers_of_pip_are_named_after_the_python_they_are_for(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    text = f"#!{tmp_path}/bin/python\n{LAUNCHERS['uv']}"
    tree.install(
        "pip",
        entry_points="[console_scripts]\npip = pkg.cli:main\npip3 = pkg.cli:main\n",
        scripts={"pip": text, "pip3": text, "pip3.12": text},
    )
    kinds = {item.path: item.kind for item in digest(tree).entries if item.path.startswith("bin/")}
    assert kinds == {"bin/pip": "launcher", "bin/pip3": "launcher", "bin/pip3.12": "launcher"}


def test_a_windows_environment_is_read_by_the_same_rules(tmp_path: Path) -> None:
    site = "Lib/site-packages"
    tree = Tree(tmp_path)
    for path in ("bin/activate", "bin/python"):
        (tmp_path / path).unlink()
    for path in ("Scripts/python.exe", "Scripts/pythonw.exe", "Scripts/python313.dll", "Scripts/activate.bat"):
        tree.write(path, "MZ")
    tree.write(f"{site}/pkg/__init__.py", "")
    tree.write(f"{site}/pkg-1.0.dist-info/RECORD", "pkg/__init__.py,,\n..\\..\\Scripts\\tool.py,,\n")
    tree.write("Scripts/tool.py", f"#!{tmp_path}\\Scripts\\python.exe\r\nprint(1)\r\n".replace("/", "\\"))

    paths = {item.path for item in digest(tree).entries}
    assert paths == {"pyvenv.cfg", f"{site}/pkg/__init__.py", "Scripts/tool.py"}


def test_the_rules_have_a_version_that_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make(tmp_path)
    before = digest(tree).value
    monkeypatch.setattr("ci_envs.digest.RULES_VERSION", 999)
    assert digest(tree).value != before


def test_a_digest_is_the_same_next_year() -> None:
    # Literal, so that a change of the rules that forgets their version is noticed.
    from ci_envs.model.content import Content, Entry

    entries = (
        Entry("a\udcff", "link", 0, 1, False, "", "b"),
        Entry("lib/x", "file", 3, 1, True, "ab" * 32, ""),
    )
    made = environment_digest(Content("/env", ("/env",), entries, {}))
    assert (made.files, made.bytes) == (2, 3)
    assert made.value == "sha256:e11c5dcef64324a0f0f972de948f3190125ac37ff89e322bab38225c2718fdd7"


def test_a_distribution_that_is_only_in_one_is_named(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    b.install("more")
    reasons = {found.path: found.reason for found in differences(digest(a), digest(b))}
    assert reasons[f"{SITE}/more-1.0.dist-info/METADATA"] == "the distribution more-1.0 is only in one of them"
