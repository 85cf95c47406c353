"""The build stage: keep what is whole and unchanged, else build, compare every file, seal.

A new environment is built at its own path, since scripts carry that path; the old one stands aside meanwhile and
comes back when the build fails. The seal is written last: an environment without one is a build that was ended, and
the next run begins by removing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs import __version__, attest, cache, digest, seal, sources
from ci_envs.content import read_content
from ci_envs.environ import leg_variables
from ci_envs.environments.host import HostEnvironment
from ci_envs.errors import BuildError, CheckError
from ci_envs.layout import Layout, remove_tree
from ci_envs.model.content import shown
from ci_envs.model.inventory import Inventory
from ci_envs.model.record import Finding
from ci_envs.patterns.installing import clean_cache, uv
from ci_envs.record_check import verify_records
from ci_envs.tools import uv_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.content import Content, HashCache
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock, Pin
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

_ALTERED_CACHE = "ENV119"

#: How many changed files a finding names.
_NAMED = 5

__all__ = ["Built", "build", "build_inputs", "built_environment", "changed_since_built", "read_digest"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a seal tells a later run beside the files."""

    digest: str
    bytes: int
    files: int
    inventory: Inventory
    #: What is installed beside the lock: seeds, and the project itself.
    seeds: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    tools: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that is whole, and what is known of it."""

    environment: HostEnvironment
    facts: Facts
    inputs: dict[str, str]
    #: Whether it stood there already, and the sentence that says why it was kept or built.
    kept: bool
    why: str

    @property
    def inventory(self) -> Inventory:
        """What is installed."""
        return self.facts.inventory


def build(pattern: Pattern, order: Order, lock: Lock, work: Work) -> Built:
    """The leg's environment. :class:`BuildError` where it cannot be built or its files are not the wheels'."""
    inputs = build_inputs(order.leg, lock, work)
    prefix, aside = work.prefix, work.layout.aside(order.leg.id)
    _recover(prefix, aside)
    why = "asked for anew" if order.fresh else _why_not_kept(order, prefix, inputs)
    if not why:
        return _kept(order, prefix, inputs, work)
    if not order.repair:
        raise CheckError(
            f"{order.leg.id} is not as it was built: {why}", hint=f"build it again with: {order.reproduce}"
        )
    cache.usable_folder(cache.cache_root(work.environ))
    _stand_aside(prefix, aside)
    try:
        facts = _build_until_attested(pattern, order, lock, work, inputs)
    except BaseException:
        remove_tree(prefix)
        if aside.exists():
            aside.rename(prefix)
        raise
    remove_tree(aside)
    _forget_bytecode(work.layout, order.leg, facts.digest)
    return Built(_environment(order, work.layout, facts), facts, inputs, kept=False, why=f"built: {why}")


def _stand_aside(prefix: Path, aside: Path) -> None:
    """Moves the old environment away, or removes what was never whole: nobody would want that back."""
    if seal.read_seal(prefix) is None:
        remove_tree(prefix)
    else:
        prefix.rename(aside)


def _recover(prefix: Path, aside: Path) -> None:
    """Puts right what a killed build left: a half environment goes, the one that stood aside comes back."""
    if not aside.exists():
        return
    if seal.read_seal(prefix) is not None:
        remove_tree(aside)
        return
    remove_tree(prefix)
    aside.rename(prefix)


def _forget_bytecode(layout: Layout, leg: Leg, content_digest: str) -> None:
    """Bytecode of environments that are gone."""
    now = layout.bytecode(leg.id, content_digest)
    for path in now.parent.glob("*"):
        if path != now:
            remove_tree(path)


def changed_since_built(built: Built) -> tuple[Finding, ...]:
    """ENV120, a warning, where what ran inside has changed files of the environment.

    Nothing is undone: the next run sees the same and builds anew.
    """
    prefix = built.environment.prefix
    found = seal.read_seal(prefix)
    changed = ["the seal"] if found is None else seal.intact(prefix, found)
    if not changed:
        return ()
    rest = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    message = f"what ran inside changed {', '.join(map(shown, changed[:_NAMED]))}{rest}; the next run builds it anew"
    return (Finding(code="ENV120", severity="warning", title="environment was changed", message=message),)


def built_environment(layout: Layout, leg: Leg, environ: Mapping[str, str]) -> HostEnvironment:
    """The environment that a leg's last run left; :class:`BuildError` where there is no whole one."""
    found = seal.read_seal(layout.prefix(leg.id))
    if found is None:
        raise BuildError(f"there is no environment of {leg.id}", hint=f"build it with: ci-envs run --only {leg.id!r}")
    return _host(layout, leg, environ, found.facts.digests.get("environment", ""), None)


