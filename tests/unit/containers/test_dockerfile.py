"""Every folder of ``tests/cases/docker`` is a Dockerfile, and what reading it must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_envs.containers.docker_lock import pinned_text
from ci_envs.containers.dockerfile import BaseImage, images_of, read_dockerfile
from ci_envs.containers.dockerfile_locks import locks_used
from ci_envs.containers.dockerfile_words import WordError, expand
from ci_envs.errors import UsageError

CASES = Path(__file__).parents[2] / "cases" / "docker"
KNOWN = {
    "about", "build", "images", "instructions", "pinned", "unpinnable", "locks", "everything", "unset", "problems",
    "near", "error",
}  # fmt: skip
DIGEST = "sha256:" + "ab" * 32

ALL = sorted(path.parent.name for path in CASES.glob("*/expected.json"))
SICK = [name for name in ALL if name.startswith("sick-")]
WELL = [name for name in ALL if not name.startswith("sick-")]


def _load(name: str) -> tuple[dict[str, Any], str]:
    expected = json.loads((CASES / name / "expected.json").read_text("utf-8"))
    return expected, (CASES / name / "Dockerfile").read_bytes().decode("utf-8")


def _images(name: str) -> tuple[dict[str, Any], str, tuple[BaseImage, ...]]:
    expected, text = _load(name)
    return expected, text, images_of(text, **expected.get("build", {}))


def test_every_folder_is_a_case() -> None:
    assert sorted(path.name for path in CASES.iterdir()) == ALL
    assert len(SICK) > 20
    assert len(WELL) > 20
    assert not set().union(*(_load(name)[0] for name in ALL)) - KNOWN


@pytest.mark.parametrize("name", WELL)
def test_the_images_of_a_dockerfile_are_those_of_its_case(name: str) -> None:
    expected, _, images = _images(name)

    found = [
        [
            *(image.line, image.kind, image.text, image.reference.key if image.reference else None),
            *(image.stage, image.needed, *([image.platform] if image.platform else [])),
        ]
        for image in images
    ]
    assert found == expected["images"]
    assert [[image.line, name] for image in images for name in image.unset] == expected.get("unset", [])
    assert [[image.line, image.near_stage] for image in images if image.near_stage] == expected.get("near", [])


@pytest.mark.parametrize("name", WELL)
def test_what_cannot_be_told_says_why(name: str) -> None:
    expected, _, images = _images(name)

    problems = [(image.line, image.problem) for image in images if image.problem]
    wanted = expected.get("problems", [])
    assert [line for line, _ in problems] == [line for line, _ in wanted]
    assert all(part in said for (_, said), (_, part) in zip(problems, wanted, strict=True))


@pytest.mark.parametrize("name", [name for name in WELL if "instructions" in _load(name)[0]])
def test_instructions_begin_and_end_where_they_do(name: str) -> None:
    expected, text = _load(name)

    found = [[one.name, one.first, one.last] for one in read_dockerfile(text).instructions]
    assert found == expected["instructions"]


@pytest.mark.parametrize("name", WELL)
def test_pinning_changes_the_images_and_nothing_else(name: str) -> None:
    expected, text, images = _images(name)
    pinned = pinned_text(text, images, _digests(images))

    before, after = text.split("\n"), pinned.split("\n")
    assert len(after) == len(before)
    changed = {str(number): line for number, line in enumerate(after, 1) if before[number - 1] != line}
    if "pinned" in expected:
        assert changed == expected["pinned"]
    left = [[image.text, image.line] for image in images_of(pinned, **expected.get("build", {})) if _is_loose(image)]
    assert left == expected.get("unpinnable", [])


@pytest.mark.parametrize("name", WELL)
def test_a_pinned_file_is_read_as_the_same_instructions(name: str) -> None:
    _, text, images = _images(name)
    pinned = pinned_text(text, images, _digests(images))

    before, after = read_dockerfile(text), read_dockerfile(pinned)
    assert [(one.name, one.first, one.last) for one in after.instructions] == [
        (one.name, one.first, one.last) for one in before.instructions
    ]
    assert [one.heredocs for one in after.instructions] == [one.heredocs for one in before.instructions]


@pytest.mark.parametrize("name", [name for name in WELL if "locks" in _load(name)[0]])
def test_the_lock_files_that_are_used_are_those_of_its_case(name: str) -> None:
    expected, text = _load(name)
    used = locks_used(text, **expected.get("build", {}))

    assert [list(use) for use in used.files] == expected["locks"]
    assert used.everything == expected["everything"]


@pytest.mark.parametrize("name", SICK)
def test_a_sick_dockerfile_is_refused_with_the_line(name: str) -> None:
    expected, text = _load(name)
    error = expected["error"]

    with pytest.raises(UsageError) as caught:
        images_of(text, file="sub/Dockerfile", **expected.get("build", {}))

    assert error["message"] in caught.value.message
    assert error["hint"] in caught.value.hint
    assert (caught.value.file, caught.value.line) == ("sub/Dockerfile", error["line"])


def test_a_dockerfile_has_an_end() -> None:
    with pytest.raises(UsageError, match="are the most that is read"):
        images_of("FROM python\n" * 300_000)


def test_many_stages_are_read_in_a_moment() -> None:
    text = "".join(f"FROM python:3 AS s{n}\nCOPY --from=s{n - 1} a b\n" for n in range(1, 5_000))

    assert len(images_of(text)) == 5_000


def test_blanks_without_end_are_read_in_a_moment() -> None:
    text = f"# syntax=x{' ' * 500_000}y\nFROM python:3{' ' * 500_000}\nRUN a \\{' ' * 500_000}b\n"

    assert [image.text for image in images_of(text)] == ["x", "python:3"]


def test_what_is_made_of_variables_is_shown_with_what_they_make() -> None:
    (image,) = images_of("ARG B=python:3\nFROM $B")

    assert image.shown == "$B (python:3)"


def test_names_of_lock_files_are_told_once() -> None:
    used = locks_used("FROM python:3\nCOPY requirements.txt /tmp/\nRUN pip install -r /tmp/requirements.txt\n")

    assert used.names == ("requirements.txt",)
    assert not used.everything


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A-${A}-$A_", "x y-x y-"),
        ("'$A'\"$A\"\\$A", "$Ax y$A"),
        ("${E:-d}${E-d}${U-d}${U:-'q $A'}", "ddq $A"),
        ("${A:+a}${E:+a}${E+e}${U+u}", "ae"),
        ("${A?no}", "x y"),
        ("$1$@$", "$"),
        ('"a\\"b\\c"', 'a"b\\c'),
        ("${P#*/}|${P##*/}|${P%/*}|${P%%/*}", "b/c|c|a/b|a"),
        ("${P#x}|${P%x}", "a/b/c|a/b/c"),
        ("${P/\\//-}|${P//\\//-}|${P/?/z}", "a-b/c|a-b-c|z/b/c"),
        ("${L%\\*}", "a"),
        ("a\\", "a"),
    ],
)
def test_variables_are_replaced_as_the_reference_says(word: str, value: str) -> None:
    assert expand(word, {"A": "x y", "E": "", "P": "a/b/c", "L": "a*"}.get).value == value


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("'a", "single quote"),
        ('"a', "double quote"),
        ("${", "'}' is missing"),
        ("${A", "'}' is missing"),
        ("${A:-x", "'}' is missing"),
        ("${}", "no name"),
        ("${A:}", "no substitution"),
        ("${U:?say it}", "U has no value: say it"),
        ("${L%x}", "more than 256"),
    ],
)
def test_words_that_cannot_be_read_say_why(word: str, says: str) -> None:
    with pytest.raises(WordError, match=says):
        expand(word, {"A": "1", "L": "x" * 300}.get)


_PIECES = st.sampled_from(
    [
        *("FROM ", "from ", "python:3", "python", "a/b:1", "Upper", "scratch", " AS x", " AS y\n", "\n", "\n", "\n"),
        *(
            "\r\n",
            "\\\n",
            "\\",
            "` \n",
            "# c\n",
            "# escape=`\n",
            "# syntax=a/b:1\n",
            "ARG V=1",
            "ARG V",
            "$V",
            "${V:-x}",
        ),
        *(
            "${V%*.}",
            "RUN ",
            "COPY ",
            "--from=x ",
            "--from=a/b:1 ",
            "--from=0 ",
            "--mount=type=bind,from=a/b:1,target=/x ",
        ),
        *("<<EOF", "<<-'E F'", "EOF\n", "\tE F\n", "ONBUILD ", "'", '"', "[", '["a"]', "\ufeff", " ", "\t"),
        *("--platform=$BUILDPLATFORM ", "@sha256:" + "0" * 64, "{", "}", ",", "=", "--", "ENV A=b", "\x00", "\x0b"),
        *("\u2028", "\u00e9", "uv.lock ", ". "),
    ]
)
_LINES = st.sampled_from(
    [
        *("FROM python:3 AS x", "FROM x", "from ${V:-a/b:1} as y", "FROM 'quoted/image'", "FROM scratch"),
        *(
            "FROM $V$V:1",
            "COPY --from=x a b",
            "COPY --from=alpine:3 --link a b",
            "COPY . /app",
            "# a comment",
            "",
            "  ",
        ),
        *("ADD --chown=1 --from=team/a:1 uv.lock b", "RUN <<EOF\nFROM no:1\nEOF", "ONBUILD COPY --from=team/b:2 a b"),
        *("RUN --mount=type=bind,from=a/b:1,target=/x --mount=from=x,target=/y make", "ENV A=b C='d e'", "ARG W=2"),
        *("COPY <<-A <<'B' /x\n\tA\nFROM no:2 \\\nB", "RUN echo 'a b' && pip install -r requirements.txt"),
        *('CMD ["a"]', "UNKNOWN words"),
    ]
)


@st.composite
def _written(draw: st.DrawFn) -> str:
    """Lines that mean something, with some of their blanks and letters torn over lines."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    head = draw(st.sampled_from(["", "# syntax=docker/dockerfile:1\n", "# escape=`\n", "\ufeff", "ARG V=debian\n"]))
    lines = draw(st.lists(_LINES, min_size=1, max_size=8))
    text = f"{head}FROM python:3.12\n" + "\n".join(lines)
    char = "`" if "escape" in head else "\\"
    for at in sorted(draw(st.lists(st.integers(len(head), len(text)), max_size=4)), reverse=True):
        text = text[:at] + char + draw(st.sampled_from(["\n", " \n", "\n# c\n", "\n\n"])) + text[at:]
    return text.replace("\n", end)


