"""Writes the reference pages that are made from the code; ``--check`` only compares. Run by ``nox -s docs``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ci_envs.cli import VERBS, main_group
from ci_envs.codes import CODES

DOCS = Path(__file__).parent
WIDTH = 100


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


PAGES = {"reference/command-line.md": command_line, "reference/findings.md": findings}


def main(argv: list[str]) -> int:
    """Answers 1 where ``--check`` finds a page that is not what the code says now."""
    stale = []
    for name, make in PAGES.items():
        page, text = DOCS / name, make()
        if not page.exists() or page.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in argv:
                page.parent.mkdir(parents=True, exist_ok=True)
                page.write_text(text, "utf-8", newline="\n")
    for name in stale:
        sys.stdout.write(f"docs/{name} {'is stale: run nox -s docs' if '--check' in argv else 'is written anew'}\n")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
