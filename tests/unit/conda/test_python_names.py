from __future__ import annotations

import re

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ci_envs.conda.python_names import conda_name, conda_versions, marked_platforms, poetry_versions
from ci_envs.documents import load_yaml
from ci_envs.model.conda import PLATFORMS
from ci_envs.resources import resource


def test_the_data_file_maps_normalised_names_to_names_that_conda_could_have() -> None:
    names = load_yaml(resource("conda-names.yml").read_text("utf-8"), file="conda-names.yml").data
    assert all(name == canonicalize_name(name) for name in names)
    assert all(re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", conda) for conda in names.values())


@pytest.mark.parametrize(
    ("name", "conda"),
    [("torch", "pytorch"), ("Build", "python-build"), ("Typing.Extensions", "typing_extensions"), ("NumPy", "numpy")],
)
def test_a_distribution_has_its_name_on_condas_side(name: str, conda: str) -> None:
    assert conda_name(name) == conda


@pytest.mark.parametrize(
    ("specifiers", "versions"),
    [
        ("", ""),
        (">=1, <2", "<2,>=1"),
        ("==1.2.*", "1.2.*"),
        ("===1.2", "==1.2"),
        ("~=1.4.2,!=1.4.5.*", "!=1.4.5.*,~=1.4.2"),
    ],
)
def test_versions_of_pep_440_mean_the_same_to_conda(specifiers: str, versions: str) -> None:
    assert conda_versions(SpecifierSet(specifiers)) == versions


@pytest.mark.parametrize(
    ("marker", "platforms", "always"),
    [
        ("sys_platform == 'win32'", ("win-64",), True),
        ("platform_system == 'Darwin' and platform_machine == 'arm64'", ("osx-arm64",), True),
        ("python_version < '3.11'", PLATFORMS, False),
        ("python_version < '3.11' and sys_platform == 'linux'", ("linux-64", "linux-aarch64"), False),
        ("python_version >= '3.8'", PLATFORMS, True),
        ("sys_platform == 'beos'", (), True),
        ("extra == 'test'", (), True),
    ],
)
def test_a_marker_is_about_platforms(marker: str, platforms: tuple[str, ...], always: bool) -> None:
    assert marked_platforms(Marker(marker)) == (platforms, always)


def test_no_marker_is_for_all() -> None:
    assert marked_platforms(None) == (PLATFORMS, True)


@pytest.mark.parametrize(
    ("constraint", "versions"),
    [
        ("*", ""),
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0.0", ">=0.0,<0.1"),
        ("^0", ">=0,<1"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~1.2", ">=1.2,<1.3"),
        ("~1", ">=1,<2"),
        ("1.2.3", "==1.2.3"),
        ("1.2.*", "1.2.*"),
        ("==1.2.*", "1.2.*"),
        (">= 1.2, < 1.5", ">=1.2,<1.5"),
        (">=1.2 <1.5", ">=1.2,<1.5"),
        ("^1.2 || ^3", ">=1.2,<2|>=3,<4"),
        ("~1.2.3, ^2.3", ">=1.2.3,<1.3,>=2.3,<3"),
    ],
)
def test_poetrys_constraints_are_ranges(constraint: str, versions: str) -> None:
    assert poetry_versions(constraint) == versions


@pytest.mark.parametrize("constraint", ["latest", "^x", "1.2 now", ">=", "^1.2.*"])
def test_what_is_no_constraint_is_refused(constraint: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        poetry_versions(constraint)
