"""Whatever stands in an intent file, an intent or a sentence about the file comes out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ci_envs.conda.intent import intent_files, read_intent, with_credentials
from ci_envs.errors import UsageError
from ci_envs.model.conda import CondaIntent
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_SPECS = st.text("numpy=<>!~^*|,()[]'\" :/.-_#@;12$%é\t\\{}&cuda", max_size=40)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _SPECS | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["pip", "sel(win)", "x"]), inner),
    max_leaves=8,
)
_FILES = st.fixed_dictionaries(
    {"dependencies": st.lists(_VALUES, max_size=4)},
    optional=dict.fromkeys(
        ("name", "channels", "platforms", "category", "variables", "prefix", "pip-repositories", "allow-pypi-requests"),
        _VALUES,
    ),
)


def _read(folder: Path, file: str, text: str) -> CondaIntent | None:
    """The intent, which must be sayable in JSON, or ``None`` where it was refused in one line."""
    (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    found = _intent_or_error(Project(folder), file)
    if isinstance(found, UsageError):
        assert found.file == file
        assert "\n" not in f"{found}{found.hint}"
        return None
    assert msgspec.json.decode(msgspec.json.encode(found), type=CondaIntent) == found
    return found


def _intent_or_error(project: Project, file: str) -> CondaIntent | UsageError:
    try:
        with_credentials(project, [file])
        return read_intent(project, [file])
    except UsageError as error:
        return error


@_SETTINGS
@given(text=st.text())
@example(text="dependencies: [" + "[" * 60 + "]" * 60 + "]")
@example(text="dependencies:\n- '" + "(" * 1900 + "'")
@example(text="dependencies:\n- pip:\n  - |\n    " + "a" * 100_000)
@example(text="dependencies:\n- " + "a" * 100_000)
@example(text="\x85dependencies: [a]\u2028# [linux]")
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    _read(tmp_path, "environment.yml", text)


@_SETTINGS
@given(data=_FILES)
def test_any_value_is_read_or_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    _read(tmp_path, "environment.yml", yaml.safe_dump(data, allow_unicode=True))


@_SETTINGS
@given(specs=st.lists(_SPECS, max_size=3), comment=st.text("[]()#linux ad", max_size=20))
def test_any_spec_with_any_comment_is_read_or_refused(tmp_path: Path, specs: list[str], comment: str) -> None:
    text = "\n".join(["dependencies:", *(f"  - {spec}  # {comment}" for spec in specs)])
    _read(tmp_path, "environment.yml", text)


@_SETTINGS
@given(
    line=st.sampled_from(
        ["[project]", "[tool.poetry]", "[tool.poetry.dependencies]", "[tool.conda-lock.dependencies]", "[project.x]"]
    ),
    key=st.sampled_from(["dependencies", "channels", "name", "dynamic", "python", "optional-dependencies", "source"]),
    value=st.sampled_from(["[]", "{}", "'x'", "['x ^1', 'y']", "1", "{version = '^1.2'}", "[{version = '~1'}, 1]"]),
)
def test_any_value_in_a_pyproject_is_read_or_refused(tmp_path: Path, line: str, key: str, value: str) -> None:
    _read(tmp_path, "pyproject.toml", f"[tool.conda-lock]\nplatforms = []\n{line}\n{key} = {value}\n")


@pytest.mark.parametrize("table", ["tool = 1", "[tool]\nconda-lock = 1", "[[tool.conda-lock]]"])
def test_a_table_that_is_none_is_said_or_passed_over(tmp_path: Path, table: str) -> None:
    assert _read(tmp_path, "pyproject.toml", table) is None
    with contextlib.suppress(UsageError):
        assert intent_files(Project(tmp_path)) == ()


def test_a_thousand_specs_are_read_in_a_moment(tmp_path: Path) -> None:
    specs = "".join(f"  - package-{number} >=1,<2  # [linux and not aarch64]\n" for number in range(1000))
    intent = _read(tmp_path, "environment.yml", f"dependencies:\n{specs}")
    assert intent is not None
    assert len(intent.specs) == 1000
