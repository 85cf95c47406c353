"""Environments as Windows has them, written file by file on any system: ``Scripts``, ``Lib``, programs as launchers."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.trees import LAUNCHERS, record_row

from ci_envs.content import read_content

if TYPE_CHECKING:
    from ci_envs.model.content import Content

__all__ = ["ENTRY_POINTS", "PREFIX", "SITE", "WindowsTree", "launcher"]

#: Where the environment is by what its launchers say.
PREFIX = r"D:\a\project\.ci-envs\envs\uv-py312-windows-x86_64"
SITE = "Lib/site-packages"
ENTRY_POINTS = "[console_scripts]\nrun = pkg.cli:main\n"


def launcher(installer: str, prefix: str = PREFIX, text: str = "") -> bytes:
    """The program that pip or uv writes for ``pkg.cli:main``.

    pip's is distlib's own program for consoles, a line, and an archive; uv puts the line into the archive.
    """
    line = f"#!{prefix}\\Scripts\\python.exe\r\n"
    body = text or LAUNCHERS[installer]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", (line + body if installer == "uv" else body).replace("\r\n", "\n"))
    if installer == "uv":
        return b"MZ uv's own program" + buffer.getvalue() + b" and its resources"
    return _distlibs_program() + line.encode() + buffer.getvalue()


def _distlibs_program() -> bytes:
    """The program for 64-bit consoles, which distlib brings to every system; pip carries the same."""
    found = importlib.util.find_spec("distlib")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("t64.exe").read_bytes()


class WindowsTree:
    """A virtual environment of Windows, in a folder of this machine."""

    def __init__(self, folder: Path, *, creator: str = "venv") -> None:
        self.folder = folder
        version = "version = 3.12.1" if creator == "venv" else "implementation = CPython\nversion_info = 3.12.1"
        self.write("pyvenv.cfg", f"home = C:\\hostedtoolcache\\windows\\Python\\3.12.1\\x64\r\n{version}\r\n".encode())
        programs = ("python.exe", "pythonw.exe", "python312.dll", "vcruntime140.dll", "activate.bat", "Activate.ps1")
        for name in programs:
            self.write(f"Scripts/{name}", b"MZ")
        if creator == "venv":
            (folder / "Include").mkdir()

    def write(self, path: str, data: bytes) -> None:
        """Writes one file."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def install(
        self,
        installer: str = "uv",
        *,
        prefix: str = PREFIX,
        rows: tuple[str, ...] = (),
        more: tuple[tuple[str, str, bytes], ...] = (),
    ) -> None:
        """Installs ``pkg`` 1.0 with its launcher.

        ``more`` are further files: the path, the path as RECORD has it, the bytes.
        """
        program = launcher(installer, prefix)
        info = "pkg-1.0.dist-info"
        files = [
            (f"{SITE}/pkg/__init__.py", "pkg/__init__.py", b"x = 1\n"),
            (f"{SITE}/pkg/cli.py", "pkg/cli.py", b"def main(): ...\n"),
            (f"{SITE}/pkg/_speed.cp312-win_amd64.pyd", "pkg/_speed.cp312-win_amd64.pyd", b"MZ"),
            (f"{SITE}/{info}/METADATA", f"{info}/METADATA", b"Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n"),
            (f"{SITE}/{info}/WHEEL", f"{info}/WHEEL", b"Wheel-Version: 1.0\nTag: cp312-cp312-win_amd64\n"),
            (f"{SITE}/{info}/INSTALLER", f"{info}/INSTALLER", installer.encode()),
            (f"{SITE}/{info}/entry_points.txt", f"{info}/entry_points.txt", ENTRY_POINTS.encode()),
            ("Scripts/run.exe", "../../Scripts/run.exe", program),
            *more,
        ]
        for path, _, data in files:
            self.write(path, data)
        listed = [record_row(self._written(written, installer), data) for _, written, data in files]
        record = "\r\n".join([*listed, *rows, f"{info}/RECORD,,", ""])
        self.write(f"{SITE}/{info}/RECORD", record.encode())

    @staticmethod
    def _written(path: str, installer: str) -> str:
        """uv has rows of a wheel as the wheel has them, and its own in the system's way."""
        return path.replace("/", "\\") if installer == "uv" and path.startswith("../") else path

    def content(self, *, prefix: str = PREFIX, folds_case: bool = True) -> Content:
        """What would be read of it there."""
        read = read_content(self.folder)
        entries = tuple(entry._replace(executable=False) for entry in read.entries)
        return replace(read, prefix=prefix, roots=(prefix.replace("\\", "/"),), entries=entries, folds_case=folds_case)
