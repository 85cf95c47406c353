"""The JSON schemas of what ci-envs reads and writes, made from the types themselves.

``python -m ci_envs.schemas`` writes them to ``resources/schemas``; a test compares those files with these types.
"""

from __future__ import annotations

import importlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from ci_envs.errors import UsageError
from ci_envs.nearest import nearest

__all__ = ["NAMES", "schema", "text", "write_all"]

#: By the name that ``ci-envs schema`` takes: the type, and what a document of it is.
NAMES: dict[str, tuple[str, str]] = {
    "config": ("ci_envs.model.config:Config", "ci-envs.yml, and [tool.ci-envs] in pyproject.toml"),
    "detect": ("ci_envs.model.detect:Detection", "what `ci-envs detect --json` prints"),
    "diff": ("ci_envs.model.difference:Difference", "what `ci-envs diff --json` prints"),
    "matrix": ("ci_envs.model.matrix:MatrixFile", "matrices/*.yml"),
    "plan": ("ci_envs.model.plan:Plan", "what `ci-envs plan --json` prints"),
    "record": ("ci_envs.model.record:RunRecord", "the record of one leg"),
    "report": ("ci_envs.model.report:Report", "what `ci-envs report --json` prints"),
}

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = 1


def schema(name: str) -> dict[str, Any]:
    """The schema of that name; :class:`UsageError` where there is none."""
    import msgspec

    if name not in NAMES:
        raise UsageError(f"there is no schema {name!r}{nearest(name, NAMES)}", hint=f"there are: {', '.join(NAMES)}")
    where, title = NAMES[name]
    module, _, type_name = where.partition(":")
    described = getattr(importlib.import_module(module), type_name)
    (root,), definitions = msgspec.json.schema_components([described], ref_template="#/$defs/{name}")
    head = {"$schema": _DIALECT, "$id": f"urn:ci-envs:schema:{name}:{_VERSION}", "title": title}
    return {**head, **root, "$defs": {key: definitions[key] for key in sorted(definitions)}}


def text(name: str) -> str:
    """The schema as its file has it."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def committed(name: str) -> str:
    """The text of the file that ships with the package."""
    return resources.files("ci_envs").joinpath("resources", "schemas", f"{name}.json").read_text(encoding="utf-8")


def write_all(folder: Path) -> list[Path]:
    """Writes every schema into a folder; the paths."""
    from ci_envs.layout import write_atomically

    paths = [folder / f"{name}.json" for name in NAMES]
    for path in paths:
        write_atomically(path, text(path.stem).encode())
    return paths


if __name__ == "__main__":
    write_all(Path(__file__).parent / "resources" / "schemas")
