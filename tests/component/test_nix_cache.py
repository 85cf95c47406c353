"""A binary cache in a folder: what it saves a machine whose store is empty, and what of it is never used."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.running import snapshot
from tests.support.nix_archive import Leaf, write_nar
from tests.support.nix_projects import SHELL
from tests.support.nix_small import SMALL, small_shell

from ci_envs.command import Command, run
from ci_envs.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.nix_fixtures import MakeNix
    from tests.component.program import Done, Program
    from tests.support.nix_store import Nix

    from ci_envs.capture import Outcome

pytestmark = pytest.mark.component

#: Runs what follows where the store is another folder, as on a machine that has never built anything.
ELSEWHERE = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /nix && exec "$@"')


@pytest.fixture
def program(make_nix_program: MakeNix) -> Program:
    """A shell with a binary cache, in the project's folder, which a run has filled."""
    made = make_nix_program("project", SHELL, nix={"cache": "kept/nix"})
    done = made.run("--stages=lock,build")
    assert done.code == 0, done.said
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., Program]:
    """The same project, cache and key on a machine whose store is empty."""

    def made(program: Program, name: str = "elsewhere", **more: str) -> Program:
        store = tmp_path / name / "nix"
        store.mkdir(parents=True)
        env = {**program.env, "CI_ENVS_STATE_DIR": str(tmp_path / name / "state"), **more}
        return replace(program, env=env, through=(*ELSEWHERE, str(store)))

    return made


def cache_of(program: Program) -> Path:
    return program.root / "kept/nix"


def log_of(program: Program, stage: str) -> str:
    return (program.state / "logs" / program.leg / f"{stage}.log").read_text("utf-8")


def told(program: Program) -> str:
    """What the commands of the build stage have said."""
    return log_of(program, "build")


def built(program: Program) -> list[str]:
    return [line for line in told(program).splitlines() if line.startswith("building '")]


def info_of(program: Program, name: str) -> Path:
    """What the cache says of the path whose name begins so."""
    texts = {file: file.read_text() for file in cache_of(program).glob("*.narinfo")}
    return next(file for file, text in texts.items() if f"-{name}" in text.splitlines()[0])


def field_of(info: Path, name: str) -> str:
    return next(line for line in info.read_text().splitlines() if line.startswith(f"{name}: ")).partition(": ")[2]


def rewrite(info: Path, **fields: str) -> None:
    """What anybody can do who can write to the folder."""
    lines = [line.partition(": ") for line in info.read_text().splitlines()]
    info.write_text("".join(f"{name}: {fields.get(name, value)}\n" for name, _, value in lines))


def put_evil(program: Program, info: Path) -> str:
    """Has an entry lead to another archive, and answers with the hash of that. What is signed stays."""
    archive = cache_of(program) / "nar" / "evil.nar"
    evil = write_nar(archive, {"evil": Leaf(b"evil")})
    rewrite(info, URL="nar/evil.nar", Compression="none", FileSize=str(archive.stat().st_size), FileHash=evil)
    return evil


def said_in(program: Program, *words: str) -> Outcome:
    """What a command says on that machine."""
    return run(Command((*program.through, *words), cwd=program.root, env=program.env, timeout=60))


def public_key(program: Program) -> str:
    return (program.cache / "nix" / "key.pub").read_text().strip()


def signers(info: Path) -> set[str]:
    return {line.split()[1].partition(":")[0] for line in info.read_text().splitlines() if line.startswith("Sig: ")}


def codes(done: Done) -> set[str]:
    """Of the findings."""
    return {finding["code"] for finding in json.loads(done.stdout)["findings"]}


def digest_of(program: Program) -> str:
    assert program.record is not None
    assert program.record.environment is not None
    return program.record.environment.digest


def offline(program: Program, *words: str) -> Done:
    return program.run("--stages=lock,build", "--offline", *words)


# What it saves.


def test_a_machine_with_an_empty_store_needs_the_cache_alone(
    program: Program, elsewhere: Callable[..., Program]
) -> None:
    other = elsewhere(program)

    done = offline(other)

    assert done.code == 0, done.said
    assert built(other) == []
    assert digest_of(other) == digest_of(program)


def test_what_was_fetched_runs(program: Program, elsewhere: Callable[..., Program]) -> None:
    other = elsewhere(program)

    done = other.run("--offline")

    assert done.code == 0, done.said
    assert other.record is not None
    assert other.record.tests is not None
    assert other.record.tests.passed == 1


def test_a_second_machine_puts_nothing_into_a_cache_that_has_all(
    program: Program, elsewhere: Callable[..., Program]
) -> None:
    before = snapshot(cache_of(program))

    done = offline(elsewhere(program))

    assert done.code == 0, done.said
    assert snapshot(cache_of(program)) == before


