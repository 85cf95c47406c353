"""The package set of the tests has nixpkgs' shape to the real nix, and what it builds needs nothing but the store."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.support.channel_forge import packable_interpreters
from tests.support.nix_archive import Leaf, write_nar
from tests.support.nix_packages import EXPRESSIONS, FRUIT, shared_packages
from tests.support.nix_projects import DEFAULT, FLAKE, SHELL, WORLD, commit, write_nix_project
from tests.support.nix_store import drop_roots

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.component.nix_fixtures import MakeNix
    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component

ENVIRONMENT = "pkgs.python3.withPackages (ps: [ ps.apple ps.pear ps.pytest ])"


def said(*argv: object, env: Mapping[str, str] | None = None) -> str:
    """What a program prints that has no variables but these."""
    outcome = run(Command(tuple(map(str, argv)), env=dict(env or {}), timeout=60))
    assert outcome, outcome.tail()
    return outcome.stdout.strip()


def told(packages: Path) -> dict[str, Any]:
    machine: dict[str, Any] = json.loads((packages / "machine.json").read_text("utf-8"))
    return machine


def every_series(packages: Path) -> list[str]:
    return sorted(told(packages)["pythons"])


# What it is made of.


def test_an_archive_is_what_nix_makes_of_the_same_tree(nix_store: Nix, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "deeper").mkdir(parents=True)
    (tree / "a" / "deeper" / "text").write_bytes(b"twelve bytes")
    (tree / "a" / "run").write_bytes(b"#!/bin/sh\n")
    (tree / "a" / "run").chmod(0o755)
    (tree / "a.b").write_bytes(b"")
    (tree / "link").symlink_to("a/run")

    leaves = {"link": Leaf(target="a/run"), "a.b": Leaf(), "a/deeper/text": Leaf(b"twelve bytes")}
    written = write_nar(tmp_path / "tree.nar", {**leaves, "a/run": Leaf(b"#!/bin/sh\n", executable=True)})

    assert written == nix_store.said("nix", "hash", "path", str(tree))


def test_the_set_is_made_once(nixpkgs: Path, world_wheels: Callable[..., Path]) -> None:
    written = (nixpkgs / "machine.json").stat().st_mtime_ns

    assert shared_packages(nixpkgs.parent, world_wheels) == nixpkgs

    assert (nixpkgs / "machine.json").stat().st_mtime_ns == written
    assert {path.name for path in nixpkgs.iterdir()} == {*(path.name for path in EXPRESSIONS.iterdir()), "machine.json"}


def test_a_set_of_another_folder_makes_the_same_store_paths(
    nix_store: Nix, nixpkgs: Path, world_wheels: Callable[..., Path], tmp_path: Path
) -> None:
    other = shared_packages(tmp_path / "other", world_wheels, (told(nixpkgs)["python"],))

    expression = f"(import {other} {{ }}).python3.withPackages (ps: [ ps.apple ps.pear ps.pytest ])"
    assert nix_store.build(expression) == nix_store.build(ENVIRONMENT)


def test_a_file_that_is_not_what_its_hash_says_is_refused(nix_store: Nix, nixpkgs: Path) -> None:
    url = told(nixpkgs)["wheels"]["apple"]["url"]

    outcome = nix_store.run(
        *("nix-build", "--no-out-link", "-I", f"nixpkgs={nixpkgs}", "-E"),
        f'with import <nixpkgs> {{ }}; fetchurl {{ url = "{url}"; hash = lib.fakeHash; name = "apple.whl"; }}',
    )

    assert not outcome
    assert "hash mismatch in fixed-output derivation" in outcome.stderr


# What is built runs.


def test_each_python_is_whole_and_all_of_it_is_of_the_store(nix_store: Nix, nixpkgs: Path) -> None:
    code = (
        "import bz2, ctypes, hashlib, lzma, readline, sqlite3, ssl, sys, zlib\n"
        "print(sys.prefix, sys.executable, sys.version.split()[0])\n"
        "print({line.split()[-1] for line in open('/proc/self/maps') if '.so' in line or 'python' in line})\n"
    )
    for series, python in told(nixpkgs)["pythons"].items():
        built = nix_store.build(f'pkgs.pythonInterpreters."{series}"')

        told_line, files = said(built / "bin" / "python3", "-c", code).split("\n")

        assert told_line == f"{built} {built}/bin/python3 {python['version']}"
        assert re.findall(r"'([^']+)'", files)
        assert all(file.startswith("/nix/store/") for file in re.findall(r"'([^']+)'", files))
        assert built.name.endswith(f"-python3-{python['version']}")


def test_a_closure_runs_where_there_is_nothing_else(nix_store: Nix, tmp_path: Path) -> None:
    environment = nix_store.build(ENVIRONMENT)
    root = tmp_path / "root"
    for path in nix_store.closure(environment):
        shutil.copytree(path, root / str(path)[1:], symlinks=True)
    for folder in ("dev", "project", "tmp"):
        (root / folder).mkdir()
    (root / "dev" / "null").touch()
    (root / "project" / "test_fruit.py").write_text("def test_it():\n    import apple\n    assert apple.seed\n")

    inside = (f"{environment}/bin/pytest", "-q", "-p", "no:cacheprovider", "/project")
    outcome = run(Command(("unshare", "--map-root-user", "--root", str(root), *inside), env={}, timeout=60))

    assert "1 passed" in outcome.stdout, outcome.tail()


def test_a_python_needs_its_libraries_and_nothing_that_it_was_built_with(nix_store: Nix, nixpkgs: Path) -> None:
    python = nix_store.build("pkgs.python3")

    names = {path.name[33:] for path in nix_store.closure(python)}

    assert any(name.startswith("libcrypto") for name in names) or not told(nixpkgs)["libraries"]
    assert f"glibc-{told(nixpkgs)['glibc']['version']}" in names
    assert not [name for name in names if "source" in name or "tools" in name or "patchelf" in name or "stdenv" in name]


def test_no_file_of_a_python_names_the_interpreter_that_it_was_made_from(nix_store: Nix, nixpkgs: Path) -> None:
    for interpreter in packable_interpreters(every_series(nixpkgs)):
        built = nix_store.build(f'pkgs.pythonInterpreters."{interpreter.series}"')
        files = [path for path in built.rglob("*") if path.is_file() and not path.is_symlink()]

        assert files
        assert not [path for path in files if interpreter.base_prefix.encode() in path.read_bytes()]


def test_running_a_python_leaves_its_store_path_as_it_is(nix_store: Nix, nixpkgs: Path) -> None:
    """Whoever owns the store could write into it: every module is compiled."""
    environment = nix_store.build(ENVIRONMENT)
    code = "import apple, pear, pytest, sysconfig, json, http.client; print(sysconfig.get_config_vars()['prefix'])"

    said(environment / "bin" / "python3", "-c", code)

    for path in nix_store.closure(environment):
        assert nix_store.run("nix-store", "--verify-path", str(path)), path


@pytest.mark.parametrize(
    "attribute", ["python3", "python3.pkgs.apple", "bash", "busybox", "patchelf", "hello", "glibc"]
)
def test_a_package_that_is_built_again_is_the_same(attribute: str, nix_store: Nix) -> None:
    built = nix_store.build(f"pkgs.{attribute}")

    assert nix_store.build(f"pkgs.{attribute}", "--check") == built


# Python packages.


def test_every_wheel_is_a_package(nix_store: Nix, nixpkgs: Path) -> None:
    code = "import importlib.metadata as m; print(*(f'{d.name.lower()}=={d.version}' for d in m.distributions()))"
    expected = {name: wheel["version"] for name, wheel in told(nixpkgs)["wheels"].items()}

    built = nix_store.build(f"pkgs.python3.withPackages (ps: [ {' '.join(f'ps.{name}' for name in expected)} ])")

    assert set(said(built / "bin" / "python", "-c", code).split()) == {f"{n}=={v}" for n, v in expected.items()}
    assert expected.items() >= FRUIT.items()


def test_every_python_has_the_packages(nix_store: Nix, nixpkgs: Path) -> None:
    for series in every_series(nixpkgs):
        attribute = f"python{series.replace('.', '')}"
        built = nix_store.build(f"pkgs.{attribute}.withPackages (ps: [ ps.apple ])")
        package = nix_store.build(f"pkgs.{attribute}Packages.apple")

        where = said(built / "bin" / "python", "-c", "import apple, os; print(os.path.realpath(apple.__file__))")

        assert where == f"{package}/lib/python{series}/site-packages/apple/__init__.py"


def test_an_environment_knows_its_own_prefix_and_what_its_packages_need(nix_store: Nix) -> None:
    built = nix_store.build("pkgs.python3.withPackages (ps: [ ps.apple ])")
    code = "import apple, seed, sys; print(sys.prefix, sys.executable, apple.__version__, seed.__version__)"

    prefix, executable, *versions = said(built / "bin" / "python3", "-c", code).split()

    assert prefix == str(built)
    assert Path(executable).parent == built / "bin"
    assert versions == ["1.1", "1.5"]
    assert built.name.endswith("-env")
    assert said(built / "bin" / "eat-apple") == "crunch 1.5"


def test_an_environment_has_no_package_that_was_not_asked_for(nix_store: Nix) -> None:
    built = nix_store.build("pkgs.python3.withPackages (ps: [ ps.seed ])")

    outcome = run(Command((str(built / "bin" / "python3"), "-c", "import apple"), env={}, timeout=60))

    assert "No module named 'apple'" in outcome.stderr


def test_an_environment_is_not_written_into_its_python(nix_store: Nix) -> None:
    """It has the folder ``bin`` of nothing else."""
    built = nix_store.build("pkgs.python3.withPackages (ps: [ ps.seed ])")

    assert "python" in {path.name for path in (built / "bin").iterdir()}
    assert nix_store.run("nix-store", "--verify-path", str(nix_store.build("pkgs.python3")))
    assert (built / "bin").resolve() == built / "bin"


def test_a_virtual_environment_of_an_environment_is_its_own(nix_store: Nix, tmp_path: Path) -> None:
    built = nix_store.build("pkgs.python3.withPackages (ps: [ ps.seed ])")
    said(built / "bin" / "python3", "-m", "venv", "--without-pip", tmp_path / "venv")

    assert said(tmp_path / "venv" / "bin" / "python", "-c", "import sys; print(sys.prefix)") == str(tmp_path / "venv")


def test_a_script_of_a_package_finds_what_the_package_needs(nix_store: Nix) -> None:
    assert said(nix_store.build("pkgs.python3Packages.apple") / "bin" / "eat-apple") == "crunch 1.5"


def test_a_wheel_of_a_projects_own_becomes_a_package(nix_store: Nix, nixpkgs: Path) -> None:
    wheel = told(nixpkgs)["wheels"]["sugar"]
    source = f'pkgs.fetchurl {{ url = "{wheel["url"]}"; hash = "{wheel["hash"]}"; }}'

    built = nix_store.build(
        "pkgs.python3.pkgs.buildPythonPackage "
        f'{{ pname = "sweet"; version = "{wheel["version"]}"; src = {source}; pythonImportsCheck = [ "sugar" ]; }}'
    )

    assert built.name[33:].endswith(f"-sweet-{wheel['version']}")
    assert list(built.glob("lib/python3*/site-packages/sugar"))


# The rest of the set.


def test_a_text_becomes_a_program(nix_store: Nix) -> None:
    built = nix_store.build('pkgs.writeShellScriptBin "greet" "echo good $1"')

    assert said(built / "bin" / "greet", "morning") == "good morning"
    assert said(nix_store.build("pkgs.hello") / "bin" / "hello") == "Hello, world!"


def test_joined_packages_can_be_added_to(nix_store: Nix) -> None:
    more = "cp $out/bin/hello $out/bin/hello-again; touch $out/share-me"

    built = nix_store.build(f'pkgs.symlinkJoin {{ name = "both"; paths = [ pkgs.hello ]; postBuild = "{more}"; }}')

    assert {path.name for path in built.rglob("*")} == {"bin", "hello", "hello-again", "share-me"}
    assert nix_store.run("nix-store", "--verify-path", str(nix_store.build("pkgs.hello")))


def test_a_command_is_run_with_the_programs_of_its_inputs(nix_store: Nix) -> None:
    built = nix_store.build('pkgs.runCommand "said" { nativeBuildInputs = [ pkgs.hello ]; } "hello | tr a-z A-Z >$out"')

    assert built.read_text() == "HELLO, WORLD!\n"


def test_a_derivation_has_phases(nix_store: Nix, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "text").write_text("as it was\n")
    phases = 'buildPhase = "sed -i s/was/is/ text"; installPhase = "cp text $out"'

    built = nix_store.build(f'pkgs.stdenv.mkDerivation {{ pname = "text"; version = "1"; src = {source}; {phases}; }}')

    assert built.read_text() == "as it is\n"
    assert built.name.endswith("-text-1")


def test_an_overlay_changes_what_others_are_made_of(nix_store: Nix, nixpkgs: Path) -> None:
    overlay = 'self: super: { hello = super.writeShellScriptBin "hello" "echo other"; }'

    built = nix_store.build(f"(import {nixpkgs} {{ overlays = [ ({overlay}) ]; }}).pkgs.hello")

    assert said(built / "bin" / "hello") == "other"


def test_another_system_is_refused(nix_store: Nix, nixpkgs: Path) -> None:
    expression = f'(import {nixpkgs} {{ system = "riscv64-linux"; }}).hello'

    outcome = nix_store.run("nix-instantiate", "--eval", "-E", expression)

    assert "not for riscv64-linux" in outcome.stderr


@pytest.mark.parametrize(("builder", "layers"), [("buildImage", 1), ("buildLayeredImage", 3)])
def test_an_image_is_the_closure_of_what_is_in_it(builder: str, layers: int, nix_store: Nix) -> None:
    image = f'pkgs.dockerTools.{builder} {{ name = "local/hello"; tag = "1"; contents = [ pkgs.hello ]; '
    image += 'config.Cmd = [ "/bin/hello" ]; ' + ("maxLayers = 3; }" if layers > 1 else "}")

    built = nix_store.build(image)

    assert nix_store.build(image, "--check") == built
    with tarfile.open(built) as archive:
        (manifest,) = json.load(_member(archive, "manifest.json"))
        config = json.load(_member(archive, manifest["Config"]))
        names = [_names(_member(archive, layer)) for layer in manifest["Layers"]]
    assert manifest["RepoTags"] == ["local/hello:1"]
    assert config["config"] == {"Cmd": ["/bin/hello"]}
    assert len(names) == layers == len(config["rootfs"]["diff_ids"])
    hello = nix_store.build("pkgs.hello")
    held = {f"/{name}" for layer in names for name in layer}
    assert held >= {"/bin", *map(str, nix_store.closure(hello))}


def _names(layer: IO[bytes]) -> list[str]:
    with tarfile.open(fileobj=layer) as archive:
        return archive.getnames()


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    assert found is not None
    return found


# Shells.

_TELL = 'echo "$GREETING, $HOOKED"; hello; python -c "import apple, sys; print(apple.__version__, sys.prefix)"'


def tells(text: str, environment: Path) -> bool:
    return text.split("\n")[-3:] == ["good morning, yes", "Hello, world!", f"1.1 {environment}"]


def test_a_classic_shell_has_its_packages_and_its_hook_alone(
    nix_store: Nix, nixpkgs: Path, nix_python: str, tmp_path: Path
) -> None:
    project = write_nix_project(tmp_path / "project", SHELL, python=nix_python, nixpkgs=nixpkgs)

    text = nix_store.said("nix-shell", "--pure", "-I", f"nixpkgs={nixpkgs}", "--run", _TELL, cwd=project)

    assert tells(text, nix_store.build(ENVIRONMENT))


def test_one_attribute_of_a_file_is_a_shell(nix_store: Nix, nixpkgs: Path, nix_python: str, tmp_path: Path) -> None:
    project = write_nix_project(tmp_path / "project", DEFAULT, python=nix_python, nixpkgs=nixpkgs)

    words = ("--pure", "-A", "shell", "-I", f"nixpkgs={nixpkgs}", "--run", _TELL)
    assert tells(nix_store.said("nix-shell", *words, cwd=project), nix_store.build(ENVIRONMENT))


@pytest.mark.parametrize("git", [False, True], ids=["folder", "git"])
@pytest.mark.parametrize("of_world", [False, True], ids=["path", "override"])
def test_a_flake_has_the_shell_of_the_same_words(
    *, git: bool, of_world: bool, nix_store: Nix, nixpkgs: Path, nix_python: str, tmp_path: Path
) -> None:
    more = ("--override-input", "nixpkgs", f"path:{nixpkgs}") if of_world else ()
    project = write_nix_project(tmp_path / "project", WORLD if of_world else FLAKE, python=nix_python, nixpkgs=nixpkgs)
    if git:
        commit(project, nix_store.env or {})

    words = ("develop", ".", *more, "--ignore-environment")
    text = nix_store.said("nix", *words, "--command", "bash", "-c", _TELL, cwd=project)

    environment = Path(text.split()[-1])
    assert tells(text, environment)
    assert environment.name.endswith("-env")


def test_print_dev_env_tells_a_shells_variables(nix_store: Nix, nixpkgs: Path, nix_python: str, tmp_path: Path) -> None:
    project = write_nix_project(tmp_path / "project", SHELL, python=nix_python, nixpkgs=nixpkgs)

    text = nix_store.said("nix", "print-dev-env", "-f", "shell.nix", "-I", f"nixpkgs={nixpkgs}", "--json", cwd=project)

    variables = {name: one.get("value") for name, one in json.loads(text)["variables"].items()}
    environment = nix_store.build(ENVIRONMENT)
    assert variables["GREETING"] == "good morning"
    assert variables["shellHook"] == "export HOOKED=yes"
    assert variables["PATH"].startswith(f"{environment}/bin:{nix_store.build('pkgs.hello')}/bin:")
    assert variables["PYTHONPATH"] == f"{environment}/lib/python{nix_python}/site-packages"


def test_a_shell_takes_the_inputs_and_hooks_of_another(nix_store: Nix, nixpkgs: Path, tmp_path: Path) -> None:
    first = 'first = pkgs.mkShell { packages = [ pkgs.hello ]; shellHook = "export ONE=1"; }'
    (tmp_path / "shell.nix").write_text(
        f"let pkgs = import <nixpkgs> {{ }}; {first}; in\n"
        "pkgs.mkShell {\n"
        "  inputsFrom = [ first ];\n"
        "  packages = [ pkgs.python3Packages.apple ];\n"
        '  shellHook = "export TWO=2";\n'
        "}\n"
    )

    text = nix_store.said(
        *("nix-shell", "--pure", "-I", f"nixpkgs={nixpkgs}", str(tmp_path / "shell.nix"), "--run"),
        'echo $ONE $TWO; hello; python3 -c "import apple, seed; print(seed.__version__)"',
    )

    assert text.split("\n") == ["1 2", "Hello, world!", "1.5"]


# Projects and roots.


def test_a_program_has_a_project_with_the_set_for_its_nixpkgs(
    make_nix_program: MakeNix, nixpkgs: Path, nix_python: str
) -> None:
    program = make_nix_program("project", SHELL, nix={"pure": False}, config={"test": {"command": "true"}}, git=True)

    config = json.loads((program.root / "ci-envs.yml").read_text())
    assert config == {"nix": {"inputs": {"nixpkgs": str(nixpkgs)}, "pure": False}, "test": {"command": "true"}}
    assert f"python{nix_python.replace('.', '')}.withPackages" in (program.root / "shell.nix").read_text()
    assert (program.root / ".git" / "HEAD").exists()
    assert program.leg.startswith("nix-py3")
    assert "NIX_PATH" in program.env
    assert not [name for name in program.env if name.startswith("NIX_") and name != "NIX_PATH"]


def test_the_roots_of_a_folder_are_dropped_and_no_others(nix_store: Nix, tmp_path: Path) -> None:
    hello = nix_store.build("pkgs.hello")
    for name in ("mine", "mine too", "others"):
        (tmp_path / name).mkdir()
        nix_store.said("nix-store", "--realise", str(hello), "--add-root", str(tmp_path / name / "root"), "--indirect")

    drop_roots(tmp_path / "mine")
    drop_roots(tmp_path / "mine too")

    roots = nix_store.said("nix-store", "--gc", "--print-roots")
    assert str(tmp_path / "others" / "root") in roots
    assert str(tmp_path / "mine") not in roots
