"""The ``pip:`` part of a lock: resolved by uv, for the Python and beside the packages that a solve has chosen.

What conda brings already is not installed a second time. uv is told of it by stand-ins: wheels of that name and
version with nothing in them, to which every requirement of the name is bound (a constraint with an address). So the
resolver sees that numpy 2.1.0 is there, chooses versions of the others that can live with it, and says so where none
can. What stands in is left out of the result.
"""

from __future__ import annotations

import re
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from ci_envs import trouble
from ci_envs.blame import blamed, kind_of
from ci_envs.error_findings import error_finding
from ci_envs.errors import LockError
from ci_envs.locks.pylock import parsed_pylock
from ci_envs.model.conda import LockedPackage
from ci_envs.model.lock import Requirement
from ci_envs.patterns.installing import uv
from ci_envs.patterns.unsatisfied import also_at
from ci_envs.redact import without_credentials
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.markers import Environment
    from packaging.pylock import Package, PackageSdist, PackageWheel

    from ci_envs.command import Outcome
    from ci_envs.conda.targets import Target
    from ci_envs.model.conda import PipLine
    from ci_envs.work import Work

__all__ = ["brought_by_conda", "is_the_project", "resolve_pip"]

#: Python's own names in a solve that are no distribution.
_NO_DISTRIBUTION = frozenset(("python", "python_abi", "pypy"))
_VIA = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?(?:==| @ )", re.IGNORECASE)


def is_the_project(line: PipLine) -> bool:
    """Whether a line means the project itself (``.``, ``-e .[dev]``): it is installed apart, and never locked."""
    text = re.sub(r"^(?:-e|--editable)[\s=]+", "", line.text.strip())
    return re.fullmatch(r"\./?(?:\[[^]]*\])?", text) is not None


@cache
def _other_names() -> dict[str, str]:
    """conda's name -> PyPI's, for the few that differ."""
    from ci_envs.documents import load_yaml

    named = load_yaml(resource("conda-names.yml").read_text("utf-8"), file="conda-names.yml").data
    return {conda: pypi for pypi, conda in named.items()}