def test_a_run_that_keeps_its_shell_does_not_look_at_the_cache(program: Program) -> None:
    (cache_of(program) / "nix-cache-info").unlink()
    before = snapshot(cache_of(program))

    done = program.run("--stages=lock,build")

    assert done.code == 0, done.said
    assert snapshot(cache_of(program)) == before


def test_a_folder_with_blanks_in_its_name_is_as_good(
    make_nix_program: MakeNix, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    made = make_nix_program(
        "a project", small_shell('(make "tool" "mkdir -p $out/bin")'), nix={"cache": "kept/näx & co"}
    )
    filled = made.run("--stages=lock,build")
    other = elsewhere(made)

    done = offline(other)

    assert [filled.code, done.code] == [0, 0], filled.said + done.said
    assert built(other) == []


def test_a_user_who_substitutes_nothing_is_asked_for_nothing_but_the_cache(
    program: Program, elsewhere: Callable[..., Program]
) -> None:
    asks = "substituters = https://cache.index.example\nsubstitute = "
    silent, asking = (elsewhere(program, word, NIX_CONFIG=asks + word) for word in ("false", "true"))

    done = [other.run("--stages=lock,build") for other in (silent, asking)]

    assert [each.code for each in done] == [0, 0], done[0].said + done[1].said
    assert [built(other) for other in (silent, asking)] == [[], []]
    assert "extra-substituters" not in told(silent)
    assert "extra-substituters" in told(asking)


# What an evaluation needs.

FETCHED = """\
let set = fetchTarball { url = "https://index.example/set.tar.gz"; sha256 = "HASH"; }; in
with import "${set}/small.nix" { }; mkShell { packages = [ (make "tool" "mkdir -p $out/bin") ]; }
"""


def test_a_source_that_is_pinned_comes_from_the_cache_before_anything_is_evaluated(
    make_nix_program: MakeNix, elsewhere: Callable[..., Program], nix_store: Nix, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "small.nix").write_text(SMALL)
    digest = nix_store.said("nix-hash", "--type", "sha256", "--base32", str(source))
    nix_store.said("nix-store", "--add-fixed", "--recursive", "sha256", str(source))
    made = make_nix_program("project", {"shell.nix": FETCHED.replace("HASH", digest)}, nix={"cache": "kept/nix"})
    filled = made.run("--stages=lock,build", "--offline")
    other = elsewhere(made)

    done = offline(other)

    assert [filled.code, done.code] == [0, 0], filled.said + done.said
    assert built(other) == []


def test_an_input_that_is_locked_comes_from_the_cache(
    make_nix_program: MakeNix, elsewhere: Callable[..., Program], nix_env: dict[str, str], tmp_path: Path
) -> None:
    flake = """\
{
  inputs.set = { url = "path:FOLDER"; flake = false; };
  outputs = { self, set }: { devShells.x86_64-linux.default =
    with import "${set}/small.nix" { system = "x86_64-linux"; }; mkShell { packages = [ stdenv ]; };
  };
}
"""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "small.nix").write_text(SMALL)
    files = {"flake.nix": flake.replace("FOLDER", str(folder))}
    made = make_nix_program("project", files, nix={"cache": "kept/nix", "inputs": {}}, git=True)
    filled = made.run("--stages=lock,build")
    folder.rename(tmp_path / "gone")
    other = elsewhere(made)

    done = offline(other)

    assert [filled.code, done.code] == [0, 0], filled.said + done.said
    assert built(other) == []


def test_what_would_have_to_be_fetched_is_said_in_one_sentence(
    make_nix_program: MakeNix, elsewhere: Callable[..., Program], nix_store: Nix, tmp_path: Path
) -> None:
    file = tmp_path / "apple.txt"
    file.write_text("an apple")
    digest = nix_store.said("nix-hash", "--type", "sha256", "--flat", "--base32", str(file))
    nix_store.said("nix-store", "--add-fixed", "sha256", str(file))
    fetched = f'(import <nix/fetchurl.nix> {{ url = "https://index.example/apple.txt"; sha256 = "{digest}"; }})'
    made = make_nix_program("project", small_shell(fetched), nix={"cache": "kept/nix"})
    filled = made.run("--stages=lock,build", "--offline")
    with_cache = offline(elsewhere(made))
    cache_of(made).rename(tmp_path / "taken away")

    done = offline(elsewhere(made, "third"))

    assert [filled.code, with_cache.code] == [0, 0], filled.said + with_cache.said
    assert done.code == BuildError.exit_code
    assert "nothing may be fetched, and something would have to be" in done.said
    assert "https://index.example/apple.txt" in done.said


# What an export needs.


