"""What `ci-envs init --pattern nix` writes, read by nix itself: any text stays the text that it is, and it builds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.component.program import Program, tidy
from tests.support.projects import write_project

from ci_envs.nix.described import nix_text
from ci_envs.nix.nixpkgs import release
from ci_envs.nix.templates import Listed, ShellPlan, render
from ci_envs.plain import one_line
from ci_envs.settings import NIX_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component

#: What nix can hold, and a file in UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
#: With what means something to nix more often than chance has it.
WORDS = st.lists(st.sampled_from(['"', "\\", "$", "{", "}", "''", "#", "*/", "\r", "\n", "a", "$${", "\\${"])).map(
    "".join
)

MORE = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: In the place of nixpkgs: every package is its own name.
STAND_IN = """\
names: {
  mkShell = given: given;
  python312.withPackages = choose: choose (builtins.listToAttrs (map (name: { inherit name; value = name; }) names));
}
"""


def evaluated(nix_store: Nix, folder: Path, expression: str) -> Any:
    """The value of an expression that is too long for a command line."""
    file = folder / "asked.nix"
    file.write_text(expression, encoding="utf-8", newline="")
    return json.loads(nix_store.said("nix-instantiate", "--eval", "--strict", "--json", str(file)))


@MORE
@given(st.lists(TEXTS | WORDS, min_size=1, max_size=40))
def test_any_text_is_read_back_as_it_is(nix_store: Nix, tmp_path: Path, texts: list[str]) -> None:
    expression = f"[ {' '.join(map(nix_text, texts))} ]"

    assert evaluated(nix_store, tmp_path, expression) == texts


@MORE
@given(
    st.lists((TEXTS | WORDS).filter(bool), min_size=1, max_size=20, unique=True),
    st.lists(TEXTS | WORDS, min_size=20, max_size=20),
    TEXTS,
)
def test_whatever_a_project_is_called_and_asks_for_the_shell_has_these_packages_and_no_others(
    nix_store: Nix, tmp_path: Path, names: list[str], said: list[str], project: str
) -> None:
    live = [Listed(name, "ps", text, text) for name, text in zip(names, said, strict=False)]
    comments = [Listed("", "ps", text, text) for text in said]
    plan = ShellPlan(name=project, python="3.12", release=release(), packages=(*live, *comments), read=(project,))
    write_project(
        tmp_path,
        {
            "shell.nix": render(plan, "shell"),
            "flake.nix": render(plan, "flake"),
            "pkgs.nix": STAND_IN,
            "names.json": json.dumps(names),
        },
    )

    pkgs = f"import {tmp_path}/pkgs.nix (builtins.fromJSON (builtins.readFile {tmp_path}/names.json))"
    assert evaluated(nix_store, tmp_path, f"(import {tmp_path}/shell.nix {{ pkgs = {pkgs}; }}).packages") == [names]
    flake = evaluated(nix_store, tmp_path, f"(import {tmp_path}/flake.nix).description")
    assert flake == one_line(f"The development shell of {project}")
    assert nix_store.run("nix-instantiate", "--parse", str(tmp_path / "flake.nix"))


@pytest.fixture
def begun(nixpkgs: Path, nix_env: dict[str, str], nix_python: str, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A project that has been given its nix files."""
    made: list[Program] = []

    def program(form: str, files: dict[str, str], *words: str) -> Program:
        root = write_project(tmp_path / "project", files)
        env = {**nix_env, NIX_INPUTS: f"nixpkgs={nixpkgs}"}
        leg = f"nix-py{nix_python.replace('.', '')}-linux-x86_64"
        one = Program(root, env, words=("--pattern=nix", f"--python={nix_python}"), leg=leg)
        made.append(one)
        done = one.do("init", f"--form={form}", f"--python={nix_python}", *words)
        assert done.code == 0, done.said
        return one

    yield program
    for one in made:
        tidy(one.started)


