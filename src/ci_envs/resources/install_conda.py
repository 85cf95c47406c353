"""Installs a list of conda packages at a prefix, with py-rattler and nothing of conda: runs in the build of an image.

    python install.py packages.json PREFIX

The list has for each package its address, SHA-256 (or MD5) and dependencies, as the lock has them. A package is
compared with its hash before it is unpacked, wherever it came from: the folder of downloads, ``CI_ENVS_CONDA_CACHE``,
outlives a build and is not believed. Mirrors and logins are read from a secret that no layer holds.

Python 3.10, the standard library and py-rattler; nothing of ci-envs is there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("CI_ENVS_CONDA_CACHE", "/var/cache/ci-envs-conda"))
SECRET = Path(os.environ.get("CI_ENVS_CONDA_SECRET", "/run/secrets/ci-envs-conda"))

AT_ONCE = 8
TRIES = 3
SECONDS = 60.0


def main(argv: list[str]) -> int:
    """Installs what the file of the first argument lists at the second."""
    told = json.loads(Path(argv[0]).read_text("utf-8"))
    prefix, packages = Path(argv[1]), told["packages"]
    mirrors = json.loads(SECRET.read_text("utf-8"))["mirrors"] if SECRET.is_file() else {}
    CACHE.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        archives = list(pool.map(lambda package: bring(package, mirrors), packages))
    # Beside the prefix, so that files are linked, and gone when the layer is made. Its path becomes part of conda-meta:
    # it must not differ from one build to the next.
    pkgs = prefix.with_name(".conda-packages")
    pkgs.mkdir(parents=True)
    install(packages, archives, pkgs, prefix)
    shutil.rmtree(pkgs)
    for record in (prefix / "conda-meta").iterdir():
        record.chmod(0o644)  # rattler lets nobody but its user read them, and that is root here
    if told["variables"]:
        text = json.dumps({"env_vars": told["variables"]}, indent=2, sort_keys=True)
        (prefix / "conda-meta" / "state").write_text(text, "utf-8")
    return 0


def bring(package: dict[str, Any], mirrors: dict[str, list[str]]) -> Path:
    """The archive, with the hash that is locked."""
    path: Path = CACHE / (package["sha256"] or package["md5"]) / package["url"].rpartition("/")[2]
    if path.is_file() and matches(path, package):
        return path
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    addresses = to_fetch(package["url"], mirrors)
    for attempt in range(TRIES):
        address = addresses[attempt % len(addresses)]
        try:
            download(address, part)
        except (OSError, urllib.error.URLError) as error:
            is_final = getattr(error, "code", 0) in (401, 403, 404, 410) and len(addresses) == 1
            if is_final or attempt == TRIES - 1:
                raise SystemExit(f"{package['url']} could not be downloaded: {error}") from None
            time.sleep(0.5 * (attempt + 1))
            continue
        if not matches(part, package):
            part.unlink()
            raise SystemExit(f"the channel gave another file than the one that the lock names: {package['url']}")
        part.replace(path)
        return path
    raise SystemExit(f"{package['url']} could not be downloaded")


def to_fetch(url: str, mirrors: dict[str, list[str]]) -> list[str]:
    """Where a file is asked for: at the mirrors of its channel, else where the lock says."""
    for channel in sorted(mirrors, key=len, reverse=True):
        if url.startswith(f"{channel}/"):
            return [mirror.rstrip("/") + url[len(channel) :] for mirror in mirrors[channel]]
    return [url]


def download(address: str, path: Path) -> None:
    """Fetches a file; a login in the address is sent as a header, and is part of no message."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("https", "http"):
        raise SystemExit(f"{parts.scheme}: is no way to a channel from inside of a build")
    headers = {"User-Agent": "ci-envs"}
    user, _, host = parts.netloc.rpartition("@")
    if user:
        login = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    plain = urllib.parse.urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(plain, headers=headers)  # noqa: S310 - the scheme was looked at
    with urllib.request.urlopen(request, timeout=SECONDS, context=certificates()) as answer, path.open("wb") as file:  # noqa: S310
        shutil.copyfileobj(answer, file)


def certificates() -> ssl.SSLContext:
    """Those of the distribution's bundle: a secret may have been mounted in its place."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    return ssl.create_default_context(cafile=str(bundle) if bundle.is_file() else None)


def matches(path: Path, package: dict[str, Any]) -> bool:
    """Whether the file has the hash that is locked: SHA-256, or MD5 where there is no other."""
    algorithm = "sha256" if package["sha256"] else "md5"
    expected: str = package[algorithm]
    return bool(expected) and hash_of(path, algorithm) == expected


def hash_of(path: Path, algorithm: str) -> str:
    """In hexadecimal."""
    total = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def install(packages: list[dict[str, Any]], archives: list[Path], pkgs: Path, prefix: Path) -> None:
    """Unpacks and links them; no script of a package is run, and no bytecode is made."""
    import rattler
    from rattler.package_cache import PackageCache
    from rattler.package_streaming import extract

    records = []
    for package, archive in zip(packages, archives, strict=True):
        folder = pkgs / package["stem"]
        sha256 = extract(archive, folder)[0].hex()
        if package["sha256"] not in ("", sha256):
            raise SystemExit(f"{archive} was changed while it was read")
        record = rattler.PackageRecord.from_index_json(
            folder / "info" / "index.json", sha256=sha256, md5=package["md5"] or None
        )
        if package["depends"]:
            record.depends = package["depends"]
        channel, _, name = package["url"].rpartition("/")
        records.append(rattler.RepoDataRecord(record, name, package["url"], channel.rpartition("/")[0]))
    asyncio.run(
        rattler.install(
            records,
            target_prefix=prefix,
            package_cache=PackageCache(pkgs),
            show_progress=False,
            execute_link_scripts=False,
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
