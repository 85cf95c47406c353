"""What an image holds: its inventory, the digest of its environment, every file against RECORD, image and layers.

The environment of an image is what its interpreter calls its prefix: a virtual environment, a conda prefix; of an
interpreter that belongs to the distribution it is where installers put what they install (``/usr/local``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs import attest, cache, digest
from ci_envs.building import Facts
from ci_envs.containers.inner import dockerfile_of
from ci_envs.containers.os_packages import system_facts
from ci_envs.environments.container import ContainerEnvironment
from ci_envs.errors import BuildError
from ci_envs.record_check import verify_records

if TYPE_CHECKING:
    from ci_envs.content import Content
    from ci_envs.environments import Environment
    from ci_envs.model.inventory import Inventory
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import Finding
    from ci_envs.work import Work

__all__ = ["altered", "beside", "environment_digest", "read_facts"]

#: What Dockerfiles install to install the rest; no lock promises it.
_BOOTSTRAP = frozenset(("pip", "setuptools", "wheel", "uv"))


def read_facts(environment: Environment, lock: Lock, work: Work) -> Facts:
    """Everything that is known of a new image. :class:`BuildError` where its files are not those that were locked."""
    if isinstance(environment, ContainerEnvironment) and environment.closure is not None:
        from ci_envs.containers.nix_image import shell_facts  # whose files lie in a store that knows their hashes

        return shell_facts(environment, work)
    inventory, content = environment.inventory(), environment.content()
    seeds, own = beside(inventory, lock, work)
    found = _findings(content, inventory, lock, work)
    wrong = [finding for finding in found if finding.severity == "error"]
    if wrong:
        raise BuildError(
            "; ".join(f"{finding.code} {finding.message}" for finding in wrong[:3]),
            hint="the builder's cache may have been altered: prune it, and build with --fresh",
        )
    work.findings += found
    taken = environment_digest(content, seeds, own)
    assert work.image is not None  # noqa: S101 - whoever built the image told of it
    work.image = msgspec.structs.replace(work.image, system=system_facts(environment, inventory.distributions))
    return Facts(
        digest=taken.value,
        bytes=work.image.bytes,
        files=taken.files,
        inventory=_marked(inventory, seeds),
        seeds=tuple(sorted(seeds)),
        own=tuple(sorted(own)),
        findings=tuple(f for f in work.findings if f.code.startswith(("ENV", "IMG"))),
        tools=dict(work.tools),
        image=work.image,
    )


def environment_digest(content: Content, seeds: frozenset[str], own: frozenset[str]) -> digest.Digest:
    """The digest that the same lock has on any machine and in any image."""
    return digest.environment_digest(content, seeds=seeds, exclude=own)


def altered(environment: Environment, facts: Facts) -> str:
    """What in an image is not what it was when it was built, with every byte read; empty where all is."""
    if isinstance(environment, ContainerEnvironment) and environment.closure is not None:
        from ci_envs.containers.nix_image import altered_inside

        return altered_inside(environment, environment.closure)
    taken = environment_digest(environment.content(), frozenset(facts.seeds), frozenset(facts.own))
    return "" if taken.value == facts.digest else "its digest changed"


def beside(inventory: Inventory, lock: Lock, work: Work) -> tuple[frozenset[str], frozenset[str]]:
    """The names that are there beside the lock: what installs the rest or belongs to the distribution; the project."""
    installed = {each.name for each in inventory.distributions if each.manager == "python" and not each.brought_by}
    beside = installed - {pin.name for pin in lock.of("python")}
    return (
        frozenset(beside & (_BOOTSTRAP | _of_distribution(inventory))),
        frozenset(beside & {work.selection.project} - {""}),
    )


def _of_distribution(inventory: Inventory) -> frozenset[str]:
    """What the packages of the operating system have put beside its own Python: pip installs below /usr/local.

    https://www.debian.org/doc/packaging-manuals/python-policy/, "Module Path"; Fedora does the same.
    """
    if inventory.interpreter.prefix != "/usr":
        return frozenset()
    return frozenset(
        each.name
        for each in inventory.distributions
        if each.manager == "python" and not each.metadata.startswith(("local/", "/usr/local/"))
    )


def _findings(content: Content, inventory: Inventory, lock: Lock, work: Work) -> list[Finding]:
    """RECORD against the files and, where the lock names wheels, against those.

    What a Dockerfile of the project's own does to installed files is told, and is its author's to decide.
    """
    if not _is_environment(inventory):
        return []
    found = [*verify_records(content, work.made)]
    ledger = attest.Ledger(cache.cache_root(work.environ) / "wheels")
    found += attest.attest(content, lock.of("python"), ledger, trust_first=True).findings
    if not dockerfile_of(work.project, work.config):
        return found
    return [_milder(finding) for finding in found]


def _is_environment(inventory: Inventory) -> bool:
    """Whether the interpreter's prefix is an environment of its own, in which nothing else lies."""
    found = inventory.interpreter
    return found.prefix != found.base_prefix or any(each.manager == "conda" for each in inventory.distributions)


def _milder(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, severity="warning") if finding.severity == "error" else finding


def _marked(inventory: Inventory, seeds: frozenset[str]) -> Inventory:
    marked = tuple(
        msgspec.structs.replace(found, seed=True) if found.name in seeds and found.manager == "python" else found
        for found in inventory.distributions
    )
    return msgspec.structs.replace(inventory, distributions=marked)
