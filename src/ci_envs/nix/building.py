"""The build stage of a nix shell: what the store has to have, what keeps it there, and what is known of it.
What is known of a guix profile is the same.

The prefix holds no program, but a root of the garbage collector (``profile``), the shell's variables and the list of
its closure. The closure's hashes are its digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs import seal
from ci_envs.building import Facts, host
from ci_envs.content import read_content
from ci_envs.environments.nix_shell import CLOSURE_NAME, PROFILE, read_closure, read_shell, write_shell
from ci_envs.layout import write_atomically
from ci_envs.nix.binary_cache import fetch_sources, keep_closure
from ci_envs.nix.closure import altered_paths, closure_digest
from ci_envs.nix.closure import read_closure as ask_closure
from ci_envs.nix.described import describe
from ci_envs.nix.impurity import warn_of_impurity
from ci_envs.nix.shell import make_shell
from ci_envs.nix.tool import find_nix

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.environments.host import HostEnvironment
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.order import Order
    from ci_envs.work import Work

__all__ = ["altered_store", "build_shell", "seal_shell"]

#: Findings that hold for as long as the shell is kept. Those of its lock are made anew each time, and what a binary
#: cache was like is news of one build.
_OF_THE_SHELL = ("ENV", "NIX007", "NIX02")


def build_shell(leg: Leg, lock: Lock, work: Work) -> HostEnvironment:
    """The shell at the leg's prefix. :class:`BuildError` where it cannot be evaluated or built."""
    nix = find_nix(work.environ)
    work.tools["nix"] = nix.version
    work.prefix.mkdir(parents=True, exist_ok=True)
    fetch_sources(work, nix, lock.pins)
    described = describe(leg, work.project, work.config.nix)
    shell = make_shell(work, nix, described, work.prefix / PROFILE)
    warn_of_impurity(work, nix, described)
    closure = ask_closure(work, nix, [shell.top])
    write_atomically(work.prefix / CLOSURE_NAME, msgspec.json.encode(closure))
    write_shell(work.prefix, shell)
    keep_closure(work, nix, closure, lock.pins)
    return host(work.layout, leg, work.environ, "", None)


def seal_shell(order: Order, work: Work, inputs: dict[str, str]) -> Facts:
    """What is known of the shell that was just made, written last."""
    shell, closure = read_shell(work.prefix), read_closure(work.prefix)
    value = closure_digest(closure, but=shell.dated)
    inventory = host(work.layout, order.leg, order.environ, value, None).inventory()
    own = work.selection.project
    facts = Facts(
        digest=value,
        bytes=closure.bytes,
        files=len(closure.paths),
        inventory=inventory,
        own=(own,) if own and inventory.find(own) else (),
        findings=tuple(finding for finding in work.findings if finding.code.startswith(_OF_THE_SHELL)),
        tools=dict(work.tools),
    )
    written = seal.Facts(
        inputs=inputs, digests={"environment": value}, extra={"facts": msgspec.json.encode(facts).decode()}
    )
    seal.write_seal(work.prefix, read_content(work.prefix), written)
    return facts


def altered_store(order: Order, prefix: Path) -> str:
    """Which store path is not what it was when it was registered; empty where each is, read byte by byte."""
    closure = read_closure(prefix)
    if read_shell(prefix).manager == "guix":
        from ci_envs.guix.closure import altered_paths as altered_in_guix

        altered = altered_in_guix(closure)
    else:
        altered = altered_paths(find_nix(order.environ), order.environ, closure)
    return f"{altered[0]} was altered in the store" if altered else ""
