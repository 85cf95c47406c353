"""Writes what is made from the code and from other files; ``--check`` only compares. Run by ``nox -s docs``.

Whole pages are the reference. Parts of other pages stand behind a comment that says where they come from:

    <!-- from docs/examples/envs.yml -->                        a block with the text of a file
    <!-- inputs of .github/workflows/build-envs.yml -->         a table, up to <!-- end -->
    <!-- outputs of action.yml -->                              the same
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from ci_envs.cli import VERBS, main_group
from ci_envs.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent
ROOT = DOCS.parent
WIDTH = 100

#: Where the example of each input of the workflow is taken from.
EVERY_INPUT = DOCS / "examples" / "every-input.yml"

_BLOCK = re.compile(r"(?ms)(<!-- from (?P<file>[\w./-]+) -->\n+```\w+\n).*?(?=^```$)")
_TABLE = re.compile(r"(?ms)(<!-- (?P<what>inputs|outputs) of (?P<file>[\w./-]+) -->\n).*?(?=^<!-- end -->$)")


def command_line() -> str:
    """``--help`` of the program and of every verb."""
    settings = {**main_group.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    context = click.Context(main_group, info_name="ci-envs", **settings)
    parts = [
        "# The command line",
        "<!-- Made by docs/generate.py from the code; renew with: nox -s docs -->",
        _fenced(main_group.get_help(context)),
    ]
    for verb in VERBS:
        command = main_group.get_command(context, verb)
        if command is None:
            raise SystemExit(f"the verb {verb} has no command")
        inner = click.Context(command, info_name=verb, parent=context)
        command._help_option = None  # click keeps that of the first context, which a test may have had of its own
        parts += [f"## ci-envs {verb}", _fenced(command.get_help(inner))]
    return "\n\n".join(parts) + "\n"


def findings() -> str:
    """The codes of findings."""
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in CODES.items())
    return (
        "# Findings\n\n"
        "<!-- Made by docs/generate.py from src/ci_envs/codes.py; renew with: nox -s docs -->\n\n"
        "A finding is an error, a warning or information; an error fails the leg. Records, summaries and annotations\n"
        "carry its code.\n\n"
        f"| code | meaning |\n| --- | --- |\n{rows}\n"
    )


def _fenced(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"```text\n{lines}\n```"


def with_parts(text: str) -> str:
    """A page with its parts as they are now."""
    text = _BLOCK.sub(lambda found: found[1] + (ROOT / found["file"]).read_text("utf-8"), text)
    return _TABLE.sub(lambda found: f"{found[1]}\n{table(found['file'], found['what'])}\n\n", text)


def table(file: str, what: str) -> str:
    """The inputs or outputs of an action or of a reusable workflow, by their own descriptions."""
    document = yaml.safe_load((ROOT / file).read_text("utf-8"))
    if what in document:
        return _rows(("input", "default", "meaning") if what == "inputs" else ("output", "meaning"), document[what])
    called = document[True]["workflow_call"]  # YAML 1.1 reads the key `on` as a boolean
    if what == "outputs":
        return _rows(("output", "meaning"), called[what])
    return _rows(("input", "type", "default", "meaning", "for example"), called[what], _examples())


def _rows(head: tuple[str, ...], specs: dict[str, Any], examples: dict[str, Any] | None = None) -> str:
    lines = [head, tuple("---" for _ in head)]
    for name, spec in specs.items():
        cells = {"default": _value(spec.get("default")), "type": spec.get("type", ""), "meaning": spec["description"]}
        cells["for example"] = _value((examples or {}).get(name))
        lines.append((f"`{name}`", *(cells[column] for column in head[1:])))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _value(value: object) -> str:
    """A value as YAML has it; nothing for an empty text, which is the same as no value."""
    if value is None or value == "":
        return ""
    return f"`{'true' if value is True else 'false' if value is False else value}`"


def _examples() -> dict[str, Any]:
    (job,) = yaml.safe_load(EVERY_INPUT.read_text("utf-8"))["jobs"].values()
    found: dict[str, Any] = job["with"]
    return found


PAGES = {"reference/command-line.md": command_line, "reference/findings.md": findings}


def made() -> Iterator[tuple[Path, str]]:
    """Every page that is made, or may have parts that are, with the text that it should have."""
    for name, make in PAGES.items():
        yield DOCS / name, make()
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        yield page, with_parts(page.read_text("utf-8"))


def main(argv: list[str]) -> int:
    """Answers 1 where ``--check`` finds a page that is not what the code says now."""
    stale = []
    for page, text in made():
        if not page.exists() or page.read_text("utf-8") != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if "--check" not in argv:
                page.parent.mkdir(parents=True, exist_ok=True)
                page.write_text(text, "utf-8", newline="\n")
    for name in stale:
        sys.stdout.write(f"{name} {'is stale: run nox -s docs' if '--check' in argv else 'is written anew'}\n")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