def exported(program: Program, file: Path, *words: str) -> dict[str, Any]:
    """What the verb says in JSON of an image in a file."""
    done = program.do("export", program.leg, "--to", f"oci:{file}", "--json", *words)
    assert done.code == 0, done.said
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_machine_with_an_empty_store_exports_what_it_fetched(
    program: Program, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    first = exported(program, tmp_path / "first.tar")
    other = elsewhere(program)
    assert offline(other).code == 0

    second = exported(other, tmp_path / "second.tar", "--offline")

    assert second["manifest"] == first["manifest"]


OWN_IMAGE = """\
{ pkgs ? import <nixpkgs> { } }:
{
  shell = pkgs.mkShell { packages = [ pkgs.hello ]; };
  image = pkgs.dockerTools.buildImage { name = "basket-PID"; tag = "1.0"; copyToRoot = [ pkgs.hello ]; };
}
"""


def test_an_image_that_the_project_describes_is_kept_and_fetched_as_well(
    make_nix_program: MakeNix, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    made = make_nix_program(
        "project",
        {"default.nix": OWN_IMAGE.replace("PID", str(os.getpid()))},
        nix={"cache": "kept/nix", "attribute": "shell", "image": "image"},
    )
    assert made.run("--stages=lock,build").code == 0
    first = exported(made, tmp_path / "first.tar")
    assert "basket" in log_of(made, "export")
    other = elsewhere(made)
    assert offline(other).code == 0

    second = exported(other, tmp_path / "second.tar", "--offline")

    assert second["config"] == first["config"]
    assert "building '" not in log_of(other, "export")


# What is never used.


def test_an_archive_that_is_cut_off_is_named_and_made_anew(program: Program, elsewhere: Callable[..., Program]) -> None:
    info = info_of(program, "hello-")
    archive = cache_of(program) / field_of(info, "URL")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    other = elsewhere(program)

    done = other.run("--stages=lock,build", "--json")

    assert done.code == 0, done.said
    assert "NIX030" in codes(done)
    assert "hello-2.12.1" in done.stdout
    assert any("hello" in line for line in built(other))
    assert (cache_of(program) / field_of(info, "URL")).stat().st_size == int(field_of(info, "FileSize"))


def test_an_archive_of_something_else_is_refused_by_name(program: Program, elsewhere: Callable[..., Program]) -> None:
    info = info_of(program, "hello-")
    put_evil(program, info)
    other = elsewhere(program)

    done = offline(other)

    assert done.code == BuildError.exit_code, done.said
    assert "hello-2.12.1 in the binary cache" in done.said
    assert "is damaged or was altered" in done.said
    assert str(info) in done.said
    assert not said_in(other, "nix-store", "--check-validity", field_of(info, "StorePath"))


def test_an_entry_that_an_attacker_wrote_whole_is_not_used(
    program: Program, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    info = info_of(program, "hello-")
    path = field_of(info, "StorePath")
    evil = put_evil(program, info)
    rewrite(info, NarHash=evil, NarSize=field_of(info, "FileSize"))
    other = elsewhere(program)

    done = offline(other, "--json")

    assert done.code == 0, done.said
    assert not (tmp_path / f"elsewhere{path}" / "evil").exists()
    assert any("hello" in line for line in built(other))
    assert digest_of(other) == digest_of(program)
    assert "NIX030" in codes(done)
    assert field_of(info, "NarHash") != evil


@pytest.mark.parametrize("text", ["", "StorePath: /nix/store/x\n", "\x00\xff"])
def test_an_entry_that_says_nothing_of_use_is_taken_out(
    program: Program, elsewhere: Callable[..., Program], text: str
) -> None:
    info = info_of(program, "hello-")
    info.write_text(text)

    done = offline(elsewhere(program), "--json")

    assert done.code == 0, done.said
    assert "NIX030" in codes(done)
    assert field_of(info, "StorePath").startswith("/nix/store/")


def test_a_cache_that_is_signed_by_a_key_nobody_trusts_is_not_used_and_that_is_said(
    program: Program, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    theirs = public_key(program)
    other = elsewhere(program, CI_ENVS_CACHE_DIR=str(tmp_path / "another key"))

    done = other.run("--stages=lock,build", "--json")

    assert done.code == 0, done.said
    assert "NIX031" in codes(done)
    assert theirs.partition(":")[0] in done.stdout
    assert any("hello" in line for line in built(other))
    # What it has built itself is the same, and so it vouches for it, too.
    assert "NIX031" not in codes(other.run("--stages=lock,build", "--fresh", "--json"))
    assert signers(info_of(program, "hello-")) == {theirs.partition(":")[0], public_key(other).partition(":")[0]}


def test_a_key_that_the_user_trusts_is_trusted(
    program: Program, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    trusts = f"extra-trusted-public-keys = {public_key(program)}"
    other = elsewhere(program, CI_ENVS_CACHE_DIR=str(tmp_path / "another key"), NIX_CONFIG=trusts)

    done = offline(other, "--json")

    assert done.code == 0, done.said
    assert "NIX031" not in codes(done)
    assert built(other) == []
