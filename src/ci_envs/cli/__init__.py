"""argv -> verb -> exit code. One module a verb, imported when the verb is called and not before."""

from __future__ import annotations

import importlib

import click

from ci_envs import __version__

__all__ = ["main_group"]

#: Every verb and the line that ``--help`` shows for it. The help line lives here, and not in the verb's module,
#: so that ``ci-envs --help`` imports none of them; a test compares.
VERBS: dict[str, str] = {
    "detect": "Which patterns this project describes, and by what evidence.",
    "doctor": "Which patterns this machine can build, and what is missing for the others.",
    "init": "Begin with a pattern: write its first files from the project's requirements.",
    "plan": "The legs of a matrix, and nothing done.",
    "lock": "Make or renew lock files; --check says whether they are in sync.",
    "run": "Lock, build, check and test every leg of a matrix.",
    "exec": "Run a command inside a built environment.",
    "check": "Only the health check of a built environment.",
    "diff": "What differs between two records, for a person.",
    "report": "Merge records: terminal, Markdown, JSON.",
    "verify": "Build twice, compare digests, list what differs.",
    "export": "Write a built environment for other tools: conda's as environment.yml, nix's as an OCI image.",
    "clean": "Remove what ci-envs made in this project.",
    "schema": "The JSON schemas.",
}


class _Verbs(click.Group):
    """Looks a verb up by name in its own module: ``ci_envs.cli.<verb>.command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}_verb", __name__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from ci_envs.nearest import nearest  # only on the way to an error

            ctx.fail(f"there is no verb {args[0]!r}{nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ci-envs", message="%(prog)s %(version)s")
def main_group() -> None:
    """Proves that a project's Python environments can be rebuilt."""