def build_inputs(leg: Leg, lock: Lock, work: Work) -> dict[str, str]:
    """Everything that a build depends on, by a name that a person understands: a change of it is why one builds."""
    settings = {"venv": work.config.venv, "uv": work.config.uv, "project": work.config.install_project}
    chosen = [work.selection.groups, work.selection.extras, work.selection.files]
    return {
        "ci-envs": f"{__version__}, digest rules {digest.RULES_VERSION}",
        "pattern": leg.pattern,
        "lock": lock.digest,
        "lock file": f"{' '.join(lock.files)} {lock.sha256}",
        "groups": msgspec.json.encode(chosen).decode(),
        "interpreter": f"{work.interpreter.version} {work.interpreter.executable}",
        "settings": msgspec.json.encode(settings).decode(),
        "folder": str(work.prefix),
        "sources": sources.fingerprint(work.project.root) if work.installs_project else "",
    }


def _why_not_kept(order: Order, prefix: Path, inputs: dict[str, str]) -> str:
    """Why an environment has to be built; empty where the one that is there is the one that would be."""
    if not prefix.exists():
        return "it was not there"
    found = seal.read_seal(prefix)
    if found is None or _facts(found) is None:
        return "the last build did not finish"
    changed = [name for name, value in inputs.items() if found.facts.inputs.get(name) != value]
    if changed:
        return f"{' and '.join(changed)} changed"
    altered = seal.intact(prefix, found)
    if altered:
        return f"{altered[0]} was altered" + (f", and {len(altered) - 1} more files" if len(altered) > 1 else "")
    if order.deep:
        content = read_content(prefix, cache=order.hashes)
        facts = _facts(found)
        if facts is not None and _digest(content, facts.seeds, facts.own).value != facts.digest:
            return next((f.message for f in verify_records(content) if f.severity == "error"), "its digest changed")
    return ""


def _kept(order: Order, prefix: Path, inputs: dict[str, str], work: Work) -> Built:
    found = seal.read_seal(prefix)
    facts = _facts(found) if found else None
    if facts is None:
        raise BuildError(f"the seal of {prefix} went away while it was read")
    work.findings += facts.findings
    work.tools |= facts.tools
    return Built(
        _environment(order, work.layout, facts), facts, inputs, kept=True, why="kept: nothing it depends on has changed"
    )


def _build_until_attested(pattern: Pattern, order: Order, lock: Lock, work: Work, inputs: dict[str, str]) -> Facts:
    """Builds; where the installer's cache gave altered files, has them fetched anew and builds once more."""
    before = len(work.findings)
    content, verdict, wrong = _build_once(pattern, order, lock, work)
    # Offline nothing could take the place of what the cache has.
    names = attest.to_refresh(content, verdict) if wrong and not work.policy.offline else ()
    if names:
        work.findings[before:] = [_altered_cache(names)]
        clean_cache(work, names)
        remove_tree(work.prefix)
        content, verdict, wrong = _build_once(pattern, order, lock, work)
    if wrong:
        raise BuildError("; ".join(f"{finding.code} {finding.message}" for finding in wrong[:3]))
    work.findings += [f for f in (*verify_records(content), *verdict.findings) if f.severity != "error"]
    return _sealed(order, work, content, inputs, _own(work, content, lock))


def _build_once(
    pattern: Pattern, order: Order, lock: Lock, work: Work
) -> tuple[Content, attest.Attestation, list[Finding]]:
    """One build with every file read: what is in it, what the ledger says, and what is wrong."""
    pattern.build(order.leg, lock, work)
    content = read_content(work.prefix, cache=order.hashes)
    verdict = _attested(content, lock, work)
    return content, verdict, [f for f in (*verify_records(content), *verdict.findings) if f.severity == "error"]


def _altered_cache(names: tuple[str, ...]) -> Finding:
    return Finding(
        code=_ALTERED_CACHE,
        severity="warning",
        title="cache was altered",
        message=f"the installer's cache gave altered files of {', '.join(names)}; they were fetched anew",
    )


