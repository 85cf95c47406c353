"""Every installed file against its RECORD. Pure.

``pip check``, ``uv pip check`` and ``uv sync --check`` compare names and versions; after a file of an installed
package was edited or deleted they say that all is well. RECORD has a hash for each file: here they are compared.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.launchers import ACTIVATION, is_interpreter, is_launcher
from ci_envs.model.content import INSTALLER_FILES, shown
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_envs.model.content import Content, Entry, Installed, Row
    from ci_envs.model.record import Severity

__all__ = ["Problem", "examine", "recorded_digest", "verify_records"]

# What CPython's installer and the creators put into site-packages themselves.
_CREATORS = frozenset(("README.txt", "_virtualenv.py", "_virtualenv.pth"))

#: An unclaimed file that ends like this can be imported, or runs whenever Python starts.
_CODE = (".py", ".pyc", ".so", ".pyd", ".pth", ".dll", ".dylib", ".egg-link")

# A RECORD cannot hold its own hash, and is signed as a whole (PEP 427).
_SELF = frozenset(("RECORD", "RECORD.jws", "RECORD.p7s"))

# pip leaves rows of scripts in RECORD in place of which it wrote launchers of its own.
_REPLACED = re.compile(r"[^/]+\.data/scripts/")

#: How many files a finding names.
_NAMED = 5


class Problem(NamedTuple):
    """One thing that is wrong with one file."""

    code: str
    #: The distribution's normalised name and version; empty for a file that none claims.
    distribution: str
    version: str
    path: str
    detail: str = ""


#: Code -> severity, title, what is said of the files, what to do.
_KINDS: dict[str, tuple[Severity, str, str, str]] = {
    "ENV110": (
        "error",
        "altered file",
        "not what RECORD says",
        "build the environment again with `ci-envs run --fresh`: what the cache gives is compared, and fetched anew",
    ),
    "ENV111": ("error", "missing file", "listed in RECORD and not there", "build the environment again"),
    "ENV112": (
        "error",
        "unclaimed file",
        "not listed in any RECORD",
        "build the environment again; if that brings it back, find out which command writes it",
    ),
    "ENV114": ("error", "unreadable file", "cannot be read", "see to its permissions, or build the environment again"),
    "ENV115": (
        "warning",
        "file of two distributions",
        "brought by two distributions with different contents",
        "which one wins depends on the order of installing: keep only one of them in the lock",
    ),
    "ENV116": (
        "warning",
        "file without a hash",
        "listed in RECORD without a hash, so it cannot be compared",
        "the wheel is not well made: tell its authors",
    ),
    "ENV117": (
        "error",
        "RECORD leads outside",
        "listed in RECORD and not inside the environment",
        "do not use this distribution: uninstalling it would remove a foreign file",
    ),
    "ENV118": (
        "info",
        "no RECORD",
        "has no RECORD, so its files cannot be compared",
        "install it from a wheel",
    ),
}


def verify_records(content: Content) -> tuple[Finding, ...]:
    """What :func:`examine` finds, for a person: one finding for each distribution and kind."""
    groups: dict[tuple[str, str, str, Severity], list[Problem]] = defaultdict(list)
    for problem in examine(content):
        severity = _KINDS[problem.code][0]
        if problem.code == "ENV112" and not problem.path.endswith(_CODE):
            severity = "warning"  # data cannot run; some wheels forget to list theirs
        groups[problem.code, problem.distribution, problem.version, severity].append(problem)
    return tuple(_finding(*key, problems) for key, problems in sorted(groups.items()))


def _finding(code: str, name: str, version: str, severity: Severity, problems: list[Problem]) -> Finding:
    _, title, what, advice = _KINDS[code]
    named = [shown(p.path) + (f" ({p.detail})" if p.detail else "") for p in problems[:_NAMED]]
    rest = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    whose = f"{name} {version}: " if name else ""
    message = f"{whose}{what}: {', '.join(named)}{rest}; {advice}"
    return Finding(code=code, severity=severity, title=title, message=message)


def examine(content: Content) -> tuple[Problem, ...]:
    """Everything that is not as the RECORD files say, sorted.

    Codes: ENV110 altered, ENV111 missing, ENV112 unclaimed, ENV114 unreadable, ENV115 claimed by two distributions
    with different hashes, ENV116 no hash, ENV117 leads outside, ENV118 a distribution without RECORD.
    """
    claims: dict[str, list[tuple[Installed, Row]]] = defaultdict(list)
    problems: list[Problem] = []
    for installed in content.installed:
        if installed.rows is None:
            problems.append(Problem("ENV118", installed.name, installed.version, installed.folder))
        for row in installed.rows or ():
            if row.path:
                claims[row.path].append((installed, row))
            else:
                problems.append(Problem("ENV117", installed.name, installed.version, row.written))
    for path, claimed in claims.items():
        problems.extend(_compare(content, path, claimed))
    problems.extend(_unclaimed(content, claims))
    return tuple(sorted(problems))


def recorded_digest(sha256: str) -> str:
    """A SHA-256 as RECORD writes it."""
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _compare(content: Content, path: str, claimed: list[tuple[Installed, Row]]) -> Iterator[Problem]:
    entry = content.by_path.get(path)
    if len(claimed) > 1 and len({row.digest for _, row in claimed if row.algorithm}) > 1:
        names = " and ".join(sorted({installed.name for installed, _ in claimed}))
        first = claimed[0][0]
        yield Problem("ENV115", first.name, first.version, path, names)
        if entry and any(_agrees(entry, row) for _, row in claimed):
            return
    for installed, row in claimed:
        if row.algorithm:
            code, detail = _judge(entry, row)
        else:
            code, detail = "" if _may_lack(content, entry, installed, path) else "ENV116" if entry else "ENV111", ""
        if code:
            yield Problem(code, installed.name, installed.version, path, detail)


def _judge(entry: Entry | None, row: Row) -> tuple[str, str]:
    """What is wrong with a file whose row has a hash."""
    if entry is None:
        return "" if _REPLACED.match(row.written) else "ENV111", ""
    if entry.kind == "unreadable":
        return "", ""  # said once, for the file
    if entry.kind != "file":
        return "ENV110", f"a {entry.kind} in place of the file"
    if row.algorithm != "sha256":
        return "ENV116", f"{row.algorithm} is not compared"
    return "" if _agrees(entry, row) else "ENV110", ""


def _agrees(entry: Entry, row: Row) -> bool:
    sized = not row.size or row.size == str(entry.size)
    return sized and row.algorithm == "sha256" and row.digest == recorded_digest(entry.sha256)


def _may_lack(content: Content, entry: Entry | None, installed: Installed, path: str) -> bool:
    """Whether a row needs no hash: RECORD and its signatures (PEP 427), and what an installer has made.

    That is its own metadata, launchers, and bytecode; virtualenv lists bytecode that it did not write, too.
    """
    folder, _, name = path.rpartition("/")
    if name in _SELF or path == installed.folder.removesuffix(".dist-info") + ".virtualenv":
        return True
    if entry is None:
        return name.endswith(".pyc") or name == "__pycache__"
    if folder == content.scripts:
        return _is_known_launcher(content, installed, path)
    compiled = name.endswith(".pyc") and folder.endswith("/__pycache__")
    return compiled or (folder == installed.folder and name in INSTALLER_FILES)


def _is_known_launcher(content: Content, installed: Installed, path: str) -> bool:
    name = path.rpartition("/")[2].removesuffix(".exe")
    # virtualenv adds pip-3.12 and the like to what pip's metadata names.
    reference = installed.scripts.get(name) or installed.scripts.get(name.rstrip("-.0123456789"), "")
    folders = tuple(f"{root}/{content.scripts}" for root in content.roots)
    return is_launcher(content.data.get(path, b""), reference, folders)


def _unclaimed(content: Content, claims: Mapping[str, object]) -> Iterator[Problem]:
    legacy = tuple(_legacy_claims(content))
    own_scripts = f"{content.scripts}/" if "pyvenv.cfg" in content.by_path else "\0"
    sites = tuple(f"{site}/" for site in content.sites)
    for entry in content.entries:
        path = entry.path
        if entry.kind == "unreadable":
            yield Problem("ENV114", "", "", path, entry.target)
        if path in claims or not path.startswith((*sites, own_scripts)):
            continue
        name = path.rpartition("/")[2]
        if path.startswith(own_scripts):
            known = name in ACTIVATION or is_interpreter(name)
        else:
            known = "/__pycache__/" in path or name in _CREATORS or path.startswith(legacy)
        if not known:
            yield Problem("ENV112", "", "", path)


def _legacy_claims(content: Content) -> Iterable[str]:
    """Beginnings of paths that belong to a distribution without RECORD, as far as it says."""
    for installed in content.installed:
        if installed.rows is not None:
            continue
        yield installed.folder
        for top in (content.text(f"{installed.folder}/top_level.txt") or "").split():
            yield from (f"{installed.site}/{top}{end}" for end in ("/", ".py", ".so", ".pyd", ".cpython", ".abi3"))
        for line in (content.text(f"{installed.folder}/installed-files.txt") or "").splitlines():
            path = content.resolve(installed.folder, line)
            if path:
                yield path
