"""Every file of a conda environment against the record that claims it. Pure.

A record has the SHA-256 of each file as its package has it, and as it was installed where the two differ, since the
prefix was put into it. The second one was written beside the file, by whoever wrote the file: of a file that had been
altered in the package cache it is the hash of what was made of that. So the first one, the package's own, decides
alone, with the placeholder put back (``Content.originals``), wherever it can be put back.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from ci_envs.conda.prefix import ownership
from ci_envs.file_problems import Problem
from ci_envs.launchers import conda_launcher
from ci_envs.model.conda_record import ENTRY_POINTS
from ci_envs.record_hashes import agrees

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.conda.prefix import Ownership
    from ci_envs.model.conda_record import Claim, CondaRecord
    from ci_envs.model.content import Content, Entry, Row

__all__ = ["examine_conda", "is_code", "is_known", "owned"]

# What conda, mamba and rattler leave at the top, and the marks of conda itself.
_TOP = frozenset(("CACHEDIR.TAG", ".condarc", ".nonadmin", ".messages.txt", ".lock"))
_META = frozenset(("history", "state", "created_at", "frozen", "pinned"))

#: Folders of text files that activating an environment goes by.
_READ_BY_ACTIVATION = ("etc/conda/activate.d/", "etc/conda/deactivate.d/", "etc/conda/env_vars.d/")
#: A file that ends so can be imported, loaded or run.
_CODE = re.compile(
    r"\.(?:py|pyc|pyd|pth|egg-link|so(?:\.\d+)*|dll|dylib|exe|bat|cmd|ps1|sh|bash|csh|fish|zsh|xsh|jar|node)"
)

#: Of no bytes: what mamba and conda-build say of a link that leads nowhere, or to a folder.
_EMPTY = hashlib.sha256(b"").hexdigest()

_Claimed = list[tuple["CondaRecord", "Claim"]]


def owned(content: Content) -> Ownership:
    """Which distributions are conda's."""
    return ownership(
        content.conda, {installed.folder: installed.name for installed in content.installed}, content.data.get
    )


def examine_conda(content: Content, rows: Mapping[str, Row]) -> Iterator[Problem]:
    """Everything that is not as the records of the conda packages say.

    ``rows`` are what the RECORD files of distributions claim that are not conda's. Codes: ENV130 altered, ENV131
    missing, ENV132 a bad record, ENV134 no hash, ENV115 brought by two packages with different contents.
    """
    for path, why in content.conda_broken:
        yield Problem("ENV132", "", "", path, why)
    claims: dict[str, _Claimed] = defaultdict(list)
    # mamba's records do not, until they are completed (``completing.py``).
    tells = any(claim.placeholder for record in content.conda for claim in record.claims)
    for record in content.conda:
        for claim in record.claims:
            if claim.path:
                noted = not tells or _is_signed_anew(content, record, claim)
                claims[claim.path].append((record, claim if noted else _without_note(claim)))
            else:
                yield Problem("ENV132", record.name, record.version, claim.written, "leads outside")
    replaced = owned(content).replaced
    for path, claimed in claims.items():
        yield from _shared(path, claimed, claims)
        yield from _compare(content, path, claimed, rows.get(path), replaced)


def _is_signed_anew(content: Content, record: CondaRecord, claim: Claim) -> bool:
    """Whether the prefix is put in by a way that nobody can go back: a signature on macOS, a launcher on Windows."""
    return claim.mode == "binary" and (record.subdir.startswith(("osx-", "win-")) or content.scripts == "Scripts")


def _without_note(claim: Claim) -> Claim:
    """The claim with the package's own hash alone, where there is one."""
    return claim._replace(installed="") if claim.sha256 and claim.kind == "hardlink" else claim


def _shared(path: str, claimed: _Claimed, claims: Mapping[str, _Claimed]) -> Iterator[Problem]:
    """Two packages that bring one path: with conda the last one wins, rattler puts the other one aside."""
    rivals = claimed[1:] or [other for _, claim in claimed for other in claims.get(claim.wanted, ())]
    (record, claim), *_ = claimed
    for rival, other in rivals:
        if rival is not record and claim.sha256 and other.sha256 and claim.sha256 != other.sha256:
            names = " and ".join(sorted((record.name, rival.name)))
            yield Problem("ENV115", record.name, record.version, claim.wanted or path, names)
            return


