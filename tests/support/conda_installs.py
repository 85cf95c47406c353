"""Prefixes made from locked packages, here or in a process of its own that a test may end at any moment.

``python -m tests.support.conda_installs SPEC.json`` does one :func:`install_apart` on its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rattler import Client
from tests.support.channel_archive import PLACEHOLDER, Member, Package
from tests.support.work import a_leg, a_work

from ci_envs.conda.bytecode import prefix_records
from ci_envs.conda.frontends import choose
from ci_envs.conda.installing import install, package_cache, plain_download
from ci_envs.conda.package_ledger import attest_records
from ci_envs.model.conda import LockedPackage
from ci_envs.model.config import CondaConfig, Config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.channel import Channel

    from ci_envs.conda.frontends import Frontend
    from ci_envs.conda.package_cache import Download
    from ci_envs.conda.package_ledger import Attestation
    from ci_envs.work import Work

__all__ = [
    "Place",
    "Spec",
    "assert_whole",
    "attested",
    "conda_work",
    "install_here",
    "locked",
    "noarch_package",
    "script_python",
    "start_apart",
    "tree_of",
]

# How an interpreter with a long name, or with blanks in it, is named in a script.
_LONG = re.compile(rb"""#!/bin/sh\n'''exec' "?([^"\n]*?)"? "\$0" "\$@" #'''\n""")

#: What front ends write of their own, each in its own words.
_OWN = ("conda-meta", "CACHEDIR.TAG", "__clobbers__")


def locked(channel: Channel, url: str = "") -> list[LockedPackage]:
    """Every package of a channel as a lock names it; ``url`` is where the channel is served."""
    return [
        LockedPackage(
            name=told["name"],
            version=told["version"],
            build=told["build"],
            subdir=told["subdir"],
            platform="linux-64",
            url=f"{url or channel.url}/{told['subdir']}/{file}",
            sha256=told.get("sha256", ""),
            md5=told.get("md5", ""),
            depends=tuple(told["depends"]),
        )
        for file, told in sorted(channel.records().items())
    ]


def script_python(series: str = "3.12") -> Package:
    """A ``python`` that is a shell script: enough to link noarch packages to, and to see what it was called with."""
    script = f'#!/bin/sh\n# {PLACEHOLDER}\necho "$@"\n'.encode()
    name = f"bin/python{series}"
    return Package(
        name="python",
        version=f"{series}.4",
        build="0_cpython",
        members=(
            Member(path=name, data=script, mode=0o755, placeholder=PLACEHOLDER),
            Member(path="bin/python", link=f"python{series}", mode=0o777),
        ),
        more={"python_site_packages_path": f"lib/python{series}/site-packages"},
    )


def noarch_package(name: str = "spam", version: str = "1.0") -> Package:
    """A noarch Python package with modules, an entry point and a script."""
    shebang = f"#!{PLACEHOLDER}/bin/python\nprint('{name}')\n".encode()
    return Package(
        name=name,
        version=version,
        noarch="python",
        depends=("python",),
        entry_points=(f"{name}-run = {name}.cli:main.run",),
        members=(
            Member(path=f"site-packages/{name}/__init__.py", data=b"x = 1\n"),
            Member(path=f"site-packages/{name}/cli.py", data=b"def main(): ...\n"),
            Member(path=f"python-scripts/{name}-tool", data=shebang, mode=0o755, placeholder=PLACEHOLDER),
        ),
    )


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One install."""

    folder: Path
    cache: Path
    packages: tuple[LockedPackage, ...]
    #: ``rattler``, or the tool on ``path``.
    frontend: str = "rattler"
    path: str = os.defpath
    home: str = ""


def conda_work(
    folder: Path, cache: Path, *, config: CondaConfig | None = None, environ: dict[str, str] | None = None
) -> Work:
    """The workbench of a conda leg whose build runs; ``folder`` is its project."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = {"PATH": os.defpath, "HOME": str(folder), "CI_ENVS_CACHE_DIR": str(cache), **(environ or {})}
    leg = a_leg(pattern="conda")
    return a_work(folder, stage="build", leg=leg, config=Config(conda=config or CondaConfig()), environ=variables)


def install_here(spec: Spec) -> Work:
    """Installs in this process."""
    config = CondaConfig(frontend=spec.frontend)  # type: ignore[arg-type]  # one of the names, or choose() refuses it
    environ = {"PATH": spec.path, **({"HOME": spec.home} if spec.home else {})}
    work = conda_work(spec.folder, spec.cache, config=config, environ=environ)
    install(work, spec.packages, frontend=choose(config, "conda", work.environ))
    return work