def brought_by_conda(packages: Iterable[LockedPackage]) -> dict[str, str]:
    """The Python distributions that conda packages bring, with their versions; names normalised.

    A package brings one where it needs Python: by its own name, or the one that it has on PyPI.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for package in packages:
        needs = {re.split(r"[ =<>!~\[]", spec, maxsplit=1)[0] for spec in package.depends}
        if package.manager == "conda" and needs & _NO_DISTRIBUTION and package.name not in _NO_DISTRIBUTION:
            found[canonicalize_name(_other_names().get(package.name, package.name))] = package.version
    return found


def resolve_pip(
    work: Work,
    lines: Sequence[PipLine],
    target: Target,
    conda: Iterable[LockedPackage],
    *,
    kept: Mapping[str, str] | None = None,
    canonical: Callable[[str], str] = str,
) -> tuple[LockedPackage, ...]:
    """The distributions that pip adds on one platform, each with one file and its SHA-256.

    ``canonical`` gives a mirror's address back its own name; ``kept`` are versions of an older lock that stay where
    they fit. Raises :class:`LockError` where nothing fits.
    """
    asked = [line for line in lines if not is_the_project(line)]
    if not asked:
        return ()
    beside = brought_by_conda(conda)
    with tempfile.TemporaryDirectory(dir=work.temp) as name:
        folder = Path(name)
        inputs = _inputs(work, asked, folder)
        words = _words(work, target, folder, _stand_ins(beside, folder))
        chosen_file, output = _preferred(kept or {}, folder), folder / "pylock.toml"
        told = uv(work, *words, "--annotation-style=line", "--output-file", chosen_file, *inputs)
        if not told:
            raise _unsatisfied(work, asked, beside, told)
        text = chosen_file.read_text("utf-8")
        edges, pins = _edges(text), _pinned(text, folder)
        outcome = uv(work, *words, "--constraint", pins, "--format=pylock.toml", "--output-file", output, *inputs)
        if not outcome:
            raise _unsatisfied(work, asked, beside, outcome)
        lock = parsed_pylock(output.read_text("utf-8"), "pylock.toml")
    chosen = lock.select(environment=cast("Environment", target.markers), tags=list(target.tags()))
    found = [_locked(package, file, target.platform, canonical) for package, file in chosen]
    return _with_categories(found, asked, edges)


def _words(work: Work, target: Target, folder: Path, constraints: Path | None) -> list[str | Path]:
    words: list[str | Path] = ["pip", "compile", "--quiet", "--no-header", "--generate-hashes", "--no-strip-extras"]
    words += ["--no-emit-index-url", "--no-emit-find-links", "--python-platform", target.uv_platform]
    # Ours is as good as any: it is asked for nothing but building what has no static metadata.
    words += ["--python", sys.executable, "--python-version", target.python, "--directory", folder]
    words += ["--resolution", work.leg.resolution]
    words += ["--exclude-newer", work.policy.as_of] if work.policy.as_of else []
    words += ["--upgrade"] if work.policy.mode == "update" else []
    if constraints is not None:
        words += ["--constraint", constraints]
        names = re.findall(r"^(\S+) @", constraints.read_text("utf-8"), re.MULTILINE)
        words += [f"--no-emit-package={name}" for name in names]
    return words


def _inputs(work: Work, lines: Sequence[PipLine], folder: Path) -> list[Path]:
    """One file for each intent file, with paths made absolute: what stands in it is relative to that intent."""
    made: dict[str, list[str]] = {}
    for line in lines:
        made.setdefault(line.file, []).append(_absolute(work, line))
    paths = []
    for number, texts in enumerate(made.values()):
        paths.append(folder / f"pip-{number}.in")
        paths[-1].write_text("\n".join(texts) + "\n", encoding="utf-8")
    return paths


def _absolute(work: Work, line: PipLine) -> str:
    text = line.text.strip()
    option = re.match(r"(-r|-c|-e|--requirement|--constraint|--editable)[\s=]*(.+)", text)
    value = option[2].strip() if option else text
    is_path = value.startswith((".", "/")) or (option is not None and "://" not in value)
    if not is_path:
        return text
    path = work.project.path(str(PurePosixPath(line.file).parent / value))
    return f"{option[1]} {path}" if option else str(path)


def _stand_ins(beside: Mapping[str, str], folder: Path) -> Path | None:
    """A constraints file that binds each name to an empty wheel of its version; versions that are none are left out."""
    from packaging.version import InvalidVersion, Version

    bound = []
    for name, version in sorted(beside.items()):
        try:
            release = str(Version(version))
        except InvalidVersion:
            continue
        module = name.replace("-", "_")
        wheel = folder / f"{module}-{release}-py3-none-any.whl"
        info = f"{module}-{release}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
            tag = "Wheel-Version: 1.0\nGenerator: ci-envs\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            archive.writestr(f"{info}/WHEEL", tag)
            archive.writestr(f"{info}/RECORD", "")
        bound.append(f"{name} @ {wheel.as_uri()}\n")
    if not bound:
        return None
    path = folder / "conda.txt"
    path.write_text("".join(bound), encoding="utf-8")
    return path


def _preferred(kept: Mapping[str, str], folder: Path) -> Path:
    """uv keeps the versions that its output file names, where they fit."""
    path = folder / "chosen.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in sorted(kept.items())), encoding="utf-8")
    return path


def _pinned(text: str, folder: Path) -> Path:
    """What the first resolution came to, for the second: the two must not differ by a release made in between."""
    path = folder / "pins.txt"
    found = (re.match(r"([\w.-]+)(?:\[[^]]*\])?(==\S+)", line) for line in text.splitlines())
    path.write_text("".join(f"{pin[1]}{pin[2]}\n" for pin in found if pin), encoding="utf-8")
    return path


def _edges(text: str) -> dict[str, set[str]]:
    """Name -> who asked for it, from uv's annotations (``# via pandas, -r pip-0.in``)."""
    found: dict[str, set[str]] = {}
    current = ""
    for line in text.splitlines():
        named = _VIA.match(line)
        current = _normal(named[1]) if named else current
        if current and "# via " in line:
            words = (word.strip() for word in line.partition("# via ")[2].split(","))
            found.setdefault(current, set()).update(_normal(word) for word in words if not word.startswith("-"))
            if any(word.strip().startswith("-r") for word in line.partition("# via ")[2].split(",")):
                found[current].add("")  # somebody wrote it down
    return found


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name.partition("[")[0].strip())


