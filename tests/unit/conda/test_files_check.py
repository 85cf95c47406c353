from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.conda_trees import PLACEHOLDER, CondaTree, FrontEnd
from tests.support.trees import record_row

from ci_envs.content import read_content
from ci_envs.record_check import verify_records

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.record import Finding

P = PLACEHOLDER
SITE = CondaTree.site


@pytest.fixture(params=["rattler", "conda", "mamba"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CondaTree:
    """A sound environment, as each of them leaves it."""
    front_end: FrontEnd = request.param
    tree = CondaTree(tmp_path / "env", front_end)
    tree.install(
        "python",
        files={
            "bin/python3.12": f"\x7fELF{P}/lib\0\0".encode(),
            "bin/2to3": f"#!{P}/bin/python3.12\n",
            "lib/os.py": "import sys\n",
        },
        links={"bin/python": "python3.12", "lib64": "lib", "lib/gone.so": "nowhere.so"},
    )
    tree.install(
        "six",
        files=tree.distribution("six", six="x = 1\n"),
        entry_points={"sixer": "six:main"},
        compiled=[f"{SITE}/__pycache__/six.cpython-312.pyc"],
        paths=[{"_path": "etc/six", "path_type": "directory"}],
    )
    return tree


def findings(tree: CondaTree) -> list[Finding]:
    return list(verify_records(read_content(tree.prefix)))


def told(tree: CondaTree) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in findings(tree)]


def pip_installs(tree: CondaTree, name: str, version: str, installer: str = "pip", **modules: str) -> None:
    """Writes what pip does; it has removed what it found of the distribution before."""
    folder = f"{SITE}/{name}-{version}.dist-info"
    files = {f"{SITE}/{path}.py": text for path, text in modules.items()}
    files |= {f"{folder}/METADATA": f"Name: {name}\nVersion: {version}\n", f"{folder}/INSTALLER": installer}
    rows = [record_row(path.removeprefix(f"{SITE}/"), text.encode()) for path, text in files.items()]
    for path, text in files.items():
        tree.write(path, text)
    tree.write(f"{folder}/RECORD", "\n".join([*rows, f"{folder.removeprefix(f'{SITE}/')}/RECORD,,", ""]))


def pip_removes_six(tree: CondaTree) -> None:
    shutil.rmtree(tree.prefix / SITE)
    (tree.prefix / "bin/sixer").unlink()


def test_a_sound_environment_has_nothing_to_say(tree: CondaTree) -> None:
    assert told(tree) == []


def test_an_edited_file_is_found_and_named(tree: CondaTree) -> None:
    tree.write(f"{SITE}/six.py", "x = 2\n")
    (finding,) = findings(tree)
    assert (finding.code, finding.severity) == ("ENV130", "error")
    assert f"six 1.0: not what the conda package has: {SITE}/six.py" in finding.message
    assert "ci-envs run --fresh" in finding.message


@pytest.mark.parametrize("path", ["bin/2to3", "bin/python3.12", f"{SITE}/six-1.0.dist-info/RECORD", "bin/sixer"])
def test_a_file_of_any_kind_is_compared(tree: CondaTree, path: str) -> None:
    tree.write(path, (tree.prefix / path).read_bytes() + b"evil\n")
    assert told(tree) == [("ENV130", "error")]


@pytest.mark.parametrize("path", ["bin/2to3", "bin/python3.12"])
@pytest.mark.parametrize("front_end", ["rattler", "conda"])
def test_what_an_installer_noted_of_an_altered_file_is_not_believed(
    tmp_path: Path, front_end: FrontEnd, path: str
) -> None:
    """Who alters a package in the cache has the installer note the hash of what it makes of it."""
    tree = CondaTree(tmp_path / "env", front_end)
    files: dict[str, str | bytes] = {"bin/python3.12": f"\x7fELF{P}/lib\0\0".encode()}
    tree.install("python", files=files | {"bin/2to3": f"#!{P}/bin/python3.12\n"})
    altered = (tree.prefix / path).read_bytes() + b"evil\n"
    tree.write(path, altered)
    note(tree, path, sha256_in_prefix=hashlib.sha256(altered).hexdigest())
    assert told(tree) == [("ENV130", "error")]


def test_a_file_without_the_prefix_is_its_packages_whatever_was_noted(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path / "env", "conda")
    tree.install("python", files={"bin/2to3": f"#!{P}/bin/python3.12\n", "lib/os.py": "import sys\n"})
    tree.write("lib/os.py", "import evil\n")
    note(tree, "lib/os.py", sha256_in_prefix=hashlib.sha256(b"import evil\n").hexdigest())
    assert told(tree) == [("ENV130", "error")]


@pytest.mark.parametrize(("subdir", "codes"), [("osx-arm64", []), ("linux-64", ["ENV130"])])
def test_a_program_that_was_signed_anew_on_macos_is_as_it_was_noted(
    tmp_path: Path, subdir: str, codes: list[str]
) -> None:
    """Nobody can take the signature back."""
    tree = CondaTree(tmp_path / "env", "rattler")
    tree.install("python", files={"bin/python3.12": f"\x7fELF{P}/lib\0\0".encode()}, subdir=subdir)
    tree.write("bin/python3.12", b"signed", 0o755)
    note(tree, "bin/python3.12", sha256_in_prefix=hashlib.sha256(b"signed").hexdigest())
    assert [code for code, _ in told(tree)] == codes


def note(tree: CondaTree, path: str, **fields: str) -> None:
    """Changes what the record of ``python`` says of a file."""
    told = json.loads(tree.record("python").read_text())
    next(row for row in told["paths_data"]["paths"] if row["_path"] == path).update(fields)
    tree.record("python").write_text(json.dumps(told))


def test_bytecode_without_a_hash_is_let_pass_where_installers_write_it_alone(tree: CondaTree) -> None:
    """What lies beside the modules is imported in their place."""
    tree.install("odd", files={}, compiled=[f"{SITE}/evil.pyc", f"{SITE}/__pycache__/odd.cpython-312.pyc"])
    tree.write(f"{SITE}/evil.pyc", b"evil")
    tree.write(f"{SITE}/__pycache__/odd.cpython-312.pyc", b"bytecode")
    (finding,) = findings(tree)
    assert (finding.code, finding.severity) == ("ENV130", "error")
    assert f"{SITE}/evil.pyc" in finding.message


def test_a_deleted_file_is_found(tree: CondaTree) -> None:
    (tree.prefix / "lib/os.py").unlink()
    (finding,) = findings(tree)
    assert (finding.code, "python 1.0: of the conda package, and not there: lib/os.py" in finding.message) == (
        "ENV131",
        True,
    )


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        ("lib/evil.py", "error"),
        ("lib/libevil.so.1.2", "error"),
        ("bin/planted", "error"),
        ("bin/activate", "error"),
        ("bin/python3.11", "error"),
        ("etc/conda/activate.d/evil.sh", "error"),
        ("etc/conda/env_vars.d/evil.json", "error"),
        ("sitecustomize.py", "error"),
        ("share/notes.txt", "warning"),
        ("conda-meta/notes.txt", "warning"),
        (f"{SITE}/README.txt", "warning"),
    ],
)
def test_a_file_of_no_package_is_found(tree: CondaTree, path: str, severity: str) -> None:
    tree.write(path, "x\n")
    assert told(tree) == [("ENV112", severity)]


