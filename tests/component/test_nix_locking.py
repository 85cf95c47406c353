"""The lock verb of pattern ``nix`` with the real nix: what is judged, made, renewed and read, and what is said."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tests.support.nix_projects import commit
from tests.support.work import a_leg, a_work

from ci_envs.command import Command, run
from ci_envs.errors import BrokenError, LockError, UsageError
from ci_envs.model.config import Config, NixConfig
from ci_envs.nix.described import describe
from ci_envs.nix.failures import failure_of
from ci_envs.nix.flake_copy import as_nix_copies_it
from ci_envs.nix.impurity import warn_of_impurity
from ci_envs.nix.locking import lock_nix, read_lock_only
from ci_envs.nix.search_path import CHANNELS_OWN, commit_hash
from ci_envs.nix.tool import find_nix, run_nix
from ci_envs.settings import NIX_INPUTS
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.model.config import LockMode
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import Finding
    from ci_envs.work import Work

pytestmark = pytest.mark.component

REVISION = "752c634c09ceb50c45e751f8791cb45cb3d46c9e"
DERIVATION = 'derivation { name = "shell"; builder = "/bin/sh"; system = builtins.currentSystem; %s }'


class MakeWork(Protocol):
    """Writes files into a project, and answers with a workbench over it."""

    def __call__(self, mode: LockMode = ..., files: Mapping[str, str] = ..., **more: Any) -> Work:
        """``more`` is of the policy, but for the project's ``name``, ``inputs`` and ``environ``."""
        ...


@pytest.fixture
def make_work(tmp_path: Path, nix_env: dict[str, str]) -> MakeWork:
    def made(mode: LockMode = "auto", files: Mapping[str, str] = {}, **more: Any) -> Work:
        root = tmp_path / more.pop("name", "pro ject")
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        config = Config(nix=NixConfig(inputs=more.pop("inputs", {})))
        environ = {**nix_env, **more.pop("environ", {})}
        work = a_work(root, stage="lock", leg=a_leg(pattern="nix"), config=config, environ=environ)
        work.policy = LockPolicy(mode=mode, **more)
        work.layout.prepare()
        return work

    return made


def lock(work: Work) -> Lock:
    return lock_nix(work.leg, work)


def found(work: Work, code: str) -> list[Finding]:
    return [finding for finding in work.findings if finding.code == code]


