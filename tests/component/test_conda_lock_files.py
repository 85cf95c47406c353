"""conda lock files against the tools whose formats they are: conda-lock's reader, writer and ``render``; rattler."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rattler import Channel, LockFile, MatchSpec, SparseRepoData, solve_with_sparse_repodata
from rattler.exceptions import SolverError
from tests.unit.conda.lock_values import CASES, case, conda, line, lock, pip, spec

from ci_envs import command
from ci_envs.conda.conda_lock_parts import conda_lock_part
from ci_envs.conda.content_hash import content_hash
from ci_envs.conda.explicit import write_explicit
from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.lock_rules import named_variables, plain_address
from ci_envs.conda.lock_writing import normal, write_conda_lock
from ci_envs.conda.staleness import stale
from ci_envs.locks.reading import plain_location

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.model.conda import CondaLock, LockedPackage, MatchLine

pytestmark = pytest.mark.component


def theirs(path: Path) -> Any:
    """What conda-lock reads."""
    return conda_lock_part("lockfile").parse_conda_lock_file(path)


def bare(text: str) -> str:
    return "".join(f"{one}\n" for one in text.splitlines() if not one.startswith("#"))


def run(folder: Path, *words: str) -> Outcome:
    """conda-lock itself, with a home of its own; never its ``lock`` or ``install``, which want conda."""
    assert words[0] == "render"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "CHANNEL_TOKEN": "tk-from-the-environment"}
    argv = (sys.executable, "-W", "ignore", "-m", "conda_lock", *words)
    return command.run(command.Command(argv=argv, cwd=folder, env=environ, timeout=60))


def facts(package: Any) -> tuple[Any, ...]:
    """A package of theirs in our words."""
    is_conda = package.manager == "conda"
    url = plain_address(package.url)[0]
    is_repository = url.startswith("git+")
    return (
        package.name,
        package.version,
        package.manager,
        package.platform,
        url if is_conda else plain_location(url),
        package.hash.md5 or "",
        "" if is_repository else package.hash.sha256 or "",
        tuple(sorted(f"{name} {said}".strip() for name, said in package.dependencies.items())),
        tuple(sorted(package.categories)),
    )


def ours(package: LockedPackage) -> tuple[Any, ...]:
    return (
        package.name, package.version, package.manager, package.platform, package.url, package.md5, package.sha256,
        package.depends, package.categories,
    )  # fmt: skip


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_conda_lock_reads_the_same_out_of_every_case(path: Path) -> None:
    read, parsed = read_lock(path.read_text("utf-8"), path=path.name), theirs(path)

    stand_ins_apart = [one for one in parsed.package if not one.name.startswith("__")]
    assert sorted(map(ours, read.packages)) == sorted(map(facts, stand_ins_apart))
    assert list(read.channels) == [channel.url for channel in parsed.metadata.channels]
    assert [list(named_variables(one)) for one in read.channels] == [
        list(channel.used_env_vars) for channel in parsed.metadata.channels
    ]
    assert read.content_hash == parsed.metadata.content_hash
    assert list(read.platforms) == sorted(parsed.metadata.platforms)
    assert list(read.sources) == parsed.metadata.sources


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_written_has_the_bytes_that_conda_lock_would_write(path: Path, tmp_path: Path) -> None:
    read = read_lock(path.read_text("utf-8"), path="conda-lock.yml")
    by_them = tmp_path / "theirs.yml"
    writing = conda_lock_part("lockfile").write_conda_lock_file
    writing(theirs(path), by_them, metadata_choices=None, include_help_text=False)
    written = write_conda_lock(read)

    # The one difference that is wanted: YAML 1.2 takes this MD5 for a number, so it stands in quotes.
    text = bare(written).replace("'12e45678901234567890123456789012'", "12e45678901234567890123456789012")
    assert text == by_them.read_text("utf-8")

    by_us = tmp_path / "ours.yml"
    by_us.write_text(written, encoding="utf-8")
    assert sorted(map(facts, theirs(by_us).package)) == sorted(map(ours, read.packages))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_conda_lock_renders_what_is_written(path: Path, tmp_path: Path) -> None:
    read = read_lock(path.read_text("utf-8"), path="conda-lock.yml")
    (tmp_path / "conda-lock.yml").write_text(write_conda_lock(read), encoding="utf-8")
    everything = {name for one in read.packages for name in one.categories} - {"main", "dev"}
    extras = [word for name in sorted(everything) for word in ("-e", name)]
    outcome = run(tmp_path, "render", "-k", "explicit", "--dev-dependencies", *extras, "conda-lock.yml")

    assert outcome, outcome.output
    for platform in read.platforms:
        rendered = (tmp_path / f"conda-{platform}.lock").read_text("utf-8")
        # Theirs puts the variables' values in: that is what they are for.
        lines = {plain_address(one)[0] for one in rendered.splitlines() if one.startswith(("https:", "# pip"))}
        assert lines == {
            one
            for one in write_explicit(read, platform, hash="md5").splitlines()
            if one.startswith(("https:", "# pip"))
        }
        again = read_lock(rendered, path="x.lock")
        assert {one.url for one in again.packages} == {one.url for one in read.of(platform)}
        assert again.findings == () or "variables" in path.stem


def test_conda_lock_renders_an_environment_file_of_what_is_written(tmp_path: Path) -> None:
    read = read_lock(case("platforms-and-pip"), path="conda-lock.yml")
    (tmp_path / "conda-lock.yml").write_text(write_conda_lock(read), encoding="utf-8")
    outcome = run(tmp_path, "render", "-k", "env", "-p", "linux-64", "conda-lock.yml")

    assert outcome, outcome.output
    rendered = (tmp_path / "conda-linux-64.lock.yml").read_text("utf-8")
    assert "python=3.12.8=hc22306f_1_cpython" in rendered
    assert (
        "requests === 2.32.3" in rendered.replace("== ", "=== ", 1) or "requests == 2.32.3 --hash=sha256:" in rendered
    )


def test_rattler_reads_what_is_written(tmp_path: Path) -> None:
    packages = [
        replace(conda("a", "1.10", "b >=1"), md5="12e45678901234567890123456789012"),
        conda("b", "1!2.0", subdir="noarch"),
        pip("fruit", "1.0", "pear"),
        pip("pear", "2.0"),
    ]
    path = tmp_path / "conda-lock.yml"
    path.write_text(write_conda_lock(lock(*packages)), encoding="utf-8")
    environment = LockFile.from_path(path).default_environment()

    assert environment is not None
    [found] = environment.packages_by_platform().values()
    assert sorted(one.name for one in found) == ["a", "b", "fruit", "pear"]
    [record] = [one for one in environment.conda_repodata_records()["linux-64"] if one.name.normalized == "a"]
    assert (str(record.version), str(record.build), record.depends) == ("1.10", "h1_0", ["b >=1"])


def test_rattler_reads_both_forms_of_an_explicit_file(tmp_path: Path) -> None:
    from rattler.explicit_environment import ExplicitEnvironmentSpec

    one = lock(conda("a", "1", "b"), conda("b"))
    kinds: tuple[Literal["md5", "sha256"], ...] = ("md5", "sha256")
    for kind in kinds:
        path = tmp_path / f"{kind}.lock"
        path.write_text(write_explicit(one, "linux-64", hash=kind), encoding="utf-8")
        found = ExplicitEnvironmentSpec.from_path(path)
        assert str(found.platform) == "linux-64"
        assert [entry.url.partition("#")[0] for entry in found.packages] == [one.packages[1].url, one.packages[0].url]


ENVIRONMENT = """\
channels: [conda-forge, nodefaults]
dependencies:
  - python >=3.11
  - numpy=2.1
  - conda-forge::zlib
  - "scipy >=1.2,<2"
  - pip >=24
  - pip:
    - requests[socks]>=2 ; sys_platform != 'win32'
    - flask