def test_a_program_of_no_package_is_code_wherever_it_lies(tree: CondaTree) -> None:
    tree.write("share/run", "x\n", 0o755)
    assert told(tree) == [("ENV112", "error")]


@pytest.mark.parametrize(
    "path",
    [
        *("conda-meta/history", "conda-meta/state", "conda-meta/created_at", ".condarc", "CACHEDIR.TAG", ".lock"),
        *(f"{SITE}/__pycache__/six.cpython-312.pyc", "lib/__pycache__/os.cpython-312.pyc"),
    ],
)
def test_what_front_ends_and_interpreters_write_is_no_stranger(tree: CondaTree, path: str) -> None:
    tree.write(path, "{}")
    assert told(tree) == []


def test_a_link_in_place_of_a_file_is_altered(tree: CondaTree) -> None:
    path = tree.prefix / "lib/os.py"
    path.unlink()
    path.symlink_to("/etc/hostname")
    (finding,) = findings(tree)
    assert "lib/os.py (a link in place of the file)" in finding.message


@pytest.mark.parametrize("target", ["/bin/sh", "../../elsewhere", "2to3"])
def test_a_redirected_link_is_altered(tree: CondaTree, target: str) -> None:
    path = tree.prefix / "bin/python"
    path.unlink()
    path.symlink_to(target)
    (finding,) = findings(tree)
    assert (finding.code, target in finding.message) == ("ENV130", True)


def test_a_file_in_place_of_a_link_is_altered_unless_it_is_what_the_link_led_to(tree: CondaTree) -> None:
    path = tree.prefix / "bin/python"
    path.unlink()
    tree.write("bin/python", (tree.prefix / "bin/python3.12").read_bytes().replace(b"ELF", b"EVI"))
    assert told(tree) == [("ENV130", "error")]


def test_an_unreadable_file_is_said_once(tree: CondaTree) -> None:
    content = read_content(tree.prefix)
    lost = tuple(
        e._replace(kind="unreadable", sha256="", target="Permission denied") if e.path == "lib/os.py" else e
        for e in content.entries
    )
    changed = type(content)(content.prefix, content.roots, lost, content.data, content.originals, content.masked)
    assert [f.code for f in verify_records(changed)] == ["ENV114"]


