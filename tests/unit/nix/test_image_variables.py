"""Which of a shell's variables an image has, and which are this machine's or nobody's business."""

from __future__ import annotations

from ci_envs.model.shell import Shell
from ci_envs.nix.image_variables import ImageVariables, image_variables

STORE = "/nix/store"
APPLE, SHELL = f"{STORE}/aaa-apple", f"{STORE}/bbb-bash"
FOLDERS = ("/home/user/project", "/home/user", "/", "")


def of(*path: str, **variables: str) -> ImageVariables:
    return image_variables(Shell(variables=variables, path=path), STORE, FOLDERS)


def test_what_the_shell_sets_is_kept_as_it_is() -> None:
    kept = {"PYTHONPATH": f"{APPLE}/lib", "EMPTY": "", "LANG": "C.UTF-8", "URL": "https://index.example/simple"}
    assert of(**kept) == ({**kept, "PYTHONNOUSERSITE": "1"}, (), ())


def test_the_path_has_folders_of_the_store_alone() -> None:
    path = (f"{APPLE}/bin", "/usr/bin", f"{SHELL}/bin", f"{STORE}-elsewhere/bin")
    found = of(*path, PATH=":".join(path))
    assert found.kept["PATH"] == f"{APPLE}/bin:{SHELL}/bin"
    assert found.of_the_machine == ()
    assert "PATH" not in of("/usr/bin", PATH="/usr/bin").kept


def test_what_names_folders_of_this_machine_is_left_out_and_said() -> None:
    found = of(
        PYTHONPATH=f"/home/user/project/src:{APPLE}/lib:",
        DATA="/home/user/data",
        OPTIONS="--root=/home/user/project --quiet",
        OTHER="/home/username/data",
        ALSO="/srv/home/user",
    )
    assert found.kept == {
        "PYTHONPATH": f"{APPLE}/lib:",
        "OTHER": "/home/username/data",
        "ALSO": "/srv/home/user",
        "PYTHONNOUSERSITE": "1",
    }
    assert found.of_the_machine == ("DATA", "OPTIONS", "PYTHONPATH")


def test_what_may_be_a_secret_is_left_out_and_said() -> None:
    found = of(API_TOKEN="abc", INDEX="https://user:hunter22@index.example/", AGAIN="x hunter22 y", PUBLIC="x")
    assert found.kept.keys() == {"PUBLIC", "PYTHONNOUSERSITE"}
    assert found.secret == ("AGAIN", "API_TOKEN", "INDEX")


def test_a_secret_without_a_value_is_none() -> None:
    assert of(API_TOKEN="").kept["API_TOKEN"] == ""


def test_what_is_of_the_builder_or_of_the_caller_is_left_out_without_a_word() -> None:
    found = of(
        HOME="/root", TMPDIR="/build", out="/home/user/project/outputs/out", NIX_BUILD_CORES="8", **{"A%%": "()"}
    )
    assert found == ({"PYTHONNOUSERSITE": "1"}, (), ())


def test_an_image_is_nobodys_home() -> None:
    assert of(PYTHONNOUSERSITE="0").kept["PYTHONNOUSERSITE"] == "1"
