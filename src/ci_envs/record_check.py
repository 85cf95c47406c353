"""Every installed file against its RECORD. Pure.

``pip check``, ``uv pip check`` and ``uv sync --check`` compare names and versions; after a file of an installed
package was edited or deleted they say that all is well. RECORD has a hash for each file: here they are compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from ci_envs.conda.files_check import examine_conda, is_code, is_known, owned
from ci_envs.file_problems import Problem, told
from ci_envs.launchers import ACTIVATION, is_interpreter, is_launcher
from ci_envs.model.content import INSTALLER_FILES
from ci_envs.record_hashes import agrees, recorded_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_envs.model.content import Content, Entry, Installed, Row
    from ci_envs.model.record import Finding

__all__ = ["Problem", "damaged_packages", "examine", "recorded_digest", "verify_records"]

# What CPython's installer and the creators put into site-packages themselves.
_CREATORS = frozenset(("README.txt", "_virtualenv.py", "_virtualenv.pth"))

#: An unclaimed file that ends like this can be imported, or runs whenever Python starts.
_CODE = (".py", ".pyc", ".so", ".pyd", ".pth", ".dll", ".dylib", ".egg-link")

# A RECORD cannot hold its own hash, and is signed as a whole (PEP 427).
_SELF = frozenset(("RECORD", "RECORD.jws", "RECORD.p7s"))

# pip leaves rows of scripts in RECORD in place of which it wrote launchers of its own.
_REPLACED = re.compile(r"[^/]+\.data/scripts/")


def verify_records(content: Content, made: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """What is wrong with the files of an environment, for a person: one finding for each distribution and kind.

    In a conda environment every file is held against the record of the package that claims it as well. ``made`` are
    paths that no record lists for a good reason: scripts that were allowed have written them.
    """
    owners = _Owners(content)
    problems = [*_examine(content, owners), *examine_conda(content, owners.rows)]
    problems = [problem for problem in problems if problem.code != "ENV112" or problem.path not in made]
    strangers = {problem.path for problem in problems if problem.code == "ENV112"}
    code = frozenset(path for path in strangers if _is_code(content, content.by_path[path]))
    return told(sorted(problems), code)


def damaged_packages(content: Content) -> tuple[str, ...]:
    """The names of the conda packages with files that are missing or not their own, sorted."""
    wrong = examine_conda(content, _Owners(content).rows)
    return tuple(sorted({problem.distribution for problem in wrong if problem.code in ("ENV130", "ENV131")} - {""}))


def _is_code(content: Content, entry: Entry) -> bool:
    return is_code(content, entry) if content.is_conda else entry.path.endswith(_CODE)


class _Owners:
    """Which files are claimed by a RECORD, and by whose; conda's own distributions are not among them."""

    def __init__(self, content: Content) -> None:
        conda = owned(content).brought
        self.installed = [installed for installed in content.installed if installed.folder not in conda]
        self.claims: dict[str, list[tuple[Installed, Row]]] = defaultdict(list)
        for installed in self.installed:
            for row in installed.rows or ():
                if row.path:
                    self.claims[row.path].append((installed, row))
        self.conda = {claim.path for record in content.conda for claim in record.claims}

    @property
    def rows(self) -> dict[str, Row]:
        """The row that claims each path."""
        return {path: claimed[0][1] for path, claimed in self.claims.items()}


def examine(content: Content) -> tuple[Problem, ...]:
    """Everything that is not as the RECORD files say, sorted. conda's distributions are left to conda's records.

    Codes: ENV110 altered, ENV111 missing, ENV112 unclaimed, ENV114 unreadable, ENV115 claimed by two distributions
    with different hashes, ENV116 no hash, ENV117 leads outside, ENV118 a distribution without RECORD.
    """
    return tuple(sorted(_examine(content, _Owners(content))))


def _examine(content: Content, owners: _Owners) -> Iterator[Problem]:
    for installed in owners.installed:
        if installed.rows is None:
            yield Problem("ENV118", installed.name, installed.version, installed.folder)
        for row in installed.rows or ():
            if not row.path:
                yield Problem("ENV117", installed.name, installed.version, row.written)
    for path, claimed in owners.claims.items():
        yield from _compare(content, path, claimed)
    yield from _unclaimed(content, owners)


def _compare(content: Content, path: str, claimed: list[tuple[Installed, Row]]) -> Iterator[Problem]:
    entry = content.by_path.get(path)
    if len(claimed) > 1 and len({row.digest for _, row in claimed if row.algorithm}) > 1:
        names = " and ".join(sorted({installed.name for installed, _ in claimed}))
        first = claimed[0][0]
        yield Problem("ENV115", first.name, first.version, path, names)
        if entry and any(agrees(entry, row) for _, row in claimed):
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
    return "" if agrees(entry, row) else "ENV110", ""


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
    return is_launcher(content.data.get(path, b""), reference, content.folders)


def _unclaimed(content: Content, owners: _Owners) -> Iterator[Problem]:
    is_stranger = _strangers_of_conda(content, owners) if content.is_conda else _strangers(content, owners)
    for entry in content.entries:
        if entry.kind == "unreadable":
            yield Problem("ENV114", "", "", entry.path, entry.target)
        if entry.path not in owners.claims and is_stranger(entry.path):
            yield Problem("ENV112", "", "", entry.path)


def _strangers(content: Content, owners: _Owners) -> Callable[[str], bool]:
    """Of a virtual environment, or a prefix: only the folders that installers of Python's write to are looked at."""
    legacy = tuple(_legacy_claims(content, owners))
    own_scripts = f"{content.scripts}/" if "pyvenv.cfg" in content.by_path else "\0"
    sites = tuple(f"{site}/" for site in content.sites)

    def is_stranger(path: str) -> bool:
        name = path.rpartition("/")[2]
        if path.startswith(own_scripts):
            return not (name in ACTIVATION or is_interpreter(name))
        return path.startswith(sites) and not ("/__pycache__/" in path or name in _CREATORS or path.startswith(legacy))

    return is_stranger


def _strangers_of_conda(content: Content, owners: _Owners) -> Callable[[str], bool]:
    """Of a conda environment every file is some package's."""
    legacy = tuple(_legacy_claims(content, owners))
    return lambda path: not (path in owners.conda or is_known(content, path) or path.startswith(legacy))


def _legacy_claims(content: Content, owners: _Owners) -> Iterable[str]:
    """Beginnings of paths that belong to a distribution without RECORD, as far as it says."""
    for installed in owners.installed:
        if installed.rows is not None:
            continue
        yield installed.folder
        for top in (content.text(f"{installed.folder}/top_level.txt") or "").split():
            yield from (f"{installed.site}/{top}{end}" for end in ("/", ".py", ".so", ".pyd", ".cpython", ".abi3"))
        for line in (content.text(f"{installed.folder}/installed-files.txt") or "").splitlines():
            path = content.resolve(installed.folder, line)
            if path:
                yield path
