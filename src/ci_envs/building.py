"""The build stage: keep what is whole and unchanged, else build (``assembling.py``).

A new environment is built at its own path, since scripts carry that path; the old one stands aside meanwhile and
comes back when the build fails. The seal is written last: an environment without one is a build that was ended, and
the next run begins by removing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs import __version__, cache, seal, sources
from ci_envs.decoding import decode
from ci_envs.environ import leg_variables
from ci_envs.environments.host import HostEnvironment
from ci_envs.environments.scheme import SHELL_NAME
from ci_envs.errors import BuildError, CheckError
from ci_envs.layout import Layout, move, remove_tree
from ci_envs.model.closure import Closure
from ci_envs.model.image import ImageFacts
from ci_envs.model.inventory import Inventory
from ci_envs.model.leg import STORED
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.content import HashCache
    from ci_envs.environments import Environment
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

#: How many changed files a finding names.
_NAMED = 5

__all__ = [
    "Built",
    "build",
    "build_inputs",
    "built_environment",
    "changed_since_built",
    "facts_of",
    "forget_bytecode",
    "host",
]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a finished environment: what a seal tells a later run beside the files."""

    digest: str
    bytes: int
    files: int
    inventory: Inventory
    #: What is installed beside the lock: seeds, and the project itself.
    seeds: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    #: What scripts of packages have made, which were allowed to.
    made: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    tools: dict[str, str] = {}
    #: The image that is in a prefix's place.
    image: ImageFacts | None = None
    #: What a nix shell in that image needs of the store.
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that is whole, and what is known of it."""

    environment: Environment
    facts: Facts
    inputs: dict[str, str]
    #: Whether it stood there already, and the sentence that says why it was kept or built.
    kept: bool
    why: str
    #: Where it lies on this machine; ``None`` for an image.
    prefix: Path | None = None

    @property
    def closure(self) -> Closure | None:
        """What a nix shell needs of the store; ``None`` for anything else."""
        if self.prefix is None:
            return self.facts.closure
        if not (self.prefix / SHELL_NAME).is_file():
            return None
        from ci_envs.environments.nix_shell import read_closure

        return read_closure(self.prefix)

    @property
    def inventory(self) -> Inventory:
        """What is installed."""
        return self.facts.inventory


def build(pattern: Pattern, order: Order, lock: Lock, work: Work) -> Built:
    """The leg's environment. :class:`BuildError` where it cannot be built or its files are not the wheels'."""
    if pattern.contained:
        from ci_envs.containers.building import build_image_of  # the engine's interface takes its time to import

        return build_image_of(pattern, order, lock, work)
    inputs = build_inputs(order.leg, lock, work)
    prefix, aside = work.prefix, work.layout.aside(order.leg.id)
    _recover(prefix, aside)
    why, facts = ("asked for anew", None) if order.fresh else _judged(order, prefix, inputs)
    if facts is not None:
        work.findings += facts.findings
        work.tools |= facts.tools
        kept = "kept: nothing it depends on has changed"
        return Built(_environment(order, work.layout, facts), facts, inputs, kept=True, why=kept, prefix=prefix)
    if not order.repair:
        raise CheckError(
            f"{order.leg.id} is not as it was built: {why}", hint=f"build it again with: {order.reproduce}"
        )
    from ci_envs.assembling import assemble  # a kept environment needs none of it

    work.begins()
    cache.usable_folder(cache.cache_root(work.environ))
    _stand_aside(prefix, aside)
    try:
        facts = assemble(pattern, order, lock, work, inputs)
    except BaseException:
        remove_tree(prefix)
        if aside.exists():
            move(aside, prefix)
        raise
    remove_tree(aside)
    forget_bytecode(work.layout, order.leg, facts.digest)
    environment = _environment(order, work.layout, facts)
    return Built(environment, facts, inputs, kept=False, why=f"built: {why}", prefix=prefix)


def _stand_aside(prefix: Path, aside: Path) -> None:
    """Moves the old environment away, or removes what was never whole: nobody would want that back."""
    if seal.read_seal(prefix) is None:
        remove_tree(prefix)
    else:
        move(prefix, aside)


def _recover(prefix: Path, aside: Path) -> None:
    """Puts right what a killed build left: a half environment goes, the one that stood aside comes back."""
    if not aside.exists():
        return
    if seal.read_seal(prefix) is not None:
        remove_tree(aside)
        return
    remove_tree(prefix)
    move(aside, prefix)


def forget_bytecode(layout: Layout, leg: Leg, content_digest: str) -> None:
    """Bytecode of environments that are gone."""
    now = layout.bytecode(leg.id, content_digest)
    for path in now.parent.glob("*"):
        if path != now:
            remove_tree(path)


def changed_since_built(built: Built) -> tuple[Finding, ...]:
    """ENV120, a warning, where what ran inside has changed files of the environment.

    Nothing is undone: the next run sees the same and builds anew. What ran in a container has changed no image.
    """
    prefix = built.prefix
    if prefix is None:
        return ()
    found = seal.read_seal(prefix)
    changed = ["the seal"] if found is None else seal.intact(prefix, found)
    if not changed:
        return ()
    from ci_envs.model.content import shown

    rest = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    message = f"what ran inside changed {', '.join(map(shown, changed[:_NAMED]))}{rest}; the next run builds it anew"
    return (Finding(code="ENV120", severity="warning", title="environment was changed", message=message),)


def built_environment(layout: Layout, leg: Leg, environ: Mapping[str, str]) -> Environment:
    """The environment that a leg's last run left; :class:`BuildError` where there is no whole one."""
    if layout.image(leg.id).is_file():
        from ci_envs.containers.building import kept_environment

        return kept_environment(layout, leg, environ)
    found = seal.read_seal(layout.prefix(leg.id))
    if found is None:
        raise BuildError(f"there is no environment of {leg.id}", hint=f"build it with: ci-envs run --only {leg.id!r}")
    return host(layout, leg, environ, found.facts.digests.get("environment", ""), None)


