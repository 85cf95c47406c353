from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.locks.intent import MARKERS, asked

from ci_envs.errors import LockError
from ci_envs.locks.insync import Verdict, direct_extras, in_sync
from ci_envs.locks.requirements import read_requirements
from ci_envs.locks.scrub import header_for
from ci_envs.model.lock import Requirement

C1, C2 = "1" * 40, "2" * 40


def judge(lock: str, *wanted: str | Requirement, **options: Any) -> Verdict:
    read = read_requirements(lock, path="lock.txt", markers=MARKERS)
    direct = [asked(one, line=number) if isinstance(one, str) else one for number, one in enumerate(wanted, start=1)]
    return in_sync(read, direct, **{"markers": MARKERS} | options)


def codes(verdict: Verdict) -> list[tuple[str, str]]:
    return [(one.code, one.name) for one in verdict.stale]


@pytest.mark.parametrize(
    ("requirement", "pin", "fits"),
    [
        ("apple", "apple==2.0", True),
        ("Ap_ple", "ap-ple==2.0", True),
        ("apple>=2", "apple==2.0", True),
        ("apple>=2.1", "apple==2.0", False),
        ("apple>=2", "apple==3.0rc1", True),
        ("apple==2.0", "apple==2.0+cpu", True),
        ("apple==2", "apple==2.0.0", True),
        ("apple===2", "apple==2.0.0", False),
        ("apple~=2.0", "apple==2.9", True),
        ("apple!=2.0", "apple==2.0", False),
        ("apple>=9 ; sys_platform == 'win32'", "apple==2.0", True),
        ("apple @ https://f.example/apple-2.0.zip", "apple==2.0", False),
        ("apple @ https://f.example/apple-2.0.zip", "apple @ https://f.example/apple-2.0.zip", True),
        ("apple @ https://me:pw@f.example/apple-2.0.zip", "apple @ https://f.example/apple-2.0.zip", True),
        ("apple @ https://f.example/apple-2.1.zip", "apple @ https://f.example/apple-2.0.zip", False),
        ("apple>=3", "apple @ https://f.example/apple-2.0.zip", False),
        ("apple>=3", "apple @ https://f.example/latest.zip", True),
        ("apple @ git+https://g.example/a@main", f"apple @ git+https://g.example/a@{C1}", True),
        ("apple @ git+https://g.example/a@feature/x", f"apple @ git+https://g.example/a@{C1}", True),
        ("apple @ git+https://g.example/a", f"apple @ git+https://g.example/a@{C1}", True),
        ("apple @ git+https://g.example/b", f"apple @ git+https://g.example/a@{C1}", False),
        ("apple @ git+https://g.example/a#subdirectory=x", f"apple @ git+https://g.example/a@{C1}", False),
        (f"apple @ git+https://g.example/a@{C1}", f"apple @ git+https://g.example/a@{C1}", True),
        (f"apple @ git+https://g.example/a@{C2}", f"apple @ git+https://g.example/a@{C1}", False),
        ("apple @ git+ssh://git@g.example/a@main", f"apple @ git+ssh://git@g.example/a@{C1}", True),
    ],
)
def test_a_requirement_is_met_by_its_pin(requirement: str, pin: str, fits: bool) -> None:
    verdict = judge(f"{pin}\n", requirement)
    assert codes(verdict) == ([] if fits else [("unsatisfied", "apple")])
    assert bool(verdict) is fits


def test_a_stale_requirement_is_told_with_both_places() -> None:
    verdict = judge("# header\napple==2.0\n", asked("apple>=3", "requirements.in", 3))
    (stale,) = verdict.stale
    assert stale.message == "requirements.in:3: apple>=3 is not satisfied by apple==2.0 of lock.txt:2"
    assert (stale.file, stale.line, stale.name) == ("requirements.in", 3, "apple")


def test_a_password_in_a_requirement_is_never_shown() -> None:
    verdict = judge(
        "apple==2.0\n", "apple @ https://me:secret-word@f.example/a.zip", "b @ https://me:secret-word@x.example/"
    )
    assert len(verdict.stale) == 2
    assert "secret-word" not in " ".join(one.message for one in verdict.stale)


