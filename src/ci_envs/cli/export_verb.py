"""``ci-envs export``: a built conda leg in the files that conda's own commands read, a nix leg as an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.asking import Asked, order_for
from ci_envs.cli.options import common
from ci_envs.errors import BuildError, UsageError
from ci_envs.model.leg import CONTAINED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.conda.exporting import Form
    from ci_envs.model.record import RunRecord
    from ci_envs.order import Order

__all__ = ["command"]


@click.command("export")
@click.argument("leg", metavar="LEG")
@click.option("--from-history", is_flag=True, help="What was asked for, and nothing that only depends on it.")
@click.option("--explicit", is_flag=True, help="Addresses with hashes: for `conda create --file`.")
@click.option("--no-builds", is_flag=True, help="Versions without builds: for other platforms.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=None, help="Write to this file.", metavar="FILE"
)
@click.option("--to", default=None, help="oci:FILE, docker:NAME or registry:NAME.", metavar="PLACE")
@click.option("--entry", default="", help="What the image's containers always run.", metavar="COMMAND")
@click.option("--max-layers", type=click.IntRange(2, 127), default=None, help="Of the image.  [default: 100]")
@click.option("--offline", is_flag=True, help="Use caches only.")
@click.option("--matrix", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The leg's matrix.")
@common
def command(
    *,
    leg: str,
    from_history: bool,
    explicit: bool,
    no_builds: bool,
    output: Path | None,
    to: str | None,
    entry: str,
    max_layers: int | None,
    offline: bool,
    matrix: Path | None,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Write a built environment for other tools: conda's as environment.yml, nix's as an OCI image.

    conda, without a flag: every package with version and build, as `conda env export` does. nix, with --to: the
    closure in layers, in a file, in a container engine, or by that in a registry.
    """
    from ci_envs.record_files import find_record

    console.configure(quiet=quiet or as_json, verbose=verbose)
    form = _form(from_history=from_history, explicit=explicit, no_builds=no_builds)
    order = order_for(Asked(root=project, matrix=matrix, offline=offline), leg)
    record = find_record(order.layout.record(order.leg.id))
    image = {"--to": to is not None, "--entry": bool(entry), "--max-layers": max_layers is not None}
    text = {f"--{form}": form != "full", "--output": output is not None}
    _refuse_unfit(order, image=_given(image), text=_given(text))
    if record is None:
        raise BuildError(f"{order.leg.id} was not built", hint=f"build it with: {order.reproduce}")
    if to is not None:
        return _image(order, record, to, entry, max_layers or 0, as_json=as_json)
    return _text(order, record, form, output, as_json=as_json)


def _given(flags: Mapping[str, bool]) -> str:
    """The first flag of these that was given; empty where none was."""
    return next((flag for flag, given in flags.items() if given), "")


def _refuse_unfit(order: Order, *, image: str, text: str) -> None:
    """What one kind of leg is exported as, another is not; ``image`` and ``text`` are flags that were given."""
    made_by = f"{order.leg.id} is made by {order.leg.pattern}"
    if image and text:
        raise UsageError(f"{image} is for images and {text} for conda's files: choose one")
    if order.leg.pattern == "nix" and (text or image != "--to"):
        flag = f", and {text} is for conda's files" if text else ": say where its image goes"
        raise UsageError(f"{made_by}{flag}", hint="add --to oci:FILE, --to docker:NAME or --to registry:NAME")
    if image and order.leg.pattern != "nix":
        raise UsageError(f"{made_by}, and {image} is for shells of nix's, which become images", hint=_hint(order))


def _hint(order: Order) -> str:
    if order.leg.pattern in CONTAINED:
        return "its image is in the engine already: `docker tag` gives it another name, `docker push` takes it further"
    return (
        f"pattern docker makes an image of such a leg's lock: ci-envs run --pattern docker --python {order.leg.python}"
    )


def _image(order: Order, record: RunRecord, to: str, entry: str, most: int, *, as_json: bool) -> int:
    from ci_envs.commandline import split
    from ci_envs.nix.exporting import export_image, parse_target
    from ci_envs.nix.image_plan import ImageOptions

    target = parse_target(to)
    options = ImageOptions(entry=tuple(split(entry, "--entry")) if entry else (), most=most)
    exported = export_image(order, record, target, options)
    for note in exported.notes:
        console.show_note(note)
    if as_json:
        console.show_json(exported)
    else:
        console.show_text(f"{order.leg.id}: {exported.sentence}")
    return 0


def _text(order: Order, record: RunRecord, form: Form, output: Path | None, *, as_json: bool) -> int:
    from ci_envs.conda.exporting import export
    from ci_envs.project import Project

    text = export(record, Project(order.project_folder, order.leg.project), order.config, form)
    if output is not None:
        _write(output, text)
        console.show_note(f"{order.leg.id}: written to {output}")
    if as_json:
        console.show_json({"leg": order.leg.id, "form": form, "text": text})
    elif output is None:
        console.show_text(text.rstrip("\n"))
    return 0


def _write(output: Path, text: str) -> None:
    from ci_envs.layout import write_atomically

    try:
        write_atomically(output.absolute(), text.encode())
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error


def _form(*, from_history: bool, explicit: bool, no_builds: bool) -> Form:
    if from_history + explicit + no_builds > 1:
        raise UsageError("--from-history, --explicit and --no-builds are three forms: choose one")
    return "from-history" if from_history else "explicit" if explicit else "no-builds" if no_builds else "full"
