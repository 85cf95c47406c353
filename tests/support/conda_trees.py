"""Synthetic conda environments, written file by file: what rattler, conda and mamba leave, with no tool run."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["PLACEHOLDER", "CondaTree", "FrontEnd", "put_prefix_in"]

FrontEnd = Literal["rattler", "conda", "mamba"]

#: As long as conda-build's.
PLACEHOLDER = ("/home/conda/feedstock_root/build_artifacts/x_1700000000000/_h_env" + "_placehold" * 30)[:255]

_LONGEST_LINE = 127

#: What each writes for an entry point, behind the line that names the interpreter.
_LAUNCHER = (
    "# -*- coding: utf-8 -*-\nimport re\nimport sys\n\nfrom {module} import {name}\n\nif __name__ == '__main__':\n"
    "{indent}sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n{indent}sys.exit({call}())\n"
)


def put_prefix_in(data: bytes, prefix: str, *, binary: bool, python: bool = True) -> bytes:
    """What an installer makes of a file. ``python``: first lines that are too long go through ``sh``, as rattler's."""
    old, new = PLACEHOLDER.encode(), prefix.encode()
    if not binary:
        head, end, rest = data.partition(b"\n")
        found = re.match(rb"#! *(/[^ ]*/([^/ ]+))(.*)$", head)
        if found and old in head and (len(head.replace(old, new)) > _LONGEST_LINE or b" " in new):
            head = b"#!/usr/bin/env " + found[2] + found[3]
            if python and found[2].startswith(b"python"):
                head = b"#!/bin/sh\n'''exec' \"" + found[1] + b'"' + found[3] + b' "$0" "$@" #\'\'\''
        return (head + end + rest).replace(old, new)
    strings = [string + b"\0" for string in data.split(b"\0")]
    made = b"".join(s.replace(old, new) + bytes(s.count(old) * (len(old) - len(new))) for s in strings)
    return made[:-1]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class CondaTree:
    """A conda environment of Linux and macOS at ``prefix``; files of packages are text or, as bytes, binary."""

    site = "lib/python3.12/site-packages"

    def __init__(self, prefix: Path, front_end: FrontEnd = "rattler"):
        if sys.platform == "win32":
            pytest.skip("an environment of Linux and macOS, with its links and modes")
        self.prefix = prefix
        self.front_end = front_end
        self.write("conda-meta/history", "" if front_end == "rattler" else f"==> 2026-01-02 <==\n# cmd: {prefix}\n")
        if front_end == "rattler":
            self.write("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> Path:
        """Writes one file and returns its path."""
        target = self.prefix / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        target.chmod(mode)
        return target

    def record(self, name: str, version: str = "1.0", build: str = "h0_0") -> Path:
        """Where a package's record lies."""
        return self.prefix / f"conda-meta/{name}-{version}-{build}.json"

    def change(self, package: str, **fields: Any) -> None:
        """Changes fields of a record."""
        path = self.record(package)
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    def install(
        self,
        name: str = "pkg",
        version: str = "1.0",
        build: str = "h0_0",
        files: Mapping[str, str | bytes] | None = None,
        *,
        links: Mapping[str, str] | None = None,
        entry_points: Mapping[str, str] | None = None,
        compiled: Sequence[str] = (),
        paths: Sequence[Mapping[str, Any]] = (),
        **fields: Any,
    ) -> Path:
        """Installs a package. ``entry_points``: name -> ``module:call``; ``paths`` are added as they are.

        Placeholders in ``files`` become the prefix, and are told of as this front end tells of them.
        """
        told = [self._file(path, data) for path, data in (files or {f"share/{name}.txt": "x"}).items()]
        told += [self._link(path, target) for path, target in (links or {}).items()]
        told += [self._entry_point(each, point) for each, point in (entry_points or {}).items()]
        told += [{"_path": path, "path_type": "pyc_file"} for path in compiled]
        cache = f"/caches of {self.front_end}/pkgs/{name}-{version}-{build}"
        record = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "subdir": "linux-64",
            "channel": "https://conda.example/conda-forge/linux-64",
            "url": f"https://conda.example/conda-forge/linux-64/{name}-{version}-{build}.conda",
            "sha256": _sha256(f"{name} {version} {build}".encode()),
            "md5": "0" * 32,
            "depends": [],
            "extracted_package_dir": cache,
            "link": {"source": cache, "type": 1},
            "requested_spec": "" if self.front_end == "mamba" else name,
            "files": [each["_path"] for each in [*told, *paths]],
            "paths_data": {"paths_version": 1, "paths": [*told, *paths]},
        }
        keys = record | fields
        ordered = dict(sorted(keys.items(), reverse=self.front_end == "conda"))
        return self.write(str(self.record(name, version, build).relative_to(self.prefix)), json.dumps(ordered))

    def distribution(self, name: str, version: str = "1.0", *, installer: str = "conda", **more: str) -> dict[str, str]:
        """The files of a Python distribution as a conda package has them; ``more`` are modules with their text."""
        folder = f"{self.site}/{name}-{version}.dist-info"
        return {
            **{f"{self.site}/{path}.py": text for path, text in (more or {name: ""}).items()},
            f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{folder}/INSTALLER": installer,
            f"{folder}/RECORD": f"{name}.py,,\n",
        }

    def _file(self, path: str, data: str | bytes) -> dict[str, Any]:
        binary, raw = isinstance(data, bytes), data if isinstance(data, bytes) else data.encode()
        made = raw
        told: dict[str, Any] = {
            "_path": path,
            "path_type": "hardlink",
            "sha256": _sha256(raw),
            "size_in_bytes": len(raw),
        }
        if PLACEHOLDER.encode() in raw:
            made = put_prefix_in(raw, str(self.prefix), binary=binary, python=self.front_end == "rattler")
            told["sha256_in_prefix"] = _sha256(made)
            if self.front_end != "mamba":
                told |= {"file_mode": "binary" if binary else "text", "prefix_placeholder": PLACEHOLDER}
        elif self.front_end != "rattler":
            told["sha256_in_prefix"] = _sha256(made)
        self.write(path, made, 0o755 if path.startswith("bin/") else 0o644)
        return told

    def _link(self, path: str, target: str) -> dict[str, Any]:
        place = self.prefix / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        content = _sha256(place.read_bytes() if place.is_file() else b"")
        told = {"_path": path, "path_type": "softlink", "sha256": content}
        if self.front_end == "rattler":
            told["sha256_in_prefix"] = _sha256(target.encode())
        return told | ({"sha256_in_prefix": content} if self.front_end == "mamba" else {})

    def _entry_point(self, name: str, point: str) -> dict[str, Any]:
        module, _, call = point.partition(":")
        first = put_prefix_in(f"#!{PLACEHOLDER}/bin/python3.12\n".encode(), str(self.prefix), binary=False).decode()
        indent = "\t" if self.front_end == "rattler" else "    "
        text = first + _LAUNCHER.format(module=module, name=call.partition(".")[0], call=call, indent=indent)
        self.write(f"bin/{name}", text, 0o755)
        told = {"_path": f"bin/{name}", "path_type": "unix_python_entry_point"}
        return told | ({"sha256": _sha256(text.encode())} if self.front_end == "rattler" else {})
