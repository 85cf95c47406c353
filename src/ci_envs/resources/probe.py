"""Runs inside an environment and says what is there. Standard library only, Python 3.8 and later.

    python -I -S probe.py inventory               who the interpreter is and what is installed
    python -s probe.py inventory search-path      the same, of all that is on its search path
    python -I -S probe.py content PREFIX          every file with its SHA-256
    python -s probe.py import MODULE              whether a module imports; exit code 1 where it does not

Each verb writes one line of JSON to standard output, in ASCII. The file may also be read from standard input
(``python -s - import MODULE``). On this machine the package imports it for :func:`scan`.
"""

# Importing pathlib costs as much as all of this does:
# ruff: noqa: PTH100, PTH112, PTH113, PTH115, PTH118, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import gc
import json
import os
import re
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    #: Device, inode, size, mtime_ns.
    Key = tuple[int, int, int, int]
    #: A row, its key and its absolute path.
    Listed = tuple[list[Any], Key, str]
    #: Placeholder, ``text`` or ``binary``, and the SHA-256 that the package names.
    Claim = tuple[str, str, str]

#: The proof that a build was finished (``ci_envs.seal``); it is written after the files were read, so it is not one.
SEAL_NAME = ".ci-envs-seal.json"

# Inventory ---------------------------------------------------------------------------------------------------------

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_PATHS = ("stdlib", "platstdlib", "purelib", "platlib", "include", "scripts", "data")

# setup.py and conftest.py at the top of a wheel were left there by mistake, and are not made to be imported.
_NO_MODULES = frozenset(("setup", "conftest"))
_SUFFIXES = (".py", ".so", ".pyd", ".pyc")


def inventory(where: str = "") -> dict[str, Any]:
    """The interpreter and its distributions, in the shape of ``ci_envs.model.inventory.Inventory``.

    ``where``: empty for what is installed in the interpreter's own folders, ``search-path`` for all that it would find.
    """
    prefix = _enter_prefix()
    import sysconfig

    paths = sysconfig.get_paths()
    folders = [path for path in sys.path if path] if where else [paths[name] for name in ("purelib", "platlib")]
    found: list[dict[str, Any]] = []
    for folder in _unique(folders):
        found.extend(distributions(folder, prefix))
    if where:  # what stands behind another of its name is never imported
        found = list({each["name"]: each for each in reversed(found)}.values())
    found.sort(key=lambda d: (d["name"], d["version"]))
    interpreter = _interpreter(prefix)
    interpreter["paths"] = {name: _relative(paths[name], prefix) for name in _PATHS if name in paths}
    return {"interpreter": interpreter, "distributions": found}


def _enter_prefix() -> str:
    """Sets ``sys.prefix`` as ``site`` does: before Python 3.14 nothing else knows virtual environments (PEP 405)."""
    if sys.prefix == sys.base_prefix and sys.executable:
        folder = os.path.dirname(os.path.abspath(sys.executable))
        for candidate in (folder, os.path.dirname(folder)):
            if os.path.isfile(os.path.join(candidate, "pyvenv.cfg")):
                sys.prefix = sys.exec_prefix = os.path.dirname(folder)
                break
    return sys.prefix


def _unique(folders: Iterable[str]) -> list[str]:
    """The folders that exist, each once: ``lib64`` is often a link to ``lib``."""
    seen: dict[str, str] = {}
    for folder in folders:
        if os.path.isdir(folder):
            seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())


def _relative(path: str, prefix: str) -> str:
    """Relative to the prefix with forward slashes; as it is where it lies outside."""
    if path == prefix:
        return "."
    inside = path.startswith(prefix.rstrip("/\\") + os.sep)
    return (os.path.relpath(path, prefix) if inside else path).replace(os.sep, "/")


def _interpreter(prefix: str) -> dict[str, Any]:
    import sysconfig

    implementation = sys.implementation.name
    markers = _markers()
    return {
        "version": markers["python_full_version"],
        "implementation": implementation,
        "os": _SYSTEMS.get(sys.platform, sys.platform),
        "arch": _machine(markers["platform_machine"]),
        "executable": sys.executable or "",
        "prefix": prefix,
        "base_prefix": sys.base_prefix,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
        "markers": markers,
    }


