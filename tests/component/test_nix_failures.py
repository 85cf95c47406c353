"""The real nix goes wrong, and what is said of it: a sentence, a place in the user's own file, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_projects import commit
from tests.support.nix_store import nix_variables
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs import command
from ci_envs.errors import BrokenError, BuildError, InterruptedRun
from ci_envs.nix.failures import Failure, build_error, failure_of
from ci_envs.nix.tool import Nix, NixOutcome, find_nix, run_classic, run_nix
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ci_envs.work import Work

pytestmark = [pytest.mark.component, pytest.mark.skipif(os.name == "nt", reason="nix is for POSIX")]


def derivation(script: str = "echo > $out", more: str = "") -> str:
    return f"""derivation {{
  name = "fruit-1.0"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" ''{script}'' ];
  {more}
}}
"""


def flake(body: str = "{ }", inputs: str = "") -> str:
    return f"{{\n  {inputs}\n  outputs = inputs: {{\n    devShells = {body};\n  }};\n}}\n"


@pytest.fixture
def env(nix: Path, tmp_path: Path) -> dict[str, str]:
    """Somebody who has nix and nothing else. A download that fails is not tried five times."""
    home = tmp_path / "home"
    home.mkdir()
    own = {"HOME": str(home), "CI_ENVS_CACHE_DIR": str(tmp_path / "cache"), "NIX_CONFIG": "download-attempts = 1"}
    return {**nix_variables({"PATH": os.environ["PATH"]}, nix), **own}


class Bench:
    """A project, and nix over it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.nix: Nix = find_nix(work.environ)

    def run(self, *words: str) -> NixOutcome:
        return run_nix(self.work, self.nix, *words)

    def fails(self, *words: str) -> Failure:
        outcome = self.run(*words)
        assert not outcome
        return failure_of(outcome, self.work)

    @property
    def log(self) -> str:
        return self.work.log.read_text("utf-8")


@pytest.fixture
def bench(tmp_path: Path, env: dict[str, str]) -> Callable[..., Bench]:
    def made(files: dict[str, str], *, git: bool = False, below: str = "", offline: bool = False, **more: str) -> Bench:
        top = write_project(tmp_path / "project", files)
        if git:
            commit(top, env)
        work = a_work(top / below, leg=a_leg(pattern="nix"), stage="build", environ={**env, **more})
        work.policy = LockPolicy(mode="auto", offline=offline)
        return Bench(work)

    return made


