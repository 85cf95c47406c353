"""A stand-in for conda, mamba and micromamba: takes their words for the calls that are made here, and no others.

    stand_in(folder, "conda")              # writes folder/conda, a program
    calls(folder, "conda")                 # what it was called with

It really installs, with rattler, out of the package cache that it is given, and leaves what the tool would: conda-meta
with the tool's own keys, bytecode that is listed, ``environments.txt`` in the home. What it does and says on failure is
taken from the sources: conda 26.7 (``conda/misc.py``, ``core/package_cache_data.py``, ``exceptions.py``), libmamba 2.8
(``core/link.cpp``, ``core/package_fetcher.cpp``). It reads rc files and variables that change a result only to fail:
nobody who calls it well lets it see any.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

__all__ = ["Behaviour", "calls", "stand_in"]

_LINE = re.compile(
    r"(?P<url>\S+?/(?P<file>[^/#]+(?:\.conda|\.tar\.bz2)))(?:#(?:sha256:)?(?P<hash>[0-9a-f]{64}|[0-9a-f]{32}))?"
)

#: Whatever of these a tool sees bends its result.
_BENDING = ("CONDA_CHANNELS", "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_CREATE_DEFAULT_PACKAGES", "MAMBA_PLATFORM")


_NO_SCRIPTS = "--skip-run-link-scripts"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What one stand-in is like."""

    version: str = ""
    #: Whether mamba has ``--skip-run-link-scripts``.
    skips_scripts: bool = True
    #: It is ended by a signal once half of the packages are linked.
    dies: bool = False


