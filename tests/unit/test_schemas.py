from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.support.records import record

from ci_envs import schemas
from ci_envs.cli import main_group
from ci_envs.errors import UsageError
from ci_envs.report.merge import merge

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", schemas.NAMES)
def test_the_file_that_ships_is_the_one_that_the_types_make(name: str) -> None:
    assert schemas.committed(name) == schemas.text(name), "renew it: python -m ci_envs.schemas"


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_says_its_dialect_and_has_every_definition_that_it_names(name: str) -> None:
    schema = schemas.schema(name)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:ci-envs:schema:{name}:1"
    assert set(_references(schema)) == {f"#/$defs/{key}" for key in schema["$defs"]}


def test_a_record_and_a_report_have_the_fields_of_their_schemas() -> None:
    for name, value in (("record", record()), ("report", merge([record()]))):
        schema = schemas.schema(name)
        definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        assert set(json.loads(msgspec.json.encode(value))) == set(definition["properties"])


def test_unknown_keys_of_a_configuration_are_refused_by_its_schema() -> None:
    assert schemas.schema("config")["$defs"]["Config"]["additionalProperties"] is False


def test_all_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    assert sorted(path.name for path in schemas.write_all(tmp_path)) == sorted(path.name for path in tmp_path.iterdir())
    assert (tmp_path / "record.json").read_text(encoding="utf-8") == schemas.text("record")


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'record'"):
        schemas.schema("recrod")


def test_the_verb_prints_the_schema_or_what_there_are() -> None:
    one = CliRunner().invoke(main_group, ["schema", "record"], standalone_mode=False)
    all_names = CliRunner().invoke(main_group, ["schema"], standalone_mode=False)

    assert one.stdout == schemas.text("record")
    assert all(name in all_names.stdout for name in schemas.NAMES)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []
