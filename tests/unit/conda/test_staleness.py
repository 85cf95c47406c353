from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.conda.lock_values import CHANNEL, COMMIT, FILES, case, conda, line, lock, pip, refused, spec

from ci_envs.conda.lock_reading import read_lock
from ci_envs.conda.spec_matching import is_channel, same_channels
from ci_envs.conda.staleness import stale
from ci_envs.locks.insync import Stale
from ci_envs.model.conda import CondaLock, LockedPackage, MatchLine, PipLine

PYTHON = conda("python", "3.12.8", "__glibc >=2.17,<3.0.a0", build="h9e4cc4f_1_cpython")
NUMPY = conda("numpy", "2.1.0", "python >=3.12,<3.13.0a0", "libblas >=3.9", build="py312h_0")
BLAS = conda("libblas", "3.9.0", build="26_openblas")
SMALL = lock(PYTHON, NUMPY, BLAS)
VIRTUAL = {"__glibc": "2.28", "__linux": "5.10", "__unix": "0", "__archspec": "1"}
LEG = MatchLine(text="python 3.12.*", name="python")


def judge(one: CondaLock, *asked: str | MatchLine | PipLine, **given: Any) -> tuple[Stale, ...]:
    lines = [spec(each, number) if isinstance(each, str) else each for number, each in enumerate(asked, start=5)]
    options: dict[str, Any] = {"platform": "linux-64", "categories": None, "virtual": VIRTUAL} | given
    return stale(
        one,
        specs=[each for each in lines if isinstance(each, MatchLine)],
        pip=[each for each in lines if isinstance(each, PipLine)],
        **options,
    )


def messages(found: tuple[Stale, ...]) -> list[str]:
    return [one.message for one in found]


def codes(found: tuple[Stale, ...]) -> list[tuple[str, str]]:
    return [(one.code, one.name) for one in found]


def test_a_lock_that_says_what_is_asked_for_is_not_stale() -> None:
    assert judge(SMALL, LEG, "numpy >=2", channels=(CHANNEL,)) == ()


def test_a_spec_that_is_not_met_is_named_with_its_place_and_the_package() -> None:
    assert judge(SMALL, LEG, "numpy >=3") == (
        Stale(
            code="unsatisfied",
            message="environment.yml:6: numpy >=3 is not satisfied by numpy 2.1.0 py312h_0 of conda-lock.yml",
            name="numpy",
            file="environment.yml",
            line=6,
        ),
    )


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("numpy", True),
        ("numpy *", True),
        ("numpy 2.1.0 py312h_0", True),
        ("numpy=2.1", True),
        ("numpy==2.1", True),
        ("numpy 2.1.*", True),
        ("numpy>=2,<2.2|>3", True),
        ("numpy 2.1.0 py312*", True),
        ("numpy[version='>=2',build='py312*']", True),
        ("numpy 2.1.0 py311h_0", False),
        ("numpy * py311*", False),
        ("numpy <2", False),
        ("numpy !=2.1.0", False),
        ("numpy[build_number=0]", True),
        ("numpy[build_number='>=1']", False),
        ("numpy[subdir=linux-64]", True),
        ("numpy[subdir=noarch]", False),
        ("conda-forge::numpy", True),
        ("bioconda::numpy", False),
        ("conda-forge/linux-64::numpy", True),
        ("conda-forge/noarch::numpy", False),
        (f"{CHANNEL}::numpy >=2", True),
        ("https://other.example/conda-forge::numpy", False),
        ("numpy[channel=conda-forge]", True),
        ("numpy[channel=bioconda]", False),
        (f"numpy[md5={NUMPY.md5}]", True),
        (f"numpy[md5={'0' * 32}]", False),
        (f"numpy[sha256={NUMPY.sha256}]", True),
        (NUMPY.url, True),
        (NUMPY.url.replace("2.1.0", "2.1.1"), False),
        ("numpy[license=MIT]", True),
        ("numpy[version='>=3',license=MIT]", False),
    ],
)
def test_every_part_of_a_spec_that_a_lock_can_answer_is_judged(text: str, fits: bool) -> None:
    asked = replace(spec(text), name="numpy")

    assert codes(judge(SMALL, LEG, asked)) == ([] if fits else [("unsatisfied", "numpy")])


def test_a_package_of_another_channel_is_told_where_it_comes_from() -> None:
    assert messages(judge(SMALL, LEG, "bioconda::numpy")) == [
        "environment.yml:6: bioconda::numpy is not satisfied by numpy 2.1.0 py312h_0 of conda-lock.yml, "
        f"which comes from {CHANNEL}"
    ]


