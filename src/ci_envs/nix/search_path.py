"""What a name in angle brackets is on this machine, and the line that fixes it.

``<nixpkgs>`` is whatever NIX_PATH, a channel or ``nix.inputs`` say. Where it is a known commit, that commit can be
written down: https://nix.dev/tutorials/first-steps/towards-reproducibility-pinning-nixpkgs
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.cache import Remembered, cache_root
from ci_envs.locks.nix_sources import is_revision, nix32
from ci_envs.nar import read_nar
from ci_envs.nix.tool import run_classic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.nix.described import Description
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["Place", "commit_hash", "look_up", "pinned_expression", "pinned_line"]

#: What a channel has beside the files of its commit: nixos/lib/make-channel.nix and pkgs/top-level/make-tarball.nix of
#: nixpkgs. An archive of the commit has none of them.
CHANNELS_OWN = (".git-revision", ".version-suffix", "nixpkgs", "programs.sqlite", "svn-revision")

_REVISION_FILE = ".git-revision"
_IN_ADDRESS = re.compile(r"/archive/([0-9a-f]{40})(?:\.tar\.gz|\.zip)")
#: Part of what is remembered: answers to another question are none.
_QUESTION = "what an archive of the commit has, in nix's base 32; 1"
# A downloaded archive is looked at again after an hour; what is there is what is meant here.
_NOTHING_NEWER = ("--option", "tarball-ttl", "4294967295")


@dataclass(frozen=True, slots=True)
class Place:
    """What a name stands for now."""

    path: Path
    #: The whole commit that it is; empty where that cannot be told.
    revision: str = ""


def look_up(work: Work, nix: Nix, name: str, described: Description) -> Place | None:
    """Where nix finds ``<name>``; ``None`` where it finds nothing."""
    inputs = [word for key, value in described.inputs for word in ("-I", f"{key}={value}")]
    outcome = run_classic(work, nix, "nix-instantiate", "--find-file", name, *inputs, *_NOTHING_NEWER, data=True)
    path = Path(outcome.stdout.strip())
    if not outcome or not path.exists():
        return None
    return Place(path, _revision(path, name, work, named=name in dict(described.inputs)))


def _revision(path: Path, name: str, work: Work, *, named: bool) -> str:
    try:
        told = (path / _REVISION_FILE).read_text("utf-8", "replace").strip()
    except OSError:
        told = ""
    if is_revision(told):
        return told
    if named:  # a folder of the configuration's, whatever NIX_PATH says
        return ""
    for entry in re.split(r":(?!//)", work.environ.get("NIX_PATH", "")):
        key, _, address = entry.partition("=")
        if key == name and (found := _IN_ADDRESS.search(address)):
            return found[1]
    return ""


def pinned_expression(name: str, place: Place | None, environ: Mapping[str, str]) -> str:
    """What to write in place of ``<name>``; in angle brackets what has to be filled in."""
    if name == "nixpkgs" and place is not None and place.revision:
        return _fetch("NixOS", "nixpkgs", place.revision, _remembered_hash(place, environ))
    owner, repo = ("NixOS", "nixpkgs") if name == "nixpkgs" else ("<owner>", "<repo>")
    return _fetch(owner, repo, "<commit>", "<what `nix-prefetch-url --unpack` prints for that url>")


def _remembered_hash(place: Place, environ: Mapping[str, str]) -> str:
    """Reading all of nixpkgs takes seconds, and a run that has nothing to do must not."""
    told = place.path / _REVISION_FILE
    file = told if told.is_file() else place.path
    memory = Remembered(cache_root(environ) / "nix-commits.json", str, _QUESTION)
    known = memory.get(file)
    if known is None:
        known = commit_hash(place.path)
        memory.put(file, known)
    return known


def _fetch(owner: str, repo: str, commit: str, sha256: str) -> str:
    url = f"https://github.com/{owner}/{repo}/archive/{commit}.tar.gz"
    return f'(fetchTarball {{ url = "{url}"; sha256 = "{sha256}"; }})'


def pinned_line(line: str, name: str, expression: str) -> str:
    """The source line with each ``<name>`` and ``<name/below>`` replaced."""

    def replaced(found: re.Match[str]) -> str:
        return f'({expression} + "{found[1]}")' if found[1] else expression

    return re.sub(rf"<{re.escape(name)}((?:/[^>\s]+)?)>", replaced, line.strip())


def commit_hash(folder: Path) -> str:
    """SHA-256, in nix's base 32, of what an archive of the commit unpacks to: the folder without a channel's own files.

    ``nix-hash`` takes a whole folder; a test compares the two.
    """
    top = folder.resolve()
    # A channel's own files are gone where it is unpacked without them; .git-revision marks a channel.
    own = CHANNELS_OWN if (top / _REVISION_FILE).is_file() else ()
    return nix32(bytes.fromhex(read_nar(top, but=own).sha256.removeprefix("sha256:")))
