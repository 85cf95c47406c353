from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.documents import load_yaml
from ci_envs.errors import UsageError
from ci_envs.matrix_reader import read_matrix

if TYPE_CHECKING:
    from ci_envs.model.matrix import Matrix

PATTERNS = ("venv", "uv", "conda")


def read(text: str) -> Matrix:
    return read_matrix(load_yaml(text, file="m.yml"), PATTERNS)


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.exit_code == 2
    assert caught.value.file == "m.yml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("axes:\n  pattern: [uv]\n  python:\n    - 3.10\n", 4, '.python[0]: 3.10 is the number 3.1 here; write "3.10"'),
        ("axes: {python: [3.12]}", 1, 'axes.python[0]: 3.12 is a number here; write "3.12"'),
        ("axes: {python: [3]}", 1, 'axes.python[0]: 3 is a number here; write "3"'),
        ("include:\n  - {pattern: uv,\n     python: 3.10}\n", 3, "include[0].python: 3.10 is the number 3.1 here"),
        ("defaults: {python: 3.10}", 1, "defaults.python: 3.10 is the number 3.1 here"),
        ("axes: {}\nvariables:\n  torch: [2.10]\n", 3, "variables.torch[0]: 2.10 is the number 2.1 here"),
        ("axes: {python: [true]}", 1, 'axes.python[0]: true is no text here; write "true"'),
        ("axes: {python: ['3.12.4']}", 1, "names a patch release; write the series, \"3.12\""),
        ("axes: {python: ['2.7']}", 1, "'2.7' is no Python"),
        ("axes: {python: '3.12'}", 1, "axes.python must be a list, not text"),
        ("axes:\n  pyhton: ['3.12']\n", 2, "unknown key 'pyhton' in axes; did you mean 'python'?"),
        ("axis: {}", 1, "unknown key 'axis'; did you mean 'axes'?"),
        ("axes: {}\ninclude:\n  - {patern: uv}\n", 3, "unknown key 'patern' in include[0]; did you mean 'pattern'?"),
        ("include:\n  - check:\n      import: []\n", 3, "in include[0].check; did you mean 'imports'?"),
        ("axes: {pattern: [vevn]}", 1, "axes.pattern[0]: there is no pattern 'vevn'; did you mean 'venv'?"),
        ("exclude: [{pattern: covid}]\naxes: {pattern: [uv]}", 1, "exclude[0].pattern: there is no pattern 'covid'"),
        ("axes: {os: [linus]}", 1, "axes.os[0]: 'linus' is none of linux, macos, windows; did you mean 'linux'?"),
        ("axes: {resolution: [lowest_direct]}", 1, "did you mean 'lowest-direct'?"),
        ("axes: {accelerator: [CUDA]}", 1, "'CUDA' is no accelerator"),
        ("axes: {groups: ['-e .']}", 1, "'-e .' cannot be a group's name"),
        ("axes:\n  python: []\n", 2, "axes.python is empty"),
        ("variables: {a: []}", 1, "variables.a is empty"),
        ("axes:\n  python: ['3.12', '3.12']\n", 2, "axes.python lists '3.12' a second time"),
        ("variables: {a: [1, '1']}", 1, "variables.a lists '1' a second time"),
        ("variables: {python: [a]}", 1, "'python' is an axis; write it under `axes`"),
        ("variables: {Up: [a]}", 1, "a variable's name is a letter"),
        ("variables: {a-b: [a]}", 1, "a variable's name is a letter"),
        ('variables: {a: ["x\\ny"]}', 1, "holds a control character"),
        ("variables: {a: [%s]}" % ("x" * 201), 1, "has 201 characters; 200 are the most"),
        ("axes: {pattern: [uv]}\nexclude:\n  - {os: linux}\n", 3, "'os' is no axis of this matrix"),
        ("axes: {pattern: [uv]}\nexclude:\n  - {variables: {color: red}}\n", 3, "'variables.color' is no axis"),
        ("axes: {pattern: [uv]}\nexclude:\n  - {reason: all of it}\n", 3, "names no axis, so it would leave"),
        ("axes: {pattern: [uv]}\nexclude:\n  - {timeout-minutes: 3}\n", 3, "unknown key 'timeout-minutes'"),
        ("axes: {project: [/tmp]}", 1, "'/tmp' is outside the repository"),
        ("axes: {project: [a/../../b]}", 1, "is outside the repository"),
        ("include: [{project: ..}]", 1, "include[0].project: '..' is outside the repository"),
        ("axes: {project: ['C:/x']}", 1, "is outside the repository"),
        ("axes: {project: ['a\\b']}", 1, "write it with forward slashes"),
        ("axes: {project: ['']}", 1, 'the root itself is written "."'),
        ("defaults: {timeout-minutes: 0}", 1, "defaults.timeout-minutes must be a whole number >= 1"),
        ("defaults:\n  test: {timeout: soon}\n", 2, "test.timeout: 'soon' is no span of time"),
        ("defaults: {test: {timeout: 0s}}", 1, "test.timeout: '0s' is not between 0 and a year"),
        ("include: {pattern: uv}", 1, "include must be a list, not a table of keys"),
        ("- uv", 1, "the file must be a table of keys, not a list"),
        ("", 0, "is empty: there is no leg to plan"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_where_it_stands(text: str, line: int, said: str) -> None:
    error = refused(text)
    assert said in error.message
    assert error.line == line


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("python: ['3.12']", "an axis stands under `axes`"),
        ("axes: {fruit: [apple]}", "one of your own stands under `variables`"),
        ("include: [{fruit: apple}]", "a variable of your own stands under `variables` in include, too"),
        ("axes: {os: [darwin]}", 'it is written "macos" here'),
        ("axes: {os: [ubuntu-latest]}", 'it is written "linux" here'),
        ("axes: {arch: [arm64]}", 'it is written "aarch64" here'),
        ("axes: {pattern: [zzz]}", "the patterns are venv, uv, conda"),
    ],
)
def test_the_hint_says_what_to_write_instead(text: str, hint: str) -> None:
    assert hint in refused(text).hint


