from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from ci_envs.errors import NothingToDo, UsageError
from ci_envs.matrices import load_matrix, lock_digests, matrix_from, matrix_of_tier, platforms, project_at
from ci_envs.model.detect import Detected, Detection, Evidence, Problem
from ci_envs.plan_making import Wanted, make_plan
from ci_envs.planning.expansion import expand
from ci_envs.project import Project

ROOT = Path(__file__).parents[2]
GOOD = 'axes: {pattern: [uv], python: ["3.12"]}\n'

#: What a shell, a command line or a file system might trip over.
ODD_FOLDERS = ["a b", "it's", 'say "x"', "-rf", "ü-ß", "$(id)", "a;b", "naïve\u00a0x", "日本"]


def write(root: Path, name: str, text: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def detection(*names: str) -> Detection:
    return Detection(
        patterns=tuple(
            Detected(pattern=name, evidence=(Evidence(file="f"),), chosen=rank == 0, why=f"why {name}")
            for rank, name in enumerate(names)
        )
    )


# --- which file


def test_a_named_file_comes_before_the_default(tmp_path: Path) -> None:
    write(tmp_path, "matrices/default.yml", GOOD)
    named = write(tmp_path, "other/my.yml", GOOD.replace("3.12", "3.13"))
    assert load_matrix(Project(tmp_path)).axes["python"] == ("3.12",)
    assert load_matrix(Project(tmp_path), named).axes["python"] == ("3.13",)


def test_a_named_file_is_relative_to_where_one_stands_and_is_named_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "here/m.yml", "axes: {pattern: []}")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError) as caught:
        load_matrix(Project(tmp_path), Path("m.yml"))
    assert (caught.value.file, caught.value.line) == ("m.yml", 1)


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        ("axes: {pattern: [uv]}\n# caf\u00e9\n".encode("latin-1"), 2, "is not UTF-8"),
        (b"axes:\n\tpattern: [uv]\n", 2, "a tab stands where YAML wants spaces"),
        (b"a: &a [1]\nb: [*a, *a]\n", 1, "the anchor &a is not read"),
        (b"axes: {}\naxes: {}\n", 2, "stands here a second time"),
        (b"", 0, "is empty"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_bad_file_is_one_clear_error(tmp_path: Path, data: bytes, line: int, said: str, *, named: bool) -> None:
    path = write(tmp_path, "matrices/default.yml", data)
    with pytest.raises(UsageError) as caught:
        load_matrix(Project(tmp_path), path if named else None)
    assert said in caught.value.message
    assert caught.value.file == (path.as_posix() if named else "matrices/default.yml")
    assert caught.value.line == line


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "matrices/default.yml", b"\xef\xbb\xbf" + GOOD.encode())
    assert load_matrix(Project(tmp_path)).axes["pattern"] == ("uv",)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load_matrix(Project(tmp_path), tmp_path / "none.yml")


def test_a_loop_of_links_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    with pytest.raises(UsageError) as caught:
        load_matrix(Project(tmp_path), tmp_path / "loop.yml")
    assert caught.value.file.endswith("loop.yml")


def test_the_default_file_must_not_lead_out_of_the_root(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside.yml", GOOD)
    (tmp_path / "root/matrices").mkdir(parents=True)
    (tmp_path / "root/matrices/default.yml").symlink_to(outside)
    with pytest.raises(UsageError, match="lies outside the project"):
        load_matrix(Project(tmp_path / "root"))


# --- project folders


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_a_folder_with_an_odd_name_works(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    write(tmp_path, "matrices/default.yml", GOOD.replace("}", f", project: [{quoted}]}}"))
    matrix = load_matrix(Project(tmp_path))
    (leg,) = expand(matrix, os="linux", arch="x86_64").legs
    assert leg.project == name
    assert project_at(Project(tmp_path), leg.project).root == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("axes: {pattern: [uv], python: ['3.12'], project:\n  [x]}", 2),
        ("axes: {pattern: [uv], python: ['3.12']}\ninclude:\n  - {project: x}\n", 3),
        ("axes: {pattern: [uv], python: ['3.12']}\ndefaults:\n  project: x\n", 3),
    ],
)
def test_a_folder_must_be_there_and_inside(tmp_path: Path, where: str, line: int) -> None:
    root = tmp_path / "root"
    write(root, "matrices/default.yml", where)
    with pytest.raises(UsageError, match="there is no folder 'x'") as caught:
        load_matrix(Project(root))
    assert caught.value.line == line
    (tmp_path / "elsewhere").mkdir()
    (root / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="the project 'x' leads outside the repository through a link") as caught:
        load_matrix(Project(root))
    assert (caught.value.file, caught.value.line) == ("matrices/default.yml", line)