"""


@pytest.mark.parametrize("cuda", ["", "12.4"])
@pytest.mark.parametrize("platform", ["linux-64", "win-64"])
def test_conda_lock_agrees_with_the_hash_of_an_intent(cuda: str, platform: str, tmp_path: Path) -> None:
    source, mapping = tmp_path / "environment.yml", tmp_path / "mapping.json"
    source.write_text(ENVIRONMENT, encoding="utf-8")
    mapping.write_text("{}", encoding="utf-8")  # else it is downloaded
    make = conda_lock_part("src_parser").make_lock_spec
    asked = make(src_files=[source], platform_overrides=[platform], mapping_url=str(mapping))
    packages = conda_lock_part("virtual_package").default_virtual_package_repodata(cuda_version=cuda)
    allowed = conda_lock_part("content_hash").backwards_compatible_content_hashes(asked, packages, platform)

    specs = [spec(text) for text in ("python >=3.11", "numpy=2.1", "conda-forge::zlib", "scipy >=1.2,<2", "pip >=24")]
    lines = [line("requests[socks]>=2 ; sys_platform != 'win32'"), line("flask")]
    virtual = {"__cuda": cuda} if cuda else {}
    hashed = content_hash(specs, ("conda-forge", "nodefaults"), platform, virtual, lines)
    assert hashed in allowed


NAMES = [f"p{number}" for number in range(7)]
URL = "https://channel.example/conda-forge"


@st.composite
def repodata(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """A channel of a few packages in several versions that need each other anyhow, and what is asked of it."""
    found: dict[str, Any] = {}
    bounds = st.sampled_from(["", "*", ">=1", ">=2", "<2", ">=1,<3", "2.*", "1.0|3.0", "* h_1", "!=2.0"])
    for name in NAMES:
        for version in draw(st.sets(st.sampled_from(["1.0", "2.0", "3.0"]), min_size=1)):
            number = draw(st.integers(0, 1))
            needs = draw(st.lists(st.tuples(st.sampled_from(NAMES), bounds), max_size=2))
            depends = [f"{one} {said}".strip() for one, said in needs if one != name]
            depends += draw(st.sampled_from([[], ["__glibc >=2.17"], ["__cuda >=12"]]))
            file = f"{name}-{version}-h_{number}.conda"
            digest = hashlib.sha256(file.encode()).hexdigest()
            found[file] = {
                "name": name, "version": version, "build": f"h_{number}", "build_number": number, "depends": depends,
                "md5": digest[:32], "sha256": digest, "size": 1, "subdir": "linux-64", "timestamp": 1700000000000,
            }  # fmt: skip
    asked = draw(st.lists(st.tuples(st.sampled_from(NAMES), bounds), min_size=1, max_size=3))
    return found, [f"{name} {said}".strip() for name, said in asked]


def solved(folder: Path, packages: dict[str, Any], specs: list[str]) -> CondaLock | None:
    """What rattler's solver comes to, as a lock; ``None`` where it comes to nothing.

    The specs are made here, since it would read their texts strictly, and refuse ``1.0`` for ``==1.0``.
    """
    from rattler import GenericVirtualPackage, PackageName, Version
    from rattler.package.build_string import BuildString

    path = folder / "repodata.json"
    content = {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": packages, "repodata_version": 1}
    path.write_text(json.dumps(content), encoding="utf-8")
    data = SparseRepoData(Channel(URL), "linux-64", path)
    there = [GenericVirtualPackage(PackageName("__glibc"), Version("2.28"), BuildString("0"))]
    try:
        records = asyncio.run(
            solve_with_sparse_repodata([MatchSpec(one) for one in specs], [data], virtual_packages=there)
        )
    except SolverError:
        return None
    made = [
        conda(
            one.name.normalized,
            str(one.version),
            *one.depends,
            build=str(one.build),
            md5=one.md5.hex() if one.md5 else "",
            sha256=one.sha256.hex() if one.sha256 else "",
        )
        for one in records
    ]
    return normal(lock(*made))


def judged(one: CondaLock, specs: list[MatchLine]) -> list[tuple[str, str]]:
    found = stale(
        one,
        specs=specs,
        pip=(),
        platform="linux-64",
        categories=None,
        virtual={"__glibc": "2.28"},
        channels=("conda-forge",),
    )
    return [(each.code, each.name) for each in found]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(repodata(), st.data())
def test_a_lock_made_by_solving_is_never_stale_and_what_is_taken_out_is_named(
    tmp_path: Path, universe: tuple[dict[str, Any], list[str]], data: st.DataObject
) -> None:
    packages, asked = universe
    whole = solved(tmp_path, packages, asked)
    if whole is None:
        return
    specs = [spec(text) for text in asked]
    assert judged(whole, specs) == []
    assert judged(read_lock(write_conda_lock(whole), path="conda-lock.yml"), specs) == []

    chosen = data.draw(st.sampled_from(whole.packages))
    without = replace(whole, packages=tuple(one for one in whole.packages if one is not chosen))
    assert ("missing", chosen.name) in judged(without, specs)

    altered = replace(whole, packages=(*without.packages, conda(chosen.name, "99.0", *chosen.depends)))
    bounded = [text for one in without.packages for text in one.depends] + asked
    if any(text.startswith((f"{chosen.name} <", f"{chosen.name} 2.*", f"{chosen.name} 1.0|")) for text in bounded):
        assert ("unsatisfied", chosen.name) in judged(altered, specs)


def test_reading_and_judging_five_hundred_packages_is_done_in_a_fraction_of_a_second() -> None:
    packages = [
        conda(
            f"package-{n}",
            f"{n % 7}.{n % 5}",
            *(f"package-{m} >={m % 7}.0,<{m % 7 + 1}.0a0" for m in range(n + 1, min(n + 6, 500))),
        )
        for n in range(500)
    ]
    text = write_conda_lock(lock(*packages))
    specs = [spec("package-0")]
    judged(read_lock(text, path="x"), specs)  # imports
    times = []
    for _ in range(3):
        began = time.perf_counter()
        read = read_lock(text, path="x")
        middle = time.perf_counter()
        assert judged(read, specs) == []
        times.append((middle - began, time.perf_counter() - middle))
    reading, judging = min(one for one, _ in times), min(one for _, one in times)

    assert reading < 0.2, f"reading took {reading:.3f} s; 0.04 s were seen"
    assert judging < 0.1, f"judging took {judging:.3f} s; 0.02 s were seen"
