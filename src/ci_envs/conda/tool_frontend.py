"""conda, mamba or micromamba of this machine, told to install exactly what the lock names.

Each gets an explicit file: one address with its hash for each package, so nothing is solved. Its package cache is ours
alone, its settings are its defaults: the user's rc files could name other channels, other caches, packages to add. Its
home is a folder of its own, since both register each environment in ``~/.conda``; only the credentials are linked into
it. Nothing is activated, and no shell is set up.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.cache import conda_cache, usable_folder
from ci_envs.conda import failures
from ci_envs.conda.addresses import clean, secrets
from ci_envs.conda.completing import complete_records
from ci_envs.conda.explicit import in_dependency_order
from ci_envs.conda.tool_home import named_secrets, private_home, write_private
from ci_envs.conda.tool_output import read_failure
from ci_envs.errors import ToolMissing
from ci_envs.layout import remove_tree, write_atomically
from ci_envs.redact import MASK
from ci_envs.tools import tool_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.command import Outcome
    from ci_envs.conda.package_cache import Download
    from ci_envs.errors import CiEnvsError
    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

__all__ = ["ToolFrontend"]

#: The first versions that read ``#sha256:<hex>`` behind an address, and check it: conda's pull request 14048, mamba's
#: 3866. mamba 2.0 reads it and checks nothing.
_MINIMUM = {"conda": "24.9", "mamba": "2.1", "micromamba": "2.1"}

#: Keeps scripts of packages from being run; only the newest mamba has it, conda has none.
_NO_SCRIPTS = "--skip-run-link-scripts"

# https://docs.conda.io/projects/conda/en/stable/configuration.html: each setting is a variable, too.
_CONDA = {
    "CONDA_REGISTER_ENVS": "false",
    "CONDA_SAFETY_CHECKS": "enabled",
    "CONDA_PATH_CONFLICT": "clobber",
    "CONDA_ALLOW_SOFTLINKS": "false",
    "CONDA_ALWAYS_SOFTLINK": "false",
    "CONDA_ALWAYS_COPY": "false",
    "CONDA_REPORT_ERRORS": "false",
    "CONDA_NOTIFY_OUTDATED_CONDA": "false",
    "CONDA_NUMBER_CHANNEL_NOTICES": "0",
    "CONDA_SHORTCUTS": "false",
    "CONDA_ALWAYS_YES": "true",
}


class ToolFrontend:
    """One of the three."""

    def __init__(self, name: str, program: Path) -> None:
        self.name = name
        self.program = program
        self._help = ""

    @property
    def runs_scripts(self) -> bool:
        """Whether every post-link script has run: conda cannot be told not to, mamba only of late."""
        return self.name == "conda" or not self._skips_scripts()

    def install(self, work: Work, packages: Sequence[LockedPackage], download: Download) -> None:
        """Makes the prefix. Offline, what the tool's own cache lacks is named."""
        self._require_version(work)
        pkgs = usable_folder(self._pkgs(work))
        addresses = {_address(pkgs, one, download): one for one in packages}
        missing = [one for url, one in addresses.items() if not url.startswith("file:") and not _is_cached(pkgs, one)]
        if missing and work.policy.offline:
            raise failures.not_cached(missing)
        try:
            with tempfile.TemporaryDirectory(dir=work.temp) as name:
                outcome = self._run(work, Path(name), addresses, download)
            if not outcome:
                raise self._failure(work, outcome, addresses, download)
            _use_own_addresses(work.prefix, packages)
        finally:
            _scrub(pkgs, work.prefix, addresses)
        _refuse_too_short(work.prefix)
        complete_records(work.prefix, pkgs)

    def _run(self, work: Work, folder: Path, addresses: Mapping[str, LockedPackage], download: Download) -> Outcome:
        listed = folder / "explicit.txt"  # a name by which newer condas know what it is
        write_private(listed, _explicit(addresses))
        home = private_home(folder / "home", work.environ)
        env = {**self._variables(work), **home, **download.tool_variables, **named_secrets(addresses)}
        # It repeats its own requests; begun again as a whole it would find a prefix that is there.
        return work.run([self.program, *self._words(work, listed)], env=env, network=False)

    def forget(self, work: Work, packages: Sequence[LockedPackage]) -> None:
        """Takes packages out of the tool's cache: archives and what was unpacked of them, flat or by channel."""
        pkgs = self._pkgs(work)
        for package in packages:
            stem = failures.stem(package)
            for path in (*pkgs.rglob(f"{stem}.conda"), *pkgs.rglob(f"{stem}.tar.bz2"), *pkgs.rglob(stem)):
                remove_tree(path)

    def _pkgs(self, work: Work) -> Path:
        return conda_cache(work.environ) / f"pkgs-{self.name}"

    def _words(self, work: Work, listed: Path) -> list[str | Path]:
        words: list[str | Path] = ["create", "--yes", "--prefix", work.prefix, "--file", listed]
        words += ["--offline"] if work.policy.offline else []
        if self.name == "conda":
            return [*words, "--json", "--quiet", "--no-default-packages"]
        scripts = [_NO_SCRIPTS] if self._skips_scripts() else []
        return [*words, "--no-rc", "--no-pyc", "--safety-checks", "enabled", *scripts]

    def _variables(self, work: Work) -> dict[str, str]:
        pkgs = self._pkgs(work)
        if self.name == "conda":
            return {**_CONDA, "CONDA_PKGS_DIRS": str(pkgs), "CONDA_OFFLINE": str(work.policy.offline).lower()}
        root = usable_folder(conda_cache(work.environ) / "mamba-root")
        return {"CONDA_PKGS_DIRS": str(pkgs), "MAMBA_ROOT_PREFIX": str(root), "MAMBA_NO_BANNER": "1"}

    def _require_version(self, work: Work) -> None:
        from packaging.version import InvalidVersion, Version

        found = tool_version(self.program, work.environ)
        work.tools[self.name] = found
        try:
            fits = Version(found) >= Version(_MINIMUM[self.name])
        except InvalidVersion:
            fits = True  # a build from its sources, say: what it cannot do it will say
        if not fits:
            raise ToolMissing(
                f"{self.name} {found} does not check the SHA-256 of what an explicit file names",
                hint=f"{self.name} {_MINIMUM[self.name]} does; or use `conda: {{frontend: rattler}}`",
            )

    def _skips_scripts(self) -> bool:
        if self.name == "conda":
            return False
        if not self._help:
            env = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA_", "MAMBA_"))}
            asked = command.Command(argv=(str(self.program), "create", "--help"), env=env, timeout=30)
            self._help = command.run(asked).output or "-"
        return _NO_SCRIPTS in self._help

    def _failure(
        self, work: Work, outcome: Outcome, addresses: Mapping[str, LockedPackage], download: Download
    ) -> CiEnvsError:
        failure = read_failure(outcome)
        package = _meant(failure.about or outcome.output, addresses)
        if failure.kind == "disk" or failures.says_disk_full(outcome.output):
            return failures.disk_full(f"{self.name} could not make {work.prefix}")
        if package is not None and failure.kind == "hash":
            return failures.another_file(package, failure.expected, failure.actual, download.upgrade)
        if package is not None and failure.kind == "download":
            return failures.download_failed(package, failures.kind_of(failure.said), failure.said, download.upgrade)
        if package is not None and failure.kind == "damaged":
            return failures.unfit(package, failure.said)
        if failure.kind == "padding":
            said = re.search(r"length '(\d+)' too short in package (\S+?)\.?\s", f"{failure.said} ")
            length, name = (int(said[1]), said[2]) if said else (0, "a package")
            return failures.placeholder_too_short(name, "a file", str(work.prefix), "x" * length)
        return failures.link_failed(f"{self.name}: {failure.said}", work.layout.shown(work.log))


