"""The list of checks, and what all of them share."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.support.environments import FakeEnvironment, a_context, dist, lock_of

import ci_envs.checks
from ci_envs.checks import ALL_CHECKS, advice_for, run_checks
from ci_envs.codes import CODES
from ci_envs.model.lock import Pin

FOLDER = Path(ci_envs.checks.__file__).parent


def advice(code: str) -> str:
    return advice_for(code, leg="uv-py312", run="ci-envs run -x", lock="ci-envs lock -x")


def test_every_class_that_checks_is_in_the_list() -> None:
    classes = {
        node.name
        for path in FOLDER.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(getattr(part, "name", "") == "run" for part in node.body)
    }
    assert classes - {"Check"} == {type(check).__name__ for check in ALL_CHECKS}


def test_each_has_a_documented_code_of_its_own_a_title_and_advice() -> None:
    assert len({check.code for check in ALL_CHECKS}) == len(ALL_CHECKS)
    for check in ALL_CHECKS:
        assert check.code in CODES
        assert check.title
        assert check.advice.format(leg="uv-py312", run="ci-envs run", lock="ci-envs lock")


def test_the_findings_of_all_come_in_the_checks_order(tmp_path: Path) -> None:
    lock = lock_of(Pin(name="apple", version="1.0"))
    worm = dist("worm", requires=("seed",))
    context = a_context(tmp_path, worm, lock=lock, leg={"python": "3.11"}, environment=FakeEnvironment())
    codes = [finding.code for finding in run_checks(context)]
    assert codes == ["ENV001", "LOCK001", "ENV101", "ENV102", "ENV201"]


def test_a_good_environment_has_none(tmp_path: Path) -> None:
    assert run_checks(a_context(tmp_path)) == []


@pytest.mark.parametrize(
    ("code", "begins"),
    [
        (
            "ENV001",
            "ask for the Python that it has (--python, .python-version); else build it anew: `ci-envs run -x --fresh`",
        ),
        ("ENV103", "build it anew: `ci-envs run -x --fresh`"),
        ("ENV104", "change check.expect"),
        ("ENV201", "renew the lock: `ci-envs lock -x --upgrade`"),
        ("ENV303", "`ci-envs exec uv-py312 -- python -c"),
        ("LOCK001", "keep a requirements.in and let `ci-envs lock -x`"),
    ],
)
def test_the_advice_for_a_code_is_that_of_the_check_that_makes_it(code: str, begins: str) -> None:
    assert advice(code).startswith(begins)


def test_a_code_that_no_check_makes_has_no_advice() -> None:
    assert advice("DRIFT001") == ""
    assert advice("LOCK000") == ""