VIA = """\
apple==2.0
    # via
    #   -r requirements.in
    #   pytool
berry==1.5
    # via apple
pytool==8.0
    # via -r requirements-dev.in
"""


def test_what_another_pin_still_brings_stays() -> None:
    assert judge(VIA, "pytool").judged == "annotations"
    assert judge(VIA, "pytool")


def test_what_nothing_brings_any_more_goes_with_all_it_brought() -> None:
    assert codes(judge(VIA, "berry")) == [("unneeded", "apple"), ("unneeded", "pytool")]
    assert codes(judge(VIA)) == [("unneeded", "apple"), ("unneeded", "berry"), ("unneeded", "pytool")]


def test_two_pins_that_only_bring_each_other_are_unneeded() -> None:
    ring = "apple==1\n    # via berry\nberry==1\n    # via apple\nfig==1\n    # via -r x.in\n"
    assert codes(judge(ring, "fig")) == [("unneeded", "apple"), ("unneeded", "berry")]


@pytest.mark.parametrize("via", ["-c limits.txt", "the wind"])
def test_a_pin_of_which_nothing_is_known_is_not_called_unneeded(via: str) -> None:
    verdict = judge(f"apple==1\n    # via {via}\nberry==1\n    # via apple\nfig==1\n    # via -r x.in\n", "fig")
    assert verdict
    assert verdict.unjudged == ("nothing in lock.txt tells what asked for apple",)


def test_what_the_project_itself_brought_is_asked_for_by_name() -> None:
    exported = "apple==1\n    # via demo-project\nfig==1\n    # via demo-project\n"
    assert codes(judge(exported, "fig", project="Demo.Project")) == [("unneeded", "apple")]
    assert judge(f"-e .\n{exported}", "fig")  # what "." brings is not known


def test_a_requirement_without_a_pin_is_told_once() -> None:
    text = "berry==1\n    # via apple\nfig==1\n    # via -r x.in\n"
    assert codes(judge(text, "apple", "fig")) == [("missing", "apple")]


def test_what_the_maker_left_out_is_not_missing() -> None:
    text = "fig==1\n    # via -r x.in\n\n# The following packages were excluded from the output:\n# setuptools\n"
    assert judge(text, "fig", "setuptools>=60")


def test_a_lock_without_annotations_says_what_was_not_judged() -> None:
    verdict = judge("apple==2.0\nfig==1\n", "apple")
    assert verdict
    assert verdict.judged == "satisfaction"
    assert verdict.unjudged == ("lock.txt does not tell what asked for each pin, so none can be called unneeded",)


def test_metadata_that_cannot_be_read_leaves_the_annotations() -> None:
    verdict = judge(VIA, "pytool", metadata={"apple": ["not a requirement!"], "berry": [], "pytool": ["apple"]})
    assert verdict.judged == "annotations"
    assert "not a requirement!" in verdict.unjudged[0]


def test_metadata_of_some_pins_only_is_not_enough() -> None:
    assert judge(VIA, "pytool", metadata={"apple": []}).judged == "annotations"


def test_an_extra_that_an_extra_asks_for_is_followed() -> None:
    metadata = {
        "apple": ["berry[all]; extra == 'more'"],
        "berry": ["fig; extra == 'all'", "fig>=1; extra == 'all'", "berry[all]; extra == 'x'"],
        "fig": [],
    }
    lock = "apple==1\nberry==1\nfig==1\n"
    assert judge(lock, "apple[More]", metadata=metadata)
    assert codes(judge(lock, "apple", metadata=metadata)) == [("unneeded", "berry"), ("unneeded", "fig")]
    assert codes(judge("apple==1\nberry==1\n", "apple[more]", metadata={**metadata, "fig": []})) == [
        ("missing", "fig"),
        ("missing", "fig"),
    ]


def test_extras_in_the_pins_lines_are_compared() -> None:
    lock = "apple[net]==2.0\n    # via -r x.in\n"
    assert judge(lock, "apple[net]")
    assert codes(judge(lock, "apple[net,tls]")) == [("unsatisfied", "apple")]
    assert judge(lock, "apple"), "another package may have asked for the extra"


