from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, lock_of, said

from ci_envs.checks.imports import DirectDependenciesImport, modules_to_import

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome

FINE = said(json.dumps({"module": "apple", "ok": True, "version": "1.0", "error": "", "seconds": 0.1}))


def raised(error: str) -> Outcome:
    return said(json.dumps({"module": "apple", "ok": False, "error": error}), code=1, stderr="Traceback ...\n")


def wanted(folder: Path, *installed: Any, direct: tuple[str, ...] = (), **context: Any) -> dict[str, str]:
    return modules_to_import(a_context(folder, *installed, lock=lock_of(direct=direct), **context))


# --- which modules


def test_direct_dependencies_are_imported_by_the_names_of_their_modules(tmp_path: Path) -> None:
    yaml = dist("pyyaml", modules=("_yaml", "yaml"))
    assert wanted(tmp_path, yaml, dist("seed"), direct=("pyyaml",)) == {"yaml": "pyyaml"}


def test_packages_of_a_namespace_go_by_their_dotted_names(tmp_path: Path) -> None:
    cloud = dist("google-cloud-storage", modules=("google.cloud.storage", "google.cloud._helpers"))
    assert list(wanted(tmp_path, cloud, direct=("google-cloud-storage",))) == ["google.cloud.storage"]


def test_a_private_module_is_imported_where_there_is_no_other(tmp_path: Path) -> None:
    bindings = dist("argon2-cffi-bindings", modules=("_argon2_cffi_bindings",))
    assert list(wanted(tmp_path, bindings, direct=("argon2-cffi-bindings",))) == ["_argon2_cffi_bindings"]


def test_what_brings_no_module_and_what_is_not_installed_is_no_error(tmp_path: Path) -> None:
    assert wanted(tmp_path, dist("types-stubs", modules=()), direct=("types-stubs", "for-windows")) == {}


def test_the_project_and_what_its_metadata_requires_are_imported(tmp_path: Path) -> None:
    basket = dist("basket", requires=("Apple>=1", "jam; extra == 'sweet'", "wine; os_name == 'nt'", "bad>="))
    installed = (basket, dist("apple"), dist("jam"), dist("wine"), dist("bad"))
    assert wanted(tmp_path, *installed, own=frozenset({"basket"})) == {"basket": "basket", "apple": "apple"}


def test_where_an_expression_names_the_packages_those_that_nobody_requires_are_imported(tmp_path: Path) -> None:
    installed = (dist("basket", requires=("apple", "pip; extra == 'seed'")), dist("apple"), dist("plum"))
    in_a_shell = msgspec.structs.replace(lock_of(), covers=("nix",))
    assert modules_to_import(a_context(tmp_path, *installed, lock=in_a_shell)) == {"basket": "basket", "plum": "plum"}
    declared = msgspec.structs.replace(lock_of(direct=("apple",)), covers=("nix",))
    assert modules_to_import(a_context(tmp_path, *installed, lock=declared)) == {"apple": "apple"}


def test_configured_modules_are_added_and_beat_what_is_skipped(tmp_path: Path) -> None:
    found = wanted(
        tmp_path, dist("apple"), direct=("apple",), imports=("apple.core",), skip_imports=("apple.core", "apple")
    )
    assert found == {"apple.core": "check.imports"}


@pytest.mark.parametrize("skip", ["yaml", "PyYAML", "pyyaml"])
def test_a_module_or_a_distribution_is_skipped_by_name(tmp_path: Path, skip: str) -> None:
    assert wanted(tmp_path, dist("pyyaml", modules=("yaml",)), direct=("pyyaml",), skip_imports=(skip,)) == {}


def test_what_is_below_a_skipped_module_is_skipped_and_no_other(tmp_path: Path) -> None:
    cloud = dist("cloud", modules=("google.cloud.storage", "google.cloudy"))
    assert list(wanted(tmp_path, cloud, direct=("cloud",), skip_imports=("google.cloud",))) == ["google.cloudy"]


# --- what becomes of an import


def findings(folder: Path, outcome: Outcome, **context: Any) -> list[str]:
    apple = dist("apple")
    environment = FakeEnvironment(lambda _argv: outcome)
    made = a_context(folder, apple, lock=lock_of(direct=("apple",)), environment=environment, **context)
    return [f"{finding.code} {finding.message}" for finding in DirectDependenciesImport().run(made)]


def test_an_import_that_works_is_no_finding(tmp_path: Path) -> None:
    assert findings(tmp_path, FINE) == []


def test_an_import_that_raises_is_told_in_one_line(tmp_path: Path) -> None:
    assert findings(tmp_path, raised("ImportError: \n\nlibfoo.so.1:\n cannot open")) == [
        "ENV301 import of apple failed: ImportError: libfoo.so.1: cannot open"
    ]


def test_an_error_that_fills_a_screen_is_cut(tmp_path: Path) -> None:
    (told,) = findings(tmp_path, raised("ImportError: " + "x" * 5000))
    assert len(told) < 450
    assert told.endswith("...")


