from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import FakeEnvironment, lock_of, said
from tests.support.work import a_work

from ci_envs.errors import Skip, TestError, ToolMissing
from ci_envs.model.config import Config, TestConfig
from ci_envs.model.detect import Evidence
from ci_envs.model.lock import Pin
from ci_envs.model.record import TestCounts
from ci_envs.testing import run_tests, told

if TYPE_CHECKING:
    from ci_envs.command import Outcome
    from ci_envs.errors import CiEnvsError

PASSED, FAILED = '<testcase name="p"/>', '<testcase name="f"><failure message="no">long</failure></testcase>'
ERROR, SKIPPED = (
    '<testcase name="e"><error/></testcase>',
    '<testcase name="s"><skipped type="pytest.xfail"/></testcase>',
)
LOG = "the log has all of it: .ci-envs/logs/uv-py312-linux-x86_64/test.log"


def suites(*cases: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite>{"".join(cases)}</testsuite></testsuites>'


class Ran:
    """A test stage whose command wrote ``xml`` where pytest was told to, and ended with ``outcome``."""

    def __init__(
        self, folder: Path, outcome: Outcome, xml: str = "", *, environ: dict[str, str] | None = None, **test: Any
    ) -> None:
        test.setdefault("command", "pytest")
        self.work = a_work(folder, config=Config(test=TestConfig(**test)), environ=environ)
        self.options: list[str] = []

        def answer(argv: tuple[str, ...]) -> Outcome:
            assert self.work.layout.temp(self.work.leg.id).is_dir(), "TMPDIR must be there"
            self.options = shlex.split(environment.calls[-1].env["PYTEST_ADDOPTS"])
            report = Path(self.options[-1].removeprefix("--junitxml="))
            assert not report.exists(), "a report of an earlier run must be gone"
            if xml:
                report.parent.mkdir(parents=True, exist_ok=True)
                report.write_text(xml, encoding="utf-8")
            return outcome

        self.environment = environment = FakeEnvironment(answer)
        self.counts, self.error = run_tests(self.work, lock_of(), environment)

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.counts.passed, self.counts.failed, self.counts.skipped


def message(error: CiEnvsError | None) -> str:
    assert isinstance(error, TestError)
    return str(error)


# --- what is counted


def test_counts_are_those_of_the_report_which_is_kept(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(), suites(PASSED, PASSED, SKIPPED))
    assert ran.error is None
    assert ran.numbers == (2, 0, 1)
    assert (tmp_path / ran.counts.junit).read_text(encoding="utf-8") == suites(PASSED, PASSED, SKIPPED)
    assert told(ran.counts) == "2 passed, 1 skipped"


def test_a_test_that_fails_is_told_with_the_exit_code_and_the_log(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(code=1), suites(PASSED, FAILED, ERROR, SKIPPED))
    assert ran.numbers == (1, 2, 1)
    assert message(ran.error) == "2 of 3 tests failed; pytest exited with 1"
    assert ran.error is not None
    assert (ran.error.hint, ran.error.exit_code) == (LOG, 8)


def test_each_failure_is_a_finding_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").touch()
    text = "def test_f():\n>  assert 0\nE  assert 0\n\ntests/test_x.py:7: AssertionError"
    case = f'<testcase classname="tests.test_x" name="test_f"><failure message="assert 0">{text}</failure></testcase>'
    outside = case.replace("test_f", "test_g").replace("tests/test_x.py:7", "/usr/lib/x.py:8")

    ran = Ran(tmp_path, said(code=1), suites(PASSED, case, outside.replace("tests.test_x", "elsewhere")))

    assert [(found.code, found.file, found.line, found.message) for found in ran.work.findings] == [
        ("TEST001", "tests/test_x.py", 7, "tests.test_x.test_f: assert 0"),
        ("TEST001", "", 0, "elsewhere.test_g: assert 0"),
    ]


def test_of_many_failures_the_last_finding_says_how_many_more(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(code=1), suites(*[FAILED] * 25))

    assert len(ran.work.findings) == 21
    assert ran.work.findings[-1].message == "and 5 more, which the test's log has"


def test_what_lies_in_the_state_or_among_packages_is_no_file_of_the_project(tmp_path: Path) -> None:
    names = (".ci-envs/envs/x/a.py", "lib/site-packages/b.py", "../c.py", "no such.py")
    for name in names[:2]:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    cases = [FAILED.replace("long", f"{name}:3: Error") for name in names]

    ran = Ran(tmp_path, said(code=1), suites(*cases))

    assert {(found.file, found.line) for found in ran.work.findings} == {("", 0)}


def test_a_failure_is_one_whatever_the_command_exits_with(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(code=0), suites(PASSED, FAILED), command=["sh", "-c", "pytest || true"])
    assert message(ran.error) == "1 of 2 tests failed; sh -c 'pytest || true' exited with 0"


def test_tests_of_nested_suites_are_counted_once(tmp_path: Path) -> None:
    inner = f'<testsuite tests="2" failures="1">{PASSED}{FAILED}</testsuite>'
    xml = f'<testsuites tests="3"><testsuite tests="3" failures="1">{inner}{PASSED}</testsuite></testsuites>'
    assert Ran(tmp_path, said(code=1), xml).numbers == (2, 1, 0)


def test_a_test_that_fails_twice_is_one_test(tmp_path: Path) -> None:
    both = "<testcase><failure/><error/></testcase>"
    assert Ran(tmp_path, said(code=1), suites(both)).numbers == (0, 1, 0)


def test_what_a_test_printed_is_no_verdict(tmp_path: Path) -> None:
    loud = "<testcase><properties><property/></properties><system-out>failure</system-out></testcase>"
    assert Ran(tmp_path, said(), suites(loud)).numbers == (1, 0, 0)


def test_without_a_report_the_exit_code_decides_and_nothing_is_made_up(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(), command="make test")
    assert ran.error is None
    assert (ran.counts.total, ran.counts.junit) == (0, "")
    assert told(ran.counts) == "the command exited with 0; its tests are not counted, since it wrote no JUnit XML"
    assert message(Ran(tmp_path, said(code=2), command="make test").error) == "make test exited with 2"


@pytest.mark.parametrize("xml", ["not XML", suites(PASSED, FAILED)[:-20], '<!DOCTYPE x [<!ENTITY a "b">'])
def test_a_report_that_ends_too_early_is_not_counted_in_part(tmp_path: Path, xml: str) -> None:
    ran = Ran(tmp_path, said(code=-9), xml)
    assert (ran.counts.total, ran.counts.junit) == (0, "")
    # Windows has no such signal, nor a name for its number.
    assert message(ran.error) == f"pytest was ended by {'SIGKILL' if hasattr(signal, 'SIGKILL') else 'signal 9'}"
    assert Ran(tmp_path, said(), xml).error is None


def test_a_report_of_entities_that_explode_is_not_expanded(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = f'<!DOCTYPE x [<!ENTITY e0 "lol">{entities}]><testsuites><testcase>&e11;</testcase></testsuites>'
    assert Ran(tmp_path, said(), xml).counts.total == 0


def test_a_report_that_the_command_sends_elsewhere_is_found_and_copied(tmp_path: Path) -> None:
    for words in (
        ["--junitxml=out/r.xml"],
        ["--junit-xml", "out/r.xml"],
        ["--junitxml=a.xml", "--junit-xml=out/r.xml"],
    ):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "r.xml").write_text(suites(PASSED), encoding="utf-8")
        ran = Ran(tmp_path, said(), command=["pytest", *words])
        assert ran.numbers == (1, 0, 0)
        assert (tmp_path / ran.counts.junit).is_file()


def test_a_report_of_another_day_is_none(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(suites(PASSED), encoding="utf-8")
    os.utime(tmp_path / "r.xml", (1_000_000_000, 1_000_000_000))
    assert Ran(tmp_path, said(), command="pytest --junitxml=r.xml").counts.total == 0


# --- unittest's own words


UNITTEST = ["python", "-m", "unittest"]


@pytest.mark.parametrize(
    ("stderr", "numbers"),
    [
        ("..\nRan 12 tests in 0.003s\n\nOK\n", (12, 0, 0)),
        ("Ran 1 test in 0.003s\n\nOK (skipped=1)\n", (0, 0, 1)),
        ("Ran 5 tests in 1.2s\n\nOK (skipped=2, expected failures=1)\n", (2, 0, 3)),
        ("\x1b[32mRan 2 tests in 1s\x1b[0m\n\n\x1b[1;32mOK\x1b[0m\n", (2, 0, 0)),
        ("Ran 9 tests in 1s\n\nOK\nRan 3 tests in 0.1s\n\nOK\n", (3, 0, 0)),
    ],
)
def test_unittest_is_counted_by_what_it_says(tmp_path: Path, stderr: str, numbers: tuple[int, int, int]) -> None:
    assert Ran(tmp_path, said(stderr=stderr), command=UNITTEST).numbers == numbers


def test_unittest_that_fails_is_counted_too(tmp_path: Path) -> None:
    stderr = "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2, skipped=1, unexpected successes=1)\n"
    ran = Ran(tmp_path, said(stderr=stderr, code=1), command=UNITTEST)
    assert ran.numbers == (4, 4, 1)
    assert message(ran.error) == "4 of 8 tests failed; python -m unittest exited with 1"


def test_unittest_whose_module_cannot_be_set_up_has_failed_though_it_ran_nothing(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(stderr="Ran 0 tests in 0s\n\nFAILED (errors=1)\n", code=1), command=UNITTEST)
    assert message(ran.error) == "1 of 1 tests failed; python -m unittest exited with 1"


def test_unittest_that_says_nothing_of_the_kind_is_not_counted(tmp_path: Path) -> None:
    assert Ran(tmp_path, said(stderr="Ran 3 tests in 1s\n"), command=UNITTEST).counts.total == 0
    assert Ran(tmp_path, said(stderr="Ran 3 tests in 1s\n\nOK\n"), command="make").counts.total == 0


# --- no tests is no pass


def test_pytest_that_collects_nothing_is_skipped(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(code=5), suites())
    assert isinstance(ran.error, Skip)
    assert str(ran.error) == "pytest found no tests"


@pytest.mark.parametrize(("code", "end"), [(0, "OK"), (5, "NO TESTS RAN")])
def test_unittest_that_finds_nothing_is_skipped_by_every_python(tmp_path: Path, code: int, end: str) -> None:
    ran = Ran(tmp_path, said(stderr=f"\nRan 0 tests in 0.000s\n\n{end}\n", code=code), command=UNITTEST)
    assert isinstance(ran.error, Skip)


def test_another_programs_5_is_a_failure(tmp_path: Path) -> None:
    assert message(Ran(tmp_path, said(code=5), command="make test").error) == "make test exited with 5"


@pytest.mark.parametrize("code", [0, 5])  # 5 where whole modules were skipped
def test_tests_that_skip_themselves_to_the_last_are_no_pass(tmp_path: Path, code: int) -> None:
    ran = Ran(tmp_path, said(code=code), suites(SKIPPED, SKIPPED))
    assert isinstance(ran.error, Skip)
    assert str(ran.error) == "all 2 tests were skipped, or expected to fail"
    assert ran.counts.skipped == 2


def test_a_project_without_tests_runs_nothing(tmp_path: Path) -> None:
    work, environment = a_work(tmp_path), FakeEnvironment()
    with pytest.raises(Skip, match=r"^no test command found$"):
        run_tests(work, lock_of(Pin(name="pytest", version="8")), environment)
    assert environment.calls == []


# --- how they are run


def test_the_command_that_is_found_is_recorded_with_its_evidence(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    environment = FakeEnvironment()
    lock = lock_of(Pin(name="pytest", version="8"), Pin(name="pytest-xdist", version="3"))
    counts, error = run_tests(a_work(tmp_path), lock, environment)
    assert error is None
    assert environment.calls[0].argv == ("python", "-m", "pytest", "-n", "auto")
    assert counts.command == "python -m pytest -n auto"
    assert (counts.evidence, counts.why) == (
        (Evidence(file="tests"),),
        "pytest is in the environment, and tests is there",
    )


def test_a_configured_command_is_recorded_as_such_and_run_in_the_project(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(), command="pytest 'a b'", timeout="90s")
    (call,) = ran.environment.calls
    assert (call.argv, call.cwd, call.timeout) == (("pytest", "a b"), tmp_path, 90.0)
    assert (call.log, ran.counts.why) == (ran.work.log, "test.command says so")


def test_the_options_of_the_caller_stay_and_the_report_may_lie_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "folder" $HOME ü'
    folder.mkdir()
    ran = Ran(folder, said(), suites(PASSED), environ={"PYTEST_ADDOPTS": "-p no:cacheprovider"})
    assert ran.options[:2] == ["-p", "no:cacheprovider"]
    assert ran.counts.passed == 1
    assert len(ran.options) == 3


def test_a_time_limit_is_told_with_its_setting(tmp_path: Path) -> None:
    outcome = said(code=-signal.SIGTERM, timed_out=True, seconds=1800.0)
    assert message(Ran(tmp_path, outcome).error) == "pytest was ended after 1800 s (test.timeout)"


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    assert message(Ran(tmp_path, said(code=-signal.SIGSEGV)).error) == "pytest was ended by SIGSEGV"


def test_a_runner_that_is_not_there_is_missing_and_not_a_failed_test(tmp_path: Path) -> None:
    def answer(argv: tuple[str, ...]) -> Outcome:
        raise ToolMissing(f"there is no program {argv[0]!r} here")

    work = a_work(tmp_path, config=Config(test=TestConfig(command="tox")))
    with pytest.raises(ToolMissing, match="the tests cannot be run: there is no program 'tox' here"):
        run_tests(work, lock_of(), FakeEnvironment(answer))


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path) -> None:
    ran = Ran(tmp_path, said(), suites(PASSED))
    assert not ran.work.layout.temp(ran.work.leg.id).exists()


def test_counts_that_are_told() -> None:
    assert told(TestCounts(passed=3)) == "3 passed"
    assert told(TestCounts(passed=3, skipped=2)) == "3 passed, 2 skipped"


# --- which code is tested


def command_over(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    environment = FakeEnvironment()
    run_tests(a_work(folder), lock_of(Pin(name="pytest", version="8")), environment)
    return shlex.join(environment.calls[0].argv)


PACKAGED = '[project]\nname = "basket"\nversion = "1"\n\n[build-system]\nrequires = []\n'
TESTS = {"tests/test_basket.py": "import pytest\n"}


def test_the_installed_wheel_of_a_package_is_tested_and_not_its_sources(tmp_path: Path) -> None:
    assert command_over(tmp_path, TESTS | {"pyproject.toml": PACKAGED}) == "pytest"


def test_modules_beside_the_tests_of_what_is_no_package_are_found(tmp_path: Path) -> None:
    assert command_over(tmp_path, TESTS | {"requirements.in": "pytest\n"}) == "python -m pytest"


def test_a_command_that_a_person_wrote_is_run_as_it_stands(tmp_path: Path) -> None:
    tox = "[testenv]\ncommands = python -m pytest tests\n"
    assert command_over(tmp_path, TESTS | {"pyproject.toml": PACKAGED, "tox.ini": tox}) == "python -m pytest tests"
