"""A new environment: built, every file compared with RECORD and with the wheels that the lock names, sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs import attest, cache, digest, seal
from ci_envs.building import Facts, facts_of, host
from ci_envs.conda.files_check import owned
from ci_envs.content import read_content
from ci_envs.environments.scheme import SHELL_NAME
from ci_envs.errors import BuildError
from ci_envs.layout import remove_tree
from ci_envs.model.leg import STORED
from ci_envs.model.record import Finding
from ci_envs.packages.filling import fill_store
from ci_envs.packages.restored import keep_environment, take_environment
from ci_envs.packages.store import REFUSED
from ci_envs.patterns.installing import clean_cache, uv
from ci_envs.record_check import damaged_packages, verify_records
from ci_envs.tools import uv_program

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.conda.package_ledger import Attestation
    from ci_envs.content import Content
    from ci_envs.model.inventory import Inventory
    from ci_envs.model.lock import Lock, Pin
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = ["altered_content", "assemble", "read_digest"]

_ALTERED_CACHE = "ENV119"
#: What is told of one build alone.
_PASSING = (_ALTERED_CACHE, REFUSED)


def assemble(pattern: Pattern, order: Order, lock: Lock, work: Work, inputs: dict[str, str]) -> Facts:
    """Builds; where the installer's cache gave altered files, has them fetched anew and builds once more."""
    if pattern.name in STORED:  # whose files lie in a store that knows their hashes
        from ci_envs.nix.building import seal_shell

        pattern.build(order.leg, lock, work)
        return seal_shell(order, work, inputs)
    before = len(work.findings)
    restored = take_environment(pattern, lock, work)
    found = _read(order, lock, work) if restored else _build_once(pattern, order, lock, work)
    # Offline nothing could take the place of what the cache has.
    if found.wrong and not work.policy.offline and (names := found.to_refresh()):
        work.findings[before:] = [_altered_cache(names)]
        _forget(found, lock, work)
        remove_tree(work.prefix)
        # Numbers of files that are gone are given out again, and unpacked files have the times of their archive.
        order.hashes.clear()
        found = _build_once(pattern, order, lock, work)
    if found.wrong:
        raise BuildError("; ".join(f"{finding.code} {finding.message}" for finding in found.wrong[:3]))
    work.findings += [finding for finding in found.findings if finding.severity != "error"]
    facts = _sealed(order, work, found.content, inputs, _own(work, found.content, lock))
    fill_store(work, lock, found.content)
    if not restored:
        keep_environment(pattern, lock, work, found.content)
    return facts


@dataclass(frozen=True)
class _Found:
    """One build with every file read: what is in it, what the ledgers say, and what is wrong."""

    content: Content
    wheels: attest.Attestation
    #: Of the conda packages; ``None`` where there are none.
    packages: Attestation | None
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    def of_wheels(self) -> tuple[str, ...]:
        """The distributions that have to be fetched anew."""
        return attest.to_refresh(self.content, self.wheels)

    def of_conda(self) -> tuple[str, ...]:
        """The conda packages that have to be."""
        altered = self.packages.altered if self.packages else ()
        return tuple(sorted({*altered, *damaged_packages(self.content)}))

    def to_refresh(self) -> tuple[str, ...]:
        """All of them, by name."""
        return tuple(sorted({*self.of_wheels(), *self.of_conda()}))


def _build_once(pattern: Pattern, order: Order, lock: Lock, work: Work) -> _Found:
    try:
        pattern.build(order.leg, lock, work)
    except BuildError:
        # What comes after the packages is done by their own interpreter: one that was altered ends it.
        found = _read(order, lock, work) if lock.of("conda") and work.prefix.is_dir() else None
        if found is None or not found.of_conda():
            raise
        return found
    return _read(order, lock, work)


def _read(order: Order, lock: Lock, work: Work) -> _Found:
    content = read_content(work.prefix, cache=order.hashes)
    wheels, packages = _attested(content, lock, work), _attested_packages(content, lock, work)
    ledgers = (*wheels.findings, *(packages.findings if packages else ()))
    return _Found(content, wheels, packages, (*verify_records(content, work.made), *ledgers))


def _attested_packages(content: Content, lock: Lock, work: Work) -> Attestation | None:
    if not lock.of("conda"):
        return None
    from ci_envs.conda.attesting import attest_conda

    return attest_conda(content, lock, work)


def _forget(found: _Found, lock: Lock, work: Work) -> None:
    """Takes what is altered out of the caches, so that it is downloaded anew."""
    if names := found.of_wheels():
        clean_cache(work, names)
    if names := found.of_conda():
        from ci_envs.conda.attesting import forget

        forget(names, lock, work)


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
    pins = lock.of("python")
    verdict = attest.attest(content, pins, ledger, trust_first=private)
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
    again = attest.attest(content, pins, ledger, trust_first=False)
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
    inventory = host(work.layout, order.leg, order.environ, found.value, None).inventory()
    facts = Facts(
        digest=found.value,
        bytes=found.bytes,
        files=found.files,
        inventory=_with_seeds(inventory, work.seeds),
        seeds=tuple(sorted(work.seeds)),
        own=tuple(sorted(own)),
        made=tuple(sorted(work.made)),
        # What befell this build is no news of a later run.
        findings=tuple(f for f in work.findings if f.code.startswith("ENV") and f.code not in _PASSING),
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
    facts = facts_of(found) if found else None
    if facts is None:
        raise BuildError(f"there is no whole environment at {prefix}")
    return _digest(read_content(prefix), facts.seeds, facts.own)


def altered_content(order: Order, prefix: Path) -> str:
    """What in a sealed environment is not what was sealed, with every byte read; empty where all is."""
    if (prefix / SHELL_NAME).is_file():
        from ci_envs.nix.building import altered_store

        return altered_store(order, prefix)
    found = seal.read_seal(prefix)
    facts = facts_of(found) if found else None
    content = read_content(prefix, cache=order.hashes)
    if facts is not None and _digest(content, facts.seeds, facts.own).value == facts.digest:
        return ""
    made = frozenset(facts.made) if facts else frozenset()
    return next((f.message for f in verify_records(content, made) if f.severity == "error"), "its digest changed")


def _with_seeds(inventory: Inventory, seeds: frozenset[str]) -> Inventory:
    marked = tuple(
        msgspec.structs.replace(found, seed=True) if found.name in seeds else found for found in inventory.distributions
    )
    return msgspec.structs.replace(inventory, distributions=marked)


def _digest(content: Content, seeds: tuple[str, ...], own: tuple[str, ...]) -> digest.Digest:
    return digest.environment_digest(content, seeds=frozenset(seeds), exclude=frozenset(own))


def _own(work: Work, content: Content, lock: Lock) -> frozenset[str]:
    """The project's own distribution: by its name, else what is there beside lock and seeds."""
    if not work.installs_project:
        return frozenset()
    if work.selection.project:
        return frozenset({work.selection.project})
    conda = owned(content).brought
    installed = {each.name for each in content.installed if each.folder not in conda}
    beside = installed - {pin.name for pin in lock.of("python")} - work.seeds
    return frozenset(beside) if len(beside) == 1 else frozenset()