def test_a_hang_is_ended_and_names_its_setting(tmp_path: Path) -> None:
    outcome = said(code=-signal.SIGTERM, timed_out=True, seconds=120.2)
    assert findings(tmp_path, outcome) == ["ENV302 import of apple was ended after 120 s (check.timeout)"]


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    outcome = said(code=-signal.SIGABRT, stderr="Fatal Python error: Aborted\n  File ...\n")
    assert findings(tmp_path, outcome) == ["ENV303 the interpreter was ended by SIGABRT during the import of apple"]


def test_a_crash_on_windows_is_one_too(tmp_path: Path) -> None:
    assert findings(tmp_path, said(code=0xC0000005)) == [
        "ENV303 the interpreter was ended by exception 0xC0000005 during the import of apple"
    ]


def test_an_import_that_leaves_the_interpreter_quietly_is_no_pass(tmp_path: Path) -> None:
    assert findings(tmp_path, said(code=0, stderr="bye\n")) == [
        "ENV303 the interpreter exited with 0 during the import of apple: bye"
    ]


def test_an_interpreter_that_dies_after_the_import_is_no_pass(tmp_path: Path) -> None:
    assert findings(tmp_path, said(FINE.stdout, code=-signal.SIGSEGV)) == [
        "ENV303 the interpreter was ended by SIGSEGV after the import of apple"
    ]
    assert findings(tmp_path, said(FINE.stdout, code=120)) == [
        "ENV303 the interpreter exited with 120 after the import of apple"
    ]


def test_a_module_that_is_not_named_like_its_distribution_is_told_with_it(tmp_path: Path) -> None:
    environment = FakeEnvironment(lambda _argv: raised("ValueError: no"))
    yaml = dist("pyyaml", modules=("yaml",))
    context = a_context(tmp_path, yaml, lock=lock_of(direct=("pyyaml",)), environment=environment)
    (finding,) = DirectDependenciesImport().run(context)
    assert finding.message == "import of yaml (of pyyaml) failed: ValueError: no"


def test_each_import_has_a_process_the_probe_and_a_time_limit_of_its_own(tmp_path: Path) -> None:
    environment = FakeEnvironment(lambda _argv: FINE)
    lock = lock_of(direct=("apple", "pear"))
    context = a_context(tmp_path, dist("apple"), dist("pear"), lock=lock, environment=environment, timeout="7s")
    assert list(DirectDependenciesImport().run(context)) == []
    assert sorted(call.argv for call in environment.calls) == [
        ("bin/python", "-s", "-", "import", "apple"),
        ("bin/python", "-s", "-", "import", "pear"),
    ]
    assert all(call.timeout == 7.0 and "def import_one" in call.stdin for call in environment.calls)


def test_imports_run_at_once_and_are_logged_one_after_the_other(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=30)

    def answer(argv: tuple[str, ...]) -> Outcome:
        both.wait()  # ends only where two are under way
        return raised(f"ValueError: {argv[-1]}")

    lock = lock_of(direct=("apple", "pear"))
    context = a_context(tmp_path, dist("apple"), dist("pear"), lock=lock, environment=FakeEnvironment(answer))
    assert len(list(DirectDependenciesImport().run(context))) == 2
    text = context.log.read_text(encoding="utf-8")
    assert text.index("import apple\n") < text.index("ValueError: apple") < text.index("import pear\n")


def test_an_editable_project_whose_modules_nobody_lists_is_told(tmp_path: Path) -> None:
    context = a_context(tmp_path, dist("basket", modules=(), editable=True), own=frozenset({"basket"}))
    assert list(DirectDependenciesImport().run(context)) == []
    assert context.left_out == ["imports: the modules of basket, an editable install, which lists none"]


# --- modules that an extra makes whole


def findings_of(folder: Path, *modules: str, answers: dict[str, Outcome], **context: Any) -> list[tuple[str, str]]:
    made = a_context(folder, dist("black", modules=modules), lock=lock_of(direct=("black",)), **context)
    made.environment.answer = lambda argv: answers.get(argv[-1], FINE)  # type: ignore[attr-defined]  # the fake's own
    return [(f.code, f.severity) for f in DirectDependenciesImport().run(made)]


def test_a_module_beside_the_main_one_that_lacks_an_extra_is_a_warning(tmp_path: Path) -> None:
    lacking = raised("ModuleNotFoundError: No module named 'aiohttp'")
    assert findings_of(tmp_path, "black", "blackd", answers={"blackd": lacking}) == [("ENV304", "warning")]


def test_the_main_module_has_no_such_excuse(tmp_path: Path) -> None:
    lacking = raised("ModuleNotFoundError: No module named 'click'")
    assert findings_of(tmp_path, "black", "blackd", answers={"black": lacking}) == [("ENV301", "error")]


def test_nor_has_a_module_that_fails_in_another_way(tmp_path: Path) -> None:
    broken = raised("SyntaxError: invalid syntax")
    assert findings_of(tmp_path, "black", "blackd", answers={"blackd": broken}) == [("ENV301", "error")]


def test_nor_has_a_distribution_none_of_whose_modules_imports(tmp_path: Path) -> None:
    lacking = raised("ModuleNotFoundError: No module named 'x'")
    codes = findings_of(tmp_path, "one", "two", answers={"one": lacking, "two": lacking})
    assert codes == [("ENV301", "error"), ("ENV301", "error")]
