from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs import cleaning
from ci_envs.cleaning import clean
from ci_envs.errors import BrokenError, UsageError
from ci_envs.layout import Layout, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

LEG, OTHER = "uv-py312-linux-x86_64", "uv-py312-linux-x86_64-docs"


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    """A project with the state of two legs, and files of its own."""
    made = Layout.at(tmp_path, {})
    made.prepare()
    for leg in (LEG, OTHER):
        for path in (
            *(made.prefix(leg) / "pyvenv.cfg", made.aside(leg) / "pyvenv.cfg", made.record(leg)),
            *(made.log(leg, "build"), made.bytecode(leg, "sha256:1") / "a.pyc", made.temp(leg) / "left"),
        ):
            write_atomically(path, b"")
    write_atomically(tmp_path / "requirements.txt", b"apple==1.0\n")
    return made


def remove(here: Layout, *legs: str, also_cache: bool = False, environ: dict[str, str] | None = None) -> list[str]:
    return clean(here.root, legs, also_cache=also_cache, environ=environ or {})


def test_the_whole_state_goes_and_the_projects_files_stay(here: Layout) -> None:
    assert remove(here) == [".ci-envs"]
    assert [path.name for path in here.root.iterdir()] == ["requirements.txt"]
    assert remove(here) == []


def test_one_legs_state_goes_and_the_others_stays(here: Layout) -> None:
    removed = remove(here, LEG)
    assert len(removed) == 6
    assert all(not (here.root / path).exists() for path in removed)
    assert here.record(OTHER).is_file()
    assert (here.prefix(OTHER) / "pyvenv.cfg").is_file()
    assert remove(here, LEG) == []


@pytest.mark.parametrize("word", ["../..", "/etc", "a/b", "", ".", "..", "UV", "-x"])
def test_what_is_no_leg_id_removes_nothing(here: Layout, word: str) -> None:
    with pytest.raises(UsageError, match="is no id of a leg"):
        remove(here, LEG, word)
    assert here.record(LEG).is_file()


def test_a_folder_that_is_not_ours_is_left_alone(here: Layout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"kept")
    with pytest.raises(UsageError, match="was not made by ci-envs"):
        remove(here, environ={"CI_ENVS_STATE_DIR": str(tmp_path / "elsewhere")})
    assert (tmp_path / "elsewhere" / "file").is_file()


def test_the_shared_cache_goes_only_when_it_is_asked_for(here: Layout, tmp_path: Path) -> None:
    environ = {"CI_ENVS_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "cache" / "uv").mkdir(parents=True)
    remove(here, environ=environ)
    assert (tmp_path / "cache" / "uv").is_dir()
    assert remove(here, also_cache=True, environ=environ) == ["cache"]
    assert not (tmp_path / "cache").exists()


def test_what_another_run_is_at_is_not_removed(here: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "_WAIT_SECONDS", 0.0)
    with here.alone(LEG):
        for legs in ((), (LEG,)):
            with pytest.raises(BrokenError, match=f"another run is at work on {LEG}"):
                remove(here, *legs)
        assert (here.prefix(LEG) / "pyvenv.cfg").is_file()
        assert remove(here, OTHER)


def test_a_link_in_an_environments_place_is_removed_and_not_what_it_names(here: Layout, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"kept")
    leg = "uv-py311-linux-x86_64"
    here.prefix(leg).symlink_to(tmp_path / "precious")
    assert remove(here, leg) == [f".ci-envs/envs/{leg}"]
    assert (tmp_path / "precious" / "file").is_file()
