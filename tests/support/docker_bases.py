"""Base images under the names that the world knows them by, made from this machine: no public registry is asked.

Made once a machine, by root on Debian, and kept as a registry's storage, which :func:`seed` copies into another's.

===========================================  =========================================================================
image                                        what it is
===========================================  =========================================================================
library/debian:bookworm-slim                 Debian's smallest, with the libraries that a Python needs
library/python:3.X-slim-bookworm, 3.X-slim   that, with this machine's Python at /usr/local, where the public one is
debian-python:bookworm                       Debian with its own python3 and venv
tiny:latest                                  sh, cat, env, ls, sleep, true and what they need: 3 MB, quick to pull
===========================================  =========================================================================

Where a machine has no Python 3.11 but its Debian's, Debian's stands in for ``python:3.11``: its prefix is /usr then.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from tests.support.channel_archive import PLACEHOLDER
from tests.support.channel_forge import SERIES, packable_interpreters
from tests.support.channel_python import python_package
from tests.support.debian_sources import machine_sources
from tests.support.docker_images import EPOCH, Image, Layer, layer_of_tar, make_layer, oci_arch
from tests.support.docker_registry import Registry

from ci_envs.command import Command, run
from ci_envs.interpreters import all_interpreters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.model.inventory import Interpreter

__all__ = ["RELEASE", "bring", "cache_folder", "can_be_made", "seed", "stored_bases"]

RELEASE = "bookworm"

#: Raised when the same machine is to make others.
_VERSION = 2

#: The Python that this release of Debian has itself.
_DEBIAN_SERIES = "3.11"

_LIBRARIES = (
    *("ca-certificates", "netbase", "tzdata", "usr-is-merged", "libbz2-1.0", "libexpat1", "libffi8", "libgdbm6"),
    *("liblzma5", "libncursesw6", "libnsl2", "libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "zlib1g"),
)

#: What a slim image leaves out.
_LEFT_OUT = (
    *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "groff", "info", "lintian", "linda", "locale", "man")),
    "path-include=/usr/share/doc/*/copyright",
)

#: What mmdebstrap takes for essential beside usr-is-merged: usrmerge, with all of Perl; what depends on this goes too.
_PURGED = ("libgdbm-compat4", "perl-modules-5.36")

_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def cache_folder() -> Path:
    """Where what tests make once a machine is kept: ``CI_ENVS_TEST_CACHE``, else below the user's cache folder."""
    if told := os.environ.get("CI_ENVS_TEST_CACHE"):
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ci-envs-tests"


def can_be_made() -> bool:
    """Whether this machine can make them: Debian, and root."""
    if os.geteuid() != 0:
        return False
    try:
        return bool(machine_sources(RELEASE))
    except LookupError:
        return False


def bring(host: str, address: str) -> None:
    """Pulls the same names from Docker Hub and pushes them to the registry, where they cannot be made.

    There is no ``debian-python`` then. Raises :class:`docker.errors.APIError` where Docker Hub is out of reach.
    """
    import docker

    tags = [f"library/python:{series}-slim{end}" for series in SERIES for end in ("", f"-{RELEASE}")]
    with contextlib.closing(docker.DockerClient(base_url=host, version="auto", timeout=300)) as client:
        for name in (f"library/debian:{RELEASE}-slim", *tags):
            image, (repository, _, tag) = client.images.pull(f"docker.io/{name}"), name.partition(":")
            image.tag(f"{address}/{repository}", tag)
            for line in client.images.push(f"{address}/{repository}", tag, stream=True, decode=True):
                if "error" in line:
                    raise RuntimeError(f"cannot push {name} to {address}: {line['error']}")
            client.images.remove(f"{address}/{name}")


def seed(storage: Path) -> None:
    """Fills a registry's storage with the base images: links, where that can be, since a registry changes no blob."""
    kept = stored_bases()
    try:
        shutil.copytree(kept, storage, copy_function=os.link, dirs_exist_ok=True)
    except OSError:  # another file system
        shutil.copytree(kept, storage, dirs_exist_ok=True)


def stored_bases() -> Path:
    """The storage of a registry that holds the base images; the first process that asks makes it, others wait.

    Raises :class:`LookupError` where the machine is not Debian, :class:`RuntimeError` where a step fails.
    """
    sources = machine_sources(RELEASE, ("", "-updates", "-security"))
    pythons = packable_interpreters(SERIES)
    facts = (str(_VERSION), sources, *(f"{one.executable} {one.version}" for one in pythons))
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    folder = cache_folder() / f"bases-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="part-") as part:
                _make(Path(part), sources, pythons)
                (Path(part) / "registry" / "storage").replace(folder)
    return folder


def _make(work: Path, sources: str, pythons: Sequence[Interpreter]) -> None:
    with ThreadPoolExecutor(2) as both:
        plain = both.submit(_debian, work, "debian", sources, _LIBRARIES)
        own = both.submit(
            _debian, work, "debian-python", sources, ("ca-certificates", "usr-is-merged", "python3", "python3-venv")
        )
        debian, debian_python = plain.result(), own.result()
    image = partial(Image, arch=oci_arch(platform.machine()))
    with Registry(work / "registry") as registry:
        registry.push(image((debian,), config=_config("bash")), "library/debian", f"{RELEASE}-slim")
        registry.push(image((_tiny(work),), config=_config("sh")), "tiny", "latest")
        registry.push(image((debian_python,), config=_config("python3")), "debian-python", RELEASE)
        for one in pythons:
            tags = (f"{one.series}-slim-{RELEASE}", f"{one.series}-slim")
            layers = (debian, _python(work, one))
            registry.push(image(layers, config=_config("python3", one.version)), "library/python", *tags)
        if _DEBIAN_SERIES not in {one.series for one in pythons} and _has_debian_python():
            tags = (f"{_DEBIAN_SERIES}-slim-{RELEASE}", f"{_DEBIAN_SERIES}-slim")
            layers = (debian_python, _stand_in(work))
            registry.push(image(layers, config=_config("python3")), "library/python", *tags)