def start_apart(spec: Spec) -> subprocess.Popen[str]:
    """Starts the same in a process that leads a group of its own."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    told = spec.folder / "spec.json"
    told.write_bytes(msgspec.json.encode(spec, enc_hook=str))
    words = [sys.executable, "-m", "tests.support.conda_installs", str(told)]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
    return subprocess.Popen(
        words, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@dataclass
class Place:
    """Where a test installs: prefixes of one cache, by one front end."""

    folder: Path
    cache: Path
    frontend: str = "rattler"
    #: PATH: where the front end is looked for.
    path: str = os.defpath
    home: str = ""

    def work(self, name: str = "project", **config: Any) -> Work:
        """The workbench of a project; ``config`` is conda's."""
        variables = {"PATH": self.path, **({"HOME": self.home} if self.home else {})}
        told = CondaConfig(**{"frontend": self.frontend, **config})
        return conda_work(self.folder / name, self.cache, config=told, environ=variables)

    def front(self, work: Work) -> Frontend:
        """The front end that its configuration asks for."""
        return choose(work.config.conda, "conda", work.environ)

    def install(self, packages: Sequence[LockedPackage], name: str = "project", **config: Any) -> Work:
        """Installs as the product does, but for retries, which would make a test of a fault slow."""
        return self.install_in(self.work(name, **config), packages)

    def install_in(self, work: Work, packages: Sequence[LockedPackage], address: Callable[[str], str] = str) -> Work:
        """The same, with a workbench that the test has made; ``address`` is where a package is asked for."""
        install(work, packages, frontend=_Quick(self.front(work), address))
        return work

    def leftovers(self) -> list[str]:
        """What the cache should not hold once nobody works in it."""
        return [str(path) for path in self.cache.rglob(".*") if path.suffix in (".part", ".gone")]


class _Quick:
    """A front end whose client repeats a request once."""

    def __init__(self, front: Frontend, address: Callable[[str], str]) -> None:
        self._front = front
        self._address = address
        self.name = front.name
        self.runs_scripts = front.runs_scripts

    def install(self, work: Work, packages: Sequence[LockedPackage], _download: Download) -> None:
        quick = plain_download(work, client=lambda: Client.default_client(max_retries=1), address=self._address)
        self._front.install(work, packages, quick)

    def forget(self, work: Work, packages: Sequence[LockedPackage]) -> None:
        self._front.forget(work, packages)


def attested(work: Work, packages: Sequence[LockedPackage], *, trust_first: bool = False) -> Attestation:
    """What the ledger says of an environment."""
    files = (path for path in work.prefix.rglob("*") if path.is_file() and not path.is_symlink())
    executable = {str(path.relative_to(work.prefix)) for path in files if path.stat().st_mode & 0o100}
    return attest_records(
        work.prefix,
        packages,
        prefix_records(work.prefix),
        package_cache(work).ledger,
        executable=executable,
        trust_first=trust_first,
    )


def assert_whole(prefix: Path, packages: Sequence[LockedPackage]) -> None:
    """Every file is what its package says, and all packages are there."""
    records = prefix_records(prefix)
    assert {record.name for record in records} == {one.name for one in packages}
    for record in records:
        for claim in record.claims:
            path = prefix / claim.path
            if claim.kind == "hardlink":
                assert hashlib.sha256(path.read_bytes()).hexdigest() == (claim.installed or claim.sha256), path
            elif claim.kind == "softlink":
                assert path.is_symlink(), path


def tree_of(prefix: Path) -> dict[str, tuple[str, str, bool]]:
    """Path -> kind, SHA-256 or target, executable; without what each front end writes in its own words.

    The prefix's own name, and what its length changes, is taken out of contents, so that two prefixes can be held
    against each other.
    """
    found: dict[str, tuple[str, str, bool]] = {}
    for path in sorted(prefix.rglob("*")):
        name = path.relative_to(prefix).as_posix()
        mode = path.lstat().st_mode
        if name.partition("/")[0] in _OWN or stat.S_ISDIR(mode):
            continue
        if stat.S_ISLNK(mode):
            found[name] = ("link", str(path.readlink()), False)
        else:
            data = path.read_bytes().replace(os.fsencode(prefix), b"<prefix>").replace(b"\t", b"    ").rstrip(b"\n")
            data = re.sub(b"\0+", b"\0", data)  # a shorter name leaves more room
            data = _LONG.sub(rb"#!\1\n", data)
            found[name] = ("file", hashlib.sha256(data).hexdigest(), bool(mode & 0o100))
    return found


def main(argv: Sequence[str]) -> None:
    told = Path(argv[0]).read_bytes()
    install_here(msgspec.json.decode(told, type=Spec, dec_hook=lambda kind, value: kind(value)))


if __name__ == "__main__":
    main(sys.argv[1:])
