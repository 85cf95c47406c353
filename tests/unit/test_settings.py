from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.errors import UsageError
from ci_envs.model.config import Config
from ci_envs.project import Project
from ci_envs.settings import Layer, project_layers, read_project_config, resolve

if TYPE_CHECKING:
    from pathlib import Path


def project(folder: Path, name: str = ".", **files: str) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / {"yml": "ci-envs.yml", "toml": "pyproject.toml"}[file]).write_text(text, encoding="utf-8")
    return Project(folder, name)


# --- layers


def test_no_layer_leaves_the_defaults() -> None:
    settings = resolve([])
    assert settings.config == Config()
    assert {source for _, _, source in settings.explain()} == {"default"}


def test_a_later_layer_replaces_single_keys_and_says_so() -> None:
    settings = resolve(
        [
            ("ci-envs.yml", {"check": {"imports": ["a", "b"], "timeout": "1m"}, "install-project": "no"}),
            ("m.yml (defaults)", {"check": {"imports": ["c"]}, "lock": {"mode": "frozen"}}),
            ("--lock-mode", {"lock": {"mode": "update"}}),
        ]
    )
    config = settings.config
    assert (config.check.imports, config.check.timeout) == (("c",), "1m")
    assert (config.lock.mode, config.install_project) == ("update", "no")
    assert settings.source("check.imports") == "m.yml (defaults)"
    assert settings.source("check.timeout") == "ci-envs.yml"
    assert settings.source("lock.mode") == "--lock-mode"
    assert settings.source("install-project") == "ci-envs.yml"
    assert settings.source("test.timeout") == "default"


def test_a_mapping_below_a_table_is_replaced_whole() -> None:
    settings = resolve([("a", {"check": {"expect": {"torch": "1"}}}), ("b", {"check": {"expect": {"cuda": "12"}}})])
    assert settings.config.check.expect == {"cuda": "12"}


def test_explain_has_a_row_for_every_key() -> None:
    rows = {key: (value, source) for key, value, source in resolve([("x", {"test": {"groups": ["dev"]}})]).explain()}
    assert rows["test.groups"] == (("dev",), "x")
    assert rows["pattern"] == ("auto", "default")
    assert rows["check.expect"] == ({}, "default")
    assert len(rows) >= 15


def test_layers_are_not_changed_by_what_comes_over_them() -> None:
    below: dict[str, Any] = {"check": {"imports": ["a"]}}
    resolve([("a", below), ("b", {"check": {"timeout": "1m"}})])
    assert below == {"check": {"imports": ["a"]}}


def test_a_value_that_does_not_fit_names_its_source() -> None:
    with pytest.raises(UsageError, match=r"^--x: lock\.mode: Invalid enum value 'sideways'"):
        resolve([("--x", {"lock": {"mode": "sideways"}})])


# --- a project's own file


def test_a_project_without_configuration_has_no_layer(tmp_path: Path) -> None:
    assert read_project_config(project(tmp_path)) is None
    assert read_project_config(project(tmp_path, yml="# nothing\n", toml="[project]\nname = 'x'\n")) is None


def test_ci_envs_yml_and_pyproject_say_the_same_thing(tmp_path: Path) -> None:
    values = {"test": {"command": "pytest", "timeout": "5m"}}
    yml = project(tmp_path / "a", yml="test:\n  command: pytest\n  timeout: 5m\n")
    toml = project(tmp_path / "b", toml='[tool.ci-envs.test]\ncommand = "pytest"\ntimeout = "5m"\n')
    assert read_project_config(yml) == Layer("ci-envs.yml", values)
    assert read_project_config(toml) == Layer("pyproject.toml [tool.ci-envs]", values)


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    both = project(tmp_path, "sub", yml="{}", toml="[tool.ci-envs]\n")
    with pytest.raises(UsageError, match=r"^sub/ci-envs\.yml: configures ci-envs, and so does \[tool\.ci-envs\]"):
        read_project_config(both)


def test_the_nearer_project_wins(tmp_path: Path) -> None:
    root = project(tmp_path, yml="test: {timeout: 5m, command: one}")
    inner = project(tmp_path / "sub", "sub", yml="test: {timeout: 9m}")
    settings = resolve(project_layers(root, inner))
    assert (settings.config.test.timeout, settings.config.test.command) == ("9m", "one")
    assert settings.source("test.timeout") == "sub/ci-envs.yml"
    assert [layer.source for layer in project_layers(root, root)] == ["ci-envs.yml"]
    assert [layer.source for layer in project_layers(root)] == ["ci-envs.yml"]


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("chek: {}\n", 1, "unknown key 'chek'; did you mean 'check'?", "known here"),
        ("check:\n  timout: 1m\n", 2, "unknown key 'timout' in check; did you mean 'timeout'?", "known here"),
        ("check: {expect: {torch: 2.10}}\n", 1, 'check.expect.torch: 2.10 is the number 2.1 here; write "2.10"', ""),
        ("test: {timeout: 90}\n", 1, 'test.timeout: 90 is a number here; write "90"', ""),
        ("test:\n  timeout: a while\n", 2, "test.timeout: 'a while' is no span of time", "30m"),
        ("test: {timeout: 9999999999h}\n", 1, "is not between 0 and a year", ""),
        ("lock: {mode: lokced}\n", 1, "did you mean 'locked'?", ""),
        ("[]\n", 1, "the file must be a table of keys", ""),
        ("a: &x 1\n", 1, "the anchor &x is not read", "billions"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(
    tmp_path: Path, text: str, line: int, said: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_project_config(project(tmp_path, yml=text))
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert (caught.value.file, caught.value.line) == ("ci-envs.yml", line)


def test_pyproject_is_refused_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^pyproject\.toml: check\.expect\.torch: 2\.1 is a number here"):
        read_project_config(project(tmp_path, toml="[tool.ci-envs.check.expect]\ntorch = 2.10\n"))


def test_a_tool_table_that_is_none_is_no_configuration(tmp_path: Path) -> None:
    assert read_project_config(project(tmp_path, toml="tool = 3\n")) is None


def test_a_command_that_needs_a_shell_is_refused_before_anything_runs() -> None:
    layers: list[tuple[str, dict[str, Any]]] = [
        ("ci-envs.yml", {"test": {"command": "pytest -q"}, "check": {"command": ["sh", "-c", "a && b"]}}),
        ("flags", {"test": {"command": "pytest && echo"}}),
    ]
    assert resolve(layers[:1]).config.test.command == "pytest -q"
    with pytest.raises(UsageError, match=r"flags: test\.command: '&&' needs a shell") as raised:
        resolve(layers)
    assert '["sh", "-c",' in raised.value.hint
