"""A binary cache in a folder: what it saves a machine whose store is empty, and what of it is never used."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_archive import Leaf, write_nar
from tests.support.nix_projects import SHELL

from ci_envs.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.nix_fixtures import MakeNix
    from tests.component.program import Done, Program

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


def told(program: Program) -> str:
    """What the commands of the build stage have said."""
    return (program.state / "logs" / program.leg / "build.log").read_text("utf-8")


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


def test_an_archive_of_something_else_is_refused_by_name(
    program: Program, elsewhere: Callable[..., Program], tmp_path: Path
) -> None:
    info = info_of(program, "hello-")
    put_evil(program, info)
    other = elsewhere(program)

    done = offline(other)

    assert done.code == BuildError.exit_code, done.said
    assert "hello-2.12.1 in the binary cache" in done.said
    assert "is damaged or was altered" in done.said
    assert str(info) in done.said
    assert not (tmp_path / f"elsewhere{field_of(info, 'StorePath')}").exists()


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
