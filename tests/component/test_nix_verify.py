"""``ci-envs verify`` of nix legs: what this machine has built is built again, and what differs is told, and why."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.component.program import kill_all, wait_for
from tests.support.nix_projects import SHELL
from tests.support.nix_small import small_shell

from ci_envs.errors import DriftFound, InterruptedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.component.nix_fixtures import MakeNix
    from tests.component.program import Done, Program
    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component


def verdict(done: Done) -> dict[str, Any]:
    assert done.stdout, done.said
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def verified(program: Program) -> Done:
    """The leg is known by its record: the default matrix has others."""
    if program.record is None:
        assert program.run("--stages=lock").code == 0
    return program.do("verify", program.leg, "--json")


def left_by(program: Program, name: str, *ends: str) -> list[str]:
    """What a verification has left: in the state folder, and in the store of derivations of this name."""
    store = [path.name for path in Path("/nix/store").iterdir() if path.name.endswith((".check", *ends))]
    folder = [str(path) for path in (program.state / "verify").rglob("*")]
    return folder + [each for each in store if f"-{name}" in each]


def test_a_shell_that_is_built_alike_has_one_digest(make_nix_program: MakeNix) -> None:
    files = small_shell('(make "steady-1.0" "mkdir -p $out/bin; echo same > $out/bin/file; ln -s file $out/bin/link")')
    program = make_nix_program("project", files)

    done = verified(program)

    assert done.code == 0, done.said
    assert verdict(done)["same"]
    assert verdict(done)["first"] == verdict(done)["second"]
    assert verdict(done)["notes"][0].startswith("2 of 2 store paths were built again; 0 came from")
    assert left_by(program, "steady") == []


def test_a_derivation_that_writes_the_date_is_named_with_the_file_and_the_reason(make_nix_program: MakeNix) -> None:
    script = "mkdir -p $out/lib $out/empty; date +%s%N > $out/lib/stamp; echo same > $out/lib/same"
    program = make_nix_program("project", small_shell(f'(make "dated-1.0" "{script}")'))

    done = verified(program)

    assert done.code == DriftFound.exit_code, done.said
    told = verdict(done)
    assert [row[0].partition("-dated-1.0")[2] for row in told["differences"]] == ["/lib/stamp"]
    assert told["differences"][0][1] == "different"
    assert "only numbers differ" in told["differences"][0][2]
    assert told["first"] != told["second"]
    assert left_by(program, "dated") == []


def test_an_order_that_depends_on_a_hash_seed_is_known_as_one(make_nix_program: MakeNix) -> None:
    code = "print({chr(65 + n) * 3 for n in range(26)})"
    script = f"unset PYTHONHASHSEED; python3 -c '{code}' > $out"
    program = make_nix_program("project", small_shell(f'(make "seeded-1.0" "{script}")'))

    done = verified(program)

    assert done.code == DriftFound.exit_code, done.said
    (row,) = verdict(done)["differences"]
    assert row[0].endswith("-seeded-1.0")
    assert "in another order" in row[2]


def test_files_of_one_build_alone_are_named_too(make_nix_program: MakeNix) -> None:
    script = "mkdir $out; cat /proc/sys/kernel/random/uuid > $out/id; mkdir $out/$(cat $out/id)"
    program = make_nix_program("project", small_shell(f'(make "random-1.0" "{script}")'))

    rows = verdict(verified(program))["differences"]

    assert sorted(row[1] for row in rows) == ["different", "only-in-a", "only-in-b"]


def test_each_is_built_over_what_is_there_so_that_one_cause_is_one_difference(make_nix_program: MakeNix) -> None:
    dated = 'dated = pkgs.make "dated-2.0" "date +%s%N > $out"; user = pkgs.make "user-1.0" "cat ${dated} > $out";'
    program = make_nix_program(
        "project", small_shell("user dated", head=f" with pkgs; {dated}".replace(" with pkgs;", ""))
    )

    rows = verdict(verified(program))["differences"]

    assert len(rows) == 1
    assert rows[0][0].endswith("-dated-2.0")


def test_a_real_shell_is_built_alike_but_for_what_came_from_elsewhere(make_nix_program: MakeNix) -> None:
    program = make_nix_program("project", SHELL)

    done = verified(program)

    assert done.code == 0, verdict(done)
    assert left_by(program, "hello") == []


def test_a_download_that_is_another_file_by_now_is_a_difference(
    make_nix_program: MakeNix, nix_store: Nix, tmp_path: Path
) -> None:
    file = tmp_path / "apple.txt"
    file.write_text(f"an apple of {os.getpid()}")
    digest = nix_store.said("nix-hash", "--type", "sha256", "--flat", "--base32", str(file))
    fetched = f'(import <nix/fetchurl.nix> {{ url = "file://{file}"; sha256 = "{digest}"; }})'
    program = make_nix_program("project", small_shell(fetched))
    assert verdict(verified(program))["same"]
    file.write_text("a pear")

    done, offline = verified(program), program.do("verify", program.leg, "--json", "--offline")

    assert done.code == DriftFound.exit_code, done.said
    (row,) = verdict(done)["differences"]
    assert row[0].endswith("-apple.txt")
    assert "what is fetched now is another file: got sha256-" in row[2]
    # Its hash proves what is here, and nothing may be fetched.
    assert offline.code == 0, offline.said
    assert "1 of 2 store paths were built again" in verdict(offline)["notes"][0]


@pytest.fixture
def altered() -> Iterator[Callable[[Path], None]]:
    """Alters a file of the store, which is everybody's: it is put right afterwards."""
    before: dict[Path, bytes] = {}

    def alter(path: Path) -> None:
        before[path] = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(b"altered")

    yield alter
    for path, data in before.items():
        path.write_bytes(data)
        path.chmod(0o444)
        os.utime(path, (1, 1))