def stand_in(folder: Path, name: str, behaviour: Behaviour | None = None) -> Path:
    """Writes the program ``name`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(msgspec.json.encode(behaviour or Behaviour()))
    told = behaviour or Behaviour()
    version = told.version or ("26.7.0" if name == "conda" else "2.8.2")
    root = Path(__file__).parents[2]
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'  # the questions that are asked most, without an interpreter
        f"--version) echo '{'conda ' if name == 'conda' else ''}{version}'; exit;;\n"
        f"'create --help') echo 'Options: --no-pyc {_NO_SCRIPTS if told.skips_scripts else ''}'; exit;;\n"
        "esac\n"
        f"export PYTHONPATH='{root}:{root}/src'\n"
        f"exec '{sys.executable}' -m tests.support.stand_in_conda '{folder}' {name} \"$@\"\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def calls(folder: Path, name: str) -> list[dict[str, Any]]:
    """Each call that made an environment: ``argv``, ``env``, ``explicit``, ``home`` (the files in it)."""
    path = folder / f"{name}.calls"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


class FailedError(Exception):
    """Ends the tool as it would end itself."""

    def __init__(self, conda: dict[str, Any], mamba: str) -> None:
        super().__init__(mamba)
        self.conda = conda
        self.mamba = mamba


@dataclass
class Wanted:
    """One line of the explicit file."""

    url: str
    file: str
    hash: str

    @property
    def stem(self) -> str:
        return self.file.removesuffix(".conda").removesuffix(".tar.bz2")


def _parser(name: str, behaviour: Behaviour) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, allow_abbrev=False, exit_on_error=True)
    parser.add_argument("verb", choices=["create"])
    for flag in ("-y", "-q"):
        parser.add_argument(flag, {"-y": "--yes", "-q": "--quiet"}[flag], action="store_true")
    parser.add_argument("-p", "--prefix", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    for flag in ("--offline", "--json"):
        parser.add_argument(flag, action="store_true")
    if name == "conda":
        parser.add_argument("--no-default-packages", action="store_true")
        return parser
    for flag in ("--no-rc", "--no-env", "--no-pyc"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--safety-checks", choices=["enabled", "warn", "disabled"])
    if behaviour.skips_scripts:
        parser.add_argument(_NO_SCRIPTS, action="store_true")
    return parser


class Tool:
    """One call."""

    def __init__(self, folder: Path, name: str, argv: list[str]) -> None:
        self.behaviour = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Behaviour)
        self.name = name
        self.folder = folder
        self.argv = argv
        self.options = _parser(name, self.behaviour).parse_args(argv)
        self.pkgs = Path(os.environ["CONDA_PKGS_DIRS"])
        self.home = Path(os.environ["HOME"])

    @property
    def is_conda(self) -> bool:
        return self.name == "conda"

    def run(self) -> None:
        text = self.options.file.read_text("utf-8")
        self._note(text)
        self._refuse_what_bends()
        lines = [found for line in text.splitlines() if (found := _LINE.fullmatch(line))]
        wanted = [Wanted(found["url"], found["file"], found["hash"] or "") for found in lines]
        for one in wanted:
            self._fetch(one)
        self._link(wanted)
        self._register()

    def _note(self, explicit: str) -> None:
        told = {
            "argv": self.argv,
            "env": dict(os.environ),
            "explicit": explicit,
            "home": sorted(path.relative_to(self.home).as_posix() for path in self.home.rglob("*")),
        }
        with (self.folder / f"{self.name}.calls").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def _refuse_what_bends(self) -> None:
        seen = [name for name in _BENDING if os.environ.get(name)]
        rc = [path for path in (".condarc", ".config/conda/condarc", ".mambarc") if (self.home / path).exists()]
        if seen or (rc and not getattr(self.options, "no_rc", False)):
            raise SystemExit(f"the stand-in saw what would bend its result: {seen} {rc}")
        if self.options.prefix.exists():
            raise SystemExit("the prefix exists")

    # Packages.

    def _fetch(self, one: Wanted) -> None:
        """Downloads, checks, unpacks: what is unpacked and has its record is taken as it is."""
        entry, archive = self.pkgs / one.stem, self.pkgs / one.file
        record = entry / "info" / "repodata_record.json"
        if record.exists() and one.hash in ("", *json.loads(record.read_text()).values()):
            return
        if self.is_conda and self.options.offline and not one.url.startswith("file:"):
            raise _conda_failure("OfflineError", f"EnforceUnusedAdapter called with url {one.url}")
        self._download(one, archive)
        data = archive.read_bytes()
        kind = "md5" if len(one.hash) == 32 else "sha256"
        actual = hashlib.new(kind, data).hexdigest()
        if one.hash and actual != one.hash:
            archive.unlink()
            raise _wrong_hash(one, archive, kind, actual)
        self._unpack(archive, entry)
        told = json.loads((entry / "info/index.json").read_text())
        told |= {"url": one.url, "channel": one.url.rpartition("/")[0].rpartition("/")[0], "fn": one.file}
        told |= {
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.new("md5", data, usedforsecurity=False).hexdigest(),
            "size": len(data),
        }
        record.write_text(json.dumps(told))

    def _download(self, one: Wanted, archive: Path) -> None:
        from rattler import Client
        from rattler.package_streaming import download_to_path

        self.pkgs.mkdir(parents=True, exist_ok=True)
        if one.url.startswith("file:"):
            source = Path(url2pathname(urlsplit(one.url).path))
            if not source.exists():
                raise _no_answer(one, 404, "NOT FOUND")
            shutil.copyfile(source, archive)
            return
        try:
            asyncio.run(download_to_path(Client(), one.url, archive))
        except Exception as error:
            status = re.search(r"\((\d{3}) ([^)]*)\)", str(error))
            raise _no_answer(
                one, int(status[1]) if status else 0, status[2] if status else "CONNECTION FAILED"
            ) from error

    def _unpack(self, archive: Path, entry: Path) -> None:
        from rattler.package_streaming import extract

        part = entry.with_name(f".{entry.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            extract(archive, part)
        except Exception as error:
            said = f"Error when extracting package: {error}"
            raise FailedError(
                {"exception_name": "InvalidArchiveError", "message": f"{archive}: {error}"}, said
            ) from error
        shutil.rmtree(entry, ignore_errors=True)
        part.rename(entry)

    # The environment.

    def _link(self, wanted: list[Wanted]) -> None:
        from rattler import PackageRecord, RepoDataRecord, install

        with tempfile.TemporaryDirectory() as name:
            cache = self._linkable(wanted, Path(name))
            records = []
            for one in wanted:
                told = json.loads((self.pkgs / one.stem / "info/repodata_record.json").read_text())
                record = PackageRecord.from_index_json(
                    self.pkgs / one.stem / "info/index.json", sha256=told["sha256"], md5=told["md5"], size=told["size"]
                )
                records.append(RepoDataRecord(record, one.file, one.url, told["channel"]))
            if self.behaviour.dies:
                asyncio.run(
                    install(records[: len(records) // 2], self.options.prefix, cache_dir=cache, show_progress=False)
                )
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                asyncio.run(install(records, self.options.prefix, cache_dir=cache, show_progress=False))
            except Exception as error:
                raise FailedError(
                    {"exception_name": "LinkError", "message": str(error)}, f"critical libmamba {error}"
                ) from error
        (self.options.prefix / "CACHEDIR.TAG").unlink()
        for path in sorted((self.options.prefix / "conda-meta").glob("*.json")):
            self._own_record(path)
        history = self.options.prefix / "conda-meta" / "history"
        history.write_text(f"==> 2026-01-02 03:04:05 <==\n# cmd: {self.name} {' '.join(self.argv)}\n")

    def _linkable(self, wanted: list[Wanted], folder: Path) -> Path:
        """The packages as rattler is to link them: conda refuses short placeholders, libmamba does not look."""
        for one in wanted:
            shutil.copytree(self.pkgs / one.stem, folder / one.stem, symlinks=True, copy_function=os.link)
            listed = folder / one.stem / "info" / "paths.json"
            told = json.loads(listed.read_text())
            for row in told["paths"]:
                placeholder = row.get("prefix_placeholder", "")
                if row.get("file_mode") == "binary" and len(placeholder) < len(str(self.options.prefix)):
                    said = (
                        f"Placeholder of length '{len(placeholder)}' too short in package {one.stem}.\nThe package must"
                    )
                    if self.is_conda:
                        raise _conda_failure("PaddingError", said)
                    del row["prefix_placeholder"], row["file_mode"]
            listed.unlink()  # a link to the cache's own
            listed.write_text(json.dumps(told))
        return folder

    def _own_record(self, path: Path) -> None:
        """conda-meta in the tool's words."""
        told = json.loads(path.read_text())
        entry = self.pkgs / path.stem
        told |= json.loads((entry / "info/repodata_record.json").read_text())
        told |= {"extracted_package_dir": str(entry), "link": {"source": str(entry), "type": 1}}
        told |= {"package_tarball_full_path": f"{entry}.conda", "requested_spec": told["name"]}
        rows = told["paths_data"]["paths"]
        modules = [row["_path"] for row in rows if row["_path"].endswith(".py") and told.get("noarch") == "python"]
        for row in rows:
            file = self.options.prefix / row["_path"]
            row["sha256_in_prefix"] = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
            if not self.is_conda:  # link.cpp writes neither
                row.pop("prefix_placeholder", None)
                row.pop("file_mode", None)
            if row["path_type"].endswith("entry_point"):
                self._own_entry_point(file)
                row.pop("sha256", None)  # link.cpp and path_actions.py write no hash of what they have made
                row.pop("sha256_in_prefix", None)
        for module in modules:
            rows.append({"_path": self._compiled(module), "path_type": "pyc_file"})
        told["files"] = [row["_path"] for row in rows]
        path.write_text(json.dumps(told, indent=2, sort_keys=True))
        self._scripts(told["name"])

    def _own_entry_point(self, file: Path) -> None:
        file.write_text(file.read_text().replace("\t", "    "))

    def _compiled(self, module: str) -> str:
        """The bytecode's path; libmamba lists it whether it was made or not."""
        folder, _, name = module.rpartition("/")
        made = f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-312.pyc"
        if self.is_conda or not self.options.no_pyc:
            path = self.options.prefix / made
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(16))  # it holds the time
        return made

    def _scripts(self, name: str) -> None:
        script = self.options.prefix / "bin" / f".{name}-post-link.sh"
        if script.exists() and not getattr(self.options, "skip_run_link_scripts", False):
            env = {**os.environ, "PREFIX": str(self.options.prefix), "PKG_NAME": name}
            subprocess.run(["sh", str(script)], env=env, check=True)

    def _register(self) -> None:
        """libmamba has no switch for it."""
        if not self.is_conda or os.environ.get("CONDA_REGISTER_ENVS") != "false":
            (self.home / ".conda").mkdir(exist_ok=True)
            with (self.home / ".conda/environments.txt").open("a") as file:
                file.write(f"{self.options.prefix}\n")


