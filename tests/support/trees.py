"""Synthetic environments, written file by file: what creators and installers leave, with no tool run."""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LAUNCHERS", "Tree", "record_row"]

#: What each installer writes after the line that names the interpreter, for ``pkg.cli:main``.
LAUNCHERS = {
    "uv": (
        "# -*- coding: utf-8 -*-\nimport sys\nfrom pkg.cli import main\n"
        'if __name__ == "__main__":\n    if sys.argv[0].endswith("-script.pyw"):\n'
        "        sys.argv[0] = sys.argv[0][:-11]\n"
        '    elif sys.argv[0].endswith(".exe"):\n        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit(main())\n'
    ),
    "pip 26": (
        "import sys\nfrom pkg.cli import main\nif __name__ == '__main__':\n"
        "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(main())\n"
    ),
    "pip 25": (
        "import sys\nfrom pkg.cli import main\nif __name__ == '__main__':\n    if sys.argv[0].endswith('.exe'):\n"
        "        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit(main())\n"
    ),
    "pip 23": (
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom pkg.cli import main\nif __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
    ),
    "distlib": (
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\nif __name__ == '__main__':\n    from pkg.cli import main\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
    ),
}

_SITE = "lib/python3.12/site-packages"


def record_row(path: str, data: bytes) -> str:
    """A row of a RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"


class Tree:
    """A virtual environment at ``prefix``, as uv makes it on Linux and macOS; ``windows_trees`` has one of Windows."""

    site = _SITE

    def __init__(
        self, prefix: Path, configuration: str = "home = /usr/bin\nimplementation = CPython\nversion_info = 3.12.1\n"
    ):
        if sys.platform == "win32":
            pytest.skip("an environment of Linux and macOS, with its links and modes")
        self.prefix = prefix
        self.write("pyvenv.cfg", configuration)
        self.write("bin/activate", f"VIRTUAL_ENV={prefix}\n")
        (prefix / "bin/python").symlink_to("/usr/bin/python3.12")
        (prefix / self.site).mkdir(parents=True)

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> Path:
        """Writes one file and returns its path."""
        target = self.prefix / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        target.chmod(mode)
        return target

    def install(
        self,
        name: str = "pkg",
        version: str = "1.0",
        files: Mapping[str, str] | None = None,
        *,
        scripts: Mapping[str, str] | None = None,
        entry_points: str = "",
        installer: str = "uv",
        rows: tuple[str, ...] = (),
        metadata: str = "",
        tags: str = "Tag: py3-none-any\n",
    ) -> str:
        """Installs a distribution as a wheel of these files would be; ``scripts`` are texts in ``bin``.

        ``rows`` are added to RECORD as they are. Returns the metadata folder, relative to the prefix.
        """
        folder = f"{name}-{version}.dist-info"
        inside: dict[str, bytes] = {
            path: text.encode() for path, text in (files or {f"{name}/__init__.py": ""}).items()
        }
        inside[f"{folder}/METADATA"] = (
            metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        ).encode()
        inside[f"{folder}/WHEEL"] = f"Wheel-Version: 1.0\n{tags}".encode()
        inside[f"{folder}/INSTALLER"] = installer.encode()
        if entry_points:
            inside[f"{folder}/entry_points.txt"] = entry_points.encode()
        for path, data in inside.items():
            self.write(f"{self.site}/{path}", data)
        for script, text in (scripts or {}).items():
            self.write(f"bin/{script}", text, 0o755)
            inside[f"../../../bin/{script}"] = text.encode()
        lines = [*(record_row(path, data) for path, data in inside.items()), *rows, f"{folder}/RECORD,,", ""]
        self.write(f"{self.site}/{folder}/RECORD", "\n".join(lines))
        return f"{self.site}/{folder}"
