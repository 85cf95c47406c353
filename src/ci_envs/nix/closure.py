"""What a store has for an environment: ``nix path-info`` read, digested, and held against the bytes on the disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from ci_envs.command import Command, run
from ci_envs.errors import BuildError
from ci_envs.locks.nix_sources import nix_sha256
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import run_nix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = [
    "altered_paths",
    "closure_digest",
    "nar_hashes",
    "parse_name",
    "path_info_words",
    "read_closure",
    "read_rows",
    "told_closure",
]

#: Part of what is hashed; digests of two versions say nothing of each other.
_RULES_VERSION = 1

#: From here on nix asks which form is wanted, and warns where nobody says:
#: https://nix.dev/manual/nix/2.33/release-notes/rl-2.33
_JSON_FORMAT_SINCE = (2, 33)

# Outputs that nixpkgs gives packages beside `out`, and the `env` of buildEnv, mkShell and `nix develop`: their names
# end a store path's. https://nixos.org/manual/nixpkgs/stable/#chap-multiple-output
_OUTPUT = re.compile(
    r"(?P<version>.+)-(?P<output>bin|data|debug|dev|devdoc|devman|dist|doc|env|info|lib|man|static|tools)"
)


def read_closure(work: Work, nix: Nix, tops: Sequence[str]) -> Closure:
    """The paths ``tops`` and all that they refer to. :class:`BuildError` where one of them is not in the store."""
    outcome = run_nix(work, nix, *path_info_words(nix), "--recursive", *tops, network=False, data=True)
    if not outcome:
        raise build_error(failure_of(outcome, work))
    return told_closure(outcome.stdout)


def told_closure(text: str) -> Closure:
    """What ``nix path-info --json --recursive`` has said, here or where there is a nix.

    :class:`BuildError` where it cannot be read.
    """
    return Closure(paths=tuple(sorted(_store_path(path, row) for path, row in read_rows(text).items())))


def path_info_words(nix: Nix) -> tuple[str, ...]:
    """``nix path-info --json``, in a form that :func:`read_rows` reads."""
    form = ("--json-format", "2") if nix.at_least(*_JSON_FORMAT_SINCE) else ()
    return ("path-info", "--json", *form)


def read_rows(text: str) -> dict[str, dict[str, Any]]:
    """What ``nix path-info --json`` tells of each path that is there, by its full path.

    Up to nix 2.18 it is a list, from 2.19 on an object by path, and from 2.33 on, on demand, one by the paths' last
    components below ``info``. Raises :class:`BuildError` where it is none of these.
    """
    try:
        told = json.loads(text)
        if isinstance(told, list):
            rows = {row["path"]: row for row in told}
        elif "info" in told and isinstance(told.get("storeDir"), str):
            rows = {
                f"{told['storeDir']}/{name}": _with_folder(row, told["storeDir"]) for name, row in told["info"].items()
            }
        else:
            rows = told
        return {path: row for path, row in rows.items() if isinstance(row, dict) and "narHash" in row}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BuildError(f"what nix told of the closure cannot be read: {error!r}") from error


def _with_folder(row: Any, folder: str) -> Any:
    """A row with full paths in place of last components."""
    if not isinstance(row, dict):
        return row
    deriver = row.get("deriver")
    named = {"references": [f"{folder}/{name}" for name in row.get("references", ())]}
    return {**row, **named, "deriver": f"{folder}/{deriver}" if deriver else None}


def _store_path(path: str, row: Mapping[str, Any]) -> StorePath:
    name, version = parse_name(path)
    nar_hash = nix_sha256(row["narHash"])
    if not nar_hash:
        raise BuildError(f"{path} has no SHA-256 hash, but {row['narHash']!r}")
    return StorePath(
        path=path,
        name=name,
        version=version,
        nar_hash=nar_hash,
        nar_size=row["narSize"],
        references=tuple(sorted(row.get("references", ()))),
        built_here=bool(row.get("ultimate")),
        deriver=row.get("deriver") or "",
        content_addressed=bool(row.get("ca")),
    )


def parse_name(path: str) -> tuple[str, str]:
    """Name and version of a store path: ``python3`` and ``3.11.9``; of another output than ``out``, ``openssl-dev``.

    The version begins behind the first dash that no letter follows, as in ``builtins.parseDrvName``:
    https://nix.dev/manual/nix/latest/language/builtins#builtins-parseDrvName
    """
    full = path.rpartition("/")[2].partition("-")[2]
    name, version = re.fullmatch(r"(.*?)(?:-([^a-zA-Z].*))?", full, re.DOTALL).groups("")  # type: ignore[union-attr]
    output = _OUTPUT.fullmatch(version)
    return (f"{name}-{output['output']}", output["version"]) if output else (name, version)


def closure_digest(closure: Closure, but: str = "") -> str:
    """``sha256:<hex>`` over each path with its NAR hash.

    ``but`` is left out: the output that keeps a shell's variables holds the time at which it was made.
    """
    rows = [[one.path, one.nar_hash] for one in closure.paths if one.path != but]
    text = json.dumps([_RULES_VERSION, sorted(rows)], ensure_ascii=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def altered_paths(nix: Nix, environ: Mapping[str, str], closure: Closure) -> tuple[str, ...]:
    """The paths whose bytes on the disk, each of which is read, are not those that the closure names.

    A path that is gone is one of them. ``nix-store --verify-path`` would compare with the store's own notes, which
    are other ones where a path was collected and built again.
    """
    now = nar_hashes(nix, environ, [one.path for one in closure.paths if os.path.lexists(one.path)])
    return tuple(one.path for one in closure.paths if now.get(one.path) != one.nar_hash)


def nar_hashes(nix: Nix, environ: Mapping[str, str], paths: Sequence[str]) -> dict[str, str]:
    """``sha256:<hex>`` of each file or folder as it is on the disk now, as a NAR; without those that cannot be read."""
    if not paths:
        return {}
    outcome = run(Command((str(nix.sibling("nix-hash")), "--type", "sha256", *paths), env=environ))
    if outcome:
        return dict(zip(paths, (f"sha256:{line}" for line in outcome.stdout.split()), strict=True))
    # It ends at the first that it cannot read.
    return {} if len(paths) == 1 else {k: v for path in paths for k, v in nar_hashes(nix, environ, [path]).items()}
