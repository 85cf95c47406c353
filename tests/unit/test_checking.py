from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest
from msgspec.structs import replace
from tests.support.environments import FakeEnvironment, an_inventory, dist, lock_of, said
from tests.support.work import a_leg, a_work, an_order

from ci_envs import command, sources
from ci_envs.building import Built, Facts
from ci_envs.checking import check
from ci_envs.errors import CheckError, ToolMissing
from ci_envs.model.config import CheckConfig, Config
from ci_envs.model.lock import Pin
from ci_envs.model.record import Finding, RunRecord, Stage

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.environments.host import HostEnvironment
    from ci_envs.model.inventory import Distribution
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

HASHES = ("sha256:" + "0" * 64,)
APPLE = Pin(name="apple", version="1.0", hashes=HASHES)
IMPORTED = json.dumps({"ok": True})
WARNING = Finding(code="ENV601", severity="warning", title="left", message="a megabyte")


@pytest.fixture(autouse=True)
def _no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git: which files are sources is then found by walking."""

    def missing(asked: command.Command) -> NoReturn:
        raise ToolMissing(f"there is no program {asked.argv[0]!r} here")

    monkeypatch.setattr(command, "run", missing)


class Stand:
    """A leg whose environment has these, and its check stage, run as often as a test wants."""

    def __init__(self, folder: Path, *installed: Distribution, leg: Leg | None = None, **config: Any) -> None:
        self.folder = folder
        self.leg = leg or a_leg()
        self.config = Config(check=CheckConfig(**config))
        self.environment = FakeEnvironment(self.answer)
        self.outcomes: dict[str, Outcome] = {}
        self.inventory = an_inventory(*(installed or (dist("apple"),)))
        self.lock: Lock = lock_of(APPLE, direct=["apple"])
        self.digest = "sha256:1"
        self.work: Work

    def answer(self, argv: tuple[str, ...]) -> Outcome:
        return self.outcomes.get(argv[-1], said(IMPORTED))

    def run(self, previous: RunRecord | None = None, *, kept: bool = True, deep: bool = False) -> str:
        self.environment.calls.clear()
        sources.fingerprint.cache_clear()  # taken once a run, which is once a process elsewhere
        self.work = a_work(self.folder, stage="check", leg=self.leg, config=self.config)
        facts = Facts(digest=self.digest, bytes=0, files=0, inventory=self.inventory)
        environment = cast("HostEnvironment", self.environment)
        built = Built(environment, facts, inputs={}, kept=kept, why="")
        order = an_order(self.folder, leg=self.leg, config=self.config, deep=deep, reproduce="ci-envs run --only this")
        return check(order, self.work, self.lock, built, previous)

    def record(self, said: str, *findings: Finding) -> RunRecord:
        """What a run that said so left behind."""
        stage = Stage(name="check", status="passed", reason=said)
        return RunRecord(leg=self.leg, status="passed", stages=(stage,), findings=findings, extra=dict(self.work.extra))


def test_all_is_well(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    assert stand.run() == "18 checks"
    assert stand.work.findings == []
    assert len(stand.environment.calls) == 1


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    stand = Stand(tmp_path, leg=a_leg(accelerator="rocm6"))
    assert stand.run() == (
        "18 checks, skipped shared objects: where its packages are is not known, "
        "skipped accelerator: no way to look for rocm6 yet, "
        "skipped accelerator: none of torch, cupy and jax is installed"
    )


def test_an_error_ends_the_stage_with_what_to_do_and_the_record_has_all(tmp_path: Path) -> None:
    stand = Stand(tmp_path, *(dist(f"worm{number}") for number in range(5)))
    with pytest.raises(CheckError) as raised:
        stand.run()
    assert str(raised.value) == (
        "ENV101 apple 1.0 is locked and not installed; ENV102 worm0 1.0 is installed and not locked; "
        "ENV102 worm1 1.0 is installed and not locked; and 3 more"
    )
    assert raised.value.hint == "build it anew: `ci-envs run --only this --fresh`"
    assert len(stand.work.findings) == 6
    assert "check" not in stand.work.extra, "a bad verdict must not be kept"


def test_a_warning_does_not_end_the_stage(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.lock = lock_of(replace(APPLE, hashes=()))
    assert stand.run() == "18 checks"
    assert [finding.code for finding in stand.work.findings] == ["LOCK001"]


def test_the_temporary_folder_is_empty_afterwards_however_it_ended(tmp_path: Path) -> None:
    for outcome in (said(IMPORTED), said(code=1)):
        stand = Stand(tmp_path)
        stand.outcomes["apple"] = outcome
        with contextlib.suppress(CheckError):
            stand.run()
        assert not stand.work.layout.temp(stand.leg.id).exists()


# --- a verdict is kept


def test_a_good_verdict_is_kept_where_nothing_has_changed(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    before = stand.record(stand.run(), WARNING)
    assert stand.run(before) == "18 checks, unchanged"
    assert stand.environment.calls == []
    assert stand.work.findings == [WARNING]
    # And again, from the record that this leaves.
    assert stand.run(stand.record("18 checks, unchanged", WARNING)) == "18 checks, unchanged"


def test_findings_of_other_stages_are_not_kept(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    lock_made = Finding(code="LOCK003", severity="info", title="made", message="commit it")
    stand.run(stand.record(stand.run(), lock_made))
    assert stand.work.findings == []


def ran_again(stand: Stand, before: RunRecord, **how: Any) -> bool:
    stand.run(before, **how)
    return bool(stand.environment.calls)


def test_a_new_environment_and_a_deep_look_are_checked_anew(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    before = stand.record(stand.run())
    assert not ran_again(stand, before)
    assert ran_again(stand, before, kept=False)
    assert ran_again(stand, before, deep=True)


def test_a_verdict_that_was_no_pass_is_not_kept(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    before = stand.record(stand.run())
    for stages in ((), (Stage(name="check", status="failed"),), (Stage(name="check", status="skipped"),)):
        assert ran_again(stand, replace(before, stages=stages))


@pytest.mark.parametrize(
    "change",
    [
        lambda stand: setattr(stand, "digest", "sha256:2"),
        lambda stand: setattr(stand, "lock", lock_of(replace(APPLE, hashes=HASHES * 2), direct=["apple"])),
        lambda stand: setattr(stand, "lock", lock_of(APPLE, direct=["apple", "pear"])),
        lambda stand: setattr(stand, "config", Config(check=CheckConfig(timeout="3m"))),
        lambda stand: setattr(stand, "config", Config(check=CheckConfig(imports=("json",)))),
        lambda stand: (stand.folder / "check-env.py").write_text("", encoding="utf-8"),
    ],
    ids=["content", "lock", "direct dependencies", "time limit", "imports", "own check"],
)
def test_whatever_the_checks_look_at_is_a_reason_to_check_anew(tmp_path: Path, change: Any) -> None:
    stand = Stand(tmp_path)
    before = stand.record(stand.run())
    change(stand)
    assert ran_again(stand, before)


def test_a_projects_own_check_is_run_anew_when_any_of_its_files_has_changed(tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text("import helper\n", encoding="utf-8")
    stand = Stand(tmp_path, command="python verify.py")
    before = stand.record(stand.run())
    assert not ran_again(stand, before)
    (tmp_path / "helper.py").write_text("raise SystemExit(1)\n", encoding="utf-8")
    assert ran_again(stand, before)


def test_the_variables_of_a_leg_are_seen_by_its_checks_and_so_count(tmp_path: Path) -> None:
    stand = Stand(tmp_path, leg=a_leg(variables={"mpi": "openmpi"}))
    before = stand.record(stand.run())
    stand.leg = a_leg(variables={"mpi": "mpich"})
    assert ran_again(stand, before)


def test_what_the_checks_have_learnt_is_for_the_record_and_is_kept_with_the_verdict(tmp_path: Path) -> None:
    torch = Pin(name="torch", version="2.2.0+cu121", hashes=HASHES)
    stand = Stand(tmp_path, dist("torch", "2.2.0+cu121"), leg=a_leg(accelerator="cuda12"), expect_gpu=False)
    stand.lock = lock_of(torch)
    before = stand.record(stand.run())
    assert before.extra["cuda"]["lowest-driver"] == "525.60.13"
    assert stand.run(before).endswith(", unchanged")
    assert stand.work.extra == before.extra
    stand.lock = lock_of(APPLE)
    with pytest.raises(CheckError):
        stand.run()
    assert stand.work.extra["cuda"] == before.extra["cuda"], "a record of a bad verdict says it, too"


def test_a_gpu_is_looked_for_each_time(tmp_path: Path) -> None:
    stand = Stand(tmp_path, leg=a_leg(accelerator="cuda12"))
    stand.outcomes["--list-gpus"] = said("GPU 0: one\n")
    before = stand.record(stand.run())
    stand.outcomes["--list-gpus"] = said("", code=9)
    assert "no GPU on this machine" in stand.run(before)
