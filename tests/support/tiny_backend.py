"""A build backend (PEP 517, PEP 660) that a project carries in its own folder, so that a build downloads nothing.

``pyproject.toml`` asks for it with ``requires = []``, ``build-backend = "tiny_backend"``, ``backend-path = ["."]``.
What it says of itself is PKG-INFO where there is one, as in an sdist, else the ``[project]`` table (Python 3.11+).
Standard library only.
"""

from __future__ import annotations  # the names below are read by Python 3.8 too

import base64
import hashlib
import re
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

_EPOCH = (2020, 1, 1, 0, 0, 0)
_NOT_MODULES = {"tiny_backend.py", "setup.py", "conftest.py", "noxfile.py", "check-env.py"}
_NOT_PACKAGES = {"tests", "test", "docs", "dist", "build", "examples", "binder", "requirements", "locks"}


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """The wheel of every package and module that lies at the project's root, or under ``src``."""
    root = _source_root()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in _sources(root)}
    return _write_wheel(Path(wheel_directory), files)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """A wheel with a ``.pth`` file that points at the project."""
    name, _ = _identity()
    return _write_wheel(Path(wheel_directory), {f"_{name}.pth": f"{_source_root()}\n".encode()})


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """The project's files and PKG-INFO."""
    name, version = _identity()
    base = f"{name}-{version}"
    info = Path("PKG-INFO")
    made = not info.exists()
    info.write_text(_metadata(), encoding="utf-8")
    try:
        with tarfile.open(Path(sdist_directory, f"{base}.tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
            sources = [path.relative_to(Path.cwd()) for path in _sources(_source_root())]
            for path in [info, Path("pyproject.toml"), Path("tiny_backend.py"), *sources]:
                archive.add(str(path), f"{base}/{path.as_posix()}")
    finally:
        if made:
            info.unlink()
    return f"{base}.tar.gz"


def _write_wheel(folder: Path, files: dict[str, bytes]) -> str:
    name, version = _identity()
    info = f"{name}-{version}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = _scripts()
    if scripts:
        files[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *scripts, ""]).encode()
    rows = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / filename, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, _EPOCH)
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return filename


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _source_root() -> Path:
    here = Path.cwd()
    return here / "src" if (here / "src").is_dir() else here


def _sources(root: Path) -> list[Path]:
    packages = [p.parent for p in root.glob("*/__init__.py") if p.parent.name not in _NOT_PACKAGES]
    modules = [p for p in root.glob("*.py") if p.name not in _NOT_MODULES and not p.name.startswith("test_")]
    inside = [p for package in packages for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    return sorted(modules + inside)


def _identity() -> list[str]:
    fields = HeaderParser().parsestr(_metadata())
    return [re.sub(r"[-_.]+", "_", fields["Name"]).lower(), fields["Version"]]


def _metadata() -> str:
    info = Path("PKG-INFO")
    return info.read_text(encoding="utf-8") if info.exists() else _metadata_of_pyproject()


def _metadata_of_pyproject() -> str:
    project = _project()
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    if "requires-python" in project:
        lines.append(f"Requires-Python: {project['requires-python']}")
    lines += [f"Requires-Dist: {text}" for text in project.get("dependencies", [])]
    for extra, texts in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_under_extra(text, extra)}" for text in texts]
    return "\n".join([*lines, ""])


def _under_extra(text: str, extra: str) -> str:
    requirement, _, marker = text.partition(";")
    condition = f"extra == '{extra}'"
    return f"{requirement.strip()} ; {f'({marker.strip()}) and ' if marker else ''}{condition}"


def _scripts() -> list[str]:
    try:
        return [f"{name} = {target}" for name, target in _project().get("scripts", {}).items()]
    except ImportError:
        return []


def _project() -> dict[str, Any]:
    import tomllib

    return dict(tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"])
