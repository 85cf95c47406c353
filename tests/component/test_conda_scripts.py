"""What runs after the packages are linked: scripts that were allowed, and the compiler of bytecode."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.channel import make_channel
from tests.support.channel_archive import Member, Package
from tests.support.channel_forge import packable_interpreters
from tests.support.channel_packages import stub_package
from tests.support.channel_python import python_package
from tests.support.conda_installs import Place, attested, locked, noarch_package

from ci_envs.conda.post_link import run_allowed
from ci_envs.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci_envs.model.conda import LockedPackage

pytestmark = pytest.mark.component
pytest_plugins = ("tests.component.conda_places",)


def _with_script(text: str, name: str = "linker") -> Package:
    script = Member(path=f"bin/.{name}-post-link.sh", data=text.encode(), mode=0o755)
    return replace(stub_package(name, "1.5", "py_3", build_number=3), members=(script,))


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., list[LockedPackage]]:
    def make(text: str) -> list[LockedPackage]:
        return locked(make_channel(tmp_path / "scripted", [_with_script(text)]))

    return make


def test_a_script_that_nobody_allowed_is_not_run_and_named(place: Place, scripted: Callable[..., Any]) -> None:
    packages = scripted('touch "$PREFIX/ran"')
    work = place.install(packages)
    run_allowed(work, packages, ())
    assert not (work.prefix / "ran").exists()
    (finding,) = work.findings
    assert (finding.code, finding.severity) == ("ENV140", "warning")
    assert "post-link-scripts: [linker]" in finding.message


def test_a_script_that_is_allowed_runs_as_conda_would_run_it(place: Place, scripted: Callable[..., Any]) -> None:
    told = "$PREFIX|$PKG_NAME|$PKG_VERSION|$PKG_BUILDNUM|$PATH|$PWD"
    packages = scripted(f'echo "{told}" > "$PREFIX/ran"\necho told >> "$PREFIX/.messages.txt"\n')
    work = place.install(packages)
    run_allowed(work, packages, ("linker",))
    prefix, name, version, number, path, folder = (work.prefix / "ran").read_text().strip().split("|")
    assert (prefix, name, version, number) == (str(work.prefix), "linker", "1.5", "3")
    assert path.split(os.pathsep)[0] == folder == str(work.prefix / "bin")
    assert work.findings == []
    assert not (work.prefix / ".messages.txt").exists()
    assert "told" in work.log.read_text()


def test_a_script_that_fails_fails_the_build(place: Place, scripted: Callable[..., Any]) -> None:
    packages = scripted('echo "no license" >> "$PREFIX/.messages.txt"; exit 3')
    work = place.install(packages)
    with pytest.raises(BuildError, match="the post-link script of linker failed: no license"):
        run_allowed(work, packages, ("linker",))


def test_what_a_front_end_ran_though_nobody_allowed_it_fails_the_build(
    place: Place, scripted: Callable[..., Any]
) -> None:
    packages = scripted("true")
    work = place.install(packages)
    run_allowed(work, packages, ("linker",), already=True)
    with pytest.raises(BuildError, match="ran the post-link scripts of linker, which nobody allowed"):
        run_allowed(work, packages, (), already=True)


@pytest.mark.timeout(300)
def test_bytecode_is_made_where_it_is_asked_for(place: Place, tmp_path: Path) -> None:
    found = packable_interpreters()
    if not found:
        pytest.fail("this test needs an interpreter that can be packed")
    interpreter = found[0]
    spam = replace(
        noarch_package(), members=(*noarch_package().members, Member(path="site-packages/bad.py", data=b"("))
    )
    channel = make_channel(tmp_path / "real", [python_package(interpreter), spam])
    work = place.install(locked(channel), compile_bytecode=True)
    made = sorted(path.relative_to(work.prefix) for path in work.prefix.rglob("spam/__pycache__/*.pyc"))
    assert [path.name.split(".")[0] for path in made] == ["__init__", "cli"]
    flags = int.from_bytes((work.prefix / made[0]).read_bytes()[4:8], "little")
    assert flags == 0b11, "checked by the source's hash (PEP 552)"
    assert attested(work, locked(channel)).altered == ()