def _address(pkgs: Path, package: LockedPackage, download: Download) -> str:
    """Where the tool is to look. What it has already it knows by an address without credentials (see below)."""
    address = download.tool_address(package.url)
    return clean(address) if _is_cached(pkgs, package) else address


def _explicit(addresses: Mapping[str, LockedPackage]) -> str:
    told = {package.url: address for address, package in addresses.items()}
    packages = in_dependency_order(tuple(addresses.values()))
    platform = next((one.platform for one in packages), "")
    lines = (f"{told[one.url]}{_fragment(one)}" for one in packages)
    return "\n".join([f"# platform: {platform}", "@EXPLICIT", *lines, ""])


def _fragment(package: LockedPackage) -> str:
    return f"#sha256:{package.sha256}" if package.sha256 else f"#{package.md5}" if package.md5 else ""


def _is_cached(pkgs: Path, package: LockedPackage) -> bool:
    """Flat, as conda and older mambas keep packages, or in a folder for each channel."""
    for path in pkgs.rglob(f"{failures.stem(package)}/info/repodata_record.json"):
        told = msgspec.json.decode(path.read_bytes())
        hashes = (told.get("sha256"), told.get("md5"))
        if package.sha256 in hashes if package.sha256 else package.md5 in hashes:
            return True
    return False


