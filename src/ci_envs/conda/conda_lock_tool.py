"""conda-lock itself as what solves (``conda: {locker: conda-lock}``), with a conda, mamba or micromamba found here.

It runs as a process of its own, always with the program that it is to use: it would download one else, and try that
for long. What it is given is made in :mod:`ci_envs.conda.conda_lock_input`, and lies beside its answer in a folder that
nobody else can read, and that is gone when it ends, however it ends.

- Its answer says which files are locked. What these need and their hashes are looked up in the channels' own index:
  conda-lock leaves out build strings of what a package needs, and conda at times the SHA-256. A channel that we cannot
  read and conda can leaves the entries as conda-lock wrote them.
- The ``pip:`` part is not its affair. It resolves that with a poetry of its own, which asks PyPI whatever the index
  settings are, and a table of names that it would download; uv resolves it as for every other lock, beside the
  packages that were chosen here, and keeps its pins.
- conda packages keep no pins: it solves anew each time. ``--update NAME`` is all that it has, which solves over
  a prefix that only looks like one, and leaves out what is asked for for the first time.
- A day in the past, the lowest versions, and an answer without a network are beyond it, and refused.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ci_envs import command
from ci_envs.conda.channel_names import channel_findings
from ci_envs.conda.conda_lock_failure import failure
from ci_envs.conda.conda_lock_input import Wanted, addresses, settings_text, source_text, virtual_text
from ci_envs.conda.engine import complete
from ci_envs.conda.frontends import TOOLS, tool_program
from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.solved import Kept, categories_of, exactly, packages
from ci_envs.conda.solving import prepared
from ci_envs.conda.tool_home import named_secrets, private_home, write_private
from ci_envs.errors import LockError, ToolMissing, UsageError
from ci_envs.tools import tool_version
from ci_envs.work import TOOL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.conda.solving import Solve, SolveRequest
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.record import Finding
    from ci_envs.work import Work

__all__ = ["solve_with_conda_lock"]

_EMBEDDED = "or let the embedded solver lock: conda: {locker: rattler}"


def solve_with_conda_lock(requests: Sequence[SolveRequest], work: Work) -> dict[str, tuple[LockedPackage, ...]]:
    """The conda packages of each platform, by name, as :func:`ci_envs.conda.solving.solve` gives them.

    Raises :class:`ToolMissing` without conda-lock or a program that solves, :class:`UsageError` for what conda-lock
    cannot be asked, :class:`LockError` where nothing meets the specs, :class:`BrokenError` where a channel failed.
    """
    _require_conda_lock()
    name, program = _solver(work)
    solves = {request.platform: prepared(request) for request in requests}
    for solve in solves.values():
        _refuse(solve)
    work.tools |= {"conda-lock": version("conda-lock"), name: tool_version(program, work.environ)}
    text = _locked(work, name, program, solves)
    try:
        lock = read_lock(text, path="conda-lock.yml")
    except LockError as error:
        raise LockError(f"what conda-lock wrote cannot be used: {error.message}", hint=error.hint) from error
    found: dict[str, tuple[LockedPackage, ...]] = {}
    for platform, solve in solves.items():
        found[platform] = _as_the_channels_say(solve, lock.of(platform), work)
    return found


def _require_conda_lock() -> None:
    if importlib.util.find_spec("conda_lock") is None:
        raise ToolMissing("conda-lock is not installed beside ci-envs", hint="pip install 'repro-envs[conda]'")


def _solver(work: Work) -> tuple[str, Path]:
    """The program that is configured, else the pattern's own, else the first that is there."""
    asked, pattern = work.config.conda.frontend, work.leg.pattern
    own = (pattern,) if pattern in ("mamba", "micromamba") else ()
    names = (asked,) if asked in TOOLS else tuple(dict.fromkeys((*own, *TOOLS)))
    for name in names:
        if program := tool_program(name, work.environ):
            return name, program
    raise ToolMissing(
        f"conda-lock cannot solve by itself, and {' or '.join(names)} is not on PATH",
        hint=f"get {names[0]} as {TOOLS[names[0]]} says, {_EMBEDDED}",
    )


def _refuse(solve: Solve) -> None:
    request = solve.request
    offline = request.offline or request.settings.offline
    if request.as_of:
        what = f"of {request.as_of}, and not of today"
    elif request.resolution != "highest":
        what = f"of the {request.resolution} versions"
    elif offline and any(not channel.fetch.startswith("file:") for channel in request.channels):
        what = "without a network, since it keeps no repodata"
    else:
        return
    raise UsageError(f"conda-lock cannot make a lock {what}", hint="the embedded solver can: conda: {locker: rattler}")