def _machine(machine: str) -> str:
    """What the interpreter is built for; a 32-bit one on a 64-bit machine is named after itself."""
    if sys.platform == "win32":
        import sysconfig

        machine = sysconfig.get_platform().rpartition("-")[2]
    elif sys.maxsize < 2**32 and machine == "x86_64":
        machine = "i686"
    return _MACHINES.get(machine.lower(), machine.lower())


def _markers() -> dict[str, str]:
    """https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers."""
    import platform

    info = sys.implementation.version
    version = f"{info.major}.{info.minor}.{info.micro}"
    if info.releaselevel != "final":
        version += info.releaselevel[0] + str(info.serial)
    full = platform.python_version()
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        # A build from a checkout says 3.14.0+, which is no version (PEP 440).
        "python_full_version": full + "local" if full.endswith("+") else full,
        "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "sys_platform": sys.platform,
    }


def distributions(site: str, prefix: str) -> Iterator[dict[str, Any]]:
    """What is installed in one site-packages folder; what ``.pth`` files add to the path is not looked at."""
    for name in sorted(os.listdir(site)):
        # pip renames what it is about to remove to a name that begins with "~".
        if name.startswith("~") or not name.endswith((".dist-info", ".egg-info")):
            continue
        path = os.path.join(site, name)
        found = _dist_info(path) if name.endswith(".dist-info") else _egg_info(path)
        found["metadata"] = _relative(path, prefix)
        yield found


def _dist_info(folder: str) -> dict[str, Any]:
    stem = os.path.basename(folder)[: -len(".dist-info")]
    head = _headers(os.path.join(folder, "METADATA"))
    rows = _read(os.path.join(folder, "RECORD")).splitlines()
    url, editable = _direct_url(_read(os.path.join(folder, "direct_url.json")))
    return {
        "name": _normalised(head.get("name", [stem.partition("-")[0]])[0]),
        "version": head.get("version", [stem.partition("-")[2]])[0],
        "requires": head.get("requires-dist", []),
        "modules": _modules(_first_column(row) for row in rows),
        "installer": _read(os.path.join(folder, "INSTALLER")).strip()[:40],
        "url": url,
        "editable": editable,
    }


def _egg_info(path: str) -> dict[str, Any]:
    """Left by setuptools before wheels (a folder) and by distutils (a file)."""
    stem = os.path.basename(path)[: -len(".egg-info")]
    head = _headers(os.path.join(path, "PKG-INFO") if os.path.isdir(path) else path)
    listed = _read(os.path.join(path, "installed-files.txt")).splitlines()
    named = _read(os.path.join(path, "top_level.txt")).split()
    inside = (name[3:].replace("\\", "/") for name in listed if name.startswith(("../", "..\\")))
    return {
        "name": _normalised(head.get("name", [stem.partition("-")[0]])[0]),
        "version": head.get("version", [stem.partition("-")[2]])[0],
        "requires": head.get("requires-dist") or _egg_requires(_read(os.path.join(path, "requires.txt"))),
        "modules": _modules(inside) or sorted(name for name in named if name.isidentifier()),
    }


def _egg_requires(text: str) -> list[str]:
    """Requirements of setuptools' own format: sections ``[extra:marker]``, either part may be empty."""
    extra = marker = ""
    requires = []
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = line[1:-1].partition(":")
        elif line and not line.startswith("#"):
            terms = [f"({marker})"] if marker else []
            terms += [f'extra == "{extra}"'] if extra else []
            requires.append(line + ("; " + " and ".join(terms) if terms else ""))
    return requires


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _headers(path: str) -> dict[str, list[str]]:
    """The header fields of a metadata file by lower-case name.

    https://packaging.python.org/en/latest/specifications/core-metadata/: e-mail headers (RFC 822) up to the first
    empty line; a line that begins with white space goes on with the field before it.
    """
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in _read(path).lstrip("\ufeff").splitlines():
        if not line:
            break
        if line[0] in " \t":
            if values:
                values[-1] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        values = fields.setdefault(name.lower(), []) if colon else None
        if values is not None:
            values.append(value.strip())
    return fields


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _direct_url(text: str) -> tuple[str, bool]:
    """The address, without credentials, and whether it is editable (PEP 610)."""
    try:
        told = json.loads(text) if text else {}
        url = _without_credentials(str(told.get("url", "")))
        vcs = told.get("vcs_info") or {}
        if vcs:
            url = f"{vcs.get('vcs', '')}+{url}@{vcs.get('commit_id', '')}"
        return url, bool((told.get("dir_info") or {}).get("editable", False))
    except (ValueError, AttributeError):
        return "", False


