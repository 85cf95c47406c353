"""Every top-level module of the direct dependencies imports, each in a process of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from ci_envs.checks.requires import needed
from ci_envs.decoding import decode
from ci_envs.durations import seconds
from ci_envs.endings import crashed, how_it_ended
from ci_envs.model.record import Finding
from ci_envs.plain import one_line
from ci_envs.resources import probe_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.checks import Context
    from ci_envs.command import Outcome
    from ci_envs.model.inventory import Distribution, Inventory

__all__ = ["DirectDependenciesImport", "modules_to_import"]

#: What is shown of an error: numpy's for a missing library fills a screen.
_SHOWN = 400


class _Answer(msgspec.Struct):
    """What the probe says of one import."""

    ok: bool
    error: str = ""


class DirectDependenciesImport:
    """A crash or a hang of one import is a finding and not the end: nobody shares its process."""

    code = "ENV301"
    title = "does not import"
    advice = "`ci-envs exec {leg} -- python -c 'import MODULE'` shows all of it; check.skip-imports leaves one out"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV301 where an import raises, ENV302 where it takes too long, ENV303 where it ends its interpreter.

        ENV304 is a warning: a module beside the one that its distribution is named after wants something that is
        not there, as black's ``blackd`` does without the extra ``d``.
        """
        wanted = modules_to_import(context)
        with ThreadPoolExecutor(max_workers=max(1, context.workers)) as pool:
            outcomes = list(pool.map(lambda module: _import(context, module), wanted))
        whole = {wanted[module] for module, outcome in zip(wanted, outcomes, strict=True) if outcome}
        for (module, distribution), outcome in zip(wanted.items(), outcomes, strict=True):
            _append(context.log, outcome)
            finding = _judge(module if module == distribution else f"{module} (of {distribution})", outcome)
            if (
                finding is not None
                and distribution in whole - context.own
                and _is_optional(module, distribution, outcome)
            ):
                finding = msgspec.structs.replace(
                    finding, code="ENV304", severity="warning", title="an extra's module does not import"
                )
            if finding is not None:
                yield finding
        context.left_out.extend(
            f"imports: the modules of {d.name}, an editable install, which lists none"
            for d in context.inventory.distributions
            if d.name in context.own and d.editable and not d.modules
        )


def modules_to_import(context: Context) -> dict[str, str]:
    """Module -> the distribution that brings it: of the direct dependencies, of the project itself, and configured."""
    direct = _direct(context)
    wanted = {
        module: distribution.name
        for distribution in context.inventory.distributions
        if distribution.manager == "python" and distribution.name in direct
        for module in _meant_to_be_imported(distribution)
    }
    skipped = set(_skipped(wanted, context.config.skip_imports))
    kept = {module: name for module, name in wanted.items() if module not in skipped}
    return kept | dict.fromkeys(context.config.imports, "check.imports")


def _direct(context: Context) -> set[str]:
    """What a person asked for; where only the project's build knows, its metadata tells."""
    told = {
        name
        for distribution in context.inventory.distributions
        if distribution.name in context.own
        for name in _required(distribution, context.inventory.interpreter.markers)
    }
    named = {requirement.name for requirement in context.lock.direct if requirement.dialect != "conda"}
    if not named and {"nix", "guix"} & {*context.lock.covers}:
        named = _unasked(context.inventory)
    return named | _brought(context) | context.own | told


def _unasked(inventory: Inventory) -> set[str]:
    """What no other distribution requires: where only an expression says what is wanted, that is what it names."""
    python = [each for each in inventory.distributions if each.manager == "python"]
    required = {name for each in python for name in _required(each, inventory.interpreter.markers)}
    return {each.name for each in python} - required


def _brought(context: Context) -> set[str]:
    """The distributions of the conda packages that a person asked for: pytorch brings torch, zlib none."""
    asked = {requirement.name for requirement in context.lock.direct if requirement.dialect == "conda"}
    return {
        name
        for distribution in context.inventory.distributions
        if distribution.manager == "conda" and distribution.name in asked
        for name in distribution.brings
    }


def _required(distribution: Distribution, markers: dict[str, str]) -> Iterator[str]:
    from packaging.utils import canonicalize_name

    for line in distribution.requires:
        try:
            requirement = needed(line, markers)
        except ValueError:  # ENV201 tells of it
            continue
        if requirement is not None:
            yield canonicalize_name(requirement.name)


def _meant_to_be_imported(distribution: Distribution) -> tuple[str, ...]:
    """A name that begins with an underscore is its distribution's own business, unless there is no other."""
    public = tuple(
        module for module in distribution.modules if not any(part.startswith("_") for part in module.split("."))
    )
    return public or distribution.modules


def _skipped(wanted: dict[str, str], skip: tuple[str, ...]) -> Iterator[str]:
    """``skip-imports`` names modules, what is below them, or whole distributions however they are spelt."""
    from packaging.utils import canonicalize_name

    for module, distribution in wanted.items():
        for name in skip:
            if f"{module}.".startswith(f"{name}.") or canonicalize_name(name) == distribution:
                yield module


def _is_optional(module: str, distribution: str, outcome: Outcome) -> bool:
    """Whether a module that did not import is one that only an extra makes whole."""
    answer = _answer(outcome)
    lacks = answer is not None and answer.error.startswith(("ModuleNotFoundError:", "ImportError:"))
    return lacks and not outcome.timed_out and module.replace("_", "-").lower() != distribution


def _import(context: Context, module: str) -> Outcome:
    return context.environment.run(
        [str(context.environment.python), "-s", "-", "import", module],
        timeout=seconds(context.config.timeout),
        stdin=probe_text(),
    )


def _append(log: Path, outcome: Outcome) -> None:
    """The log gets one import after the other: two that ran at once would share its lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"$ python -s - import {outcome.argv[-1]}\n{outcome.output}\n")


def _judge(named: str, outcome: Outcome) -> Finding | None:
    answer = _answer(outcome)
    if outcome.timed_out:
        return _finding("ENV302", "import hangs", f"import of {named} {how_it_ended(outcome)} (check.timeout)")
    if crashed(outcome) or answer is None or (answer.ok and not outcome):
        when = "after" if answer is not None and answer.ok else "during"
        said = f": {outcome.stderr.strip().splitlines()[-1]}" if outcome.stderr.strip() and not crashed(outcome) else ""
        message = f"the interpreter {how_it_ended(outcome)} {when} the import of {named}{one_line(said, _SHOWN)}"
        return _finding("ENV303", "import ends its interpreter", message)
    if not answer.ok:
        return _finding("ENV301", "does not import", f"import of {named} failed: {one_line(answer.error, _SHOWN)}")
    return None


def _answer(outcome: Outcome) -> _Answer | None:
    """What the probe said last; nothing where the module ended the process before it could."""
    try:
        return decode(outcome.last_line, _Answer)
    except msgspec.DecodeError:
        return None


def _finding(code: str, title: str, message: str) -> Finding:
    return Finding(code=code, severity="error", title=title, message=message)
