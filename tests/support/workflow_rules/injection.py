"""Requirements 3 and 9: text of others becomes neither code nor a variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.workflow_rules.scripts import commands
from tests.support.workflow_tables import EXPRESSION, Table, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflows import Repository

    Told = Iterator[tuple[str, int, str]]

__all__ = [
    "no_environment_file_is_written", "no_expression_decides_what_is_loaded", "no_expression_in_code",
    "no_insecure_commands",
]  # fmt: skip

#: Inputs of actions that are code: actions/github-script, docker/*, and those that run a command for their caller.
_CODE = frozenset(
    {"script", "run", "runcmd", "command", "commands", "args", "entrypoint", "inlinescript", "pre", "post"}
)

#: Variables that decide what a program loads before its first line.
_LOADED = frozenset(
    (
        *("BASH_ENV", "ENV", "PROMPT_COMMAND", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES"),
        *("NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"),
    )
)

#: The one value that is written without the helper, since no Python of ours is there yet: the path of its interpreter,
#: in a folder of the runner.
_BEFORE_PYTHON = ("actions/setup/private-venv.sh", 'printf \'python=%s\\n\' "$inside" >>"$GITHUB_OUTPUT"')


def no_expression_in_code(repository: Repository) -> Told:
    """None in ``run:``, ``shell:`` and inputs that are code, whichever context it reads."""
    for step in repository.steps:
        for key in ("run", "shell", "working-directory"):
            if EXPRESSION.search(step.table.text(key)):
                yield step.file, step.at(key), f"an expression is pasted into `{key}:`; hand it over in `env:`"
        for name, value in step.given.items():
            if name.lower() in _CODE and any(EXPRESSION.search(text) for text in texts(value)):
                yield step.file, step.given.at(name), f"an expression is pasted into {name}, which is run"


def no_expression_decides_what_is_loaded(repository: Repository) -> Told:
    """No variable of :data:`_LOADED` has a value that is not written down."""
    scopes = [(workflow.file, workflow.table.sub("env")) for workflow in repository.workflows.values()]
    scopes += [(job.file, job.table.sub("env")) for job in repository.jobs]
    scopes += [(step.file, step.env) for step in repository.steps]
    for file, env in scopes:
        yield from _loaded(file, env)


def _loaded(file: str, env: Table) -> Told:
    for name, value in env.items():
        if name.upper() in _LOADED and EXPRESSION.search(value):
            yield file, env.at(name), f"an expression decides {name}, and so what is loaded"


def no_environment_file_is_written(repository: Repository) -> Told:
    """``GITHUB_ENV``, ``GITHUB_PATH`` and ``GITHUB_OUTPUT`` are written by ``ci_envs.github.step_files`` alone."""
    for file, line, text in commands(repository):
        written = re.search(r"GITHUB_(ENV|PATH|OUTPUT|STATE)\b", text)
        if written and (file, text.strip()) != _BEFORE_PYTHON:
            yield file, line, f"{written[0]} is written by hand: a line end in a value sets another variable"


def no_insecure_commands(repository: Repository) -> Told:
    """None of the workflow commands that GitHub has turned off, and nothing that turns them on."""
    for file, line, text in commands(repository):
        if found := re.search(r"::(set-env|add-path|set-output|save-state)\b", text):
            yield file, line, f"{found[0]} is taken from whatever a step prints"
    for path, whole in repository.files.items():
        for number, written in enumerate(whole.splitlines(), 1):
            if "ACTIONS_ALLOW_UNSECURE_COMMANDS" in written:
                yield path, number, "commands that anything can print are turned on"