def test_a_link_that_stays_inside_is_a_folder_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "x").symlink_to("real")
    write(tmp_path, "matrices/default.yml", GOOD.replace("}", ", project: [x]}"))
    assert load_matrix(Project(tmp_path)).axes["project"] == ("x",)


def test_a_file_is_no_project(tmp_path: Path) -> None:
    write(tmp_path, "matrices/default.yml", GOOD.replace("}", ", project: [matrices/default.yml]}"))
    with pytest.raises(UsageError, match=r"there is no folder 'matrices/default\.yml'"):
        load_matrix(Project(tmp_path))


# --- without a file


def test_a_matrix_made_from_detection_has_one_leg_and_names_the_rest(tmp_path: Path) -> None:
    write(tmp_path, ".python-version", "3.12.4\n")
    matrix = matrix_from(detection("uv", "conda"), Project(tmp_path))
    expansion = expand(matrix, os="linux", arch="x86_64")
    assert [leg.id for leg in expansion.legs] == ["uv-py312-linux-x86_64"]
    assert [(row.id, row.reason) for row in expansion.left_out] == [("conda-py312-linux-x86_64", "why conda")]


def test_the_configuration_may_name_the_pattern(tmp_path: Path) -> None:
    write(tmp_path, "ci-envs.yml", "pattern: venv\n")
    matrix = matrix_from(detection("uv", "venv"), Project(tmp_path))
    assert [leg.pattern for leg in expand(matrix, os="linux", arch="x86_64").legs] == ["venv"]
    write(tmp_path, "ci-envs.yml", "pattern: vevn\n")
    with pytest.raises(UsageError, match="did you mean 'venv'"):
        matrix_from(detection("uv"), Project(tmp_path))


@pytest.mark.parametrize(
    ("requires", "python"),
    [(">=3.8", "running"), (f">=3.8,<3.{sys.version_info.minor}", "3.8"), (">=3.99", "3.99"), ("", "running")],
)
def test_the_python_is_the_running_one_where_the_bounds_allow_it(tmp_path: Path, requires: str, python: str) -> None:
    text = f'[project]\nname = "x"\nrequires-python = "{requires}"\n' if requires else ""
    write(tmp_path, "pyproject.toml", text)
    wanted = f"3.{sys.version_info.minor}" if python == "running" else python
    assert matrix_from(detection("uv"), Project(tmp_path)).axes["python"] == (wanted,)


def test_a_folder_that_describes_nothing_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="no file here describes an environment"):
        load_matrix(Project(tmp_path))


def test_a_file_that_could_not_be_read_is_the_reason_where_nothing_was_found(tmp_path: Path) -> None:
    problem = Problem(message="is not valid TOML", file="pyproject.toml", line=3)
    with pytest.raises(UsageError, match=r"^pyproject\.toml:3: is not valid TOML"):
        matrix_from(Detection(problems=(problem,)), Project(tmp_path))


def test_detection_and_matrix_agree_end_to_end(tmp_path: Path) -> None:
    write(tmp_path, "requirements.in", "numpy\n")
    write(tmp_path, "environment.yml", "dependencies: [numpy]\n")
    expansion = expand(load_matrix(Project(tmp_path)), os="linux", arch="x86_64")
    assert [leg.pattern for leg in expansion.legs] == ["conda"]
    assert any(row.id.startswith("venv-") for row in expansion.left_out)


# --- locks and platforms