def _scrub(pkgs: Path, prefix: Path, addresses: Mapping[str, LockedPackage]) -> None:
    """Takes credentials out of what the tool has noted of addresses: in its cache, and in the environment."""
    held = {address: package for address, package in addresses.items() if clean(address) != address}
    if not held:
        return
    records = (f"{failures.stem(package)}/info/repodata_record.json" for package in held.values())
    paths = [path for record in records for path in pkgs.rglob(record)]
    paths += [*pkgs.glob("urls*"), *(path for path in (prefix / "conda-meta").glob("*") if path.is_file())]
    for path in paths:
        text = before = path.read_text(encoding="utf-8", errors="surrogateescape")
        for address in held:
            text = text.replace(address, clean(address))
            for secret in secrets(address):
                text = text.replace(secret, MASK) if secret else text
        if text != before:
            write_atomically(path, text.encode("utf-8", "surrogateescape"))


def _meant(text: str, addresses: Mapping[str, LockedPackage]) -> LockedPackage | None:
    """The package whose address, or else whose file, is named; the longest, since names are parts of others."""
    found = [address for address in addresses if address in text]
    found = found or [address for address in addresses if address.rpartition("/")[2] in text]
    return addresses[max(found, key=len)] if found else None


def _use_own_addresses(prefix: Path, packages: Sequence[LockedPackage]) -> None:
    """Has conda-meta name the channel's own addresses: a mirror's is no property of an environment, nor a token."""
    by_stem = {failures.stem(package): package for package in packages}
    for path in (prefix / "conda-meta").glob("*.json"):
        told = msgspec.json.decode(path.read_bytes())
        package = by_stem.get(path.stem)
        if package is not None and "://" in package.url and isinstance(told, dict) and told.get("url") != package.url:
            told |= {"url": package.url, "channel": package.url.rpartition("/")[0].rpartition("/")[0]}
            write_atomically(path, msgspec.json.format(msgspec.json.encode(told), indent=2))


def _refuse_too_short(prefix: Path) -> None:
    """libmamba replaces a placeholder that is too short without a word, and shifts what comes after it."""
    room = str(prefix).encode()
    for path in (prefix / "conda-meta").glob("*.json"):
        told = msgspec.json.decode(path.read_bytes())
        listed = Path(str(told.get("extracted_package_dir") or "")) / "info" / "paths.json"
        rows = msgspec.json.decode(listed.read_bytes()).get("paths", ()) if listed.is_file() else ()
        for row in rows:
            placeholder = row.get("prefix_placeholder") or ""
            if placeholder and row.get("file_mode") == "binary" and len(placeholder.encode()) < len(room):
                raise failures.placeholder_too_short(str(told.get("name")), row["_path"], str(prefix), placeholder)