def _without_credentials(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, bare = host.rpartition("@")
    if not at or (scheme.endswith("ssh") and ":" not in user):  # the git@ of an ssh address is no secret
        return url
    return scheme + mark + bare + slash + path


def _first_column(row: str, windows: bool = os.name == "nt") -> str:
    """The path of a RECORD row (CSV): in quotes where it holds a comma or a quote."""
    path = row[1:].split('",', 1)[0].replace('""', '"') if row.startswith('"') else row.split(",", 1)[0]
    return path.replace("\\", "/") if windows else path


def _modules(paths: Iterable[str]) -> list[str]:
    """The names that importing a distribution begins with, by its files.

    A package or module at the top goes by its name; below folders that are no packages (PEP 420) it is the dotted
    name. Loose modules in such folders count only where there is nothing else, one for each folder: what is often
    there are scripts and data.
    """
    listed = list(paths)
    # Nearly every file lies in a package at the top, and needs no closer look.
    ends = [path[: -len("/__init__.py")] for path in listed if path.endswith("/__init__.py")]
    tops = {top for top in ends if top.isidentifier()}
    rest = (path for path in listed if path.partition("/")[0] not in tops)
    files = sorted(parts for parts in map(_dotted, rest) if parts)
    packages = {parts[:-1] for parts in files if parts[-1] == "__init__"}
    found = set(tops)
    loose: dict[tuple[str, ...], str] = {}
    for parts in files:
        package = next((parts[:depth] for depth in range(1, len(parts)) if parts[:depth] in packages), None)
        if package is not None:
            found.add(".".join(package))
        elif len(parts) > 1:
            loose.setdefault(parts[:-1], ".".join(parts))
        elif parts[0] not in _NO_MODULES:
            found.add(parts[0])
    return sorted(found or loose.values())


def _dotted(path: str) -> tuple[str, ...]:
    """``("a", "b")`` for ``a/b.cpython-312-x86_64-linux-gnu.so``; nothing for what cannot be imported."""
    *folders, file = path.split("/")
    stem, _, suffix = file.partition(".")
    if not file.endswith(_SUFFIXES) or "__pycache__" in folders or stem.startswith("__editable__"):
        return ()
    # An extension module may carry a tag before its suffix, source may not.
    if "." in suffix and suffix.endswith((".py", ".pyc")):
        return ()
    parts = (*folders, stem)
    return parts if all(part.isidentifier() for part in parts) else ()


# Content -----------------------------------------------------------------------------------------------------------

_CHUNK = 1 << 20
#: Opening a file costs about as much as hashing this many bytes of it.
_OPEN_COST = 1 << 14
#: Console scripts and Windows launchers are smaller; larger programs are no scripts.
_SCRIPT_LIMIT = 1 << 18
_TEXT_LIMIT = 1 << 25
_TEXTS = frozenset(
    ("RECORD", "WHEEL", "INSTALLER", "entry_points.txt", "direct_url.json", "installed-files.txt", "top_level.txt")
)
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# A file that has become a pipe since it was listed must not be waited for.
_FLAGS |= getattr(os, "O_NONBLOCK", 0)


class Reading:
    """What :func:`scan` has found."""

    def __init__(self, prefix: str, known: dict[Key, str]) -> None:
        self.rows: list[list[Any]] = []
        #: The bytes of small files that say what the others are.
        self.data: dict[str, bytes] = {}
        #: The SHA-256 that files of conda packages have with their placeholder in place of the prefix; of those for
        #: which it is not known, or is not the one that their package names, what they have without either.
        self.originals: dict[str, str] = {}
        self.masked: dict[str, str] = {}
        self._known = known
        self._claims: dict[str, list[Claim]] = {}
        self._roots = [os.fsencode(root) for root in _unique_names(prefix)]

    def scan(self, prefix: str, workers: int) -> None:
        """Lists all and reads all."""
        self.rows, files = _walk(prefix)
        records: list[Listed] = []
        others: list[Listed] = []
        for item in files:
            (records if _is_conda_record(item[0][0]) else others).append(item)
        self._hash_all(records)
        self._claims = _claims(self.data)
        todo: list[Listed] = []
        for item in others:
            row = item[0]
            row[5] = self._known.get(item[1], "")
            if not row[5] or row[0] in self._claims or _wanted(row[0], row[2]):
                todo.append(item)
        batches = _batches(todo, workers)
        import threading

        threads = [threading.Thread(target=self._hash_all, args=(batch,)) for batch in batches[1:]]
        for thread in threads:
            thread.start()
        self._hash_all(batches[0])
        for thread in threads:
            thread.join()

    def _hash_all(self, batch: list[Listed]) -> None:
        buffer = bytearray(_CHUNK)
        for row, key, path in batch:
            found = self._known.get(key, "")  # another name of the same file may have come first
            try:
                if row[0] in self._claims or _wanted(row[0], row[2]):
                    row[5] = self._keep(path, row)
                else:
                    row[5] = found or _sha256(path, row[2], buffer)
            except OSError as error:
                row[1], row[5], row[6] = "unreadable", "", error.strerror or "cannot be read"
                continue
            if key[1]:  # Windows' directory listings know no inodes
                self._known[key] = row[5]

    def _keep(self, path: str, row: list[Any]) -> str:
        with open(os.open(path, _FLAGS), "rb") as file:
            data = file.read()
        if _wanted(row[0], row[2]):
            self.data[row[0]] = data
        claims = self._claims.get(row[0], ())
        original = next((found for claim in claims for found in _original(data, self._roots, *claim)), "")
        if original:
            self.originals[row[0]] = original
        elif claims:
            self.masked[row[0]] = _masked(data, self._roots)
        return _hexdigest([data])


def scan(prefix: str, workers: int, known: dict[Key, str]) -> Reading:
    """Every file below a prefix, and the bytes of the small ones that say what the others are.

    Rows are ``[path, kind, size, mtime_ns, executable, sha256, target]``; kinds are ``file``, ``link`` and
    ``dir-link`` (never followed), ``other`` (a socket, a pipe, a device) and ``unreadable``, whose ``target`` is the
    reason. Paths are relative, with forward slashes, undecodable bytes as surrogates (PEP 383).
    ``known`` maps (device, inode, size, mtime_ns) to SHA-256 and is added to: what was hashed once is not read again.
    """
    reading = Reading(prefix, known)
    collecting = gc.isenabled()
    gc.disable()  # ten thousand rows that all live to the end: looking through them costs a tenth, and finds nothing
    try:
        reading.scan(prefix, workers)
    finally:
        if collecting:
            gc.enable()
    return reading


def _walk(prefix: str) -> tuple[list[list[Any]], list[Listed]]:
    rows: list[list[Any]] = []
    files: list[Listed] = []
    folders = [("", prefix)]
    while folders:
        relative, folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            rows.append(_unreadable(relative.rstrip("/"), error))
            continue
        for entry in entries:
            path = relative + entry.name
            try:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode) and not is_junction(entry):
                    folders.append((path + "/", entry.path))
                    continue
                row = _row(path, entry, facts)
            except OSError as error:
                rows.append(_unreadable(path, error))
                continue
            if path != SEAL_NAME:
                rows.append(row)
                if row[1] == "file":
                    files.append((row, (facts.st_dev, facts.st_ino, row[2], row[3]), entry.path))
    return rows, files


