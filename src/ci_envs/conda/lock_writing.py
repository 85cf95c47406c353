"""``conda-lock.yml`` as conda-lock writes it, through its own models; the same bytes on every machine.

Nothing of the moment is written: no time, no commit, no user.
"""

from __future__ import annotations

import re
from itertools import groupby, product
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from ci_envs.conda.conda_lock_parts import conda_lock_part
from ci_envs.conda.content_hash import content_hash
from ci_envs.conda.lock_rules import commit_of, is_from_index, named_variables, need, plain_address
from ci_envs.errors import LockError
from ci_envs.locks.reading import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.model.conda import CondaLock, LockedPackage

__all__ = ["content_hash", "merge", "normal", "write_conda_lock"]

#: What takes the place of conda-lock's own header, which tells how to renew the lock with conda-lock.
_HEADER = """\
# A lock file in the format of conda-lock (https://github.com/conda/conda-lock), made by ci-envs. Do not edit it.
#
# Renew it with:    ci-envs lock
# Install it with:  ci-envs run, or conda-lock install --name YOURENV {name}
"""

# Numbers to YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) that are text to PyYAML's 1.1: an MD5 of digits
# and one "e" is written without quotes by conda-lock, and then refused by rattler and micromamba.
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")


def write_conda_lock(lock: CondaLock) -> str:
    """The text of a ``conda-lock.yml``; reading it gives :func:`normal` of the lock, but for its findings.

    Raises :class:`LockError` for a conda package without an MD5, which the format demands.
    """
    lock = normal(lock)
    return _HEADER.format(name=PurePosixPath(lock.path).name) + _dumped(_output(lock))


def normal(lock: CondaLock) -> CondaLock:
    """The lock in the order in which it is written, each dependency of a package once."""
    packages = [
        replace(
            package,
            depends=_joined(package),
            categories=tuple(sorted(set(package.categories))),
            by_address=package.manager == "pip" and not is_from_index(package),
        )
        for package in lock.packages
        if not (package.manager == "conda" and package.name.startswith("__"))
    ]
    return replace(
        lock,
        packages=tuple(sorted(packages, key=lambda one: (one.manager, one.name, one.platform))),
        platforms=tuple(sorted(set(lock.platforms))),
        content_hash=dict(sorted(lock.content_hash.items())),
    )


def merge(old: CondaLock, new: CondaLock) -> CondaLock:
    """``new``, with the platforms of ``old`` that it does not have itself.

    Raises :class:`LockError` where these were locked from other channels: one file can only name one list of them.
    """
    kept = [platform for platform in old.platforms if platform not in new.platforms]
    if not kept:
        return normal(new)
    if _plain(old.channels) != _plain(new.channels):
        raise LockError(
            f"was locked for {', '.join(kept)} from {_listed(old.channels)}, and the channels are now "
            f"{_listed(new.channels)}",
            hint=f"lock all of its platforms again: {', '.join(sorted({*kept, *new.platforms}))}",
            file=old.path,
        )
    packages = (package for package in old.packages if package.platform in kept)
    hashes = {platform: digest for platform, digest in old.content_hash.items() if platform in kept}
    return normal(
        replace(
            new,
            packages=(*packages, *new.packages),
            platforms=(*kept, *new.platforms),
            content_hash={**hashes, **new.content_hash},
        )
    )


def _plain(channels: Iterable[str]) -> list[str]:
    return [plain_address(channel)[0].rstrip("/") for channel in channels]


def _listed(channels: Iterable[str]) -> str:
    return shown(", ".join(_plain(channels))) or "no channel"


def _joined(package: LockedPackage) -> tuple[str, ...]:
    """What a package needs, by name: the format has room for one specification of each."""
    needs = sorted({need(text) for text in package.depends})
    joined = _all_of if package.manager == "conda" else _all_of_pip
    return tuple(
        f"{name} {joined([said for _, said in same if said])}".strip()
        for name, same in ((name, list(same)) for name, same in groupby(needs, key=lambda one: one[0]))
    )


def _all_of(said: list[str]) -> str:
    """One match spec for several of a package: versions that all of them allow, and the first build string.

    ``,`` binds closer than ``|``, so alternatives are multiplied out.
    """
    parts = [text.split(None, 1) for text in dict.fromkeys(said) if text != "*"]
    if len(parts) < 2 or any("[" in text for text in said):
        return next((text for text in said if text != "*"), said[0] if said else "")
    versions = [part[0] for part in parts if part[0] != "*"]
    build = next((part[1] for part in parts if len(part) > 1), "")
    allowed = "|".join(dict.fromkeys(",".join(one) for one in product(*(version.split("|") for version in versions))))
    return f"{allowed or '*'} {build}".strip()


def _all_of_pip(said: list[str]) -> str:
    parts = list(dict.fromkeys(text for text in said if text != "*"))
    return ",".join(parts) or ("*" if said else "")


def _output(lock: CondaLock) -> dict[str, Any]:
    first, second = conda_lock_part("lockfile.v1.models"), conda_lock_part("lockfile.v2prelim.models")
    channel = conda_lock_part("models.channel").Channel
    # Not Channel.from_string, which looks for credentials among this machine's environment variables.
    channels = [channel(url=url, used_env_vars=named_variables(url)) for url in lock.channels]
    metadata = first.LockMeta(
        content_hash=lock.content_hash, channels=channels, platforms=list(lock.platforms), sources=list(lock.sources)
    )
    with_variables = {
        f"{plain_address(url)[0].rstrip('/')}/": f"{url.rstrip('/')}/" for url in lock.channels if named_variables(url)
    }
    content = second.Lockfile(
        package=[_entry(package, lock.path, with_variables) for package in lock.packages], metadata=metadata
    )
    return cast("dict[str, Any]", content.to_v1().dict_for_output())


def _entry(package: LockedPackage, path: str, with_variables: Mapping[str, str]) -> Any:
    first, second = conda_lock_part("lockfile.v1.models"), conda_lock_part("lockfile.v2prelim.models")
    if package.manager == "conda" and not package.md5:
        raise LockError(
            f"{package.name} {package.version} has no MD5 in its channel's index, and conda-lock's format demands one",
            hint="index the channel anew, or lock it with pixi",
            file=path,
        )
    sha256 = package.sha256 or commit_of(package)
    source = None
    if package.manager == "pip" and not is_from_index(package):
        digest = f"#sha256={package.sha256}" if package.sha256 else ""
        source = first.DependencySource(type="url", url=f"{package.url}{digest}")
    begins = next((plain for plain in with_variables if package.url.startswith(plain)), "")
    return second.LockedDependency(
        name=package.name,
        version=package.version or "0.0.0",  # as conda-lock does where only a build would know it
        manager=package.manager,
        platform=package.platform,
        dependencies=dict(need(text) for text in package.depends),
        url=f"{with_variables[begins]}{package.url.removeprefix(begins)}" if begins else package.url,
        hash=first.HashModel(**{k: v for k, v in (("md5", package.md5), ("sha256", sha256)) if v}),
        source=source,
        categories=set(package.categories) or {"main"},
    )


def _dumped(output: dict[str, Any]) -> str:
    import yaml

    base: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper

    class _Dumper(base):  # type: ignore[misc]  # the C library decides the class
        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
            return True  # an anchor is read by nobody here

    def text(dumper: Any, value: str) -> Any:
        style = "'" if _NUMBER.fullmatch(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    _Dumper.add_representer(str, text)
    return yaml.dump(output, Dumper=_Dumper, sort_keys=False)