def pins(lock: Lock) -> dict[str, str]:
    return {pin.name: pin.version for pin in lock.pins}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with two flakes and one folder of files."""
    for name in ("apple", "pear"):
        (tmp_path / "inputs" / name).mkdir(parents=True)
        (tmp_path / "inputs" / name / "flake.nix").write_text("{ outputs = { self }: { }; }")
    (tmp_path / "inputs/files").mkdir()
    (tmp_path / "inputs/files/data").write_text("1")
    return tmp_path / "inputs"


def flake(inputs: Path, *names: str) -> dict[str, str]:
    lines = "".join(f'  inputs.{name}.url = "path:{inputs}/{name}";\n' for name in names)
    return {"flake.nix": f"{{\n{lines}  inputs.files = {{ url = \"path:{inputs}/files\"; flake = false; }};\n"
            f"  outputs = inputs: {{ }};\n}}\n"}  # fmt: skip


# Flakes


def test_a_lock_is_made_once_completed_where_it_lacks_an_input_and_then_left_alone(
    make_work: MakeWork, inputs: Path
) -> None:
    work = make_work("auto", flake(inputs, "apple"))
    made = lock(work)
    assert (made.path, made.format, made.covers) == ("flake.lock", "flake.lock", ("nix",))
    assert list(pins(made)) == ["apple", "files"]
    assert all(pin.hashes and pin.location == f"path:{inputs}/{pin.name}" for pin in made.pins)
    assert [one.message for one in found(work, "LOCK003")] == ["flake.lock was made: commit it"]
    begun: list[str] = []
    work = make_work("auto", flake(inputs, "apple", "pear"))
    work.begins = lambda: begun.append("")
    assert list(pins(lock(work))) == ["apple", "files", "pear"]
    assert [one.message for one in found(work, "LOCK003")] == ["flake.lock was renewed: commit it"]
    assert begun == [""]
    work = make_work("auto")
    work.begins = lambda: begun.append("")
    before = work.project.path("flake.lock").stat().st_mtime_ns
    lock(work)
    assert work.project.path("flake.lock").stat().st_mtime_ns == before
    assert (begun, found(work, "LOCK003")) == ([""], [])


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_a_lock_that_is_not_there_is_an_error_that_names_the_command(
    make_work: MakeWork, inputs: Path, mode: LockMode
) -> None:
    work = make_work(mode, flake(inputs, "apple"))
    with pytest.raises(LockError, match="there is no lock") as caught:
        lock(work)
    assert (caught.value.file, caught.value.exit_code) == ("flake.lock", 5)
    assert work.lock_command() in caught.value.hint
    assert not work.project.exists("flake.lock")


def test_locked_refuses_what_is_out_of_sync_and_frozen_reads_it(make_work: MakeWork, inputs: Path) -> None:
    lock(make_work("auto", flake(inputs, "apple")))
    assert list(pins(lock(make_work("locked")))) == ["apple", "files"]
    files = flake(inputs, "apple", "pear")
    work = make_work("locked", files)
    with pytest.raises(LockError, match="does not match the inputs") as caught:
        lock(work)
    assert caught.value.file == "flake.lock"
    assert work.lock_command() in caught.value.hint
    assert list(pins(lock(make_work("frozen")))) == ["apple", "files"]
    assert list(pins(lock(make_work("locked", flake(inputs, "apple"), offline=True)))) == ["apple", "files"]


def test_a_lock_in_sync_needs_no_input_to_be_there(make_work: MakeWork, inputs: Path) -> None:
    first = lock(make_work("auto", flake(inputs, "apple")))
    shutil.rmtree(inputs)
    assert lock(make_work("locked", solve=True)) == first
    assert lock(make_work("frozen", environ={"PATH": "/nowhere", "HOME": "/nowhere"})) == first


def test_update_takes_what_is_there_today_and_auto_keeps_what_is_locked(make_work: MakeWork, inputs: Path) -> None:
    first = lock(make_work("auto", flake(inputs, "apple")))
    (inputs / "files/data").write_text("2")
    assert lock(make_work("auto")) == first
    work = make_work("update")
    renewed = lock(work)
    assert renewed.digest != first.digest
    assert renewed.of("nix")[0] == first.of("nix")[0]
    assert [one.message for one in found(work, "LOCK003")] == ["flake.lock was renewed: commit it"]


@pytest.mark.parametrize("mode", ["auto", "locked", "frozen", "update"])
def test_a_flake_without_inputs_needs_no_lock(make_work: MakeWork, mode: LockMode) -> None:
    work = make_work(mode, {"flake.nix": "{ outputs = { self }: { }; }"})
    made = lock(work)
    assert (made.path, made.format, made.pins) == ("flake.nix", "flake.lock", ())


def test_a_flake_of_a_folder_below_has_its_lock_beside_it(make_work: MakeWork, inputs: Path) -> None:
    work = make_work("auto", {f"ci/{name}": text for name, text in flake(inputs, "apple").items()})
    config = Config(nix=NixConfig(file="ci/flake.nix"))
    work.config = config
    assert lock(work).path == "ci/flake.lock"
    assert read_lock_only(work.project, config).path == "ci/flake.lock"


def test_what_the_configuration_replaces_is_named_and_the_lock_is_judged_without_it(
    make_work: MakeWork, inputs: Path
) -> None:
    first = lock(make_work("auto", flake(inputs, "apple")))
    work = make_work("locked", inputs={"apple": str(inputs / "pear")})
    assert lock(work).pins == first.pins
    (said,) = [one.message for one in found(work, "NIX003")]
    assert said.startswith(f"apple is {inputs}/pear, as nix.inputs says in place of path:{inputs}/apple ")
    assert [one.message.partition(" ")[0] for one in found(work, "NIX005")] == ["files"]


def test_an_input_that_the_flake_does_not_have_is_an_error_with_the_nearest(make_work: MakeWork, inputs: Path) -> None:
    for mode in ("auto", "locked"):
        with pytest.raises(UsageError, match=r"'aple'.*no input of the flake; did you mean 'apple'") as caught:
            lock(make_work(mode, flake(inputs, "apple"), inputs={"aple": str(inputs / "pear")}))
        assert (caught.value.file, caught.value.hint) == ("flake.nix", "it has apple, files")


@pytest.mark.parametrize("mode", ["auto", "frozen"])
def test_of_the_variable_that_several_projects_share_it_is_a_warning(
    make_work: MakeWork, inputs: Path, mode: LockMode
) -> None:
    lock(make_work("auto", flake(inputs, "apple")))
    told = {"plum": str(inputs / "pear"), "apple": str(inputs / "pear")}
    variable = {NIX_INPUTS: " ".join(f"{name}={value}" for name, value in told.items())}
    work = make_work(mode, inputs=told, environ=variable)
    lock(work)
    (said,) = found(work, "NIX010")
    assert (said.severity, said.file) == ("warning", "flake.nix")
    assert said.message.startswith("'plum', which nix.inputs names, is no input of the flake")
    assert [one.message.partition(" ")[0] for one in found(work, "NIX003")] == ["apple"]


def test_a_lock_that_is_frozen_may_lack_what_is_replaced(make_work: MakeWork, inputs: Path) -> None:
    lock(make_work("auto", flake(inputs, "apple")))
    work = make_work("frozen", flake(inputs, "apple", "pear"), inputs={"pear": str(inputs / "apple")})
    lock(work)
    assert len(found(work, "NIX010")) == 1


#: Where nothing answers.
UNREACHED = "https://127.0.0.1:9/a.tar.gz"


def unreached(inputs: Path, *names: str) -> dict[str, str]:
    """Two flakes that cannot be fetched, and these."""
    lines = "".join(f'inputs.{name}.url = "path:{inputs}/{name}"; ' for name in names)
    far = "".join(f'inputs.{name}.url = "{UNREACHED}"; ' for name in ("far", "away"))
    return {"flake.nix": f"{{ {far}{lines}outputs = inputs: {{ }}; }}"}


@pytest.mark.parametrize("offline", [True, False])
def test_a_flake_whose_inputs_are_all_replaced_asks_for_none_of_them(
    make_work: MakeWork, inputs: Path, offline: bool
) -> None:
    told = {"far": str(inputs / "apple"), "away": str(inputs / "pear")}
    work = make_work("auto", unreached(inputs), inputs=told, offline=offline)
    made = lock(work)
    assert (made.path, made.pins) == ("flake.nix", ())
    assert UNREACHED not in work.log.read_text("utf-8")
    assert not work.project.exists("flake.lock")
    assert len(found(work, "NIX003")) == 2
    with pytest.raises(LockError, match="there is no lock"):
        lock(make_work("locked", inputs=told, offline=offline))
    with pytest.raises(BrokenError, match=r"127\.0\.0\.1"):
        lock(make_work("auto", inputs={"far": told["far"]}))


def test_a_lock_that_lacks_only_what_is_replaced_is_used_and_locked_says_what_it_lacks(
    make_work: MakeWork, inputs: Path
) -> None:
    first = lock(make_work("auto", flake(inputs, "apple")))
    text = flake(inputs, "apple")["flake.nix"].replace("{\n", f'{{\n  inputs.far.url = "{UNREACHED}";\n', 1)
    told = {"far": str(inputs / "pear")}
    work = make_work("auto", {"flake.nix": text}, inputs=told, offline=True)
    assert lock(work) == first
    assert found(work, "LOCK003") == []
    assert UNREACHED not in work.log.read_text("utf-8")
    with pytest.raises(LockError, match=r"does not match the inputs of flake\.nix: it lacks far") as caught:
        lock(work := make_work("locked", inputs=told, offline=True))
    assert (caught.value.file, caught.value.hint) == ("flake.lock", f"renew it with: {work.lock_command()}")


def test_a_lock_that_lacks_another_input_too_is_made_whole(make_work: MakeWork, inputs: Path) -> None:
    lock(make_work("auto", flake(inputs, "apple")))
    files = flake(inputs, "apple", "pear")
    told = {"apple": str(inputs / "pear")}
    assert list(pins(lock(make_work("auto", files, inputs=told)))) == ["apple", "files", "pear"]
    far = unreached(inputs, "apple")
    with pytest.raises(BrokenError) as caught:
        lock(make_work("auto", far, inputs={"far": told["apple"], "away": told["apple"]}, name="other"))
    assert "what nix.inputs replaces, too" in caught.value.hint


def test_a_folder_that_is_no_repository_is_seen_without_environments_and_caches(
    make_work: MakeWork, inputs: Path
) -> None:
    files = {
        "flake.nix": '{ inputs.sub.url = "path:./sub"; outputs = { self, sub }: '
        "{ all = { names = builtins.readDir ./.; source = self.outPath; "
        "when = self.lastModified; of = sub.value; }; }; }",
        "sub/flake.nix": "{ outputs = { self }: { value = 7; }; }",
        ".venv/pyvenv.cfg": "",
        ".hidden": "",
    }
    work = make_work("auto", files)
    assert lock(work).path == "flake.lock"
    first = evaluated(work)
    assert sorted(first["names"]) == [".hidden", "flake.lock", "flake.nix", "sub"]
    assert first["of"] == 7
    (work.layout.state / "more").write_text("of another run")
    assert evaluated(work) == first
    assert lock(make_work("locked")).path == "flake.lock"


def test_what_it_is_seen_without_is_not_said_to_be_untracked(make_work: MakeWork) -> None:
    flake_nix = "{ outputs = _: { all = import ./.venv/x.nix; }; }"
    work = make_work("auto", {"flake.nix": flake_nix, ".venv/pyvenv.cfg": "", ".venv/x.nix": "1"})
    nix = find_nix(work.environ)
    with as_nix_copies_it(work, nix, describe(work.leg, work.project, work.config.nix)) as seen:
        failure = failure_of(run_nix(work, nix, "eval", f"{seen.reference}#all"), work)
    assert ".venv belongs to an environment or a cache" in failure.sentence
    assert "git init" in failure.hint


def evaluated(work: Work) -> dict[str, Any]:
    """All that the flake has."""
    nix = find_nix(work.environ)
    with as_nix_copies_it(work, nix, describe(work.leg, work.project, work.config.nix)) as seen:
        words = ("eval", "--json", "--no-update-lock-file", f"{seen.reference}#all")
        outcome = run_nix(work, nix, *words, data=True)
    assert outcome, outcome.stderr
    told: dict[str, Any] = json.loads(outcome.stdout)
    return told


def test_inputs_of_this_machine_and_inputs_that_are_too_new_are_named_with_their_lines(
    make_work: MakeWork, inputs: Path
) -> None:
    for path in (inputs / "files", inputs / "files/data"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    work = make_work("auto", flake(inputs, "apple"), as_of="2020-01-01T00:00:00Z")
    lock(work)
    lines = (work.project.text("flake.lock") or "").splitlines()
    assert [lines[one.line - 1].strip() for one in found(work, "NIX005")] == ['"apple": {', '"files": {']
    newer = found(work, "NIX006")
    assert [one.file for one in newer] == ["flake.lock"]
    assert newer[0].message.startswith("apple (20")
    assert "files" not in newer[0].message
    assert lines[newer[0].line - 1].strip() == '"apple": {'


def test_a_flake_that_git_does_not_track_is_an_error_that_says_git_add(
    make_work: MakeWork, inputs: Path, nix_env: dict[str, str]
) -> None:
    work = make_work("auto", {"README": ""}, name="project")
    commit(work.project.root, nix_env)
    work = make_work("auto", flake(inputs, "apple"), name="project")
    with pytest.raises(LockError, match="not tracked by git") as caught:
        lock(work)
    assert (caught.value.file, caught.value.hint) == ("flake.nix", "`git add flake.nix`")


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%b"])
def test_a_repository_whose_path_nix_cannot_read_is_an_error_that_says_so(
    make_work: MakeWork, inputs: Path, nix_env: dict[str, str], name: str
) -> None:
    work = make_work("auto", flake(inputs, "apple"), name=name)
    commit(work.project.root, nix_env)
    if find_nix(nix_env).at_least(2, 19):
        assert list(pins(lock(work))) == ["apple", "files"]
    else:
        with pytest.raises(UsageError, match="whose path has"):
            lock(work)


@pytest.mark.parametrize("name", ["a'b", "a+b&c=d@e,f;g", "a%20b", "a(b)!$*"])
def test_other_marks_in_its_path_hinder_nobody(
    make_work: MakeWork, inputs: Path, nix_env: dict[str, str], name: str
) -> None:
    work = make_work("auto", {**flake(inputs, "apple"), ".gitignore": ".ci-envs/"}, name=name)
    commit(work.project.root, nix_env)
    assert list(pins(lock(work))) == ["apple", "files"]


def test_uncommitted_changes_are_a_warning(make_work: MakeWork, inputs: Path, nix_env: dict[str, str]) -> None:
    work = make_work("auto", {**flake(inputs, "apple"), ".gitignore": ".ci-envs/"}, name="project")
    lock(work)
    commit(work.project.root, nix_env)
    lock(work := make_work("locked", name="project"))
    assert found(work, "NIX004") == []
    lock(
        work := make_work(
            "locked", {"flake.nix": (work.project.text("flake.nix") or "") + "# changed\n"}, name="project"
        )
    )
    assert [(one.severity, one.file) for one in found(work, "NIX004")] == [("warning", "flake.nix")]


def test_a_lock_that_is_none_is_an_error_at_its_line_in_every_mode(make_work: MakeWork, inputs: Path) -> None:
    lock(made := make_work("auto", flake(inputs, "apple")))
    broken = (made.project.text("flake.lock") or "").replace("narHash", "hash", 1)
    modes: tuple[LockMode, ...] = ("auto", "locked", "frozen", "update")
    for mode in modes:
        with pytest.raises(LockError, match="node 'apple' is not locked") as caught:
            lock(make_work(mode, {"flake.lock": broken}))
        assert (caught.value.file, caught.value.line) == ("flake.lock", 3)


def test_a_flake_that_is_wrong_is_an_error_at_its_line(make_work: MakeWork) -> None:
    work = make_work("auto", {"flake.nix": "{\n  inputs = { ;\n}\n"})
    with pytest.raises(LockError, match="syntax error") as caught:
        lock(work)
    assert (caught.value.file, caught.value.line) == ("flake.nix", 2)


def test_an_input_that_is_not_there_is_an_error_and_leaves_no_lock(make_work: MakeWork, inputs: Path) -> None:
    work = make_work("auto", {"flake.nix": f'{{ inputs.a.url = "path:{inputs}/gone"; outputs = inputs: {{ }}; }}'})
    with pytest.raises((LockError, BrokenError)):
        lock(work)
    assert not work.project.exists("flake.lock")


# The other forms


def archive(tmp_path: Path) -> tuple[str, str]:
    """The address of an archive on this disk, and the hash of what is in it, in nix's base 32."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/default.nix").write_text("{ }")
    run(Command(("tar", "-czf", str(tmp_path / "packages.tar.gz"), "-C", str(tmp_path), "packages")))
    return f"file://{tmp_path}/packages.tar.gz", commit_hash(tmp_path / "packages")