def _row(path: str, entry: os.DirEntry[str], facts: os.stat_result) -> list[Any]:
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        executable = bool(mode & 0o111) and os.name != "nt"
        return [path, "file", facts.st_size, facts.st_mtime_ns, executable, "", ""]
    if stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
        kind = "dir-link" if entry.is_dir() else "link"
        return [path, kind, 0, facts.st_mtime_ns, False, "", os.readlink(entry.path)]
    return [path, "other", 0, facts.st_mtime_ns, False, "", ""]


def _unreadable(path: str, error: OSError) -> list[Any]:
    return [path, "unreadable", 0, 0, False, "", error.strerror or "cannot be read"]


def is_junction(entry: os.DirEntry[str]) -> bool:
    """Whether it is a Windows junction: a folder by its mode, a link by what it does."""
    return os.name == "nt" and bool(getattr(entry, "is_junction", bool)())


def _wanted(path: str, size: int) -> bool:
    """Whether the bytes themselves are needed later: scripts, and what describes distributions and the prefix."""
    if path.startswith(("bin/", "Scripts/")):
        return size <= _SCRIPT_LIMIT and path.count("/") == 1
    folder, _, name = path.rpartition("/")
    if name in _TEXTS:
        return folder.endswith((".dist-info", ".egg-info")) and size <= _TEXT_LIMIT
    if folder == "conda-meta":
        return (name == "state" or _is_conda_record(path)) and size <= _TEXT_LIMIT
    return name == "_virtualenv.pth" or path == "pyvenv.cfg"