def _compare(
    content: Content, path: str, claimed: _Claimed, row: Row | None, replaced: frozenset[str]
) -> Iterator[Problem]:
    entry = content.by_path.get(path)
    judged = [(record, *_judge(content, entry, record, claim)) for record, claim in claimed]
    if any(not code for _, code, _ in judged):
        return
    for record, code, detail in judged:
        by_another = entry is not None and row is not None and agrees(entry, row)
        # What the other installer's RECORD lists is held against that one.
        if record.name in replaced and (row is not None or (entry is None and _is_pythons(content, path))):
            continue
        if by_another:
            yield Problem("ENV115", record.name, record.version, path, "conda's and another installer's")
        else:
            yield Problem(code, record.name, record.version, path, detail)


def _is_pythons(content: Content, path: str) -> bool:
    """Whether an installer of Python's may have removed it with the distribution that it replaced."""
    return path.startswith((*(f"{site}/" for site in content.sites), f"{content.scripts}/"))


def _judge(content: Content, entry: Entry | None, record: CondaRecord, claim: Claim) -> tuple[str, str]:
    """The code and the detail of what is wrong with a file; empty where nothing is."""
    if claim.kind == "directory":
        return "", ""
    if entry is None:
        # mamba's records list bytecode that it was told not to write.
        return ("" if claim.kind == "pyc_file" else "ENV131"), ""
    if entry.kind == "unreadable":
        return "", ""  # said once, for the file
    if claim.kind == "softlink" and entry.kind in ("link", "dir-link"):
        return _judge_link(content, entry, record, claim)
    if entry.kind != "file":
        return "ENV130", f"a {entry.kind} in place of the file"
    return _judge_file(content, entry, claim)


def _judge_file(content: Content, entry: Entry, claim: Claim) -> tuple[str, str]:
    known = {claim.sha256, claim.installed} - {""}
    found = {entry.sha256, content.originals.get(entry.path, "")}
    if known:
        return ("" if known & found else "ENV130"), ""
    if claim.kind in ENTRY_POINTS:
        return _judge_launcher(content, entry, claim)
    if claim.kind == "pyc_file":
        return ("", "") if _is_cached(entry.path) else ("ENV130", "no bytecode that an installer writes")
    return "ENV134", ""


def _judge_launcher(content: Content, entry: Entry, claim: Claim) -> tuple[str, str]:
    """conda's and mamba's records have no hash of the launchers that they write; nobody knows a program on Windows."""
    if claim.kind.endswith("_exe"):
        return "ENV134", ""
    called = conda_launcher(content.data.get(entry.path, b""), content.folders)
    return ("", "") if called else ("ENV130", "no launcher that an installer writes")


def _judge_link(content: Content, entry: Entry, record: CondaRecord, claim: Claim) -> tuple[str, str]:
    """rattler notes the hash of where a link leads, conda and mamba that of the file there.

    A file of another package may have another version by now; the digest sees where the link leads.
    """
    noted = {claim.sha256, claim.installed} - {"", _EMPTY}
    target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
    if hashlib.sha256(entry.target.encode("utf-8", "surrogateescape")).hexdigest() in noted:
        return "", ""
    if target.startswith(("/", "../")):
        return "ENV130", f"it leads outside, to {entry.target}"
    found = content.by_path.get(target)
    there = {found.sha256, content.originals.get(target, "")} if found is not None else set()
    mine = any(other.path == target for other in record.claims)
    wrong = bool(noted) and mine and found is not None and found.kind == "file" and not noted & there
    return ("ENV130", f"it leads to {entry.target}") if wrong else ("", "")


def is_known(content: Content, path: str) -> bool:
    """Whether a file that no package claims is what conda's own programs leave, or bytecode."""
    if path.startswith("conda-meta/"):
        return path.partition("/")[2] in _META or path in {record.path for record in content.conda}
    return path in _TOP or _is_cached(path)


def _is_cached(path: str) -> bool:
    """Whether it is bytecode that Python, or an installer, keeps beside a module."""
    return "/__pycache__/" in path and path.endswith(".pyc")


def is_code(content: Content, entry: Entry) -> bool:
    """Whether an unclaimed file can run, or changes how others run."""
    folder, _, name = entry.path.rpartition("/")
    programs = folder == content.scripts or (content.scripts == "Scripts" and not folder)
    ending = re.search(r"\.[\w.]+$", name)
    return (
        entry.executable
        or programs
        or entry.path.startswith(_READ_BY_ACTIVATION)
        or (ending is not None and _CODE.search(ending[0]) is not None)
    )