def test_a_store_path_that_was_altered_is_found_by_its_bytes(
    make_nix_program: MakeNix, altered: Callable[[Path], None]
) -> None:
    program = make_nix_program("project", small_shell(f'(make "fragile-{os.getpid()}" "mkdir $out; date > $out/file")'))
    assert program.run("--stages=lock,build").code == 0
    (path,) = [one for one in closure_of(program) if "-fragile-" in one]
    altered(Path(path, "file"))

    done = verified(program)
    deep = program.do("check", program.leg)

    assert done.code == DriftFound.exit_code, done.said
    rows = verdict(done)["differences"]
    assert [row[0] for row in rows] == [path]
    assert "not the bytes that it was registered with" in rows[0][2]
    assert path in deep.said


def closure_of(program: Program) -> list[str]:
    return [one["path"] for one in json.loads((program.prefix / "closure.json").read_text())["paths"]]


def test_the_shell_that_stands_there_is_left_alone(make_nix_program: MakeNix) -> None:
    program = make_nix_program("project", small_shell('(make "steady-1.0" "echo > $out")'))
    assert program.run("--stages=lock,build").code == 0
    before = [path.stat().st_mtime_ns for path in sorted(program.prefix.rglob("*"))]

    assert verified(program).code == 0

    assert [path.stat().st_mtime_ns for path in sorted(program.prefix.rglob("*"))] == before


SLOW = "mkdir $out; date +%s%N > $out/stamp; [ ! -e FLAG ] || sleep 30"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(make_nix_program: MakeNix, tmp_path: Path, number: signal.Signals) -> None:
    flag = tmp_path / "flag"
    script = SLOW.replace("FLAG", str(flag))
    program = make_nix_program("project", small_shell(f'(make "slow-{os.getpid()}" "{script}")'))
    assert program.run("--stages=lock,build").code == 0
    flag.touch()
    process = program.start("verify", program.leg)
    wait_for(lambda: sleeps(script))

    process.send_signal(number)
    process.wait(30)

    assert process.returncode == InterruptedRun.exit_code
    assert left_by(program, f"slow-{os.getpid()}", ".lock") == []


def sleeps(script: str) -> bool:
    """Whether a builder is at its last command."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if script.encode() in (folder / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


def test_what_a_killed_verification_left_is_removed_by_the_next(make_nix_program: MakeNix, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = SLOW.replace("FLAG", str(flag)).replace("sleep 30", "sleep 2")
    program = make_nix_program("project", small_shell(f'(make "killed-{os.getpid()}" "{script}")'))
    assert program.run("--stages=lock,build").code == 0
    flag.touch()
    process = program.start("verify", program.leg)
    wait_for(lambda: sleeps(script))
    process.kill()
    process.wait(30)
    flag.unlink()

    done = verified(program)

    assert done.code == DriftFound.exit_code, done.said
    assert left_by(program, f"killed-{os.getpid()}", ".lock") == []


def test_what_is_killed_with_its_nix_is_cleared_up_after_by_the_next(make_nix_program: MakeNix, tmp_path: Path) -> None:
    flag, name = tmp_path / "flag", f"ended-{os.getpid()}"
    script = SLOW.replace("FLAG", str(flag))
    program = make_nix_program("project", small_shell(f'(make "{name}" "{script}")'))
    assert program.run("--stages=lock,build").code == 0
    flag.touch()
    process = program.start("verify", program.leg)
    wait_for(lambda: sleeps(script))
    kill_all(process)
    process.wait(30)
    assert any(each.endswith(".lock") for each in left_by(program, name, ".lock"))
    flag.unlink()
    # It is not checked any more: what is in the store is of a shell that is gone.
    (program.root / "shell.nix").write_text(small_shell("")["shell.nix"])

    done = verified(program)

    assert done.code == 0, done.said
    assert left_by(program, name, ".lock") == []


def test_what_others_left_of_a_check_stays(make_nix_program: MakeNix) -> None:
    program = make_nix_program("project", small_shell(f'(make "kept-{os.getpid()}" "mkdir $out; echo > $out/file")'))
    assert program.run("--stages=lock,build").code == 0
    (path,) = [one for one in closure_of(program) if "-kept-" in one]
    theirs = Path(f"{path}.check")
    theirs.write_text("somebody's own")
    try:
        assert verified(program).code == 0
        assert theirs.read_text() == "somebody's own"
    finally:
        theirs.unlink()


TWO = """(makeWith { outputs = [ "out" "doc" ]; } "two-PID" "mkdir $out; echo > $out/file; date +%s%N > $doc")"""


def test_an_output_that_the_shell_does_not_need_is_compared_too(make_nix_program: MakeNix) -> None:
    program = make_nix_program("project", small_shell(TWO.replace("PID", str(os.getpid()))))

    done = verified(program)

    assert done.code == DriftFound.exit_code, done.said
    (row,) = verdict(done)["differences"]
    assert row[0].endswith(f"-two-{os.getpid()}-doc")
    assert left_by(program, "two") == []
