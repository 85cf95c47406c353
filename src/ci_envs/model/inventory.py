"""What is really installed in an environment, read from inside."""

from __future__ import annotations

import msgspec

__all__ = ["SYSTEM_MANAGERS", "Distribution", "Interpreter", "Inventory"]

#: Who installs the operating system's packages.
SYSTEM_MANAGERS = frozenset(("dpkg", "apk", "rpm"))


class Distribution(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One installed package."""

    #: Normalised as PEP 503 asks; of a package of the operating system as its manager spells it.
    name: str
    version: str
    #: ``python``, ``conda``, ``nix``, ``guix``, ``dpkg``, ``apk`` or ``rpm``.
    manager: str = "python"
    #: ``Requires-Dist`` lines as the metadata has them.
    requires: tuple[str, ...] = ()
    #: Top-level modules that it brings, by its files.
    modules: tuple[str, ...] = ()
    #: Its metadata folder, relative to the prefix.
    metadata: str = ""
    #: ``uv``, ``pip``, ...: what its INSTALLER file says.
    installer: str = ""
    #: The address in direct_url.json, without credentials; empty for what an index gave.
    url: str = ""
    editable: bool = False
    #: Whether the environment was made with it, as ``python -m venv`` brings pip: no lock promises it.
    seed: bool = False
    #: Of a conda package: its build string, its channel's address without credentials, its archive's SHA-256; of a
    #: path in nix's or guix's store the SHA-256 of its NAR.
    build: str = ""
    channel: str = ""
    sha256: str = ""
    #: Of a Python distribution: the conda package that brought it; empty where an installer of Python's did.
    brought_by: str = ""
    #: Of a conda package: the normalised names of the Python distributions that its files are.
    brings: tuple[str, ...] = ()
    #: Of a package of the operating system: its architecture in its manager's words (``amd64``, ``all``, ``noarch``).
    arch: str = ""

    @property
    def of_system(self) -> bool:
        """Whether it is the operating system's, whose packages no lock of ours names."""
        return self.manager in SYSTEM_MANAGERS


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """Who an interpreter says it is."""

    #: ``3.12.1``.
    version: str
    #: ``cpython`` or ``pypy``.
    implementation: str
    #: ``linux``, ``macos`` or ``windows``.
    os: str
    #: ``x86_64`` or ``aarch64``.
    arch: str
    executable: str
    prefix: str
    base_prefix: str
    free_threaded: bool = False
    debug: bool = False
    #: The values of PEP 508's environment markers.
    markers: dict[str, str] = {}
    #: ``purelib``, ``platlib``, ``scripts`` and the like, relative to the prefix.
    paths: dict[str, str] = {}

    @property
    def series(self) -> str:
        """``3.12`` (``3.13t`` where it is free-threaded, ``pypy3.10`` for PyPy)."""
        major_minor = ".".join(self.version.split(".")[:2])
        prefix = "pypy" if self.implementation == "pypy" else ""
        return f"{prefix}{major_minor}{'t' if self.free_threaded else ''}"


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The interpreter and everything installed beside it."""

    interpreter: Interpreter
    distributions: tuple[Distribution, ...] = ()

    def find(self, name: str) -> Distribution | None:
        """The Python distribution of a normalised name."""
        return next((d for d in self.distributions if d.name == name and d.manager == "python"), None)
