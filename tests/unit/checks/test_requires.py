from __future__ import annotations

import pytest
from tests.support.environments import MARKERS

from ci_envs.checks.requires import needed


@pytest.mark.parametrize(
    "line",
    [
        "apple",
        "apple (>=1.0)",  # the parentheses of metadata 1.2
        "apple[jam]>=1; python_version >= '3.12'",
        "apple @ https://index.example/apple-1.0-py3-none-any.whl",
        "apple; python_version in '3.11, 3.12'",
        "apple; 'generic' in platform_release",
    ],
)
def test_what_applies_is_a_requirement(line: str) -> None:
    requirement = needed(line, MARKERS)
    assert requirement is not None
    assert requirement.name == "apple"


@pytest.mark.parametrize(
    "line",
    [
        "apple; python_version < '3.12'",
        "apple; sys_platform == 'win32'",
        "apple; extra == 'jam'",
        "apple; extra == 'jam' and python_version >= '3'",
        "apple; implementation_name == 'pypy' or os_name == 'nt'",
    ],
)
def test_what_is_for_other_environments_or_for_extras_is_not_needed(line: str) -> None:
    assert needed(line, MARKERS) is None


@pytest.mark.parametrize("line", ["", "apple>=", "apple>=1.0-whenever", "apple; sys_platform ~= 'linux'", "-e ."])
def test_what_is_no_requirement_says_so(line: str) -> None:
    with pytest.raises(ValueError, match="which is no valid requirement") as raised:
        needed(line, MARKERS)
    assert repr(line) in str(raised.value)
