"""A stand-in for conda, mamba and micromamba where conda-lock lets one of them solve; it knows those calls alone.

    solver(folder, "micromamba")            # writes folder/micromamba, a program
    solves(folder, "micromamba")            # what it was asked to solve, in order

It solves with rattler over the channels that it is given, for the platform and the virtual packages that conda-lock
puts into its variables, and prints what the tool would: the shapes are those of conda 26.7 (``conda/exceptions.py``,
``conda/core/solve.py``) and libmamba 2.8 (``core/transaction.cpp``, ``api/utils.cpp``, ``download/downloader.cpp``).
The tree of a conflict is rattler's, which draws the same one as libmamba.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

if TYPE_CHECKING:
    from rattler import RepoDataRecord

__all__ = ["Behaviour", "solver", "solves"]

_VERSIONS = {"conda": "conda 26.7.0", "mamba": "2.8.0", "micromamba": "2.8.0"}
_FAKE = "conda-lock-fake-repodata"

#: Whatever of these a tool sees bends its result.
_BENDING = ("CONDA_CHANNELS", "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_CREATE_DEFAULT_PACKAGES", "MAMBA_PLATFORM")


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What one stand-in is like."""

    #: Hashes that its answer leaves out.
    without: tuple[str, ...] = ()
    #: Packages that it says lie in its cache already: they are linked, and not fetched.
    cached: tuple[str, ...] = ()
    #: Another answer than the one that it found, exactly as it is.
    prints: str | None = None
    #: It is ended by this signal.
    dies: int = 0
    #: It takes so long.
    seconds: float = 0
    #: What it logs goes into its answer, as mamba does since 2.8.1.
    keeps_log: bool = False
    #: Its MD5 of everything.
    md5: str = ""


