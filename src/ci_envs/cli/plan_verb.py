"""``ci-envs plan``: the legs of a matrix, and nothing done."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from ci_envs import console
from ci_envs.cli.options import common, matrix_argument, selection
from ci_envs.cli.plan_showing import explain_legs, show_plan
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.github.runner import acting
from ci_envs.model.matrix import Strategy
from ci_envs.plan_making import TIERS, Wanted, make_plan
from ci_envs.planning.shards import SHARD_LEGS, github_matrices, github_matrix, refuse_too_many
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.plan import Plan, PlannedLeg
    from ci_envs.plan_making import Made

__all__ = ["command"]

#: Above it, JSON is written as it is made and without indentation, and a person gets ids instead of a table.
MANY_LEGS = 512


@click.command("plan")
@matrix_argument
@selection
@click.option(
    "--tier",
    type=click.Choice(TIERS),
    default="all",
    show_default=True,
    help="Which matrix, where none is named: matrices/TIER.yml, else the default one; auto goes by the event.",
)
@click.option(
    "--strategy",
    type=click.Choice(get_args(Strategy)),
    default=None,
    help="Every combination, every pair of values, or every pair of the ends of axes.  [default: the matrix's]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    help="envs:all, envs:conda, envs:py313, envs:skip: as labels of a pull request choose legs.",
)
@click.option("--changed-only", is_flag=True, help="Leave legs out of whose project no file has changed.")
@click.option("--base", default="", metavar="REV", help="What --changed-only compares with.  [default: by the event]")
@click.option("--runs-on", default="", metavar="JSON", help='Runners: {"linux-aarch64": "my-runner"}.')
@click.option("--timeout-minutes", type=click.IntRange(0, 7200), default=0, help="Of legs whose matrix says none.")
@click.option(
    "--max-legs",
    type=click.IntRange(min=1),
    default=SHARD_LEGS,
    show_default=True,
    help="The most legs of one shard.",
)
@click.option("--artifact-name", default="ci-envs", show_default=True, help="What names of artifacts begin with.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the whole plan there as JSON, too."
)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="Read a plan that --output wrote, and make none."
)
@click.option("--shard", type=click.IntRange(min=0), default=None, help="Only this shard of the plan, from 0.")
@click.option("--github", "as_github", is_flag=True, help="Print strategy.matrix as JSON, a line for each shard.")
@click.option("--gitlab", "form", flag_value="gitlab", help="Print a child pipeline of GitLab CI/CD: a job a leg.")
@click.option("--shell", "form", flag_value="shell", help="Print a script: every leg after the other, then the report.")
@click.option("--explain", is_flag=True, help="Say where each value of a leg's configuration comes from.")
@click.option("--cache-suffix", default="", help="Put behind every cache key.")
@common
def command(
    *,
    matrix: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    tier: str,
    strategy: Strategy | None,
    labels: tuple[str, ...],
    changed_only: bool,
    base: str,
    runs_on: str,
    timeout_minutes: int,
    max_legs: int,
    artifact_name: str,
    output: Path | None,
    source: Path | None,
    shard: int | None,
    as_github: bool,
    form: str | None,
    explain: bool,
    cache_suffix: str,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """The legs of a matrix, and nothing done.

    MATRIX is a file, by default matrices/default.yml of the project, else what `ci-envs detect` finds.
    """
    console.configure(quiet=quiet, verbose=verbose)
    _refuse_contradictions(as_github=as_github, as_json=as_json, explain=explain, max_legs=max_legs)
    if form and (as_github or as_json or explain):
        raise UsageError(f"--{form} stands alone: it cannot be combined with --github, --json or --explain")
    _refuse_alone("--shard", "--from", given=shard is not None, beside=source is not None)
    _refuse_alone("--base", "--changed-only", given=bool(base), beside=changed_only)
    if source is not None:
        _refuse_beside_source(
            matrix=matrix,
            only=only,
            skip=skip,
            strategy=strategy,
            label=labels,
            changed_only=changed_only,
            runs_on=runs_on,
            output=output,
        )
        return _show_read(source, shard, form, as_github=as_github, as_json=as_json)
    made = make_plan(
        Wanted(
            root=project,
            matrix=matrix,
            tier=tier,
            strategy=strategy,
            labels=labels,
            only=only,
            skip=skip,
            changed_only=changed_only,
            base=base,
            runs_on=runs_on,
            timeout_minutes=timeout_minutes,
            max_legs=max_legs,
            artifact=artifact_name,
            cache_suffix=_suffix(cache_suffix),
        )
    )
    for note in made.notes:
        console.show_note(f"note: {note}")
    if acting() == "plan":
        return _leave(made, output)
    if output is not None:
        _write(made, output)
    if form:
        return _show_as(form, made.plan)
    if not made.cells:
        raise NothingToDo(
            f"no leg is left to run: {made.head.reason}", hint="without filters, `ci-envs plan` lists them"
        )
    if explain:
        return explain_legs(Project(project), made.matrix, made.cells, as_json=as_json)
    return _print(made, as_github=as_github, as_json=as_json)


def _print(made: Made, *, as_github: bool, as_json: bool) -> None:
    if as_github:
        refuse_too_many(len(made.cells), made.size)  # before so many are made
        console.show_text("\n".join(github_matrices(list(made.legs), made.size)))
    elif as_json and len(made.cells) > MANY_LEGS:
        console.show_chunks(made.chunks)
    elif as_json:
        console.show_json(made.plan)
    else:
        _show(made.head, made.legs, len(made.cells), made.ids)


def _refuse_contradictions(*, as_github: bool, as_json: bool, explain: bool, max_legs: int) -> None:
    if as_github and (as_json or explain):
        raise UsageError("--github stands alone: it cannot be combined with --json or --explain")
    if (as_github or acting() == "plan") and max_legs > SHARD_LEGS:
        raise UsageError(f"a strategy.matrix makes at most {SHARD_LEGS} jobs, so --max-legs cannot be {max_legs}")


def _refuse_alone(name: str, needed: str, *, given: bool, beside: bool) -> None:
    if given and not beside:
        raise UsageError(f"{name} goes with {needed}")


def _refuse_beside_source(**given: object) -> None:
    for name, value in given.items():
        if value:
            flag = name if name == "matrix" else f"--{name.replace('_', '-')}"
            raise UsageError(f"--from reads a plan that was made: {flag} cannot change it")


def _suffix(text: str) -> str:
    # A cache key must not hold a comma, and becomes part of a file's name where it is stored.
    if len(text) > 100 or not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in text):
        raise UsageError(f"--cache-suffix {text!r}: use at most 100 letters, digits, '.', '_' and '-'")
    return text


def _write(made: Made, path: Path) -> None:
    from ci_envs.layout import write_atomically

    try:
        write_atomically(path, b"".join(made.chunks))
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror}") from error


def _leave(made: Made, output: Path | None) -> None:
    """For the job of ``actions/plan``: its files, its outputs, and the table in its log."""
    from ci_envs.action.planning import leave_plan, plan_file

    path = output or plan_file(made.head.artifact)
    plan = made.plan
    _write(made, path)
    leave_plan(plan, path, notes=made.notes, command=shlex.join(made.again))
    # Thousands of ids would bury the rest of the log; the plan's artifact has them.
    show_plan(plan, plan.legs if len(plan.legs) <= MANY_LEGS else (), len(plan.legs))


def _show(head: Plan, legs: Iterable[PlannedLeg], count: int, ids: Iterable[str]) -> None:
    if count > MANY_LEGS:
        console.show_text("\n".join(ids))
    show_plan(head, legs if count <= MANY_LEGS else (), count)


def _show_as(form: str, plan: Plan) -> None:
    """For another CI system. Where no leg is left, the report alone is, which says why."""
    from ci_envs.matrices import platforms
    from ci_envs.pipelines.gitlab import gitlab_pipeline, gitlab_runners
    from ci_envs.pipelines.shell import shell_script

    text = gitlab_pipeline(plan, platforms(), gitlab_runners()) if form == "gitlab" else shell_script(plan)
    console.show_chunks([text.encode()])  # byte for byte: another program reads it


def _show_read(source: Path, shard: int | None, form: str | None, *, as_github: bool, as_json: bool) -> None:
    from ci_envs.plan_files import read_plan

    plan = read_plan(source)
    legs: tuple[PlannedLeg, ...] = plan.legs
    if shard is not None:
        if shard >= len(plan.shards):
            raise UsageError(f"there is no shard {shard}: the plan has {len(plan.shards)}, from 0")
        wanted = set(plan.shards[shard])
        legs = tuple(leg for leg in plan.legs if leg.id in wanted)
    if form:
        return _show_as(form, _shard_of(plan, shard, legs))
    if acting() == "shard":
        from ci_envs.action.planning import leave_shard

        return leave_shard(legs)
    if as_github:
        texts = github_matrices(legs) if shard is None else [github_matrix(legs)]
        return console.show_text("\n".join(texts))
    if as_json:
        return console.show_json(_shard_of(plan, shard, legs))
    return _show(plan, legs, len(legs), [leg.id for leg in legs])


def _shard_of(plan: Plan, shard: int | None, legs: tuple[PlannedLeg, ...]) -> Plan:
    import msgspec

    return plan if shard is None else msgspec.structs.replace(plan, legs=legs, shards=(plan.shards[shard],))