def test_a_file_that_holds_its_own_pins_is_the_lock(make_work: MakeWork, tmp_path: Path) -> None:
    url, sha256 = archive(tmp_path)
    files = {
        "shell.nix": f"let pkgs = import ./nix {{ }}; in {DERIVATION % ''}",
        "nix/default.nix": f'import (fetchTarball {{\n  url = "{url}";\n  sha256 = "{sha256}";\n}})',
    }
    made = lock(make_work("locked", files))
    assert (made.path, made.format, made.more, made.covers) == ("nix/default.nix", "nix", (), ("nix",))
    assert [(pin.name, pin.location, bool(pin.hashes)) for pin in made.pins] == [("packages", url, True)]
    assert read_lock_only(make_work().project, Config()).path == "shell.nix"


def test_the_pins_of_npins_are_the_lock_and_are_renewed_by_npins(make_work: MakeWork) -> None:
    pin = {"type": "Channel", "url": "https://e.example/nixos-24.05.1/x.tar.xz", "hash": "0" * 52}
    files = {
        "npins/sources.json": json.dumps({"pins": {"nixpkgs": pin, "new": {"type": "Git"}}, "version": 5}),
        "npins/default.nix": "1",
        "shell.nix": f"let sources = import ./npins; in {DERIVATION % ''}",
    }
    made = lock(make_work("locked", files))
    assert (made.path, made.format, pins(made)) == ("npins/sources.json", "npins", {"nixpkgs": "nixos-24.05.1"})
    assert read_lock_only(make_work().project, Config()) == made
    work = make_work("update")
    assert lock(work) == made
    assert [one.message for one in found(work, "NIX009")] == ["npins renews them: `npins update`"]
    assert [one.message.partition(" ")[0] for one in found(work, "NIX008")] == ["new"]
    lock(work := make_work("locked", solve=True))
    assert len(found(work, "LOCK007")) == 1