PACKAGE = {
    "pyproject.toml": """\
[project]
name = "basket"
version = "1"
dependencies = ["apple>=1,<2", "dataclasses"]
[dependency-groups]
test = ["pytest", "pear"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "src/basket/__init__.py": "import apple\n\nVERSION = apple.__version__\n",
    "tests/test_basket.py": "import basket\nimport pear\n\n\ndef test_it():\n    assert basket.VERSION == '1.1'\n",
}


@pytest.mark.parametrize(("form", "folder"), [("flake", "src/"), ("shell", "src/"), ("shell", "")])
def test_what_is_written_is_built_and_tested_as_it_is(begun: Callable[..., Program], form: str, folder: str) -> None:
    files = {name.replace("src/", folder): text.replace(', "dataclasses"', "") for name, text in PACKAGE.items()}
    program = begun(form, files)

    if form == "flake":  # the branch cannot be asked here which commit it is
        done = program.do("lock", *program.words, "--check")
        assert done.code == 5, done.said
        write_project(program.root, {"flake.lock": _locked()})
    done = program.run()
    assert done.code == 0, done.said
    record = program.record
    assert record is not None
    assert record.tests is not None
    assert record.tests.passed == 1
    assert {"apple", "pear", "pytest"} <= {each.name for each in record.inventory if each.manager == "python"}


def _locked() -> str:
    known = release()
    where = {"owner": "NixOS", "repo": "nixpkgs", "type": "github"}
    locked = {**where, "rev": known.rev, "narHash": known.nar_hash, "lastModified": known.last_modified}
    node = {"locked": locked, "original": {**where, "ref": known.branch}}
    return json.dumps(
        {"nodes": {"nixpkgs": node, "root": {"inputs": {"nixpkgs": "nixpkgs"}}}, "root": "root", "version": 7}
    )


def test_a_package_that_was_left_as_a_comment_is_missed_by_the_checks(begun: Callable[..., Program]) -> None:
    program = begun("shell", PACKAGE)

    done = program.run()
    assert done.code == 7, done.said
    record = program.record
    assert record is not None
    assert any(each.code == "ENV105" and "dataclasses" in each.message for each in record.findings)


def test_an_attribute_that_nixpkgs_lacks_is_named_with_its_line(begun: Callable[..., Program]) -> None:
    program = begun("shell", {"requirements.in": "apple\nquince\n"})
    text = (program.root / "shell.nix").read_text("utf-8")
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "ps.quince" in each)

    done = program.run()
    assert done.code == 6, done.said
    assert "quince" in done.said
    assert f"shell.nix:{line}" in done.said


def test_the_envrc_beside_it_names_the_same_shell(begun: Callable[..., Program]) -> None:
    program = begun("shell", {"requirements.in": "apple\n"}, "--direnv")

    done = program.run("--stages=lock,build,check")
    assert done.code == 0, done.said
    assert "NIX021" not in done.said


def test_the_shell_for_uv_names_nixs_python_and_the_libraries_of_wheels(
    nix_store: Nix, nixpkgs: Path, tmp_path: Path
) -> None:
    plan = ShellPlan(name="basket", python="3.12", release=release(), installer="uv", groups=("test",))
    write_project(tmp_path, {"shell.nix": render(plan, "shell"), "flake.nix": render(replace(plan), "flake")})
    more = """final: previous: {
      uv = final.writeShellScriptBin "uv" "echo uv \\"$@\\"; exit 1";
      zlib = final.hello;
      stdenv = previous.stdenv // { cc.cc.lib = final.glibc; };
    }"""
    pkgs = f"import {nixpkgs} {{ overlays = [ ({more}) ]; }}"

    found = evaluated(
        nix_store,
        tmp_path,
        f"let shell = import {tmp_path}/shell.nix {{ pkgs = {pkgs}; }}; in "
        "{ inherit (shell) UV_PYTHON UV_PYTHON_DOWNLOADS LD_LIBRARY_PATH shellHook; }",
    )
    assert found["UV_PYTHON"].startswith("/nix/store/")
    assert found["UV_PYTHON"].endswith("/bin/python3.12")
    assert found["UV_PYTHON_DOWNLOADS"] == "never"
    assert [part.rpartition("/")[2] for part in found["LD_LIBRARY_PATH"].split(":")] == ["lib", "lib"]
    assert "uv sync --frozen --group=test &&" in found["shellHook"]
