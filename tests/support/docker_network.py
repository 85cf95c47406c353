"""A bridge of our own for a dockerd that leaves the machine's firewall to whoever keeps it.

Two dockerds on one machine write over each other's chains of iptables. Ours writes none: the bridge is made here, all
its networks lie in one range, and three rules that name this range let it out.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["PREFIX", "Bridge", "bridges", "make_bridge"]

PREFIX = "cienvs"

#: 10.200.0.0/16 and on: the bridge's name has the number, so that of two who want one range the kernel refuses one.
_NUMBERS = range(200, 250)

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge that is there."""

    name: str
    #: The folder of the engine that it was made for.
    owner: str = ""

    @property
    def range(self) -> str:
        """All that the engine may give out."""
        return f"10.{self.name.removeprefix(PREFIX)}.0.0/16"

    @property
    def own(self) -> str:
        """The bridge's address and its part of the range."""
        return f"10.{self.name.removeprefix(PREFIX)}.0.1/17"

    @property
    def pool(self) -> str:
        """What further networks are taken from."""
        return f"10.{self.name.removeprefix(PREFIX)}.128.0/17"

    def rules(self) -> list[tuple[str, ...]]:
        """Table, chain and rule of all that the firewall is told."""
        back = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
        return [
            ("nat", "POSTROUTING", "-s", self.range, "!", "-d", self.range, "-j", "MASQUERADE"),
            ("filter", "FORWARD", "-s", self.range, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-d", self.range, *back, "-j", "ACCEPT"),
        ]

    def remove(self) -> None:
        """Takes away the rules, the bridge and those of further networks; what is gone already is no error."""
        for table, chain, *rule in self.rules():
            _tool("iptables", "-w", "-t", table, "-D", chain, *rule)
        for name in {self.name, *self._inner()}:
            _tool("ip", "link", "delete", name)

    def _inner(self) -> list[str]:
        """The bridges of networks that the engine was asked for: it leaves them when it ends."""
        pool = ipaddress.IPv4Network(self.pool)
        found = _ask("address", "show", "type", "bridge")
        return [
            told["ifname"]
            for told in found
            for address in told.get("addr_info", ())
            if address["family"] == "inet" and ipaddress.IPv4Address(address["local"]) in pool
        ]


def make_bridge(owner: Path) -> Bridge:
    """A bridge in a range that this machine has no route to. Raises :class:`RuntimeError` where none can be made."""
    routes = [_network(told["dst"]) for told in _ask("route", "show", "table", "all") if "dst" in told]
    said = ""
    for number in _NUMBERS:
        made = Bridge(f"{PREFIX}{number}", str(owner))
        if any(ipaddress.IPv4Network(made.range).overlaps(route) for route in routes if route is not None):
            continue
        added = _tool("ip", "link", "add", made.name, "type", "bridge")
        if added.returncode == 0:
            _raise_up(made)
            return made
        said = added.stderr
        if "File exists" not in said:
            break
    raise RuntimeError(f"no bridge can be made for a dockerd of our own: {said.strip() or 'every range is in use'}")


def _raise_up(bridge: Bridge) -> None:
    _FORWARDING.write_text("1\n", "ascii")
    steps: list[tuple[str, ...]] = [("ip", "link", "set", "dev", bridge.name, "alias", bridge.owner)]
    steps += [("ip", "address", "add", bridge.own, "dev", bridge.name), ("ip", "link", "set", bridge.name, "up")]
    steps += [("iptables", "-w", "-t", table, "-I", chain, *rule) for table, chain, *rule in bridge.rules()]
    for step in steps:
        done = _tool(*step)
        if done.returncode != 0:
            bridge.remove()
            raise RuntimeError(f"{' '.join(step)}: {done.stderr.strip()}")


def bridges() -> list[Bridge]:
    """All that were made here and are still there."""
    links = _ask("link", "show", "type", "bridge")
    return [Bridge(told["ifname"], told.get("ifalias", "")) for told in links if told["ifname"].startswith(PREFIX)]


def outer_mtu() -> int:
    """The largest packet on the way out: a bridge that takes larger ones loses some."""
    devices = [told["dev"] for told in _ask("route", "show", "default") if "dev" in told]
    sizes = [int(Path(f"/sys/class/net/{name}/mtu").read_text("ascii")) for name in devices]
    return min([1500, *sizes])


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError:  # "default", or IPv6
        return None
    return found if found.prefixlen else None


def _ask(*words: str) -> list[dict[str, Any]]:
    said = _tool("ip", "-4", "-json", *words) if words[0] == "route" else _tool("ip", "-json", *words)
    return [told for told in json.loads(said.stdout or "[]") if told]


def _tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError(f"there is no {name!r} here; .ci/engine install brings it")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)
