"""What a test runner says of its tests: pytest's JUnit XML, and what unittest writes. Pure, but for reading a file.

The XML is xunit2 (https://docs.pytest.org/en/stable/reference/reference.html#confval-junit_family), which names no
files: where a test has failed is read from the text of its failure, as pytest and as Python themselves write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Failure", "Results", "located", "read_junit", "read_unittest", "tells_of_tests"]

#: Failures of which more than the count is kept.
KEPT = 20

#: Characters of a failure's text that are looked through for places, and of its first line that are shown.
_TEXT = 200_000
_SHOWN = 300

# The end of what unittest's runner writes: "Ran 3 tests in 0.001s", then "FAILED (failures=1, skipped=1)".
_RAN = re.compile(r"^Ran ([0-9]+) tests? in ", re.MULTILINE)
_RESULTS = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.MULTILINE)
_COUNT = re.compile(r"([a-z ]+)=([0-9]+)")
# One of its failures: a rule, "FAIL: test_x (tests.test_m.Case.test_x)", a rule, the traceback up to a blank line and
# the next rule. Before Python 3.11 the brackets hold the class alone.
_FAILURE = re.compile(
    r"^={70}\n(?:FAIL|ERROR): (?P<name>[^\s(]+)(?: \((?P<where>[\w.]+)\))?(?P<more>[^\n]*)\n(?:[^\n]*\n)*?-{70}\n"
    r"(?P<text>.*?)(?=^={70}$|^-{70}$)",
    re.MULTILINE | re.DOTALL,
)

# A place as pytest writes it, "tests/test_x.py:12: AssertionError" or "...: in helper"; and as Python does.
_PLACE = re.compile(
    r'^(?:(?:E )? *File "(?P<said>[^"\n]+)", line (?P<at>[0-9]+)'
    r"|(?P<file>(?:[A-Za-z]:)?[^\s:][^:\n]*\.py):(?P<line>[0-9]+): )",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One test that failed."""

    #: ``tests.test_x.TestCase.test_y``, as its runner names it.
    name: str
    #: The first line of what it failed with.
    message: str
    #: Where lines of the failure are, as they were written, the innermost last.
    places: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Results:
    """How many tests ended how, and of the first that failed, how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


def read_junit(report: Path) -> Results | None:
    """Counts by test case, since suites may be nested and then each counts what is below it.

    ``None`` where the file ends too early: its writer was killed, and a part is not told for the whole.
    """
    found = Results()
    try:
        for _, case in ET.iterparse(report):  # noqa: S314 - expat ends entity bombs since 2.4.1
            if case.tag == "testcase":
                _count(case, found)
                case.clear()
    except ET.ParseError:
        return None
    return found


def _count(case: ET.Element, found: Results) -> None:
    said = {child.tag for child in case}
    bad = next((child for child in case if child.tag in ("failure", "error")), None)
    found.skipped += said & {"failure", "error", "skipped"} == {"skipped"}
    found.passed += not said & {"failure", "error", "skipped"}
    if bad is None:
        return
    found.failed += 1
    if len(found.failures) < KEPT:
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        text = (bad.text or "")[-_TEXT:]
        found.failures.append(_failure(name, bad.get("message") or text.strip(), text))


def read_unittest(text: str) -> Results | None:
    """https://docs.python.org/3/library/unittest.html#unittest.TextTestRunner; the last run that is told of, if any."""
    runs = list(_RAN.finditer(text))
    results = _RESULTS.search(text, runs[-1].end()) if runs else None
    if results is None:
        return None
    named = {name.strip(): int(number) for name, number in _COUNT.findall(results[1] or "")}
    failed = sum(named.get(name, 0) for name in ("failures", "errors", "unexpected successes"))
    skipped = named.get("skipped", 0) + named.get("expected failures", 0)
    own = text[runs[-2].end() if len(runs) > 1 else 0 :]
    return Results(
        passed=max(0, int(runs[-1][1]) - failed - skipped),
        failed=failed,
        skipped=skipped,
        failures=list(_told_by_unittest(own[-_TEXT:]))[:KEPT],
    )


def tells_of_tests(text: str) -> bool:
    """Whether unittest says how many tests it has run, be it to their end or not."""
    return bool(_RAN.search(text))


def _told_by_unittest(text: str) -> Iterator[Failure]:
    for match in _FAILURE.finditer(text):
        where, name = match["where"] or "", match["name"]
        whole = where if where.endswith(f".{name}") else ".".join(filter(None, (where, name)))
        # The last line that is not indented is the exception.
        last = next((line for line in reversed(match["text"].splitlines()) if line[:1].strip()), "")
        yield _failure(whole + match["more"].rstrip(), last, match["text"])


def _failure(name: str, message: str, text: str) -> Failure:
    places = tuple(
        (match["said"] or match["file"], int((match["at"] or match["line"])[:9])) for match in _PLACE.finditer(text)
    )
    return Failure(name=one_line(name, _SHOWN), message=one_line(message.partition("\n")[0], _SHOWN), places=places)


def located(failure: Failure, own: Callable[[str], str]) -> tuple[str, int]:
    """The file, relative to the project, and the 1-based line to look at first; 0 where only the file is known.

    That is the last line in the test's own file, since what it calls may lie in another one; else the last one in any
    file of the project. ``own`` gives the name in the project of a file as it was written, empty where it has none.
    """
    inside = [(file, line) for written, line in failure.places if (file := own(written))]
    in_test = [place for place in inside if _is_of(failure.name, place[0])]
    if in_test or inside:
        return (in_test or inside)[-1]
    words = failure.name.partition("[")[0].split(".")
    named = (own("/".join(words[:count]) + ".py") for count in range(len(words) - 1, 0, -1))
    return next(filter(None, named), ""), 0


def _is_of(name: str, file: str) -> bool:
    """Whether a test of this dotted name stands in the file, which a runner in a folder below names shorter."""
    parts = file.removesuffix(".py").split("/")
    return any(f"{name}.".startswith(f"{'.'.join(parts[start:])}.") for start in range(len(parts)))
