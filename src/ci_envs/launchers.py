"""What lies in an environment's scripts folder: interpreters, activation scripts, launchers, scripts of wheels. Pure.

A launcher is written by the installer, anew for each environment: its first line names the interpreter by its
absolute path, and every installer has a text of its own. Here a launcher is known by its whole text, so that nothing
can hide in one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ACTIVATION", "conda_launcher", "is_interpreter", "is_launcher", "without_interpreter"]

#: What the creators of virtual environments write, by exact name: venv (Lib/venv/scripts), virtualenv and uv.
ACTIVATION = frozenset(
    (
        *("activate", "activate.bat", "activate.csh", "activate.fish", "activate.nu", "activate.ps1", "Activate.ps1"),
        *("activate.xsh", "activate_this.py", "deactivate.bat", "deactivate.csh", "deactivate.nu", "pydoc.bat"),
    )
)

# python, python3.12, python3.13t, pythonw.exe, pypy3.10; what venv copies beside them on Windows and for PyPy; and
# the name that venv of Python 3.14 adds.
_INTERPRETER = re.compile(
    r"(?:python|pypy)w?[\d.]*t?(?:_d)?(?:\.exe)?|(?:python|vcruntime)[\d_]+t?\.dll|libpypy[\w.-]*|\U0001d70bthon"
)

#: What stands for the line that names the interpreter; wheels write it so (PEP 427, "Recommended installer features").
_PLACEHOLDER = b"#!python\n"

# How the line after "#!/bin/sh" begins the interpreter, where its path is too long for a kernel or holds blanks:
# distlib's ScriptMaker._build_shebang, uv's format_shebang (crates/uv-install-wheel/src/wheel.rs).
_THROUGH_SH = re.compile(rb"#!/bin/sh\n'''exec' (.+) \"\$0\" \"\$@\"\n' '''\n")

# uv venv --relocatable: the interpreter beside the script, wherever that is.
_BESIDE = (
    '"$(dirname -- "$(realpath -- "$0")")"/',
    '"$(CDPATH= cd -- "$(dirname -- "$0")" && echo "$PWD")"/',
)

# The texts after that line; single quotes stand for either kind, blank lines are left out.
_BODIES = tuple(
    text.format_map({"import": "from {module} import {name}", "guard": "if __name__ == '__main__':"})
    for text in (
        # distlib up to 0.3.8 (pip up to 25.0), installer (Poetry, PDM), uv before 0.5
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\n{import}\n{guard}\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({{call}}())\n",
        # distlib from 0.3.9
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\n{guard}\n    {import}\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({{call}}())\n",
        # pip 25: its own template
        "import sys\n{import}\n{guard}\n    if sys.argv[0].endswith('.exe'):\n"
        "        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({{call}}())\n",
        # pip 26
        "import sys\n{import}\n{guard}\n    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit({{call}}())\n",
        # uv
        "# -*- coding: utf-8 -*-\nimport sys\n{import}\n{guard}\n    if sys.argv[0].endswith('-script.pyw'):\n"
        "        sys.argv[0] = sys.argv[0][:-11]\n    elif sys.argv[0].endswith('.exe'):\n"
        "        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({{call}}())\n",
    )
)

# What conda, mamba (both with four blanks) and rattler (with tabs) write for entry points of noarch packages: conda's
# gateways/disk/create.py, mamba's core/link.cpp, rattler's install/entry_point.rs. Windows' have no first line.
_CONDA = re.compile(
    r"# -\*- coding: utf-8 -\*-\nimport re\nimport sys\n\nfrom (?P<module>[\w.]+) import (?P<name>\w+)\n\n"
    r"if __name__ == '__main__':\n(?P<indent>    |\t)sys\.argv\[0\] = "
    r"re\.sub\(r'\(-script\\\.pyw\?\|\\\.exe\)\?\$', '', sys\.argv\[0\]\)\n"
    r"(?P=indent)sys\.exit\((?P<call>(?P=name)(?:\.\w+)*)\(\)\)\n"
)
_CONDA_THROUGH_SH = re.compile(rb"#!/bin/sh\n'''exec' \"([^\"\n]+)\" \"\$0\" \"\$@\" #'''\n")

_DRIVE = re.compile(r"(?:[A-Za-z]:|//[^/])")

_REFERENCE = re.compile(r"[\w.]+:[\w.]+")


def is_interpreter(name: str) -> bool:
    """Whether a name in the scripts folder is the interpreter's, or of what has to lie beside it."""
    return _INTERPRETER.fullmatch(name) is not None