def test_an_attribute_that_is_missing_is_told_with_its_line_and_what_was_meant(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": f"let pkgs = {{ hello = 1; }}; in\n{derivation('${pkgs.helo}')}"})

    failure = here.fails("print-dev-env", "--json", "--file", str(here.work.project.root / "shell.nix"))

    assert str(build_error(failure)) == "shell.nix:4: attribute 'helo' missing; did you mean hello?"
    assert "with nix's trace: .ci-envs/logs/nix-py312-linux-x86_64/build.log" in failure.hint
    assert "while evaluating the attribute 'args' of the derivation 'fruit-1.0'" in here.log
    assert "\x1b" not in here.log
    assert "@nix" not in here.log


def test_the_line_is_that_of_the_users_file_and_not_of_its_copy_in_the_store(bench: Callable[..., Bench]) -> None:
    files = {"sub/flake.nix": flake("import ./nix/shells.nix"), "sub/nix/shells.nix": "{\n  x = (1).y;\n}.x\n"}
    here = bench(files, git=True, below="sub")

    failure = here.fails("print-dev-env", str(here.work.project.root))

    assert (failure.kind, failure.file, failure.line) == ("evaluation", "nix/shells.nix", 2)
    assert "/nix/store" not in failure.sentence


def test_a_flake_that_was_not_added_to_git_is_told_to_be_added(bench: Callable[..., Bench]) -> None:
    here = bench({"README": ""}, git=True)
    (here.work.project.root / "flake.nix").write_text(flake())

    failure = here.fails("print-dev-env", str(here.work.project.root))

    assert (failure.kind, failure.file, failure.hint) == ("untracked", "flake.nix", "`git add flake.nix`")


def test_what_a_flake_imports_and_git_does_not_track_is_told_to_be_added(bench: Callable[..., Bench]) -> None:
    here = bench({"flake.nix": flake("import ./shells.nix")}, git=True)
    (here.work.project.root / "shells.nix").write_text("{ }")

    failure = here.fails("print-dev-env", str(here.work.project.root))

    assert (failure.kind, failure.hint) == ("untracked", "`git add shells.nix`")
    assert (failure.file, failure.line) == ("flake.nix", 4)


def test_a_flake_without_a_shell_for_this_system_says_which_it_lacks(bench: Callable[..., Bench]) -> None:
    here = bench({"flake.nix": flake("{ riscv64-linux.default = 1; }")})

    failure = here.fails("print-dev-env", str(here.work.project.root))

    assert str(build_error(failure)).startswith(f"flake.nix: has no devShells.{here.nix.system}.default")


def test_a_flake_that_reads_the_machine_is_told_what_it_sees(bench: Callable[..., Bench]) -> None:
    here = bench({"flake.nix": flake("{\n  x = builtins.readFile /etc/hostname;\n}.x")})

    failure = here.fails("print-dev-env", str(here.work.project.root))

    assert (failure.kind, failure.file, failure.line) == ("impure", "flake.nix", 5)
    assert "--impure" not in failure.sentence


def test_a_lock_that_lacks_an_input_names_the_command_that_locks_it(bench: Callable[..., Bench]) -> None:
    here = bench({"flake.nix": flake(inputs='inputs.dep.url = "path:./dep";'), "dep/flake.nix": flake()})

    failure = here.fails("flake", "metadata", "--json", "--no-update-lock-file", str(here.work.project.root))

    assert (failure.kind, failure.file) == ("lock", "flake.lock")
    assert failure.hint == "lock it with: ci-envs lock --only nix-py312-linux-x86_64"


def test_an_input_that_is_not_the_locked_one_is_told_with_both_hashes(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    dep = write_project(tmp_path / "dep", {"flake.nix": flake()})
    here = bench({"flake.nix": flake("inputs.dep.devShells", f'inputs.dep.url = "path:{dep}";')})
    root = here.work.project.root
    assert here.run("flake", "lock", str(root))
    lock = root / "flake.lock"
    right = next(line.split('"')[3] for line in lock.read_text().splitlines() if "narHash" in line)
    wrong = f"sha256-{'A' * 43}="
    lock.write_text(lock.read_text().replace(right, wrong))

    failure = here.fails("print-dev-env", str(root))

    assert (failure.kind, failure.file) == ("input", "flake.lock")
    assert wrong in lock.read_text().splitlines()[failure.line - 1]
    assert failure.sentence.endswith(f"it has {right}, the lock {wrong}")


def test_another_file_than_the_hash_says_is_told_with_the_line_that_has_the_hash(bench: Callable[..., Bench]) -> None:
    fixed = f'outputHashMode = "flat"; outputHashAlgo = "sha256";\n  outputHash = "{"0" * 52}";'
    here = bench({"shell.nix": derivation('"${import ./nix/source.nix}"'), "nix/source.nix": derivation(more=fixed)})

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert (failure.kind, failure.file, failure.line) == ("hash", "nix/source.nix", 5)
    assert failure.drv.endswith("-fruit-1.0.drv")
    assert "specified sha256-AAAA" in failure.sentence
    assert "got sha256-" in failure.sentence


def test_a_builder_that_fails_is_told_with_its_last_words_and_where_the_others_are(
    bench: Callable[..., Bench],
) -> None:
    script = "for n in 1 2 3; do echo line $n; done; printf '\\033[31merror: no pears\\033[0m\\n'; exit 3"
    here = bench({"shell.nix": derivation(script)})
    heard: list[str] = []
    here.work.progress = heard.append

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert failure.sentence == "the builder of fruit-1.0 failed with exit code 3: error: no pears"
    assert failure.lines == ("line 1", "line 2", "line 3", "error: no pears")
    assert failure.hint.startswith(f"`nix log {failure.drv}`")
    assert "line 3" in here.run("log", failure.drv).stdout
    assert "fruit-1.0> error: no pears\n" in here.log
    assert any(text.endswith("building fruit-1.0") for text in heard)


def test_nix_build_is_understood_like_nix(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": derivation("echo no pears; exit 4")})

    outcome = run_classic(here.work, here.nix, "nix-build", "--no-out-link", "shell.nix")

    assert failure_of(outcome, here.work).sentence == "the builder of fruit-1.0 failed with exit code 4: no pears"


def test_a_search_path_without_nixpkgs_is_told_with_what_brings_it(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": "{ pkgs ? import <nixpkgs> { } }:\npkgs.mkShell { }\n"})

    failure = here.fails("print-dev-env", "--file", str(here.work.project.root / "shell.nix"))

    assert str(build_error(failure)) == "shell.nix:1: <nixpkgs> is not in the Nix search path"
    assert "`nix: {inputs: {nixpkgs: PATH}}` in ci-envs.yml" in failure.hint


def test_another_system_is_no_fault_of_the_builder(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": derivation().replace("builtins.currentSystem", '"riscv32-cygwin"')})

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert (failure.kind, failure.sentence) == (
        "system",
        "fruit-1.0 is to be built on riscv32-cygwin, which this machine is not",
    )


# The world.


FETCHES = 'import (fetchTarball "http://127.0.0.1:9/fruit.tar.gz")'


def test_a_server_that_is_down_breaks_a_leg_and_fails_none(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": FETCHES})

    failure = here.fails("print-dev-env", "--file", str(here.work.project.root / "shell.nix"))

    assert isinstance(build_error(failure), BrokenError)
    assert failure.sentence.startswith("it could not be fetched: http://127.0.0.1:9/fruit.tar.gz: ")


def test_git_says_itself_what_it_could_not_reach(bench: Callable[..., Bench]) -> None:
    here = bench({"flake.nix": flake(inputs='inputs.x.url = "git+http://127.0.0.1:9/fruit.git";')})

    failure = here.fails("flake", "lock", str(here.work.project.root))

    assert failure.kind == "network"
    assert "http://127.0.0.1:9/fruit.git" in failure.sentence


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """It answers whoever asks, and counts them: ``hits``."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    hits: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as made:
        vars(made)["hits"] = hits
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    "expression",
    [
        'import (fetchTarball "http://SERVER/fruit.tar.gz")',
        'import (fetchGit "http://SERVER/fruit.git")',
        'import (fetchGit "ssh://git@SERVER/fruit.git")',
        'import (import <nix/fetchurl.nix> { url = "http://SERVER/fruit.nix"; sha256 = "HASH"; })',
    ],
)
@pytest.mark.parametrize("words", [("print-dev-env",), ("build", "--no-link")])
def test_offline_nothing_is_asked_and_that_is_said(
    words: tuple[str, ...], expression: str, bench: Callable[..., Bench], server: HTTPServer
) -> None:
    text = expression.replace("SERVER", f"127.0.0.1:{server.server_port}").replace("HASH", "0" * 52)
    own = {"http_proxy": f"http://127.0.0.1:{server.server_port}", "no_proxy": "127.0.0.1"}
    here = bench({"shell.nix": text}, offline=True, **own)

    failure = here.fails(*words, "--file", str(here.work.project.root / "shell.nix"))

    assert vars(server)["hits"] == []
    assert (failure.kind, failure.hint) == ("offline", "run it once without --offline")
    assert isinstance(build_error(failure), BrokenError)


def test_offline_a_path_that_is_not_in_the_store_cannot_be_had(bench: Callable[..., Bench]) -> None:
    here = bench({"README": ""}, offline=True)

    outcome = run_classic(here.work, here.nix, "nix-store", "--realise", f"/nix/store/{'0' * 32}-fruit")

    assert not outcome
    assert failure_of(outcome, here.work).kind == "offline"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, which only root can make: elsewhere those tests are skipped, and say so."""
    path = tmp_path / "disk"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def store_at(disk: Path) -> dict[str, str]:
    return {"NIX_STORE_DIR": str(disk / "store"), "NIX_STATE_DIR": str(disk / "var"), "NIX_LOG_DIR": str(disk / "log")}


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_store_that_is_full_breaks_a_leg_and_fails_none(bench: Callable[..., Bench], disk: Path) -> None:
    script = "while echo 0123456789012345678901234567890123456789; do :; done > $out"
    here = bench({"shell.nix": derivation(script)}, **store_at(disk))

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert failure.kind == "full"
    assert failure.sentence.startswith("the disk ")
    assert isinstance(build_error(failure), BrokenError)
    assert "nix-collect-garbage" in failure.hint


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_store_that_cannot_be_written_to_breaks_a_leg_and_fails_none(bench: Callable[..., Bench], disk: Path) -> None:
    here = bench({"shell.nix": derivation()}, **store_at(disk))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert failure.kind == "store"
    assert failure.sentence.startswith("nix cannot use its store: ")


def test_a_daemon_that_is_down_breaks_a_leg_and_fails_none(bench: Callable[..., Bench], tmp_path: Path) -> None:
    here = bench({"shell.nix": derivation()}, NIX_REMOTE=f"unix://{tmp_path}/socket")

    failure = here.fails("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))

    assert failure.kind == "store"
    assert failure.sentence.startswith("nix's daemon does not answer: ")


# A good guest.


def show_config(nix: Nix) -> tuple[str, ...]:
    return ("config", "show") if nix.at_least(2, 20) else ("show-config",)


def test_flakes_are_enabled_for_our_calls_and_written_down_nowhere(bench: Callable[..., Bench], tmp_path: Path) -> None:
    here = bench({"flake.nix": flake()})

    assert here.run("flake", "metadata", "--json", str(here.work.project.root))

    assert not list((tmp_path / "home").rglob("*.conf"))
    words = ["nix", "flake", "metadata", str(here.work.project.root)]
    bare = {**here.work.environ, "NIX_CONFIG": "experimental-features = "}
    plain = subprocess.run(words, env=bare, check=False, capture_output=True, text=True)
    assert "experimental" in plain.stderr


def test_what_the_user_set_up_is_honoured(bench: Callable[..., Bench], tmp_path: Path) -> None:
    conf = tmp_path / "mine.conf"
    conf.write_text("trusted-public-keys = cache.example-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
    here = bench({"README": ""}, NIX_USER_CONF_FILES=str(conf))

    said = here.run(*show_config(here.nix)).stdout

    assert "trusted-public-keys = cache.example-1:" in said
    assert "download-attempts = 1" in said


def test_data_for_programs_comes_back_as_it_is_and_secrets_reach_no_log(bench: Callable[..., Bench]) -> None:
    told = {"HTTPS_PROXY": "http://me:hunter22@127.0.0.1:9", "NIX_CONFIG": "extra-substituters = https://hunter22"}
    here = bench({"README": ""}, **told)
    words = show_config(here.nix)

    assert "https://hunter22" in run_nix(here.work, here.nix, *words, data=True).stdout
    assert "hunter22" not in run_nix(here.work, here.nix, *words).stdout
    assert "hunter22" not in here.log


def test_an_interrupted_build_is_interrupted_and_has_not_failed(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_LIVE", command._Live())
    here = bench({"shell.nix": derivation("read line < /dev/zero")})
    here.work.progress = lambda _text: threading.Timer(0.2, command.stop_all).start()

    with pytest.raises(InterruptedRun):
        here.run("build", "--no-link", "--file", str(here.work.project.root / "shell.nix"))


def test_errors_of_a_project_are_its_own(bench: Callable[..., Bench]) -> None:
    here = bench({"shell.nix": "{ }: let in"})

    failure = here.fails("print-dev-env", "--file", str(here.work.project.root / "shell.nix"))

    assert isinstance(build_error(failure), BuildError)
    assert failure.sentence.startswith("syntax error, unexpected end of file")