def test_a_shell_by_flake_compat_is_locked_by_flake_lock(make_work: MakeWork, inputs: Path) -> None:
    lock(make_work("auto", flake(inputs, "apple")))
    work = make_work("locked", {"shell.nix": "(builtins.fromJSON (builtins.readFile ./flake.lock)).nodes"})
    work.config = Config(nix=NixConfig(file="shell.nix"))
    made = lock(work)
    assert (made.path, made.format, list(pins(made))) == ("flake.lock", "flake.lock", ["apple", "files"])


UNPINNED = "# <nixpkgs>\n{ pkgs ? import <nixpkgs> { } }:\npkgs\n"


def channel(tmp_path: Path) -> tuple[Path, Path]:
    """A package set as its commit has it, and as a channel has it."""
    plain, told = tmp_path / "plain", tmp_path / "channel"
    for folder in (plain, told):
        (folder / "lib").mkdir(parents=True)
        (folder / "default.nix").write_text("{ }: { }")
        (folder / "lib/svn-revision").write_text("of the commit")
        (folder / "run").write_text("#!/bin/sh")
        (folder / "run").chmod(0o755)
        (folder / "link").symlink_to("lib")
    for name in CHANNELS_OWN:
        (told / name).write_text(REVISION)
    return plain, told


def test_unpinned_nixpkgs_is_a_warning_with_the_line_to_write_and_an_error_where_it_must_be_locked(
    make_work: MakeWork, tmp_path: Path
) -> None:
    plain, told = channel(tmp_path)
    asked = Command(("nix-hash", "--type", "sha256", "--base32", str(plain)), env=dict(os.environ))
    sha256 = run(asked).stdout.strip()
    url = f"https://github.com/NixOS/nixpkgs/archive/{REVISION}.tar.gz"
    line = f'{{ pkgs ? import (fetchTarball {{ url = "{url}"; sha256 = "{sha256}"; }}) {{ }} }}:'
    work = make_work("auto", {"shell.nix": UNPINNED}, environ={"NIX_PATH": f"nixpkgs={told}"})
    made = lock(work)
    assert (made.path, made.format, made.pins) == ("shell.nix", "nix", ())
    (finding,) = found(work, "NIX001")
    assert (finding.severity, finding.file, finding.line) == ("warning", "shell.nix", 2)
    assert finding.message == f"<nixpkgs> is whatever a machine has (here commit {REVISION}); write: {line}"
    work = make_work("locked", environ={"NIX_PATH": f"nixpkgs={told}"})
    with pytest.raises(LockError, match="cannot be rebuilt") as caught:
        lock(work)
    assert (caught.value.file, caught.value.line, caught.value.hint) == ("shell.nix", 2, f"write: {line}")
    assert [one.severity for one in found(work, "NIX001")] == ["error"]