def test_a_build_number_that_the_build_does_not_tell_is_not_judged() -> None:
    odd = lock(conda("tool", "1.0", build="custom"))

    assert judge(odd, "tool[build_number='>=3']") == ()
    assert codes(judge(odd, "tool[version='2',build_number='>=3']")) == [("unsatisfied", "tool")]


def test_a_spec_without_a_package_is_missing_and_what_it_would_bring_is_no_news() -> None:
    one = lock(PYTHON, BLAS)

    assert messages(judge(one, LEG, "numpy >=2")) == [
        "environment.yml:6: numpy >=2 has no pin in conda-lock.yml for linux-64"
    ]


def test_a_spec_that_is_none_is_an_error_of_its_file() -> None:
    error = refused(lambda: judge(SMALL, replace(spec("numpy"), text="numpy >>=2")))

    assert (error.message, error.file, error.line) == ("'numpy >>=2' is no match spec", "environment.yml", 1)


def test_lines_of_other_platforms_and_categories_are_not_looked_at() -> None:
    lines: list[MatchLine | PipLine] = [
        spec("pywin32", platforms=("win-64",)),
        spec("sphinx", category="docs"),
        line("x", category="docs"),
    ]

    assert judge(SMALL, LEG, "numpy", *lines, categories=("main", "dev")) == ()
    assert len(judge(SMALL, LEG, "numpy", *lines, categories=None)) == 2


def test_the_python_of_the_lock_is_the_legs() -> None:
    assert judge(SMALL, MatchLine(text="python 3.13.*", name="python"), "numpy") == (
        Stale(
            code="other-python",
            message="conda-lock.yml was made for Python 3.12.8, and this leg has 3.13",
            name="python",
            file="conda-lock.yml",
        ),
    )
    free = MatchLine(text="python 3.12.* *_cp312t", name="python")
    assert messages(judge(SMALL, free, "numpy")) == [
        "conda-lock.yml was made for Python 3.12.8, and this leg has 3.12.* *_cp312t"
    ]


def test_a_lock_without_python_says_that_the_leg_asks_for_it() -> None:
    assert messages(judge(lock(BLAS), LEG, "libblas")) == [
        "this leg: python 3.12.* has no pin in conda-lock.yml for linux-64"
    ]


def test_a_platform_that_is_not_locked_is_named_and_nothing_else_is_said() -> None:
    assert judge(SMALL, LEG, "numpy >=9", platform="win-64") == (
        Stale(
            code="other-platform",
            message="conda-lock.yml was made for linux-64, and not for win-64",
            file="conda-lock.yml",
        ),
    )


def test_a_dependency_that_is_missing_or_altered_is_named_with_who_needs_it() -> None:
    assert messages(judge(lock(PYTHON, NUMPY), LEG, "numpy")) == [
        "numpy 2.1.0 py312h_0 of conda-lock.yml needs libblas >=3.9, which has no pin"
    ]
    assert messages(judge(lock(PYTHON, NUMPY, conda("libblas", "3.8")), LEG, "numpy")) == [
        "numpy 2.1.0 py312h_0 of conda-lock.yml needs libblas >=3.9, which is not satisfied by libblas 3.8 h1_0"
    ]


def test_a_dependency_that_another_category_has_alone_is_told_so() -> None:
    one = lock(PYTHON, NUMPY, replace(BLAS, categories=("docs",)))

    assert judge(one, LEG, "numpy") == ()
    assert messages(judge(one, LEG, "numpy", categories=("main",))) == [
        "numpy 2.1.0 py312h_0 of conda-lock.yml needs libblas >=3.9, which has no pin; it is locked for docs only"
    ]
    assert messages(judge(one, LEG, "libblas", "numpy", categories=("main",)))[0] == (
        "environment.yml:6: libblas has no pin in conda-lock.yml for linux-64; it is locked for docs only"
    )


@pytest.mark.parametrize(
    ("needs", "virtual", "said"),
    [
        ("__glibc >=2.17,<3.0.a0", {}, ""),
        ("__glibc >=2.34", {}, "which is not satisfied by __glibc 2.28"),
        ("__cuda", {}, "which linux-64 does not have here"),
        ("__cuda >=12", {"__cuda": "12.4"}, ""),
        ("__cuda >=13", {"__cuda": "12.4"}, "which is not satisfied by __cuda 12.4"),
        ("__archspec 1 x86_64_v3", {}, ""),
        ("__archspec 1 x86_64_v3", {"__archspec": "1 x86_64"}, "which is not satisfied by __archspec 1 x86_64"),
        ("__unix", {"__unix": "0"}, ""),
        ("__win", {}, "which linux-64 does not have here"),
    ],
)
def test_what_needs_a_virtual_package_is_held_against_those_of_the_leg(
    needs: str, virtual: dict[str, str], said: str
) -> None:
    found = judge(lock(PYTHON, conda("torch", "2.4", needs)), LEG, "torch", virtual=VIRTUAL | virtual)

    assert messages(found) == ([f"torch 2.4 h1_0 of conda-lock.yml needs {needs}, {said}"] if said else [])
    assert codes(judge(SMALL, LEG, "numpy", needs, virtual=VIRTUAL | virtual)) == (
        [("unsatisfied", needs.partition(" ")[0])] if said else []
    )


def test_what_a_platform_always_has_need_not_be_said() -> None:
    one = lock(conda("a", "1", "__unix", "__osx >=10.9", platform="osx-64", subdir="osx-64"))

    assert judge(one, "a", platform="osx-64", virtual={}) == ()
    assert codes(judge(one, "a", platform="osx-64", virtual={"__osx": "10.6"})) == [("unsatisfied", "__osx")]


def test_packages_that_nobody_asks_for_any_more_are_named() -> None:
    one = lock(PYTHON, NUMPY, BLAS, conda("old", "1.0", "older"), conda("older"))

    assert messages(judge(one, LEG, "numpy")) == [
        "old 1.0 h1_0 of conda-lock.yml is no longer asked for",
        "older 1.0 h1_0 of conda-lock.yml is no longer asked for",
    ]


def test_packages_that_only_need_each_other_are_asked_for_by_nobody() -> None:
    one = lock(PYTHON, conda("a", "1", "b"), conda("b", "1", "a"))

    assert codes(judge(one, LEG)) == [("unneeded", "a"), ("unneeded", "b")]


def test_pip_is_asked_for_wherever_python_is() -> None:
    with_pip = lock(PYTHON, conda("pip", "24", "setuptools"), conda("setuptools"))

    assert judge(with_pip, LEG) == ()


def test_channels_that_changed_are_named() -> None:
    assert messages(judge(SMALL, LEG, "numpy", channels=(CHANNEL, "bioconda"))) == [
        f"conda-lock.yml was made from {CHANNEL}, and the channels are now {CHANNEL}, bioconda"
    ]
    assert judge(SMALL, LEG, "numpy", channels=("conda-forge",)) == ()
    assert judge(SMALL, LEG, "numpy", channels=None) == ()


def test_packages_of_channels_that_nobody_asked_for_are_named_together() -> None:
    strange = "https://evil.example/conda-forgery"
    one = lock(PYTHON, *(conda(name, channel=strange) for name in ("x", "y")), channels=("conda-forge",))

    assert messages(judge(one, LEG, "x", "y", channels=("conda-forge",))) == [
        f"x 1.0 h1_0 of conda-lock.yml and 1 more come from {strange}, which is none of the channels that are asked for"
    ]
    assert judge(one, LEG, "conda-forgery::x", "y", channels=("conda-forge",)) == ()


@pytest.mark.parametrize(
    ("asked", "address", "is_one"),
    [
        ("conda-forge", "https://any.example/mirror/conda-forge", True),
        ("conda-forge", "https://any.example/not-conda-forge", False),
        ("conda-forge/label/dev", "https://any.example/conda-forge/label/dev", True),
        ("defaults", "https://any.example/pkgs/main", True),
        ("defaults", "https://any.example/pkgs/free", False),
        ("https://any.example/x/", "https://any.example/x", True),
        ("https://u:p@any.example/t/tk-1/x", "https://any.example/x", True),
        ("https://other.example/x", "https://any.example/x", False),
        ("https://any.example/conda-forge", "conda-forge", True),
        ("*", "https://any.example/x", True),
    ],
)
def test_a_channel_is_known_by_its_name_or_by_its_address(asked: str, address: str, is_one: bool) -> None:
    assert is_channel(asked, address) is is_one


def test_defaults_means_the_channels_that_it_stands_for() -> None:
    parts = ["https://any.example/pkgs/main", "https://any.example/pkgs/r"]

    assert same_channels(["defaults"], parts)
    assert same_channels([*parts, "https://any.example/pkgs/msys2"], ["defaults"])
    assert not same_channels(["conda-forge", "defaults"], ["defaults", "conda-forge"])


def test_packages_without_any_hash_are_named() -> None:
    one = lock(PYTHON, replace(NUMPY, md5="", sha256=""), replace(BLAS, md5="", sha256=""))

    assert messages(judge(one, LEG, "numpy")) == ["numpy 2.1.0 py312h_0 of conda-lock.yml and 1 more carry no hash"]
    assert judge(lock(PYTHON, NUMPY, replace(BLAS, sha256="")), LEG, "numpy") == ()