_FILES = st.one_of(_written(), _written(), st.lists(_PIECES, max_size=40).map("".join), st.text())


@settings(max_examples=300, deadline=None)
@given(_FILES, st.sampled_from(["", "x", "0", "y"]))
@example("FROM a:1\nRUN \\", "")
@example("FROM \\\n a\\\n:1", "")
@example("FROM a:1\nCOPY --from=a/\\\nb:1 x y", "")
def test_any_text_is_read_or_refused_in_a_sentence(text: str, target: str) -> None:
    images = _read(text, target)
    if isinstance(images, UsageError):
        assert images.message
        assert "\n" not in f"{images}{images.hint}"
        assert 0 <= images.line <= text.count("\n") + 1
        return
    pinned = pinned_text(text, images, _digests(images))
    assert pinned.count("\n") == text.count("\n")
    again = images_of(pinned, target=target)
    assert [(one.line, one.kind, one.stage, one.needed) for one in again] == [
        (one.line, one.kind, one.stage, one.needed) for one in images
    ]
    for old, new in zip(images, again, strict=True):
        pinnable = old.reference is not None and not old.reference.digest and bool(old.spans)
        assert _is_loose(new) == (_is_loose(old) and not pinnable)


def _read(text: str, target: str) -> tuple[BaseImage, ...] | UsageError:
    try:
        locks_used(text, target=target)
        return images_of(text, target=target)
    except UsageError as error:
        return error


def _digests(images: tuple[BaseImage, ...]) -> dict[str, str]:
    return {image.reference.key: DIGEST for image in images if image.reference}


def _is_loose(image: BaseImage) -> bool:
    return image.reference is not None and not image.reference.digest