def _config(command: str, version: str = "") -> dict[str, Any]:
    told = {"PATH": _PATH, "LANG": "C.UTF-8", "PYTHON_VERSION": version}
    return {"Env": [f"{name}={value}" for name, value in told.items() if value], "Cmd": [command]}


def _has_debian_python() -> bool:
    return any(one.series == _DEBIAN_SERIES and one.base_prefix == "/usr" for one in all_interpreters())


# Debian.


def _debian(work: Path, name: str, sources: str, packages: Sequence[str]) -> Layer:
    """A release of Debian with these packages, made by mmdebstrap: https://manpages.debian.org/mmdebstrap.1"""
    told, tar = work / f"{name}.sources", work / f"{name}.tar"
    told.write_text(sources, "utf-8")
    options = (f"--dpkgopt={option}" for option in _LEFT_OUT)
    purge = f'--customize-hook=chroot "$1" apt-get purge -qq -y {" ".join(_PURGED)}'
    argv = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", *options, purge)
    _need(*argv, RELEASE, str(tar), str(told), env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    return layer_of_tar(tar, work / f"{name}.tar.gz", made_by=f"mmdebstrap {RELEASE}")


def _tiny(work: Path) -> Layer:
    """A few programs of that release, with their loader and libraries."""
    root = _unpacked(work, "debian", "tiny")
    programs = tuple(f"usr/bin/{name}" for name in ("cat", "dash", "env", "ls", "sh", "sleep", "true"))
    wanted = ("ld-*.so*", "libc.so.6", "libpcre2-8.so.0*", "libselinux.so.1")
    libraries = {path for name in wanted for path in (root / "usr/lib").glob(f"*-linux-gnu*/{name}")}
    libraries |= set((root / "usr/lib64").glob("ld-*"))
    named = ("bin", "lib", "lib64", *programs, *sorted(str(path.relative_to(root)) for path in libraries))
    paths = [path for path in named if os.path.lexists(root / path)]
    made = make_layer(root, paths, work / "tiny.tar.gz", made_by="tiny")
    shutil.rmtree(root)
    return made


# Pythons.


def _python(work: Path, interpreter: Interpreter) -> Layer:
    """The interpreter at /usr/local, with the pip (and setuptools) that it brings itself."""
    name = f"python-{interpreter.series}"
    root = _unpacked(work, "debian", name)
    local, series = root / "usr" / "local", interpreter.series
    for member in python_package(interpreter).members:
        if "_tkinter" in member.path or "/_test" in member.path:  # as in the public image; its libraries are not there
            continue
        path = local / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.link:
            path.symlink_to(member.link)
        else:
            path.write_bytes(member.data.replace(PLACEHOLDER.encode(), b"/usr/local"))
            path.chmod(member.mode | 0o644)
    _need("chroot", str(root), "ldconfig")
    _need("chroot", str(root), "/usr/local/bin/python3", "-Im", "ensurepip", "--default-pip")
    for link in ("idle{}", "pydoc{}", "python{}-config"):
        for number in ("", "3"):
            (local / "bin" / link.format(number)).symlink_to(link.format(series))
    _strip(local)
    for folder in sorted(local.rglob("__pycache__")):
        shutil.rmtree(folder)
    made = make_layer(root, ("etc/ld.so.cache", "usr/local"), work / f"{name}.tar.gz", made_by=f"python {series}")
    shutil.rmtree(root)
    return made


def _strip(local: Path) -> None:
    """Takes out what only a debugger reads, as the public image has it; without binutils it stays in."""
    if shutil.which("strip"):
        shared = (str(path) for path in sorted(local.rglob("*.so*")) if not path.is_symlink())
        _need("strip", "--strip-unneeded", *shared)


def _stand_in(work: Path) -> Layer:
    """Debian's own Python under the public image's names, with pip, and free to be installed into."""
    root = _unpacked(work, "debian-python", "stand-in")
    wheels = [path.relative_to(root) for path in root.glob("usr/share/python-wheels/pip-*.whl")]
    pip = f"/{wheels[0]}/pip"
    words = (
        "install",
        "--no-index",
        "--find-links=/usr/share/python-wheels",
        "--break-system-packages",
        "--no-compile",
    )
    _need("chroot", str(root), "/usr/bin/python3", "-B", pip, *words, "pip", "setuptools")
    for link in ("python", "python3"):
        (root / "usr/local/bin" / link).symlink_to("/usr/bin/python3")
    managed = f"usr/lib/python{_DEBIAN_SERIES}/EXTERNALLY-MANAGED"
    made = make_layer(root, ("usr/local",), work / "stand-in.tar.gz", without=(managed,), made_by="names of Python")
    shutil.rmtree(root)
    return made


def _unpacked(work: Path, base: str, name: str) -> Path:
    root = work / name
    root.mkdir()
    _need("tar", "-C", str(root), "-xf", str(work / f"{base}.tar"))
    return root


def _need(*argv: str, env: dict[str, str] | None = None) -> None:
    known = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    outcome = run(Command(argv, env={**known, **proxies, **(env or {})}, timeout=600))
    if not outcome:
        raise RuntimeError(f"{' '.join(argv[:3])} failed:\n{outcome.tail()}")