def test_an_explicit_file_is_held_against_the_specs_and_knows_nothing_else() -> None:
    one = lock(replace(PYTHON, depends=()), replace(NUMPY, depends=()), conda("more"), format="explicit", path="x.lock")

    assert judge(one, LEG, "numpy", channels=("conda-forge", "never-used")) == ()
    assert codes(judge(one, LEG, "numpy <2", "scipy")) == [("unsatisfied", "numpy"), ("missing", "scipy")]
    assert judge(one, LEG, "numpy", line("more")) == ()
    assert codes(judge(one, LEG, "numpy", line("other"))) == [("missing", "other")]


class TestPip:
    FLASK = pip("flask", "3.0.0", "click", "werkzeug")
    CLICK = pip("click", "8.1.7")
    WERKZEUG = conda("werkzeug", "3.0.1", "python >=3.9", subdir="noarch")
    WHOLE = lock(PYTHON, WERKZEUG, FLASK, CLICK)

    def judge(self, one: CondaLock, *lines: str | PipLine, **given: Any) -> tuple[Stale, ...]:
        asked = [line(each, number) if isinstance(each, str) else each for number, each in enumerate(lines, start=20)]
        return judge(one, LEG, spec("werkzeug"), *asked, **given)

    def test_lines_are_met_by_distributions_and_by_what_conda_brings(self) -> None:
        assert self.judge(self.WHOLE, "flask>=3", "werkzeug>=3", "Click") == ()

    def test_a_line_that_is_not_met_is_named_with_its_place(self) -> None:
        found = self.judge(self.WHOLE, "flask>=3.1", "werkzeug>=4", "requests")

        assert messages(found) == [
            "environment.yml:20: flask>=3.1 is not satisfied by flask==3.0.0 of conda-lock.yml",
            "environment.yml:21: werkzeug>=4 is not satisfied by werkzeug==3.0.1 of conda-lock.yml",
            "environment.yml:22: requests has no pin in conda-lock.yml",
        ]
        assert [one.line for one in found] == [20, 21, 22]

    def test_what_a_distribution_needs_and_does_not_find_is_named(self) -> None:
        assert messages(self.judge(lock(PYTHON, self.WERKZEUG, self.FLASK), "flask")) == [
            "flask==3.0.0 of conda-lock.yml needs click, which has no pin"
        ]

    def test_distributions_that_nobody_asks_for_any_more_are_named(self) -> None:
        assert codes(self.judge(self.WHOLE, "click")) == [("unneeded", "flask")]
        assert codes(self.judge(self.WHOLE)) == [("unneeded", "click"), ("unneeded", "flask")]

    def test_nothing_is_called_unneeded_beside_lines_that_only_a_build_can_read(self) -> None:
        for text in ("-r more.txt", "-e ./lib", "./lib", f"{FILES}/x-1.0-py3-none-any.whl"):
            assert self.judge(self.WHOLE, "click", text) == ()
        assert codes(self.judge(self.WHOLE, "click", "-e .")) == [("unneeded", "flask")]

    def test_markers_are_those_of_the_platform_and_of_the_locked_python(self) -> None:
        lines = ("flask", "pywin32; sys_platform == 'win32'", "tomli; python_version < '3.11'")

        assert self.judge(self.WHOLE, *lines) == ()
        assert codes(self.judge(self.WHOLE, "flask", "tomli; python_full_version >= '3.12.8'")) == [
            ("missing", "tomli")
        ]

    def test_an_address_is_met_by_that_address_alone(self) -> None:
        cow = pip("cowsay", "0.0.0", url="https://code.example/v6.1.tar.gz")
        repo = pip("repo", "2.0", url=f"git+https://code.example/repo.git@{COMMIT}", sha256="")
        one = lock(PYTHON, cow, repo)
        lines = ["cowsay @ https://code.example/v6.1.tar.gz", "repo @ git+https://code.example/repo.git@main"]

        assert judge(one, LEG, *map(line, lines)) == ()
        other = [line("cowsay @ https://code.example/v6.2.tar.gz"), line("repo @ git+https://code.example/other.git")]
        assert codes(judge(one, LEG, *other)) == [("unsatisfied", "cowsay"), ("unsatisfied", "repo")]
        assert judge(one, LEG, line("cowsay>=6"), line("repo")) == ()

    def test_versions_in_poetrys_spelling_and_names_that_only_conda_lock_knows_are_let_be(self) -> None:
        read = read_lock(case("platforms-and-pip"), path="conda-lock.yml")
        asked: list[MatchLine | PipLine] = [LEG, spec("pip"), line("requests >=2")]

        assert judge(read, *asked) == ()
        packages = [
            replace(p, depends=(*p.depends, "opencv-python >=4")) if p.name == "requests" else p for p in read.packages
        ]
        assert judge(replace(read, packages=tuple(packages)), *asked) == ()

    def test_a_conda_version_that_pep_440_does_not_know_meets_any_line(self) -> None:
        one = lock(PYTHON, conda("odd", "1.0_weird", "python"))

        assert judge(one, LEG, spec("odd"), line("odd>=7")) == ()

    def test_what_pip_alone_needs_of_conda_is_not_kept_by_it(self) -> None:
        assert codes(judge(self.WHOLE, LEG, line("flask"))) == [("unneeded", "werkzeug")]

    def test_a_pixi_lock_does_not_know_what_extras_bring(self) -> None:
        one = replace(self.WHOLE, format="pixi")

        assert self.judge(one, "flask[async]") == ()
        assert codes(self.judge(one, "flask>9")) == [("unsatisfied", "flask")]


