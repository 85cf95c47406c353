from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.conda.python_series import Series, series_of


@pytest.mark.parametrize(
    "spec",
    [
        *("python=3.12", "python 3.12", "python==3.12.1", "python 3.12.*", "python=3.12.*", "python = 3.12"),
        *("python>=3.12,<3.13", "python >=3.12,<3.13.0a0", "python >= 3.12, < 3.13", "python >=3.12.2,<3.12.5"),
        *("python~=3.12.1", "python[version='>=3.12,<3.13']", "python[version=3.12.*, build=*_cp312]"),
        *("conda-forge::python=3.12", "conda-forge/linux-64::python=3.12", "python=3.12=*_cpython", "Python=3.12"),
        *("python 3.12.4 h12debd9_0", "python=3.12,!=3.12.1", "python <=3.12,>=3.12", "python=3.12.1|=3.12.4"),
    ],
)
def test_a_series_is_pinned(spec: str) -> None:
    assert series_of([spec]) == Series("3.12", "3.12")


@pytest.mark.parametrize(
    ("spec", "lowest"),
    [
        ("python>=3.10", "3.10"),
        ("python >3.9", "3.9"),
        ("python ~=3.10", "3.10"),
        ("python >=3.9,<4", "3.9"),
        ("python 3.12|3.13", "3.12"),
        ("python >=3.10|>=3.9", "3.9"),
        ("python[version='>=3.10']", "3.10"),
    ],
)
def test_of_several_series_the_lowest_is_known(spec: str, lowest: str) -> None:
    assert series_of([spec]) == Series("", lowest)


@pytest.mark.parametrize(
    "spec",
    [
        *("python", "python 3", "python>=3", "python=3.1*", "python<3.13", "python *", "python !=3.11", "pypy"),
        *("python-dateutil=2.8", "python_abi 3.12.* *_cp312", "ipython=8.1", "https://conda.example/python=3.12"),
        *("python <3.10|>=3.12", "", "python ((3.12))"),
    ],
)
def test_nothing_is_known_where_nothing_is_said(spec: str) -> None:
    assert series_of([spec]) == Series("", "")


@pytest.mark.parametrize(
    ("specs", "found"),
    [
        (["python>=3.9", "python<3.12", "python=3.11"], Series("3.11", "3.11")),
        (["python >=3.12", "numpy", "python <3.13"], Series("3.12", "3.12")),
        (["python=3.13=*_cp313t"], Series("3.13t", "3.13t")),
        (["python 3.13.* *_cp313t"], Series("3.13t", "3.13t")),
        (["python=3.13", "python-freethreading"], Series("3.13t", "3.13t")),
        (["pypy3.9"], Series("pypy3.9", "pypy3.9")),
        ([], Series("", "")),
    ],
)
def test_specs_are_read_together(specs: list[str], found: Series) -> None:
    assert series_of(specs) == found


@given(st.lists(st.text() | st.text("python=<>!~|,.*3 124[]'version=build").map("python{}".format), max_size=3))
def test_any_text_is_read(specs: list[str]) -> None:
    assert isinstance(series_of(specs), Series)