def _batches(todo: list[Listed], workers: int) -> list[list[Listed]]:
    """Cuts the files, largest first, into runs of equal cost.

    Large files are hashed without the interpreter's lock and small ones mostly with it, so threads that have the
    one or the other kind disturb each other least.
    """
    todo.sort(key=lambda item: -item[0][2])
    share = sum(item[0][2] + _OPEN_COST for item in todo) / max(1, workers)
    batches: list[list[Listed]] = [[]]
    cost = 0
    for item in todo:
        if cost >= share and len(batches) < workers:
            batches.append([])
            cost = 0
        batches[-1].append(item)
        cost += item[0][2] + _OPEN_COST
    return batches


def _sha256(path: str, size: int, buffer: bytearray) -> str:
    from hashlib import sha256

    descriptor = os.open(path, _FLAGS)
    try:
        # One byte more than was listed shows whether the file has grown; nearly always one read is all of it.
        start = os.read(descriptor, min(size + 1, _CHUNK))
        digest = sha256(start)
        if len(start) != size:
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                view = memoryview(buffer)
                for count in iter(lambda: file.readinto(view), 0):
                    digest.update(view[:count])
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def content(prefix: str) -> dict[str, Any]:
    """What :func:`scan` finds, as JSON can carry it: bytes in base 64."""
    from base64 import b64encode

    found = scan(prefix, os.cpu_count() or 1, {})
    return {
        "prefix": prefix,
        "roots": _unique_names(prefix),
        "entries": found.rows,
        "data": {path: b64encode(text).decode() for path, text in found.data.items()},
        "originals": found.originals,
        "masked": found.masked,
    }


# Files that conda's installers have put the prefix into ------------------------------------------------------------

#: What stands for a prefix whose placeholder is not known.
_TOKEN = b"<prefix>"
# How a first line is written that would be too long for the kernel, or has a blank in its path: conda
# (core/portability.py, replace_long_shebang), mamba (core/link.cpp), rattler (install/link.rs, convert_shebang_to_env).
_THROUGH_SH = re.compile(rb"#!/bin/sh\n'''exec' \"([^\"\n]+)\"(.*) \"\$0\" \"\$@\" #'''(?=\n|\Z)")
_THROUGH_ENV = re.compile(rb"#!/usr/bin/env ([^\s/]+)(.*)")
#: Linux' limit, which they go by there; macOS' is higher.
_LONGEST_LINE = 127
#: Before it stands the rest of a longer name: the ``/env`` of ``/usr/bin/env``.
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def _is_conda_record(path: str) -> bool:
    return path.startswith("conda-meta/") and path.endswith(".json") and path.count("/") == 1


def _unique_names(prefix: str) -> list[str]:
    """The prefix as it was given, and with links resolved."""
    return list(dict.fromkeys((prefix, os.path.realpath(prefix))))


def _claims(data: dict[str, bytes]) -> dict[str, list[Claim]]:
    """The files that are not as their packages have them, by what the records of conda, mamba and rattler say.

    mamba's name no placeholder: of its files it is only known that they were changed.
    """
    found: dict[str, list[Claim]] = {}
    for path, text in data.items():
        if not _is_conda_record(path):
            continue
        try:
            for told in json.loads(text)["paths_data"]["paths"]:
                before, placeholder = told.get("sha256") or "", told.get("prefix_placeholder") or ""
                if placeholder or before != (told.get("sha256_in_prefix") or before):
                    claim = (str(placeholder), str(told.get("file_mode") or ""), str(before))
                    found.setdefault(str(told.get("_path")), []).append(claim)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # whoever reads the record tells of it
    return found