def test_an_archive_of_a_commit_in_nix_path_is_that_commit(make_work: MakeWork, tmp_path: Path) -> None:
    url, sha256 = archive(tmp_path)
    (tmp_path / "archive").mkdir()
    (tmp_path / "packages.tar.gz").rename(tmp_path / f"archive/{REVISION}.tar.gz")
    url = f"file://{tmp_path}/archive/{REVISION}.tar.gz"
    work = make_work("auto", {"shell.nix": UNPINNED}, environ={"NIX_PATH": f"nixpkgs={url}:other=/nowhere"})
    for _ in range(2):  # the second time it is remembered
        lock(work)
    for finding in found(work, "NIX001"):
        assert f"(here commit {REVISION})" in finding.message
        assert f'sha256 = "{sha256}"' in finding.message
    assert len(found(work, "NIX001")) == 2


def test_where_the_commit_is_not_known_the_line_says_what_is_to_be_filled_in(
    make_work: MakeWork, tmp_path: Path
) -> None:
    plain, _ = channel(tmp_path)
    work = make_work("auto", {"shell.nix": UNPINNED})
    lock(work)
    (finding,) = found(work, "NIX001")
    assert "(here nothing)" in finding.message
    assert "/archive/<commit>.tar.gz" in finding.message
    work = make_work("auto", inputs={"nixpkgs": str(plain)})
    lock(work)
    (finding,) = found(work, "NIX001")
    assert f"(here {plain}, as nix.inputs says, of no known commit)" in finding.message
    assert len(found(work, "NIX003")) == 1
    with pytest.raises(LockError, match=r"as nix\.inputs says"):
        lock(make_work("locked", inputs={"nixpkgs": str(plain)}))