def solver(folder: Path, name: str, behaviour: Behaviour | None = None) -> Path:
    """Writes the program ``name`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(msgspec.json.encode(behaviour or Behaviour()))
    root = Path(__file__).parents[2]
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH='{root}:{root}/src' exec '{sys.executable}' -m tests.support.stand_in_solver "
        f"'{folder}' {name} \"$@\"\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def solves(folder: Path, name: str) -> list[dict[str, Any]]:
    """Each solve: ``argv``, ``env``, ``home`` (the files in it), ``condarc``, ``specs``, ``platform``, ``virtual``."""
    path = folder / f"{name}.solves"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


class ToolError(Exception):
    """Ends the tool as it would end itself."""

    def __init__(self, conda: dict[str, Any], mamba: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(mamba)
        self.conda = conda
        self.mamba = mamba
        self.problems = problems


class Tool:
    """One call."""

    def __init__(self, folder: Path, name: str, argv: list[str]) -> None:
        self.behaviour = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Behaviour)
        self.folder, self.name, self.argv = folder, name, argv
        self.is_conda = name == "conda"

    def run(self) -> int:
        """The exit code; the answer is printed."""
        if self.argv == ["--version"]:
            _say(_VERSIONS[self.name])
            return 0
        if self.argv == (
            ["config", "--json", "list", "pkgs_dirs"] if self.name == "micromamba" else ["info", "--json"]
        ):
            _say(
                json.dumps({"pkgs_dirs" if self.name != "mamba" else "package cache": [os.environ["CONDA_PKGS_DIRS"]]})
            )
            return 0
        try:
            answer = self._answer(_parser(self.name).parse_args(self.argv))
        except ToolError as failed:
            return self._fail(failed)
        _say(json.dumps(answer, indent=2) if self.behaviour.prints is None else self.behaviour.prints)
        return 0

    def _answer(self, options: argparse.Namespace) -> dict[str, Any]:
        platform = os.environ["CONDA_SUBDIR"]
        virtual = {
            f"__{name.removeprefix('CONDA_OVERRIDE_').lower()}": value
            for name, value in os.environ.items()
            if name.startswith("CONDA_OVERRIDE_") and value
        }
        condarc = json.loads(Path(os.environ["CONDARC"]).read_text("utf-8"))
        self._note(options, platform, virtual, condarc)
        if bending := [name for name in _BENDING if name in os.environ]:
            sys.exit(f"{bending[0]} bends the result")
        time.sleep(self.behaviour.seconds)
        if self.behaviour.dies:
            os.kill(os.getpid(), self.behaviour.dies)
        *channels, fake = options.channels
        assert _FAKE in fake, fake
        specs = [_named(spec, condarc) for spec in options.specs]
        records = asyncio.run(_solve(channels, specs, platform, virtual, condarc))
        rows = [self._row(record) for record in records]
        rows += _machine(fake, platform, [need for row in rows for need in row["depends"]])
        return self._actions(rows, options.prefix)

    def _note(
        self, options: argparse.Namespace, platform: str, virtual: dict[str, str], condarc: dict[str, Any]
    ) -> None:
        home = Path(os.environ["HOME"])
        told = {
            "argv": self.argv,
            "env": dict(os.environ),
            "home": sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()),
            "condarc": condarc,
            "platform": platform,
            "virtual": virtual,
            "specs": options.specs,
            "channels": options.channels,
        }
        with (self.folder / f"{self.name}.solves").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def _row(self, record: RepoDataRecord) -> dict[str, Any]:
        """What the tools tell of a package to fetch. They mask a token in its address, and leave a password out."""
        host = urlsplit(record.url).netloc.rpartition("@")[2]
        url = re.sub(r"://[^/]*", f"://{host}", record.url, count=1)
        row = {
            "name": record.name.normalized,
            "version": str(record.version),
            "build": str(record.build),
            "build_number": record.build_number,
            "channel": url.rpartition("/")[0].rpartition("/")[0],
            "url": re.sub(r"/t/[^/]+/", "/t/<TOKEN>/" if self.is_conda else "/t/**********/", url),
            "subdir": record.subdir,
            "fn": record.file_name,
            "md5": self.behaviour.md5 or (record.md5.hex() if record.md5 else None),
            "sha256": record.sha256.hex() if record.sha256 else None,
            "timestamp": 0,
            "depends": record.depends,
            "constrains": record.constrains,
        }
        return {key: value for key, value in row.items() if value is not None and key not in self.behaviour.without}

    def _actions(self, rows: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
        for row in rows:
            if row["name"] in self.behaviour.cached:
                info = Path(os.environ["CONDA_PKGS_DIRS"]) / _stem(row) / "info"
                info.mkdir(parents=True)
                (info / "repodata_record.json").write_text(json.dumps(row), encoding="utf-8")
        fetch = [row for row in rows if row["name"] not in self.behaviour.cached]
        link = [self._link(row) for row in rows]
        found: dict[str, Any] = {"actions": {"FETCH": fetch, "LINK": link, "PREFIX": prefix}, "dry_run": True}
        return {**found, "prefix": prefix, "success": True}

    def _link(self, row: dict[str, Any]) -> dict[str, Any]:
        if not self.is_conda:
            return row
        told = {key: row[key] for key in ("name", "version", "build_number", "channel")}
        return {**told, "base_url": row["channel"], "dist_name": _stem(row), "platform": row["subdir"]}

    def _fail(self, failed: ToolError) -> int:
        if self.is_conda:
            _say(json.dumps({"caused_by": "None", **failed.conda}, indent=2))
            return 1
        told: dict[str, Any] = {"success": False}
        if failed.problems:
            told["solver_problems"] = list(failed.problems)
        if self.behaviour.keeps_log:
            record = {"message": failed.mamba, "level": "error", "source": "libmamba"}
            told["log_history"] = [record]
        else:
            first, *more = failed.mamba.splitlines()
            _say("\n".join([f"error    libmamba {first}", *(f"    {line}" for line in more)]), sys.stderr)
            _say(f"critical libmamba {first}", sys.stderr)
        _say(json.dumps(told, indent=2))
        return 1


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, allow_abbrev=False)
    parser.add_argument("verb", choices=["create"])
    parser.add_argument("--prefix", required=True)
    for flag in ("--dry-run", "--json", "--override-channels"):
        parser.add_argument(flag, action="store_true", required=True)
    parser.add_argument("--channel", action="append", dest="channels", default=[])
    if name == "conda":
        parser.add_argument("--no-default-packages", action="store_true")
    parser.add_argument("specs", nargs="+")
    return parser


def _named(spec: str, condarc: dict[str, Any]) -> str:
    """A channel's word in a spec, as the settings explain it; below the alias where they do not."""
    word, mark, rest = spec.partition("::")
    if not mark:
        return spec
    base = condarc["custom_channels"].get(word, "https://conda.anaconda.org")
    return f"{base}/{word}::{rest}"


