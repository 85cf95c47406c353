"""What differs between two records, and the same for a person to read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.model.difference import Change, Difference, PackageChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.model.difference import PackageChangeKind
    from ci_envs.model.image import ImageFacts
    from ci_envs.model.record import Finding, RunRecord

__all__ = ["compare", "render"]

_SIGNS: dict[PackageChangeKind, str] = {"added": "+", "removed": "-", "changed": "~", "rebuilt": "#"}

# A digest is recognised by its beginning; the JSON has all of it.
_SHOWN_DIGEST = len("sha256:") + 16

# Packages of the operating system come by hundreds; the JSON has all of them.
_SHOWN_OF_SYSTEM = 10


def compare(before: RunRecord, after: RunRecord) -> Difference:
    """Everything in which two records differ, but times."""
    facts = _changes(_facts(before), _facts(after))
    packages = tuple(_packages(before, after))
    tools = _changes(before.tools, after.tools)
    tests = _changes(_tests(before), _tests(after))
    new = tuple(finding for finding in after.findings if finding not in before.findings)
    gone = tuple(finding for finding in before.findings if finding not in after.findings)
    return Difference(
        before=before.leg.id,
        after=after.leg.id,
        same=not any((facts, packages, tools, tests, new, gone)),
        facts=facts,
        packages=packages,
        tools=tools,
        tests=tests,
        findings_new=new,
        findings_gone=gone,
    )


def _facts(record: RunRecord) -> dict[str, str]:
    lock, environment = record.lock, record.environment
    return {
        "leg": record.leg.id,
        "status": record.status,
        "python": environment.python if environment else "",
        "lock": lock.path if lock else "",
        "lock digest": lock.digest if lock else "",
        "environment digest": environment.digest if environment else "",
        # Its name is another for each checkout; where more is known, that is compared.
        "image": environment.image if environment and not record.image else "",
        **(_image(record.image) if record.image else {}),
    }


def _image(image: ImageFacts) -> dict[str, str]:
    return {
        "image digest": image.digest,
        "system": image.system.name if image.system else "",
        **{f"base image {base.name}": base.digest for base in image.bases},
    }


def _tests(record: RunRecord) -> dict[str, str]:
    counts = record.tests
    if counts is None:
        return {}
    return {"passed": str(counts.passed), "failed": str(counts.failed), "skipped": str(counts.skipped)}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(Change(name=name, before=old, after=new) for name, old, new in pairs if old != new)


def _packages(before: RunRecord, after: RunRecord) -> Iterator[PackageChange]:
    # What is installed is compared where both know it; a leg that ended before its build has only its lock.
    installed = bool(before.inventory and after.inventory)
    old, new = _versions(before, installed=installed), _versions(after, installed=installed)
    old_hashes, new_hashes = _hashes(before), _hashes(after)
    for name, manager in sorted(old.keys() | new.keys(), key=lambda key: (key[1], key[0])):
        was, now = old.get((name, manager), ""), new.get((name, manager), "")
        if was != now:
            kind: PackageChangeKind = "added" if not was else "removed" if not now else "changed"
            yield PackageChange(name=name, manager=manager, kind=kind, before=was, after=now)
            continue
        left, right = old_hashes.get((name, was), frozenset()), new_hashes.get((name, now), frozenset())
        if left != right and left and right and not manager:
            yield PackageChange(
                name=name, kind="rebuilt", before=" ".join(sorted(left - right)), after=" ".join(sorted(right - left))
            )


def _versions(record: RunRecord, *, installed: bool) -> dict[tuple[str, str], str]:
    """Versions by name and, for those of the operating system, manager: a ``python3`` of dpkg is no Python package.

    One that is there for two architectures may have two versions.
    """
    if not installed:
        return {(pin.name, ""): pin.version for pin in record.lock.pins} if record.lock else {}
    found: dict[tuple[str, str], list[str]] = {}
    for item in record.inventory:
        if item.of_system:
            found.setdefault((item.name, item.manager), []).append(item.version)
        else:
            found[item.name, ""] = [item.version]
    return {key: ", ".join(dict.fromkeys(versions)) for key, versions in found.items()}


def _hashes(record: RunRecord) -> dict[tuple[str, str], frozenset[str]]:
    pins = record.lock.pins if record.lock else ()
    return {(pin.name, pin.version): frozenset(pin.hashes) for pin in pins}


def render(difference: Difference) -> str:
    """The difference as lines of text; one line where there is none."""
    if difference.same:
        return f"{difference.before}: no difference"
    sections = (
        (f"--- {difference.before}\n+++ {difference.after}", [_change_line(change) for change in difference.facts]),
        ("packages", [_package_line(package) for package in difference.packages if not package.manager]),
        *_system_sections(difference.packages),
        ("tools", [_change_line(change) for change in difference.tools]),
        ("tests", [_change_line(change) for change in difference.tests]),
        ("findings that are new", [_finding_line("+", finding) for finding in difference.findings_new]),
        ("findings that are gone", [_finding_line("-", finding) for finding in difference.findings_gone]),
    )
    first, *rest = sections
    blocks = ["\n".join([first[0], *first[1]]), *("\n".join([title, *lines]) for title, lines in rest if lines)]
    return "\n\n".join(blocks)


def _system_sections(packages: Sequence[PackageChange]) -> Iterator[tuple[str, list[str]]]:
    for manager in dict.fromkeys(package.manager for package in packages if package.manager):
        lines = [_package_line(package) for package in packages if package.manager == manager]
        left = len(lines) - _SHOWN_OF_SYSTEM
        if left > 1:
            lines = [*lines[:_SHOWN_OF_SYSTEM], f"  ... and {left} more; --json has all of them"]
        yield f"packages of {manager}", lines


def _change_line(change: Change) -> str:
    return f"  {change.name}: {_shown(change.before)} -> {_shown(change.after)}"


def _shown(value: str) -> str:
    return (value[:_SHOWN_DIGEST] if value.startswith("sha256:") else value) or "none"


def _package_line(package: PackageChange) -> str:
    line = f"  {_SIGNS[package.kind]} {package.name}"
    if package.kind == "changed":
        return f"{line} {package.before} -> {package.after}"
    if package.kind == "rebuilt":
        gone, new = len(package.before.split()), len(package.after.split())
        return f"{line}: same version, other files ({gone} hashes gone, {new} new)"
    return f"{line} {package.before or package.after}"


def _finding_line(sign: str, finding: Finding) -> str:
    where = f" ({finding.file}{f':{finding.line}' if finding.line else ''})" if finding.file else ""
    return f"  {sign} {finding.severity} {finding.code}: {finding.title}{where}"