def build_inputs(leg: Leg, lock: Lock, work: Work) -> dict[str, str]:
    """Everything that a build depends on, by a name that a person understands: a change of it is why one builds."""
    config = work.config
    own = {
        "uv": config.uv,
        **dict.fromkeys(("venv", "virtualenv"), config.venv),
        "nix": config.nix,
        "guix": config.guix,
    }
    settings = {"pattern": own.get(leg.pattern, config.conda), "project": config.install_project}
    chosen = [work.selection.groups, work.selection.extras, work.selection.files]
    return {
        "ci-envs": __version__,
        "pattern": leg.pattern,
        "lock": lock.digest,
        "lock file": f"{' '.join(lock.files)} {lock.sha256}",
        "groups": msgspec.json.encode(chosen).decode(),
        "interpreter": f"{work.interpreter.version} {work.interpreter.executable}",
        "settings": msgspec.json.encode(settings).decode(),
        "variables": msgspec.json.encode(work.selection.variables, order="sorted").decode(),
        "folder": str(work.prefix),
        # What an expression of nix's or guix's reads of the project only evaluating it can tell.
        "sources": sources.fingerprint(work.project.root) if work.installs_project or leg.pattern in STORED else "",
        "inputs": _folders_of_nix(work) if leg.pattern == "nix" else "",
    }


def _folders_of_nix(work: Work) -> str:
    from ci_envs.nix.described import inputs_state  # no other pattern needs any of it

    return inputs_state(work.config.nix, work.project.root)


def _judged(order: Order, prefix: Path, inputs: dict[str, str]) -> tuple[str, Facts | None]:
    """Why an environment has to be built, or what is known of the one that is there and that would be built again."""
    if not prefix.exists():
        return "it was not there", None
    found = seal.read_seal(prefix)
    facts = facts_of(found) if found else None
    if found is None or facts is None:
        return "the last build did not finish", None
    changed = [name for name, value in inputs.items() if found.facts.inputs.get(name) != value]
    if changed:
        return f"{' and '.join(changed)} changed", None
    why = _altered(order, prefix, found)
    return why, None if why else facts


def _altered(order: Order, prefix: Path, found: seal.Seal) -> str:
    """What is not as it was sealed; empty where all is, as far as the order has it looked at."""
    altered = seal.intact(prefix, found)
    if altered:
        more = f", and {len(altered) - 1} more files" if len(altered) > 1 else ""
        return f"{altered[0]} was altered{more}"
    if (prefix / SHELL_NAME).is_file():
        from ci_envs.environments.nix_shell import why_unfit

        if why := why_unfit(prefix, order.environ):
            return why
    if order.deep:
        from ci_envs.assembling import altered_content

        return altered_content(order, prefix)
    return ""


def facts_of(found: seal.Seal) -> Facts | None:
    """What a seal tells; nothing where it was written by another version."""
    try:
        return decode(found.facts.extra.get("facts", ""), Facts)
    except msgspec.DecodeError:
        return None


def _environment(order: Order, layout: Layout, facts: Facts) -> HostEnvironment:
    return host(layout, order.leg, order.environ, facts.digest, order.hashes)


def host(
    layout: Layout, leg: Leg, environ: Mapping[str, str], content_digest: str, hashes: HashCache | None
) -> HostEnvironment:
    """The environment at a leg's prefix; bytecode of what runs inside is kept apart, by the content's digest."""
    return HostEnvironment(
        layout.prefix(leg.id),
        caller=environ,
        variables={"CI_ENVS_LEG": leg.id, **leg_variables(leg.variables)},
        bytecode=layout.bytecode(leg.id, content_digest),
        temp=layout.temp(leg.id),
        hashes=hashes,
    )
