"""Whether a conda lock still says what its intent asks for: no network, and nothing is solved.

Each match spec is held against the package of its name, and so is each dependency of each package, those on virtual
packages included. A solver that keeps what is locked changes a lock for these reasons only: a spec or a dependency
that is not met, a package that nobody leads to any more, another Python, other channels, a platform that is missing.

What this cannot see: that two packages forbid each other (``constrains``), since conda-lock's format has no room for
it, and what its format leaves out of a dependency (conda-lock itself keeps versions and drops builds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.conda.engine import require_rattler
from ci_envs.conda.lock_rules import channel_of, need, plain_address
from ci_envs.conda.spec_matching import Matcher, is_channel, same_channels
from ci_envs.errors import LockError
from ci_envs.locks.insync import Stale
from ci_envs.locks.reading import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.locks.insync import Code
    from ci_envs.model.conda import CondaLock, LockedPackage, MatchLine, PipLine

__all__ = ["stale"]

# What a platform has by its kind; of what version it is, only `virtual` says.
_KINDS = {"linux": ("__unix", "__linux"), "osx": ("__unix", "__osx"), "win": ("__win",)}


def stale(
    lock: CondaLock,
    *,
    specs: Sequence[MatchLine],
    pip: Sequence[PipLine],
    platform: str,
    categories: tuple[str, ...] | None,
    virtual: Mapping[str, str],
    channels: Sequence[str] | None = None,
) -> tuple[Stale, ...]:
    """Every way in which a lock is not what is asked for, for one platform; empty where it is in sync.

    ``categories`` are those that a leg installs, ``None`` for all; lines and packages of others are not looked at.
    ``virtual`` maps virtual packages to versions (``12.4``, or ``1 x86_64`` with a build); what it lacks is not there,
    but for those that a platform always has. ``channels`` are names or addresses in their order, ``None`` where the
    intent says nothing of them. Raises :class:`LockError` for a spec that is none.
    """
    require_rattler()
    if platform not in lock.platforms:
        made = shown(", ".join(lock.platforms)) or "no platform"
        message = f"{lock.path} was made for {made}, and not for {platform}"
        return (Stale(code="other-platform", message=message, file=lock.path),)
    meant = [line for line in specs if _is_meant(line, platform, categories)]
    lines = [line for line in pip if _is_meant(line, platform, categories)]
    judge = _Judge(lock, platform, categories, virtual)
    found = [*judge.asked(meant), *judge.needs()]
    if not any(one.code == "missing" for one in found):  # what a missing one brought is no news beside that
        found += judge.unneeded(meant, lines)
    found += judge.from_channels(channels, meant)
    found += judge.unhashed()
    if lines or any(package.manager == "pip" for package in judge.locked):
        from ci_envs.conda.staleness_pip import stale_pip

        found += stale_pip(lock, judge.locked, lines, platform=platform, virtual=virtual)
    return tuple(dict.fromkeys(found))


def _is_meant(line: MatchLine | PipLine, platform: str, categories: tuple[str, ...] | None) -> bool:
    return (not line.platforms or platform in line.platforms) and (categories is None or line.category in categories)


class _Judge:
    """The packages of one platform, by name."""

    def __init__(
        self, lock: CondaLock, platform: str, categories: tuple[str, ...] | None, virtual: Mapping[str, str]
    ) -> None:
        self._lock = lock
        self.locked = lock.of(platform, categories)
        self._conda = {package.name: package for package in self.locked if package.manager == "conda"}
        everywhere = lock.of(platform) if categories is not None else ()
        self._elsewhere = {package.name: package for package in everywhere if package.manager == "conda"}
        self._platform = platform
        self._virtual = virtual
        self._matcher = Matcher()

    def asked(self, specs: Sequence[MatchLine]) -> Iterator[Stale]:
        """The specs that the lock does not meet."""
        for line in specs:
            if self._matcher.spec(line.text) is None:
                raise LockError(f"{shown(line.text)!r} is no match spec", file=line.file, line=line.line)
            if line.name.startswith("__"):
                if lacks := self._lacks(line.text):
                    yield self._of_line("unsatisfied", f"{_said(line)} is asked for, {lacks}", line)
                continue
            package = self._conda.get(line.name)
            if package is None:
                message = f"{_said(line)} has no pin in {self._lock.path} for {self._platform}{self._other(line.name)}"
                yield self._of_line("missing", message, line)
            elif (why := self._matcher.why_not(line.text, package)) is not None:
                yield self._unsatisfied(line, package, why)

    def needs(self) -> Iterator[Stale]:
        """What packages of the lock need and do not find in it."""
        for package in self._conda.values():
            for text in package.depends:
                name, _ = need(text)
                found = self._conda.get(name)
                if name.startswith("__"):
                    if why := self._lacks(text):
                        yield self._of_package("unsatisfied", package, f"needs {shown(text)}, {why}", name)
                elif found is None and not self._is_conditional(text):
                    message = f"needs {shown(text)}, which has no pin{self._other(name)}"
                    yield self._of_package("missing", package, message, name)
                elif found is not None and not self._matcher.meets(text, found):
                    message = f"needs {shown(text)}, which is not satisfied by {_named(found)}"
                    yield self._of_package("unsatisfied", package, message, name)

    def unneeded(self, specs: Sequence[MatchLine], pip: Sequence[PipLine]) -> Iterator[Stale]:
        """Packages that nobody asks for and nobody needs, in a lock that knows who needs what.

        pip counts as asked for beside Python: conda puts it there, and conda-lock does where there is a ``pip:`` part.
        """
        if self._lock.format == "explicit":
            return
        waiting = [line.name for line in specs]
        waiting += ["pip"] if pip or "python" in self._conda else []
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached or name not in self._conda:
                continue
            reached.add(name)
            waiting += [need(text)[0] for text in self._conda[name].depends]
        for package in self._conda.values():
            if package.name not in reached:
                yield self._of_package("unneeded", package, "is no longer asked for", package.name)

    def from_channels(self, channels: Sequence[str] | None, specs: Sequence[MatchLine]) -> Iterator[Stale]:
        """A lock of other channels, and packages that come from none of those that are asked for."""
        if channels is None:
            return
        path = self._lock.path
        if self._lock.format != "explicit" and not same_channels(self._lock.channels, channels):
            made, now = (
                shown(", ".join(plain_address(name)[0] for name in some)) for some in (self._lock.channels, channels)
            )
            message = f"{path} was made from {made or 'no channel'}, and the channels are now {now or 'none'}"
            yield Stale(code="channel", message=message, file=path)
            return
        allowed = [*channels, *(name for line in specs if (name := self._matcher.channel(line.text)))]
        strange: dict[str, list[LockedPackage]] = {}
        for package in self._conda.values():
            if not any(is_channel(name, channel_of(package)) for name in allowed):
                strange.setdefault(channel_of(package), []).append(package)
        for address, packages in strange.items():
            come = f"and {len(packages) - 1} more come" if len(packages) > 1 else "comes"
            message = f"{come} from {address}, which is none of the channels that are asked for"
            yield self._of_package("channel", packages[0], message, packages[0].name)

    def unhashed(self) -> Iterator[Stale]:
        """Packages that nothing vouches for; what comes from a repository has its commit."""
        bare = [one for one in self.locked if not (one.md5 or one.sha256 or "+" in one.url.partition("://")[0])]
        if bare:
            more = f" and {len(bare) - 1} more carry" if len(bare) > 1 else " carries"
            message = f"{_named(bare[0])} of {self._lock.path}{more} no hash"
            yield Stale(code="unhashed", message=message, name=bare[0].name, file=self._lock.path)

    def _lacks(self, text: str) -> str:
        """Why a virtual package is not what is needed; empty where it is."""
        name, _ = need(text)
        version = self._virtual.get(name)
        if version is None:
            is_there = name in _KINDS.get(self._platform.partition("-")[0], ())
            return "" if is_there else f"which {self._platform} does not have here"
        return "" if self._matcher.virtual(text, version) else f"which is not satisfied by {name} {version}"

    def _is_conditional(self, text: str) -> bool:
        spec = self._matcher.spec(text)
        return ";" in text if spec is None else spec.condition is not None

    def _other(self, name: str) -> str:
        package = self._elsewhere.get(name)
        return f"; it is locked for {shown(', '.join(package.categories))} only" if package is not None else ""

    def _unsatisfied(self, line: MatchLine, package: LockedPackage, why: str) -> Stale:
        if line.name == "python" and not line.file:  # the leg's own, which stands in no file
            wanted = " ".join(line.text.split()[1:]).removesuffix(".*")
            message = f"{self._lock.path} was made for Python {package.version}, and this leg has {wanted}"
            return Stale(code="other-python", message=message, name="python", file=self._lock.path)
        message = f"{_said(line)} is not satisfied by {_named(package)} of {self._lock.path}{why}"
        return self._of_line("unsatisfied", message, line)

    def _of_line(self, code: Code, message: str, line: MatchLine) -> Stale:
        return Stale(code=code, message=message, name=line.name, file=line.file or self._lock.path, line=line.line)

    def _of_package(self, code: Code, package: LockedPackage, said: str, name: str) -> Stale:
        message = f"{_named(package)} of {self._lock.path} {said}"
        return Stale(code=code, message=message, name=name, file=self._lock.path)


def _said(line: MatchLine) -> str:
    """``environment.yml:7: numpy >=3``; what stands in no file is the leg's."""
    place = f"{line.file}:{line.line}: " if line.line else f"{line.file}: " if line.file else "this leg: "
    return f"{place}{shown(line.text)}"


def _named(package: LockedPackage) -> str:
    """``numpy 2.1.0 py312h_0``."""
    return f"{package.name} {package.version} {package.build}".rstrip()