def _attested(content: Content, lock: Lock, work: Work) -> attest.Attestation:
    """RECORD against the wheels that the lock names; what the ledger cannot tell is fetched past every cache."""
    folder, private = cache.uv_cache(work.environ)
    ledger = attest.Ledger(cache.cache_root(work.environ) / "wheels")
    verdict = attest.attest(content, lock.pins, ledger, trust_first=private)
    if not verdict.doubtful or work.policy.offline:
        return verdict
    lost = attest.fetch_reference(
        verdict.doubtful,
        ledger,
        run=lambda argv: uv(work, *argv[1:], env={"UV_CACHE_DIR": str(folder)}),
        python=work.prefix,
        folder=work.temp,
        uv=str(uv_program(work.environ)),
    )
    remove_references(work)
    again = attest.attest(content, lock.pins, ledger, trust_first=False)
    return _without(again, lost)


def _without(verdict: attest.Attestation, lost: tuple[Pin, ...]) -> attest.Attestation:
    """What has no wheel was built here from its sources, whose hash was checked; nothing else can attest it."""
    return attest.Attestation(
        matched=verdict.matched,
        altered=tuple(pin for pin in verdict.altered if pin not in lost),
        unknown=tuple(pin for pin in verdict.unknown if pin not in lost),
        unattested=(*verdict.unattested, *lost),
    )


def remove_references(work: Work) -> None:
    """Fresh references are compared and gone."""
    for path in work.temp.glob("reference-*"):
        remove_tree(path)


def _sealed(order: Order, work: Work, content: Content, inputs: dict[str, str], own: frozenset[str]) -> Facts:
    found = _digest(content, tuple(work.seeds), tuple(own))
    inventory = _host(work.layout, order.leg, order.environ, found.value, None).inventory()
    facts = Facts(
        digest=found.value,
        bytes=found.bytes,
        files=found.files,
        inventory=_with_seeds(inventory, work.seeds),
        seeds=tuple(sorted(work.seeds)),
        own=tuple(sorted(own)),
        # What befell this build is no news of a later run.
        findings=tuple(f for f in work.findings if f.code.startswith("ENV") and f.code != _ALTERED_CACHE),
        tools=dict(work.tools),
    )
    written = seal.Facts(
        inputs=inputs,
        digests={"environment": found.value},
        extra={"facts": msgspec.json.encode(facts).decode()},
    )
    seal.write_seal(work.prefix, content, written)
    return facts


def read_digest(prefix: Path) -> digest.Digest:
    """The digest of a sealed environment, taken of its bytes now."""
    found = seal.read_seal(prefix)
    facts = _facts(found) if found else None
    if facts is None:
        raise BuildError(f"there is no whole environment at {prefix}")
    return _digest(read_content(prefix), facts.seeds, facts.own)


def _with_seeds(inventory: Inventory, seeds: frozenset[str]) -> Inventory:
    marked = tuple(
        msgspec.structs.replace(found, seed=True) if found.name in seeds else found for found in inventory.distributions
    )
    return msgspec.structs.replace(inventory, distributions=marked)


def _facts(found: seal.Seal) -> Facts | None:
    try:
        return msgspec.json.decode(found.facts.extra.get("facts", ""), type=Facts)
    except msgspec.DecodeError:
        return None


def _digest(content: Content, seeds: tuple[str, ...], own: tuple[str, ...]) -> digest.Digest:
    return digest.environment_digest(content, seeds=frozenset(seeds), exclude=frozenset(own))


def _own(work: Work, content: Content, lock: Lock) -> frozenset[str]:
    """The project's own distribution: by its name, else what is there beside lock and seeds."""
    if not work.installs_project:
        return frozenset()
    if work.selection.project:
        return frozenset({work.selection.project})
    beside = {each.name for each in content.installed} - {pin.name for pin in lock.pins} - work.seeds
    return frozenset(beside) if len(beside) == 1 else frozenset()


def _environment(order: Order, layout: Layout, facts: Facts) -> HostEnvironment:
    return _host(layout, order.leg, order.environ, facts.digest, order.hashes)


def _host(
    layout: Layout, leg: Leg, environ: Mapping[str, str], content_digest: str, hashes: HashCache | None
) -> HostEnvironment:
    temp = layout.temp(leg.id)
    temp.mkdir(parents=True, exist_ok=True)
    return HostEnvironment(
        layout.prefix(leg.id),
        caller=environ,
        variables={"CI_ENVS_LEG": leg.id, **leg_variables(leg.variables)},
        bytecode=layout.bytecode(leg.id, content_digest),
        temp=temp,
        hashes=hashes,
    )
