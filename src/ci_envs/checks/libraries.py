"""Every shared object of the environment finds its libraries, but for those that come with a driver."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from ci_envs.checks.accelerator import wanted_cuda
from ci_envs.cuda import cuda_of, documented, major_of
from ci_envs.decoding import decode
from ci_envs.endings import how_it_ended
from ci_envs.model.record import Finding
from ci_envs.plain import one_line
from ci_envs.resources import shared_objects_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context
    from ci_envs.model.inventory import Inventory

__all__ = ["LibrariesAreFound"]

_SECONDS = 300.0

#: Libraries that findings name; the rest is counted.
_MOST = 20

_SHOWN = 200


class _Missing(msgspec.Struct):
    """A library that an object does not find."""

    library: str
    #: Relative to the prefix.
    object: str
    #: The distribution that lists the object; empty where none does.
    owner: str
    version: str

    @property
    def whose(self) -> str:
        """To be put behind the object."""
        from packaging.utils import canonicalize_name

        return f" of {one_line(f'{canonicalize_name(self.owner)} {self.version}', _SHOWN)}" if self.owner else ""


class _Answer(msgspec.Struct):
    """What ``resources/shared_objects.py`` says."""

    objects: int
    missing: list[_Missing]
    #: Rows beyond those that it names.
    more: int = 0


class LibrariesAreFound:
    """Only for legs with an accelerator: of a CPU's, whatever does not load does not import either, and is told then.

    What a machine without a GPU cannot run it can read: which libraries each shared object names, and whether the
    loader would find them. A missing library of the toolkit is an error, since it fails on every machine; any other
    is a warning, since packages bring plugins that nobody opens.
    """

    code = "ENV504"
    title = "a library is not found"
    advice = "install what brings it: a distribution of the environment, or a package of the machine's or the image's"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV504 for each library and distribution, the errors first."""
        if context.leg.accelerator == "cpu" and "cuda" not in context.config.expect:
            return
        answer, problem = _ask(context)
        if answer is None:
            context.left_out.append(f"shared objects: {problem}")
            return
        if answer.more:
            context.left_out.append(f"shared objects: {answer.more} more that do not find a library")
        missing = _not_excused(context, answer)
        major = _major(context)
        found = [self._finding(rows, major) for rows in _grouped(missing)]
        found.sort(key=lambda finding: finding.severity != "error")
        yield from found[:_MOST]
        if rest := found[_MOST:]:
            message = f"{len(rest)} more libraries are not found"
            yield msgspec.structs.replace(rest[0], message=message)

    def _finding(self, rows: list[_Missing], major: str) -> Finding:
        first, toolkits = rows[0], documented()["toolkit-libraries"]
        of = [release for release, libraries in toolkits.items() if first.library in libraries]
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        needs = f"{one_line(first.object, _SHOWN)}{first.whose}{more} needs {one_line(first.library, _SHOWN)}"
        which = f", a library of CUDA {' and '.join(of)}" if of else ""
        return Finding(
            code=self.code,
            severity="error" if major in of else "warning",
            title=self.title,
            message=f"{needs}{which}: it is neither in the environment nor where the loader looks",
        )


def _ask(context: Context) -> tuple[_Answer | None, str]:
    """What is missing, or why that is not known."""
    interpreter = context.inventory.interpreter
    if interpreter.os != "linux":
        return None, f"no way to read those of {interpreter.os} yet"
    if not interpreter.version:
        return None, "there is no Python inside to read them with"
    folders = _folders(context.inventory)
    if not folders:
        return None, "where its packages are is not known"
    outcome = context.environment.run(
        [str(context.environment.python), "-I", "-S", "-", *folders],
        stdin=shared_objects_text(),
        timeout=_SECONDS,
        log=context.log,
    )
    try:
        return decode((outcome.stdout.strip().splitlines() or [""])[-1], _Answer), ""
    except msgspec.DecodeError:
        said = one_line(outcome.tail(1), _SHOWN)
        return None, f"reading them {how_it_ended(outcome)}{said and ': '}{said}"


def _folders(inventory: Inventory) -> list[str]:
    """Where the environment's own files are: a system's interpreter shares its prefix with the system."""
    interpreter = inventory.interpreter
    own = interpreter.prefix != interpreter.base_prefix
    if own or any(each.manager == "conda" for each in inventory.distributions):
        return [interpreter.prefix]
    folders = [interpreter.paths.get(name, "") for name in ("purelib", "platlib")]
    return list(dict.fromkeys(posixpath.join(interpreter.prefix, folder) for folder in folders if folder))


def _not_excused(context: Context, answer: _Answer) -> list[_Missing]:
    """Without what comes with a driver, and what packages open only where they find it. The record has both."""
    driver, optional, missing = set(), set(), []
    for row in answer.missing:
        if row.library.partition(".so")[0] in documented()["driver-libraries"]:
            driver.add(row.library)
        elif _is_optional(row):
            optional.add(row.library)
        else:
            missing.append(row)
    context.facts["libraries"] = {
        "objects": answer.objects,
        "of-the-driver": sorted(driver),
        "optional": sorted(optional),
        "missing": sorted({row.library for row in missing}),
    }
    return missing


def _is_optional(row: _Missing) -> bool:
    from packaging.utils import canonicalize_name

    owner, name = canonicalize_name(row.owner), posixpath.basename(row.object)
    rules: list[dict[str, str]] = documented()["optional"]
    return any(fnmatchcase(owner, rule["owner"]) and fnmatchcase(name, rule["object"]) for rule in rules)


def _grouped(missing: list[_Missing]) -> list[list[_Missing]]:
    groups: dict[tuple[str, str, str], list[_Missing]] = {}
    for row in missing:
        groups.setdefault((row.library, row.owner, row.version), []).append(row)
    return list(groups.values())


def _major(context: Context) -> str:
    """The CUDA whose libraries must be there: the leg's, else the packages'."""
    facts = cuda_of(context.inventory.distributions)
    return major_of(wanted_cuda(context) or "") or (facts.major if facts else "")