def is_launcher(data: bytes, reference: str, folders: Iterable[str]) -> bool:
    """Whether a script does nothing but call ``module:attribute`` with the environment's own interpreter.

    ``folders`` are the absolute names of the scripts folder. A Windows launcher is a program with a zip archive in
    it (PEP 441): of that the archive is judged, not the program.
    """
    if not _REFERENCE.fullmatch(reference):
        return False
    folders = tuple(folders)
    text = _from_program(data, folders) if data.startswith(b"MZ") else without_interpreter(data, folders)
    if text is None or not text.startswith(_PLACEHOLDER):
        return False
    body = text[len(_PLACEHOLDER) :].decode("utf-8", "replace").replace("\r\n", "\n").replace('"', "'")
    module, _, call = reference.partition(":")
    name = call.partition(".")[0]
    lines = "".join(line for line in body.splitlines(keepends=True) if line.strip())
    return any(lines == known.format(module=module, name=name, call=call) for known in _BODIES)


def conda_launcher(data: bytes, folders: Iterable[str]) -> str:
    """The ``module:attribute`` that a launcher of a conda installer calls; empty where it is none, or does more.

    ``folders`` are the absolute names of the folders in which the environment's own interpreter may lie.
    """
    if data.startswith(b"#!"):
        through = _CONDA_THROUGH_SH.match(data)
        end = through.end() if through else data.find(b"\n") + 1
        named = (through[1] if through else data[2:end]).decode("utf-8", "surrogateescape").strip()
        if not _is_own(named, folders, through_sh=False):
            return ""
        data = data[end:]
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\n")
    body = _CONDA.fullmatch(text)
    return f"{body['module']}:{body['call']}" if body else ""


def without_interpreter(data: bytes, folders: Iterable[str]) -> bytes:
    """The script with ``#!python`` in place of the line that names an interpreter in one of the folders.

    Anything else comes back as it is: a script that names another interpreter must not look like the rest.
    """
    through = _THROUGH_SH.match(data)
    end = through.end() if through else data.find(b"\n") + 1
    if not data.startswith(b"#!") or not end:
        return data
    named = (through[1] if through else data[2:end]).decode("utf-8", "surrogateescape").strip()
    return _PLACEHOLDER + data[end:] if _is_own(named, folders, bool(through)) else data


def _is_own(named: str, folders: Iterable[str], through_sh: bool) -> bool:
    beside = next((start for start in _BESIDE if through_sh and named.startswith(start)), "")
    if beside:
        return is_interpreter(_unquoted(named[len(beside) :]))
    folder, _, name = _comparable(_unquoted(named)).rpartition("/")
    return is_interpreter(name) and folder in set(map(_comparable, folders))


def _comparable(path: str) -> str:
    """With forward slashes; of a path with a drive in lower case, for Windows gives one folder in several spellings."""
    path = path.replace("\\", "/")
    return path.lower() if _DRIVE.match(path) else path


def _unquoted(word: str) -> str:
    """A word in quotes, as uv (single, for a shell) and distlib (double) put them."""
    for quote in "'\"":
        if len(word) > 1 and word[0] == word[-1] == quote:
            return word[1:-1].replace("'\"'\"'", "'")
    return word


def _from_program(data: bytes, folders: Iterable[str]) -> bytes | None:
    """The script in a Windows launcher, its first line replaced.

    distlib writes the program, the line and the archive one after the other; uv puts the line into the script.
    """
    import io
    import zipfile

    end = data.rfind(b"PK\x05\x06")  # the end of the archive's directory: 22 bytes and a comment
    try:
        with zipfile.ZipFile(io.BytesIO(data[: end + 22])) as archive:
            if archive.namelist() != ["__main__.py"] or archive.getinfo("__main__.py").file_size > len(data):
                return None
            text = archive.read("__main__.py")
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return None
    text = text.replace(b"\r\n", b"\n")
    if text.startswith(b"#!"):
        return without_interpreter(text, folders)
    start = data.find(b"PK\x03\x04")
    line = data.rfind(b"#!", 0, start)
    return without_interpreter(data[line:start].replace(b"\r\n", b"\n") + text, folders) if 0 <= line < start else None