@pytest.mark.parametrize("mode", ["auto", "locked"])
def test_a_commits_archive_without_a_hash_is_a_warning_in_every_mode(make_work: MakeWork, mode: LockMode) -> None:
    url = f"https://github.com/NixOS/nixpkgs/archive/{REVISION}.tar.gz"
    work = make_work(mode, {"shell.nix": f'import (fetchTarball\n  "{url}") {{ }}\n'})
    assert pins(lock(work)) == {"nixpkgs": REVISION}
    assert [(one.severity, one.line) for one in found(work, "NIX002")] == [("warning", 2)]


def test_a_branch_is_an_error_where_it_must_be_locked(make_work: MakeWork) -> None:
    files = {"shell.nix": 'import (builtins.fetchGit { url = "https://e.example/a"; ref = "main"; }) { }\n'}
    lock(work := make_work("auto", files))
    assert [(one.severity, one.line) for one in found(work, "NIX002")] == [("warning", 1)]
    with pytest.raises(LockError, match=r"fetchGit of https://e\.example/a") as caught:
        lock(make_work("locked"))
    assert "rev = " in caught.value.hint


def test_an_expression_that_is_wrong_is_an_error_at_its_line(make_work: MakeWork) -> None:
    files = {"shell.nix": "import ./nix\n", "nix/default.nix": "{\n  a = ;\n}\n"}
    with pytest.raises(LockError, match="syntax error") as caught:
        lock(make_work("auto", files))
    assert (caught.value.file, caught.value.line) == ("nix/default.nix", 2)


# What another person would get


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("", 0),
        ("home =\n  builtins.getEnv \"HOME\";", 2),
        ("now = toString\n\n  builtins.currentTime;", 3),
        ("user = builtins.getEnv \"USER\";", 1),
    ],
)  # fmt: skip
def test_a_description_that_is_evaluated_otherwise_for_somebody_else_is_a_warning(
    make_work: MakeWork, more: str, line: int
) -> None:
    work = make_work("auto", {"shell.nix": DERIVATION % more}, environ={"USER": "somebody"})
    warn_of_impurity(work, find_nix(work.environ), describe(work.leg, work.project, work.config.nix))
    assert [(one.severity, one.file, one.line) for one in found(work, "NIX007")] == (
        [("warning", "shell.nix", line)] if line else []
    )
