"""The schemas that check-jsonschema brings accept every workflow, every action, and dependabot.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from check_jsonschema import main  # type: ignore[import-untyped]  # it has no types
from click.testing import CliRunner
from tests.support.workflows import ROOT, files_of

if TYPE_CHECKING:
    from pathlib import Path

OURS = files_of()
SCHEMAS = {
    **dict.fromkeys(OURS.workflows, "vendor.github-workflows"),
    **{action.file: "vendor.github-actions" for action in OURS.actions.values()},
    ".github/dependabot.yml": "vendor.dependabot",
}


def validate(schema: str, path: Path) -> tuple[int, str]:
    ended = CliRunner().invoke(main, [f"--builtin-schema={schema}", str(path)])
    return ended.exit_code, ended.output


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_file_is_what_its_schema_says(file: str) -> None:
    assert validate(SCHEMAS[file], ROOT / file) == (0, "ok -- validation done\n")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (".github/workflows/ci.yml", "timeout-minutes: 20", "timeout-minute: 20"),
        ("action.yml", "using: composite", "using: composit"),
        (".github/dependabot.yml", "interval: weekly", "interval: sometimes"),
    ],
)
def test_a_wrong_word_is_refused(file: str, old: str, new: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(OURS.files[file].replace(old, new, 1), encoding="utf-8")
    code, said = validate(SCHEMAS[file], wrong)
    assert code == 1
    assert "wrong.yml" in said