def test_a_matrix_is_read_into_its_normal_form() -> None:
    matrix = read("""
name: all of it
description: every key
axes:
  project: [./a//b/, "-x y'z", "ü"]
  python: ["3.13t", "pypy3.10"]
  groups: [dev, [docs, dev, docs]]
variables: {flag: [true, 012, "no"]}
include:
  - python: "3.12"
    runs-on: [self-hosted, big]
    timeout-minutes: 7
    check: {imports: [numpy]}
    install-project: "no"
    variables: {other: 1}
    reason: because
exclude:
  - {variables: {flag: true}}
defaults: {pattern: uv, runs-on: ubuntu-24.04}
""")
    assert matrix.axes == {
        "project": ("a/b", "-x y'z", "ü"),
        "python": ("3.13t", "pypy3.10"),
        "groups": (("dev",), ("dev", "docs")),
        "variables.flag": ("true", "012", "no"),
    }
    (entry,) = matrix.include
    assert entry.values == {"python": "3.12", "variables.other": "1"}
    assert entry.settings == {"check": {"imports": ["numpy"]}, "install-project": "no"}
    assert (entry.runs_on, entry.timeout_minutes, entry.reason) == (("self-hosted", "big"), 7, "because")
    assert entry.line == 10
    assert matrix.exclude[0].values == {"variables.flag": "true"}
    assert (matrix.defaults.values, matrix.defaults.runs_on) == ({"pattern": "uv"}, "ubuntu-24.04")


@pytest.mark.parametrize("value", ["$(reboot)", "`id`", "; rm -rf ~", "${{ github.token }}", "::set-output", "a|b&c"])
def test_shell_characters_are_values_like_any_other(value: str) -> None:
    matrix = read(f"variables: {{a: ['{value}']}}")
    assert matrix.axes == {"variables.a": (value,)}


def test_the_axes_keep_the_order_of_the_file() -> None:
    matrix = read('axes: {python: ["3.12"], pattern: [uv], arch: [x86_64]}')
    assert list(matrix.axes) == ["python", "pattern", "arch"]


def test_null_is_as_good_as_nothing() -> None:
    data: Any = read('axes: {pattern: [uv], python: ["3.12"]}\ninclude: [{os: null, check: null}]')
    assert data.include[0].values == {}
    assert data.include[0].settings == {}