def test_the_locks_that_conda_lock_writes_are_in_sync_with_what_they_were_made_from() -> None:
    categories = read_lock(case("categories"), path="conda-lock.yml")
    asked = [LEG, spec("python >=3.10"), spec("pytest", category="dev"), spec("sphinx", category="docs")]

    assert judge(categories, *asked) == ()
    assert judge(categories, *asked, categories=("main", "dev")) == ()
    assert codes(judge(categories, *asked[:-1])) == [("unneeded", "sphinx")]


NAMES = [f"p{number}" for number in range(9)]


@st.composite
def universes(draw: st.DrawFn) -> tuple[CondaLock, list[MatchLine]]:
    """A lock in which every dependency is met by construction, and specs that lead to all of it."""
    versions = {name: f"{draw(st.integers(0, 9))}.{draw(st.integers(0, 9))}" for name in NAMES}
    reached: set[str] = set()
    packages: list[LockedPackage] = []
    for number, name in enumerate(NAMES):
        needs = draw(st.sets(st.sampled_from(NAMES[number + 1 :]), max_size=3)) if number < len(NAMES) - 1 else set()
        reached |= needs
        depends = [f"{one} {draw(said(versions[one]))}".strip() for one in sorted(needs)]
        packages.append(conda(name, versions[name], *depends, build=f"h{number}_{number}"))
    roots = [name for name in NAMES if name not in reached or draw(st.booleans())]
    return lock(*packages), [spec(f"{name} {draw(said(versions[name]))}".strip()) for name in roots]


def said(version: str) -> st.SearchStrategy[str]:
    """Something that a version meets."""
    major = int(version.partition(".")[0])
    return st.sampled_from(
        ["", "*", f">={version}", f"{version}.*", f">={major},<{major + 1}", f"=={version}", f"<0|{version}"]
    )


@settings(max_examples=80, deadline=None)
@given(universes(), st.data())
def test_a_lock_that_meets_everything_is_never_stale_and_any_change_is_named(
    universe: tuple[CondaLock, list[MatchLine]], data: st.DataObject
) -> None:
    whole, specs = universe
    assert judge(whole, *specs, channels=("conda-forge",)) == ()

    chosen = data.draw(st.sampled_from(whole.packages))
    others = tuple(one for one in whole.packages if one is not chosen)
    found = judge(replace(whole, packages=others), *specs)
    assert chosen.name in {one.name for one in found if one.code == "missing"}

    added = replace(whole, packages=(*whole.packages, conda("stranger", "1", "p8")))
    assert codes(judge(added, *specs)) == [("unneeded", "stranger")]

    asked = [spec(f"{chosen.name} >=11"), *specs]
    assert ("unsatisfied", chosen.name) in codes(judge(whole, *asked))


@pytest.mark.timeout(60)
def test_five_hundred_packages_with_five_dependencies_each_are_judged_in_milliseconds() -> None:
    packages = [
        conda(
            f"p{n}", f"{n % 7}.{n % 5}", *(f"p{m} >={m % 7}.0,<{m % 7 + 1}.0a0" for m in range(n + 1, min(n + 6, 500)))
        )
        for n in range(500)
    ]
    whole, asked = lock(*packages), [spec("p0")]
    judge(whole, *asked)  # imports
    began = time.perf_counter()
    assert judge(whole, *asked, channels=("conda-forge",)) == ()
    took = time.perf_counter() - began

    assert took < 0.5, f"{took:.3f} s; 0.03 s were seen"