def _conda_failure(name: str, message: str, **more: Any) -> FailedError:
    return FailedError({"exception_name": name, "message": message, "error": f"{name}: {message}", **more}, message)


def _wrong_hash(one: Wanted, archive: Path, kind: str, actual: str) -> FailedError:
    told = {"url": one.url, "checksum_type": kind, "expected_checksum": one.hash, "actual_checksum": actual}
    failed = _conda_failure("ChecksumMismatchError", "Conda detected a mismatch between the expected content", **told)
    failed.conda = {"exception_name": "CondaMultiError", "errors": [failed.conda]}
    failed.mamba = (
        f'error    libmamba File not valid: {kind.upper()} sum doesn\'t match expectation "{archive}"\n'
        f"Expected: {one.hash}\nActual: {actual}\n\ncritical libmamba Found incorrect downloads. Aborting"
    )
    return failed


def _no_answer(one: Wanted, status: int, reason: str) -> FailedError:
    failed = _conda_failure("CondaHTTPError", f"HTTP {status:03} {reason.upper()} for url <{one.url}>", url=one.url)
    failed.mamba = (
        f"error    libmamba Failed to download package from {one.url} (status {status})\n"
        "If you see this message repeatedly, the state of your installation might be corrupted,\n"
        "critical libmamba Found incorrect downloads. Aborting"
    )
    return failed


def main(argv: list[str]) -> int:
    folder, name, words = Path(argv[0]), argv[1], argv[2:]
    tool = Tool(folder, name, words)
    try:
        tool.run()
    except FailedError as failed:
        if name == "conda":
            sys.stdout.write(json.dumps(failed.conda, indent=2) + "\n")
        else:
            sys.stderr.write(failed.mamba + "\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