def test_our_header_keeps_the_extras_that_apply() -> None:
    wanted = [asked("apple[Net,a]"), asked("fig[x]; sys_platform == 'win32'"), asked("apple[net]")]
    extras = direct_extras(wanted, MARKERS)
    assert extras == ("apple[a]", "apple[net]")
    lock = header_for("venv-py312-linux-x86_64", extras) + "apple==2.0\n    # via -r x.in\n"
    verdict = judge(lock, *wanted)
    assert verdict
    assert verdict.unjudged == ()


@pytest.mark.parametrize(
    ("header", "markers", "code"),
    [
        ("#    autogenerated by pip-compile with Python 3.12\n", {}, None),
        ("#    autogenerated by pip-compile with Python 3.12\n", {"python_version": "3.1"}, "other-python"),
        ("# autogenerated by uv\n# uv pip compile --universal -p 3.10\n", {}, None),
        ("# autogenerated by uv\n# uv pip compile --universal -p 3.10\n", {"python_version": "3.9"}, "other-python"),
        ("# autogenerated by uv\n# uv pip compile --python-platform windows\n", {}, "other-platform"),
        ("# autogenerated by uv\n# uv pip compile --python-platform linux\n", {"platform_machine": "riscv64"}, None),
        (header_for("uv-py312-macos-aarch64"), {"sys_platform": "darwin", "platform_machine": "arm64"}, None),
        (header_for("uv-py312-windows-x86_64"), {"sys_platform": "win32", "platform_machine": "AMD64"}, None),
        (header_for("uv-py312-linux-aarch64"), {}, "other-platform"),
        (header_for("uv-pypy312-linux-x86_64"), {}, "other-python"),
        (header_for("uv-pypy312-linux-x86_64"), {"platform_python_implementation": "PyPy"}, None),
    ],
)
def test_a_lock_of_another_leg_is_stale(header: str, markers: dict[str, str], code: str | None) -> None:
    verdict = judge(f"{header}apple==2.0\n    # via -r x.in\n", "apple", markers=MARKERS | markers)
    assert [one.code for one in verdict.stale] == ([code] if code else [])


def test_only_what_is_fetched_needs_a_hash() -> None:
    lock = f"./x-1.tar.gz\nfruit @ git+https://g.example/f@{C1}\n"
    assert judge(lock, hashes=True)
    assert codes(judge(lock + "apple @ https://f.example/a.zip\n", hashes=True)) == [("unhashed", "apple")]


def test_a_place_is_met_by_a_place() -> None:
    folder = Requirement(text="./folder", name="")
    assert judge("-e ./folder\n", folder)
    assert codes(judge("apple==2.0\n", folder)) == [("missing", "")]


def test_a_requirement_that_is_none_is_an_error_with_its_place() -> None:
    wrong = Requirement(text="what is this", name="", file="requirements.in", line=7)
    with pytest.raises(LockError) as caught:
        judge("apple==2.0\n", wrong)
    assert str(caught.value) == "requirements.in:7: 'what is this' is not a requirement"


def test_of_poetrys_spelling_only_the_name_is_judged() -> None:
    caret = Requirement(text="Apple ^3", name="apple", dialect="poetry")
    verdict = judge(VIA, caret, "pytool")
    assert verdict
    assert verdict.unjudged == ("the versions that another tool's spelling asks for: apple",)
    assert codes(judge("fig==1\n", caret)) == [("missing", "apple")]
    assert direct_extras([caret], MARKERS) == ()


def test_the_legs_markers_must_be_complete() -> None:
    with pytest.raises(ValueError, match="platform_machine"):
        judge("apple==2.0\n", "apple", markers={"python_version": "3.12"})


def test_forty_pins_are_read_and_judged_in_milliseconds() -> None:
    hashes = " \\\n".join(f"    --hash=sha256:{number:064x}" for number in range(20))
    text = header_for("venv-py312-linux-x86_64") + "".join(
        f"package-{number}==1.{number} \\\n{hashes}\n    # via {f'package-{number - 1}' if number % 6 else '-r x.in'}\n"
        for number in range(40)
    )
    wanted = [f"package-{number}>=1" for number in range(0, 40, 6)]
    assert judge(text, *wanted)  # imports what it needs
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        judge(text, *wanted)
        seconds.append(time.process_time() - begun)
    # It takes 5 ms on a slow machine.
    assert min(seconds) < 0.05