async def _solve(
    channels: list[str], specs: list[str], platform: str, virtual: dict[str, str], condarc: dict[str, Any]
) -> list[RepoDataRecord]:
    from rattler import ChannelPriority, GenericVirtualPackage, PackageName, Version, solve
    from rattler.exceptions import GatewayError, SolverError
    from rattler.package import BuildString

    system = {"linux": ("__unix", "__linux"), "osx": ("__unix",), "win": ()}[platform.partition("-")[0]]
    there = {**dict.fromkeys(system, "0"), **virtual}
    machine = [
        GenericVirtualPackage(
            PackageName(name),
            Version("1" if name == "__archspec" else value),
            BuildString(value if name == "__archspec" else "0"),
        )
        for name, value in there.items()
    ]
    priority = {"strict": ChannelPriority.Strict, "flexible": ChannelPriority.Flexible}
    try:
        return await solve(
            channels,
            specs,
            platforms=[platform, "noarch"],  # type: ignore[list-item]  # any text is taken
            virtual_packages=machine,
            channel_priority=priority.get(condarc["channel_priority"], ChannelPriority.Disabled),
            channel_relations="disabled",
        )
    except SolverError as error:
        raise _unsolved(str(error), channels) from error
    except GatewayError as error:
        raise _unreached(str(error)) from error


def _unsolved(said: str, channels: list[str]) -> ToolError:
    tree = said.removeprefix("Cannot solve the request because of: ")
    if missing := re.findall(r"No candidates were found for (\S+)", tree):
        listed = "".join(f"\n  - {name}" for name in missing)
        sources = "".join(f"\n  - {channel}" for channel in channels)
        message = (
            f"The following packages are not available from current channels:\n{listed}\n\nCurrent channels:\n{sources}"
            "\n\nTo search for alternate channels that may provide the conda package you're\nlooking for, navigate to\n"
            "\n    https://anaconda.org\n\nand use the search bar at the top of the page.\n"
        )
        name = "PackagesNotFoundInChannelsError"
        branches = "\n".join(f"└─ {name} does not exist (perhaps a typo or a missing channel)." for name in missing)
        problems = tuple(f"nothing provides requested {name}" for name in missing)
        tree = f"The following package could not be installed\n{branches}"
    else:
        problems = ("package conflicts with itself",)
        tree = _headed(tree)
        message = (
            f"Encountered problems while solving:\n  - {problems[0]}\n\nCould not solve for environment specs\n{tree}"
        )
        name = "LibMambaUnsatisfiableError"
    conda = {"error": f"{name}: {message}", "exception_name": name, "message": message}
    return ToolError(conda, f"Could not solve for environment specs\n{tree}", problems)


def _headed(tree: str) -> str:
    """With the head that libmamba's tree always has."""
    if tree.startswith("The following package"):
        return tree
    lines = tree.strip().splitlines()
    return "\n".join(
        ["The following package could not be installed", f"└─ {lines[0]}", *(f"   {x}" for x in lines[1:])]
    )


def _unreached(said: str) -> ToolError:
    url = next(iter(re.findall(r"https?://[^\s)'\"]+", said)), "")
    status = next(iter(re.findall(r"\b([45]\d\d)\b", said)), "")
    if "could not find subdir" in said:
        channel = next(iter(re.findall(r"in channel '([^']+?)/?'", said)), "")
        message = (
            f"HTTP 404 NOT FOUND for channel {channel} <{channel}>\n\nThe channel is not accessible or is invalid."
        )
        conda = {"error": message, "exception_name": "UnavailableInvalidChannel", "message": message}
        return ToolError(conda, f"HTTP 404 NOT FOUND for channel {channel} <{channel}>")
    reason = f"HTTP {status or '000'} {'ERROR' if status else 'CONNECTION FAILED'} for url <{url}>"
    message = f"{reason}\nElapsed: -\n\nAn HTTP error occurred when trying to retrieve this URL."
    conda = {"error": f"CondaHTTPError: {message}", "exception_name": "CondaHTTPError", "message": message}
    curl = (
        f"Transfer finalized, status: {status} [{url}] 0 bytes"
        if status
        else (f"Download error (7) Could not connect to server [{url}]\nToolError to connect to the host")
    )
    return ToolError(conda, curl)


def _machine(fake: str, platform: str, needs: list[str]) -> list[dict[str, Any]]:
    """Of the channel that stands for the machine, what is needed: the tools install it as any other package."""
    folder = Path(url2pathname(urlsplit(fake).path))
    told = json.loads((folder / platform / "repodata.json").read_text("utf-8"))["packages"]
    names = {need.split()[0] for need in needs}
    return [
        {**row, "fn": file, "channel": fake, "url": f"{fake}/{platform}/{file}"}
        for file, row in told.items()
        if row["name"] in names
    ]


def _say(text: str, stream: TextIO = sys.stdout) -> None:
    stream.write(f"{text}\n")


def _stem(row: dict[str, Any]) -> str:
    return str(row["fn"]).removesuffix(".conda").removesuffix(".tar.bz2")


if __name__ == "__main__":
    code = Tool(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # py-rattler 0.28 crashes one in six processes that end the other way right after a solve