# Records that are not to be trusted.


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"name": "../x", "version": "1", "build": "0"}', "\0"])
def test_a_broken_record_is_a_finding_and_so_are_its_files(tmp_path: Path, text: str) -> None:
    tree = CondaTree(tmp_path)
    tree.install("six", files={"lib/six.py": "x"})
    tree.write("conda-meta/six-1.0-h0_0.json", text)
    assert [code for code, _ in told(tree)] == ["ENV112", "ENV112", "ENV132"]


@pytest.mark.parametrize("path", ["../../escaped.py", "/etc/passwd", "a/../../x"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, path: str) -> None:
    tree = CondaTree(tmp_path)
    tree.install("bad", paths=[{"_path": path, "path_type": "hardlink", "sha256": "0" * 64}])
    (finding,) = findings(tree)
    assert (finding.code, finding.severity, path in finding.message) == ("ENV132", "error", True)


def test_names_in_a_message_cannot_break_its_line(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path)
    tree.install("bad", paths=[{"_path": "a\n::error::b\u202e"}])
    assert all(finding.message.isprintable() for finding in findings(tree))


def test_a_package_without_hashes_is_said(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path, "conda")
    tree.install("old", files={"share/old.txt": "x"})
    tree.change("old", paths_data={"paths": [{"_path": "share/old.txt", "path_type": "hardlink"}]})
    assert told(tree) == [("ENV134", "warning")]


def test_two_packages_of_one_path_are_a_warning_and_the_winner_is_not_altered(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path, "conda")
    tree.install("first", files={"etc/shared": "first"})
    tree.install("second", files={"etc/shared": "second"})
    (finding,) = findings(tree)
    assert (finding.code, "first and second" in finding.message) == ("ENV115", True)


def test_a_path_of_two_packages_that_is_neithers_is_altered(tmp_path: Path) -> None:
    tree = CondaTree(tmp_path, "conda")
    tree.install("first", files={"etc/shared": "first"})
    tree.install("second", files={"etc/shared": "second"})
    tree.write("etc/shared", "third")
    assert [code for code, _ in told(tree)] == ["ENV115", "ENV130", "ENV130"]


@pytest.mark.parametrize(("loser", "codes"), [("first", []), ("another", ["ENV115"])])
def test_what_rattler_has_put_aside_is_told_where_it_is_another(tmp_path: Path, loser: str, codes: list[str]) -> None:
    tree = CondaTree(tmp_path)
    tree.install("winner", files={"etc/shared": "first"})
    tree.install("aside", files={"__clobbers__/aside/etc/shared": loser})
    record: Any = json.loads(tree.record("aside").read_text())
    record["paths_data"]["paths"][0]["original_path"] = "etc/shared"
    tree.record("aside").write_text(json.dumps(record))
    assert [code for code, _ in told(tree)] == codes


# conda's distributions and pip's.


def test_what_pip_has_installed_is_compared_with_its_record(tree: CondaTree) -> None:
    pip_installs(tree, "pkg", "2.0", pkg="y = 1\n")
    assert told(tree) == []
    tree.write(f"{SITE}/pkg.py", "y = 2\n")
    tree.write(f"{SITE}/pkg_more.py", "")
    assert [code for code, _ in told(tree)] == ["ENV110", "ENV112"]


@pytest.mark.parametrize("installer", ["pip\n", "uv"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_distribution_over_condas_is_pips_own(tree: CondaTree, version: str, installer: str) -> None:
    pip_removes_six(tree)
    pip_installs(tree, "six", version, installer, six="x = 'pips'\n")

    assert told(tree) == []
    tree.write(f"{SITE}/six.py", "x = 'evil'\n")
    assert [code for code, _ in told(tree)] == ["ENV110"]


def test_what_pip_did_not_replace_is_still_condas(tree: CondaTree) -> None:
    pip_removes_six(tree)
    pip_installs(tree, "six", "2.0", six="x = 'pips'\n")
    (tree.prefix / "lib/os.py").unlink()
    assert [code for code, _ in told(tree)] == ["ENV131"]


def test_an_edited_record_of_condas_own_distribution_does_not_make_it_pips(tree: CondaTree) -> None:
    tree.write(f"{SITE}/six.py", "x = 'evil'\n")
    row = record_row("six.py", b"x = 'evil'\n")
    tree.write(f"{SITE}/six-1.0.dist-info/RECORD", f"{row}\n")
    assert told(tree) == [("ENV130", "error")]


def test_a_file_that_pip_has_written_over_another_packages_is_said(tree: CondaTree) -> None:
    pip_installs(tree, "rude", "1.0", six="x = 'rude'\n")
    (finding,) = findings(tree)
    assert (finding.code, f"{SITE}/six.py" in finding.message) == ("ENV115", True)