def _locked(work: Work, name: str, program: Path, solves: Mapping[str, Solve]) -> str:
    """The text that conda-lock writes."""
    wanted = [Wanted(solve.request, solve.asked) for solve in solves.values()]
    with tempfile.TemporaryDirectory(dir=work.temp) as temporary:
        folder = Path(temporary)
        answer = folder / "answer.yml"
        request = command.Command(
            argv=tuple(map(str, (*_words(folder, name, program, wanted), "--lockfile", answer))),
            cwd=folder,
            env={**work.tool_environment, **_variables(work, folder, name, wanted)},
            timeout=TOOL_TIMEOUT_SECONDS,
            log=work.log,
            hold=work.hold,
        )
        # Not by Work.run, which takes a JSON that cannot be read for an index that is down, and tries again.
        outcome = command.run(request)
        if not outcome:
            raise failure(outcome, solves, work.layout.shown(work.log))
        if not answer.is_file():
            raise LockError("conda-lock wrote no lock", hint=f"see its log: {work.layout.shown(work.log)}")
        return answer.read_text(encoding="utf-8")


def _words(folder: Path, name: str, program: Path, wanted: Sequence[Wanted]) -> list[str | Path]:
    """The command, after what it reads was written into the folder."""
    source, virtual, names = folder / "environment.yml", folder / "virtual.yml", folder / "names.json"
    write_private(source, source_text(wanted))
    write_private(virtual, virtual_text(one.request for one in wanted))
    write_private(names, "{}")  # it would download its own, where it has none
    words: list[str | Path] = [sys.executable, "-I", "-X", "utf8", "-m", "conda_lock", "lock", "--conda", program]
    words += [f"--{'' if name == kind else 'no-'}{kind}" for kind in ("mamba", "micromamba")]
    words += ["--file", source, "--virtual-package-spec", virtual, "--pypi_to_conda_lookup_file", names]
    return [*words, *(word for one in wanted for word in ("--platform", one.request.platform))]


def _variables(work: Work, folder: Path, name: str, wanted: Sequence[Wanted]) -> dict[str, str]:
    """What conda-lock and the program that solves see beside a tool's usual variables; their home is made here."""
    home = private_home(folder / "home", work.environ)
    rc = folder / "home" / ".condarc"
    channels = list({channel.canonical: channel for one in wanted for channel in one.request.channels}.values())
    request = wanted[0].request
    write_private(rc, settings_text(request.settings, channels, offline=request.offline))
    return {
        **home,
        # mamba reads this one alone then, conda reads it last.
        "CONDARC": str(rc),
        "MAMBA_ROOT_PREFIX": str(folder / "root"),
        "MAMBA_NO_BANNER": "1",
        # A condarc of the whole machine may name packages for every new environment.
        **({"CONDA_FLAGS": "--no-default-packages"} if name == "conda" else {}),
        **{variable: str(folder) for variable in ("TMPDIR", "TEMP", "TMP")},
        **named_secrets((*addresses(wanted), *request.settings.proxies.values())),
    }


def _as_the_channels_say(solve: Solve, found: Sequence[LockedPackage], work: Work) -> tuple[LockedPackage, ...]:
    """conda-lock's choice with the channel's own words on each package, and the categories of who asked for it."""
    chosen = [replace(package, url=solve.way.to_canonical(package.url)) for package in found]
    indexed, findings = complete(_indexed(solve, chosen))
    for finding in (*channel_findings(solve.request.channels, solve.request.settings), *findings):
        if finding not in work.findings:
            work.findings.append(finding)
    whole = [_agreed(package, indexed[package.url]) if package.url in indexed else package for package in chosen]
    belongs = categories_of(solve.asked, {package.name: package.depends for package in whole})
    return tuple(
        replace(package, categories=belongs[package.name]) for package in sorted(whole, key=lambda one: one.name)
    )


async def _indexed(
    solve: Solve, chosen: Sequence[LockedPackage]
) -> tuple[dict[str, LockedPackage], tuple[Finding, ...]]:
    """The same packages as the channels' index tells of them, by address; none where that cannot be read."""
    from rattler import MatchSpec
    from rattler.exceptions import FetchRepoDataError, GatewayError, IoError

    try:
        there = await solve.query([MatchSpec(exactly(package)) for package in chosen])
        by_address = {solve.way.to_canonical(record.url): record for record in there}
        records = [by_address[package.url] for package in chosen if package.url in by_address]
        done = await packages(solve, records, Kept((), solve.way, ()))
    except (GatewayError, FetchRepoDataError, IoError, OSError):
        return {}, ()
    return {package.url: package for package in done.packages}, done.findings


def _agreed(package: LockedPackage, indexed: LockedPackage) -> LockedPackage:
    """The index's entry; :class:`LockError` where conda-lock was told of another file."""
    for was, is_now in ((package.md5, indexed.md5), (package.sha256, indexed.sha256)):
        if was and was != is_now:
            raise LockError(
                f"{package.url} was {was} to conda-lock, and is {is_now} to the channel's index",
                hint="the channel has changed in between: lock once more",
            )
    return indexed
