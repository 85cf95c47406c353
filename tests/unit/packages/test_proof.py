"""What real environments show is in ``tests/component/test_packages.py``; here is what they seldom have."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import make_wheel

from ci_envs.content import read_content
from ci_envs.packages.proof import unproven
from ci_envs.packages.wheels import read_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.packages.wheels import Wheel

SITE = "lib/python3.12/site-packages"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An empty environment."""
    made = tmp_path / "env"
    (made / SITE).mkdir(parents=True)
    (made / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (made / SITE / "_virtualenv.py").write_text("")
    return made


def a_wheel(folder: Path, name: str = "apple", *, more: dict[str, bytes] | None = None) -> Wheel:
    """A wheel, with members that its RECORD lists without looking."""
    path = make_wheel(folder, name, "1.0")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    record = f"{name}-1.0.dist-info/RECORD"
    rows = members.pop(record).decode()
    for member in more or {}:
        rows = f"{member},sha256=unlisted,1\n{rows}"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**members, **(more or {}), record: rows.encode()}.items():
            archive.writestr(member, data)
    wheel = read_wheel(path)
    assert wheel is not None
    return wheel


def install(prefix: Path, wheel: Wheel) -> None:
    """What an installer does with a wheel that has no scripts."""
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(prefix / SITE)
    (prefix / SITE / wheel.folder / "INSTALLER").write_text("uv")


def judged(prefix: Path, *wheels: Wheel, installed: tuple[Wheel, ...] | None = None) -> list[str]:
    empty = read_content(prefix)
    for wheel in wheels if installed is None else installed:
        install(prefix, wheel)
    return list(unproven(read_content(prefix), empty, wheels))


def test_what_the_wheels_make_is_proved(prefix: Path, tmp_path: Path) -> None:
    assert judged(prefix, a_wheel(tmp_path), a_wheel(tmp_path, "pear")) == []


def test_an_empty_environment_is_proved_by_itself(prefix: Path) -> None:
    assert judged(prefix) == []


def test_an_environment_without_a_package_has_no_folder_for_them(prefix: Path, tmp_path: Path) -> None:
    (prefix / SITE / "_virtualenv.py").unlink()

    assert judged(prefix) == []
    assert judged(prefix, a_wheel(tmp_path), installed=()) != []


def test_what_no_wheel_brought_is_named(prefix: Path, tmp_path: Path) -> None:
    apple, pear = a_wheel(tmp_path), a_wheel(tmp_path, "pear")

    said = judged(prefix, apple, installed=(apple, pear))

    assert f"{SITE}/pear/__init__.py is no package's" in said
    assert f"{SITE}/pear-1.0.dist-info/RECORD is no package's" in said


def test_what_a_wheel_would_have_brought_is_missed(prefix: Path, tmp_path: Path) -> None:
    apple, pear = a_wheel(tmp_path), a_wheel(tmp_path, "pear")

    assert f"{SITE}/pear/__init__.py is missing" in judged(prefix, apple, pear, installed=(apple,))


@pytest.mark.parametrize("member", ["apple-1.0.data/headers/apple.h", "apple-1.0.data/odd/apple.h"])
def test_a_member_whose_place_is_not_known_is_not_proved(prefix: Path, tmp_path: Path, member: str) -> None:
    assert judged(prefix, a_wheel(tmp_path, more={member: b"x"})) != []


def test_a_member_that_leads_outside_proves_nothing(prefix: Path, tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, more={"../../../../outside": b"x"})

    assert any("outside" in said for said in judged(prefix, wheel, installed=(a_wheel(tmp_path / "other"),)))


def test_a_wheel_that_lacks_what_its_record_lists_proves_nothing(prefix: Path, tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path)
    with zipfile.ZipFile(wheel.path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(wheel.path, "w") as archive:
        for member, data in members.items():
            if member != "apple/__init__.py":
                archive.writestr(member, data)

    assert any(said.startswith(f"{wheel.path.name} cannot prove it: ") for said in judged(prefix, wheel))


def test_another_file_under_a_listed_name_is_refused(prefix: Path, tmp_path: Path) -> None:
    empty, wheel = read_content(prefix), a_wheel(tmp_path)
    install(prefix, wheel)
    (prefix / SITE / "apple/__init__.py").write_text("evil")

    said = list(unproven(read_content(prefix), empty, [wheel]))

    assert said == [f"{SITE}/apple/__init__.py is not the file that its package has"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("INSTALLER", "import evil\n" * 9), ("REQUESTED", "x"), ("direct_url.json", "{}"), ("sitecustomize.py", "")],
)
def test_an_installers_notes_are_few_and_short(prefix: Path, tmp_path: Path, name: str, text: str) -> None:
    empty, wheel = read_content(prefix), a_wheel(tmp_path)
    install(prefix, wheel)
    (prefix / SITE / wheel.folder / name).write_text(text)

    said = list(unproven(read_content(prefix), empty, [wheel]))

    assert said == [f"{SITE}/{wheel.folder}/{name} is no package's"]


def test_a_changed_file_of_the_empty_environment_is_refused(prefix: Path, tmp_path: Path) -> None:
    empty = read_content(prefix)
    (prefix / "pyvenv.cfg").write_text("home = /outside\n")
    (prefix / SITE / "_virtualenv.py").unlink()

    assert list(unproven(read_content(prefix), empty, [])) != []


def test_two_folders_of_packages_are_one_too_many(prefix: Path, tmp_path: Path) -> None:
    empty, wheel = read_content(prefix), a_wheel(tmp_path)
    install(prefix, wheel)
    (prefix / "lib/python3.11/site-packages").mkdir(parents=True)
    (prefix / "lib/python3.11/site-packages/evil.pth").write_text("")

    assert list(unproven(read_content(prefix), empty, [wheel])) == ["it has 2 folders of packages"]
