"""A folder under tests/cases/conda/intents is a case: a conda project, and what it asks for or what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.conda.intent import (
    categories_of,
    intent_files,
    lowest_python,
    pip_for,
    python_of,
    read_intent,
    specs_for,
    with_credentials,
)
from ci_envs.errors import UsageError
from ci_envs.model.conda import PLATFORMS, CondaIntent, MatchLine
from ci_envs.project import Project

if TYPE_CHECKING:
    from ci_envs.model.conda import PipLine

CASES = Path(__file__).parents[2] / "cases" / "conda" / "intents"


def _line(line: MatchLine | PipLine) -> str:
    name = f"{line.name}: " if isinstance(line, MatchLine) else ""
    platforms = f" [{', '.join(line.platforms)}]" if line.platforms else ""
    category = "" if line.category == "main" else f" ({line.category})"
    return f"{line.file}:{line.line}: {name}{line.text}{platforms}{category}"


def _shown(intent: CondaIntent) -> dict[str, Any]:
    """What an intent says, without what it does not."""
    told = {
        "files": list(intent.files),
        "name": intent.name,
        "channels": list(intent.channels),
        "nodefaults": intent.nodefaults,
        "specs": [_line(line) for line in intent.specs],
        "pip": [_line(line) for line in intent.pip],
        "variables": intent.variables,
        "platforms": list(intent.platforms),
        "findings": [f"{one.file}:{one.line}: {one.code} {one.severity}: {one.message}" for one in intent.findings],
        "categories": [name for name in categories_of(intent) if categories_of(intent) != ("main",)],
        "python": {platform: said for platform in PLATFORMS if (said := _python(intent, platform))},
    }
    return {key: value for key, value in told.items() if value}


def _python(intent: CondaIntent, platform: str) -> str:
    return python_of(intent, platform) or (f">={low}" if (low := lowest_python(intent, platform)) else "")


def _expected(folder: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return expected


def _read(folder: Path) -> CondaIntent:
    asks = _expected(folder).get("asks", {})
    project = Project(folder)
    return read_intent(project, intent_files(project, asks.get("files", ())), channels=asks.get("channels", ()))


def _folders(key: str) -> list[Path]:
    return [folder for folder in sorted(CASES.iterdir()) if key in _expected(folder)]


@pytest.mark.parametrize("folder", _folders("found"), ids=lambda path: path.name)
def test_a_case_asks_for_this(folder: Path) -> None:
    assert _shown(_read(folder)) == _expected(folder)["found"]


@pytest.mark.parametrize("folder", _folders("error"), ids=lambda path: path.name)
def test_a_sick_case_is_refused_with_file_and_line(folder: Path) -> None:
    expected = _expected(folder)
    with pytest.raises(UsageError) as caught:
        _read(folder)
    assert str(caught.value) == expected["error"]
    assert caught.value.hint == expected.get("hint", "")


def test_the_folders_hold_cases_of_both_kinds() -> None:
    assert len(_folders("found")) >= 25
    assert len(_folders("error")) >= 20
    assert {path.name for path in _folders("error")} == {path.name for path in CASES.glob("sick-*")}


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_nothing_secret_is_in_an_intent_or_in_an_error(folder: Path) -> None:
    try:
        said = repr(_read(folder))
    except UsageError as error:
        said = f"{error} {error.hint}"
    assert "pw1234" not in said
    assert "tk-8861" not in said


def test_what_was_left_out_can_be_had_by_whoever_fetches() -> None:
    project = Project(CASES / "credentials")
    intent = read_intent(project, ["environment.yml"])
    written = with_credentials(project, ["environment.yml"])
    assert [written.get(channel, channel) for channel in intent.channels] == [
        "https://reader:pw1234@conda.example/team",
        "https://conda.example/t/tk-8861-aa/private",
        "https://conda.example/t/$TEAM_TOKEN/other",
        "https://${TEAM_USER}:${TEAM_PASSWORD}@conda.example/third",
        "https://$TEAM_USER:pw1234@conda.example/fourth",
        "conda-forge",
    ]
    assert [written.get(line.text, line.text) for line in intent.specs][:3] == [
        "https://reader:pw1234@conda.example/team::tool",
        "https://conda.example/t/tk-8861-aa/private/linux-64/lib-1.0-0.conda",
        "other[channel=https://conda.example/t/tk-8861-aa/private]",
    ]
    assert written[intent.pip[0].text] == "--index-url https://reader:pw1234@pypi.example/simple"


def test_channels_of_the_configuration_keep_their_secrets_apart_too() -> None:
    channels = ["https://u:pw1234@conda.example/c"]
    project = Project(CASES / "plain")
    intent = read_intent(project, ["environment.yml"], channels=channels)
    assert intent.channels == ("https://conda.example/c",)
    assert with_credentials(project, ["environment.yml"], channels) == {"https://conda.example/c": channels[0]}


def test_specs_and_requirements_are_those_of_a_platform_and_of_some_categories() -> None:
    project = Project(CASES / "several-files")
    intent = read_intent(project, ["environment.yml", "ci/gpu.yml", "dev.yml"])
    assert [line.text for line in specs_for(intent, "linux-64", ["main"])] == [
        *("python=3.12", "zlib", "numpy =2.1", "cuda-version =12.4", "compilers =1.8", "pip"),
    ]
    assert [line.text for line in specs_for(intent, "win-64", ["dev"])] == ["pytest", "numpy"]
    assert "compilers" in [line.text for line in specs_for(intent, "win-64", ["main"])]
    assert [line.text for line in pip_for(intent, "win-64", ["main", "dev"])] == ["rich", "rich_click >=1.8"]
    assert pip_for(intent, "win-64", ["dev"]) == ()


def test_the_intent_files_are_found_where_nobody_names_them(tmp_path: Path) -> None:
    assert intent_files(Project(tmp_path)) == ()
    (tmp_path / "pyproject.toml").write_text("[tool.conda-lock]\nplatforms = ['linux-64']\n", encoding="utf-8")
    assert intent_files(Project(tmp_path)) == ("pyproject.toml",)
    (tmp_path / "environment.yaml").write_text("", encoding="utf-8")
    assert intent_files(Project(tmp_path)) == ("environment.yaml",)
    (tmp_path / "environment.yml").write_text("", encoding="utf-8")
    assert intent_files(Project(tmp_path)) == ("environment.yml",)
    assert intent_files(Project(tmp_path), ["environment.yaml", "environment.yaml"]) == ("environment.yaml",)


def test_a_link_that_leads_out_is_no_intent_file(tmp_path: Path) -> None:
    (tmp_path / "outside.yml").write_text("dependencies: [python]\n", encoding="utf-8")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "environment.yml").symlink_to(tmp_path / "outside.yml")
    project = Project(tmp_path / "project")
    assert intent_files(project) == ()
    with pytest.raises(UsageError, match="lies outside the project"):
        read_intent(project, ["environment.yml"])