def test_a_lock_digest_changes_with_any_lock_of_its_project_and_nothing_else(tmp_path: Path) -> None:
    seen = [lock_digests(Project(tmp_path))(".")]
    for name in ("uv.lock", "requirements.txt", "locks/uv-py312-linux-x86_64.txt", "pylock.dev.toml"):
        write(tmp_path, name, "1")
        seen.append(lock_digests(Project(tmp_path))("."))
        write(tmp_path, name, "2")
        seen.append(lock_digests(Project(tmp_path))("."))
    assert len(set(seen)) == len(seen)
    write(tmp_path, "README.md", "3")
    write(tmp_path, "sub/uv.lock", "4")
    assert lock_digests(Project(tmp_path))(".") == seen[-1]
    assert lock_digests(Project(tmp_path))("sub") != seen[-1]


def test_files_are_read_once_for_a_project(tmp_path: Path) -> None:
    write(tmp_path, "uv.lock", "1")
    digest = lock_digests(Project(tmp_path))
    before = digest(".")
    write(tmp_path, "uv.lock", "2")
    assert digest(".") == before


def test_every_platform_of_a_leg_has_runners() -> None:
    known = platforms()
    names = {f"{os}-{arch}" for os in ("linux", "macos", "windows") for arch in ("x86_64", "aarch64")}
    assert known.runners.keys() == names
    assert known.accelerated_runners.keys() == names
    assert 0 < known.timeout_minutes <= 360


# --- our own matrices


def legs_of(name: str) -> set[str]:
    matrix = load_matrix(Project(ROOT), ROOT / "matrices" / f"{name}.yml")
    return {leg.id for leg in expand(matrix, os="linux", arch="x86_64").legs}


def test_the_nightly_matrix_has_every_leg_of_the_others() -> None:
    # ci.yml is of three systems: the nightly workflow builds it beside (tests/unit/workflows/test_our_ci.py).
    others = {path.stem for path in (ROOT / "matrices").glob("*.yml")} - {"nightly", "ci"}
    assert {"default", "pull-request"} <= others
    for name in others:
        assert legs_of(name) < legs_of("nightly"), name


def test_a_pull_request_builds_fewer_legs_of_the_default_and_both_patterns() -> None:
    few = legs_of("pull-request")
    assert few < legs_of("default")
    assert len(few) <= 8
    assert {leg.partition("-")[0] for leg in few} == {"venv", "uv"}


@pytest.mark.parametrize("tier", ["pull-request", "nightly", "release", "all"])
def test_the_tiers_of_our_own_matrices_grow(tier: str) -> None:
    """What a pull request builds, a push builds; what either builds, the night builds."""

    def planned(name: str) -> set[str]:
        return set(make_plan(Wanted(root=ROOT, tier=name, environ={})).ids)

    assert planned("pull-request") <= planned(tier) <= planned("nightly")


def test_a_further_python_makes_no_further_leg_of_a_pull_request() -> None:
    matrix = load_matrix(Project(ROOT), ROOT / "matrices/pull-request.yml")
    assert matrix.strategy == "ends"
    first, *others = matrix.axes["python"]
    longer = msgspec.structs.replace(matrix, axes={**matrix.axes, "python": (first, "3.99", *others)})
    found = expand(longer, os="linux", arch="x86_64")
    assert {leg.id for leg in found.legs} == legs_of("pull-request")


def test_a_tier_has_a_matrix_or_none(tmp_path: Path) -> None:
    assert matrix_of_tier(Project(tmp_path), "nightly") is None
    write(tmp_path, "matrices/nightly.yml", GOOD)
    found = matrix_of_tier(Project(tmp_path), "nightly")
    assert found is not None
    assert found.file == "matrices/nightly.yml"
    write(tmp_path, "matrices/release.yml", "axes: {}\nstrategy: each\n")
    with pytest.raises(UsageError) as caught:
        matrix_of_tier(Project(tmp_path), "release")
    assert (caught.value.file, caught.value.line) == ("matrices/release.yml", 2)
    assert "is none of all, pairwise, ends" in caught.value.message


def test_our_own_runners_are_githubs() -> None:
    known = platforms()
    assert set(known.runners.values()) <= set(known.hosted_labels)
    assert len(set(known.hosted_labels)) == len(known.hosted_labels)