def _original(data: bytes, roots: list[bytes], placeholder: str, mode: str, before: str) -> Iterator[str]:
    """The SHA-256 of a file with its placeholder back, if that is the one that its package names, or it names none."""
    stamp = placeholder.encode("utf-8", "replace")
    for root in roots if stamp else ():
        name = root.replace(b"\\", b"/") if os.name == "nt" else root
        for text in _first_lines(data, name) if mode == "text" else (data,):
            for places in _places(text, name):
                try:
                    found = _hexdigest(_put_back(text, places, len(name), stamp, mode == "binary"))
                except ValueError:
                    continue
                if found == (before or found):
                    yield found


def _first_lines(data: bytes, root: bytes) -> Iterator[bytes]:
    """The file as it is, and as it would be if its first line could name the prefix."""
    yield data
    found = _THROUGH_SH.match(data) or _THROUGH_ENV.match(data)
    if found is None:
        return
    direct = found[1] if found.re is _THROUGH_SH else root + b"/bin/" + found[1]
    for start in (b"#!", b"#! "):
        line = start + direct + found[2]
        # Else no installer had a reason, and somebody has made it look for another interpreter.
        if b" " in root or len(line) > _LONGEST_LINE:
            yield line + data[found.end() :]


def _places(data: bytes, root: bytes) -> Iterator[list[int]]:
    """Where the prefix stands: everywhere, and without those places where it ends a longer path."""
    every: list[int] = []
    at = data.find(root)
    while at >= 0:
        every.append(at)
        at = data.find(root, at + len(root))
    yield every
    alone = [at for at in every if not at or data[at - 1] not in _NAME_BYTES]
    if len(alone) < len(every):
        yield alone


def _put_back(data: bytes, places: list[int], size: int, stamp: bytes, binary: bool) -> Iterator[bytes | memoryview]:
    """The file in pieces. In a binary file the string that a prefix stands in has been filled up with NULs.

    ``ValueError`` where there are fewer of them than would have been added.
    """
    view = memoryview(data)
    done = owed = 0
    for index, place in enumerate(places):
        yield view[done:place]
        yield stamp
        done = place + size
        if not binary:
            continue
        owed += len(stamp) - size
        end = data.find(b"\0", done)
        end = end if end >= 0 else len(data)
        if index + 1 == len(places) or end < places[index + 1]:
            if data[end : end + owed] != bytes(owed):
                raise ValueError("no installer has written this")
            yield view[done:end]
            done, owed = end + owed, 0
    yield view[done:]


def _masked(data: bytes, roots: list[bytes]) -> str:
    """What is the same at every prefix: the bytes without it, in a binary file without the NULs behind its strings."""
    size = b""
    for root in roots:
        if b"\0" in data and root in data:
            size = b"%d" % len(data)
            data = re.sub(rb"(%s[^\0]*)\0+" % re.escape(root), rb"\1\0", data)
        data = data.replace(root, _TOKEN)
    return _hexdigest([data, size])


def _hexdigest(pieces: Iterable[bytes | memoryview]) -> str:
    from hashlib import sha256

    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


# Import ------------------------------------------------------------------------------------------------------------


def import_one(name: str) -> dict[str, Any]:
    """Imports a module; anything that it raises is the answer, and not the end."""
    import importlib
    import time
    import traceback

    answer: dict[str, Any] = {"module": name, "ok": False, "version": "", "error": ""}
    started = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit at import is as broken as any other error
        answer["error"] = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    else:
        version = getattr(module, "__version__", "")
        answer.update(ok=True, version=version if isinstance(version, str) else "")
    answer["seconds"] = round(time.perf_counter() - started, 4)
    return answer


def _main(verb: str, *arguments: str) -> int:
    # What a module prints goes to the error stream: standard output is for the answer alone.
    answers = os.dup(1)
    os.dup2(2, 1)
    if verb == "import":
        here = os.path.dirname(os.path.abspath(globals().get("__file__", "")))
        # A script's folder, or "" for one from standard input: neither is on the path of the project's own programs.
        if sys.path and sys.path[0] in ("", here):
            del sys.path[0]
    verbs: dict[str, Any] = {"inventory": inventory, "content": content, "import": import_one}
    answer = verbs[verb](*arguments)
    with os.fdopen(answers, "w", encoding="ascii") as stream:
        stream.write(json.dumps(clean(answer) if verb != "content" else answer) + "\n")
    return 0 if answer.get("ok", True) else 1


def clean(value: Any) -> Any:
    """Text that UTF-8 can hold: half a surrogate pair, from an undecodable file name, is written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
