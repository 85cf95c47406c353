from __future__ import annotations

from ci_envs.conda.explaining import tree
from ci_envs.conda.solved import categories_of, exactly
from ci_envs.conda.solving import Asked
from ci_envs.model.conda import LockedPackage, MatchLine


def asked(text: str, category: str = "main", line: int = 3) -> Asked:
    from rattler import MatchSpec

    return Asked(MatchLine(text=text, name=text, file="environment.yml", line=line, category=category), MatchSpec(text))


def test_a_package_is_of_every_category_that_leads_to_it_main_first() -> None:
    depends = {
        "app": ["lib >=1", "__glibc >=2.17", "not-installed"],
        "lib": ["base"],
        "base": ["lib"],
        "pytest": ["LIB >=1,<2"],
        "docs": [],
        "left-over": [],
    }

    found = categories_of([asked("docs", "a-docs"), asked("pytest", "dev"), asked("App >=1")], depends)

    assert found == {
        "app": ("main",),
        "lib": ("main", "dev"),
        "base": ("main", "dev"),
        "pytest": ("dev",),
        "docs": ("a-docs",),
        "left-over": ("main",),
    }


def test_one_build_is_found_again_by_its_spec() -> None:
    from rattler import MatchSpec

    package = LockedPackage(
        name="numpy",
        version="1!2.0+cpu",
        platform="linux-64",
        url="https://h.example/x",
        build="py312_0",
        subdir="noarch",
    )

    match = MatchSpec(exactly(package))

    assert (match.version, match.build, str(match.subdir)) == ("==1!2.0+cpu", "py312_0", "noarch")


def test_a_tree_is_told_with_what_was_asked_for_and_each_line_once() -> None:
    said = (
        "Cannot solve the request because of: The following packages are incompatible\n"
        "└─ numpy * can be installed with any of the following options:\n   └─ numpy 2.1\n"
        "├─ the constraint numpy >=5 cannot be fulfilled\n└─ the constraint numpy >=5 cannot be fulfilled\n"
    )

    assert tree(said, [asked("numpy >=5", line=7)]) == [
        "└─ numpy * can be installed with any of the following options:",
        "   └─ numpy 2.1",
        "└─ numpy >=5 (environment.yml:7) is asked for",
    ]


def test_a_tree_is_cut_to_what_a_person_reads() -> None:
    lines = tree("\n".join(f"└─ package{number} {'x' * 300}" for number in range(40)), [])

    assert len(lines) == 13
    assert lines[-1] == "... and 28 more lines"
    assert max(map(len, lines)) == 160