def _locked(package: Package, file: object, platform: str, canonical: Callable[[str], str]) -> LockedPackage:
    version = str(package.version) if package.version else ""
    if package.archive is not None or not hasattr(file, "hashes"):
        place = package.archive.url if package.archive is not None else ""
        hashes = package.archive.hashes if package.archive is not None else {}
        if not place or "sha256" not in hashes:
            raise LockError(
                f"{package.name} cannot be locked: conda-lock's format holds files with a hash, not folders or "
                "revisions",
                hint="write an address of a wheel or sdist below pip:, or a release from an index",
            )
        address = _address(place, canonical)
    else:
        chosen = cast("PackageWheel | PackageSdist", file)
        hashes, address = chosen.hashes, _address(chosen.url or "", canonical)
    return LockedPackage(
        name=package.name,
        version=version,
        manager="pip",
        platform=platform,
        url=address,
        sha256=hashes["sha256"],
        by_address=package.archive is not None,
    )


def _address(url: str, canonical: Callable[[str], str]) -> str:
    """Where a file is for everybody, as far as that is known.

    conda-lock's format asks for an address. It is the one that the index gave, without credentials; a mirror of the
    files is named in ``conda.mirrors``, as a channel's is, and then stays out. Nothing of ours fetches it: what is
    installed is asked for by name, version and hash, from whatever index is configured where that happens.
    """
    return canonical(without_credentials(url))


def _with_categories(
    found: Sequence[LockedPackage], lines: Sequence[PipLine], edges: Mapping[str, set[str]]
) -> tuple[LockedPackage, ...]:
    """Each package with the categories of those who asked for it, and what it depends on."""
    import msgspec

    by_name = {package.name: package for package in found}
    categories: dict[str, set[str]] = {name: set() for name in by_name}
    for line in lines:
        name = _normal(re.split(r"[\s=<>!~;@\[]", line.text.strip(), maxsplit=1)[0]) if line.text[0] != "-" else ""
        for each in [name] if name in by_name else [n for n in by_name if "" in edges.get(n, ())] if not name else []:
            categories[each].add(line.category)
    waiting = [name for name, known in categories.items() if known]
    needs: dict[str, set[str]] = {}
    for name, askers in edges.items():
        for asker in askers & by_name.keys():
            needs.setdefault(asker, set()).add(name)
    while waiting:
        name = waiting.pop()
        for needed in needs.get(name, set()) & by_name.keys():
            if not categories[name] <= categories[needed]:
                categories[needed] |= categories[name]
                waiting.append(needed)
    return tuple(
        msgspec.structs.replace(
            package,
            categories=tuple(sorted(categories[name])) or ("main",),
            depends=tuple(sorted(needs.get(name, ()))),
        )
        for name, package in sorted(by_name.items())
    )


def _unsatisfied(work: Work, lines: Sequence[PipLine], beside: Mapping[str, str], outcome: Outcome) -> LockError:
    """uv's own sentence at the line that it names; what conda has chosen is said where it is part of it."""
    text = re.sub(r"[a-z0-9._-]+ @ file://\S+", "", outcome.output.lower().replace("_", "-"))
    names = [name for name in beside if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text)]
    conda = f"; conda brings {', '.join(f'{name} {beside[name]}' for name in names[:3])}" if names else ""
    asked = [*_requirements(lines), *(one for one in work.direct if one.dialect == "pep508")]
    found = blamed(outcome.output, list({(one.file, one.line, one.text): one for one in asked}.values()))
    kind = kind_of(outcome.output, len(found) + len(names))
    error = LockError(
        f"the pip: part cannot be locked: {trouble.reason(outcome)}{conda}",
        file=found[0].file if found else lines[0].file,
        line=found[0].line if found else 0,
        hint=f"{kind.advice}, then run {work.lock_command()}; the log has all of it: {work.layout.shown(work.log)}",
        title=kind.title,
    )
    if finding := error_finding(error, work.leg.id, work.findings):
        work.findings.append(finding)
    conda_specs = [one for one in work.direct if one.dialect == "conda" and found and _normal(one.name) in names]
    for other in (*found[1:], *conda_specs):
        also_at(work, kind.title, other, found[0])
    return error


def _requirements(lines: Sequence[PipLine]) -> Iterator[Requirement]:
    """The lines that name a distribution."""
    for line in lines:
        if name := _first_word(line):
            yield Requirement(text=line.text.strip(), name=name, file=line.file, line=line.line)


def _first_word(line: PipLine) -> str:
    return _normal(re.split(r"[\s=<>!~;@\[]", line.text.strip(), maxsplit=1)[0]) if line.text[:1] != "-" else ""
