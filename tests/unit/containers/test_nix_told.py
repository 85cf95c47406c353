from __future__ import annotations

import json
from typing import Any

import pytest

from ci_envs.containers.nix_told import shell_told
from ci_envs.errors import BuildError
from ci_envs.nix.closure import closure_digest

TOP = "/nix/store/" + "a" * 32 + "-shell-env"
HELLO = "/nix/store/" + "b" * 32 + "-hello-1.0"
HASH = "sha256-" + "A" * 43 + "="
PATH = f"{HELLO}/bin:/ci-envs/callers:/usr/bin"


def row(path: str, *references: str) -> dict[str, Any]:
    return {"path": path, "narHash": HASH, "narSize": 120, "references": list(references)}


def told(environment: dict[str, str] | None = None, *, name: str = "", text: bytes = b"") -> dict[str, bytes]:
    exported = {"GREETING": "hello", "outputs": "out dev", "PATH": f"{HELLO}/bin"}
    variables = {name: {"type": "exported", "value": value} for name, value in exported.items()}
    found = {"PATH": PATH, "GREETING": "hello", **(environment or {})}
    files = {
        "environment": b"".join(
            f"{name}={value}\0".encode("utf-8", "surrogateescape") for name, value in found.items()
        ),
        "dev-env.json": json.dumps({"bashFunctions": {}, "variables": variables}).encode(),
        "closure.json": json.dumps([row(TOP, HELLO), row(HELLO)]).encode(),
        "top": f"{TOP}\n".encode(),
        "version": b"nix (Nix) 2.8.0\n",
        "python": b"",
    }
    return files | ({name: text} if name else {})


def test_the_shell_is_what_it_and_its_hook_have_set() -> None:
    read = shell_told(told({"HOOKED": "yes", "LINES": "1\n2"}), pure=True)
    assert read.shell.variables == {
        "PATH": f"{HELLO}/bin:/usr/bin",
        "GREETING": "hello",
        "HOOKED": "yes",
        "LINES": "1\n2",
        "IN_NIX_SHELL": "pure",
    }
    assert read.variables == {**read.shell.variables, "PYTHONNOUSERSITE": "1"}
    assert (read.shell.top, read.shell.python, read.nix) == (TOP, "", "2.8.0")
    assert shell_told(told(), pure=False).shell.variables["IN_NIX_SHELL"] == "impure"


def test_what_is_of_the_build_is_left_behind() -> None:
    build = {
        "HOME": "/home/app",
        "PWD": "/app",
        "SHLVL": "1",
        "_": "/usr/bin/env",
        "ci_envs_path": "x",
        "TMPDIR": "/ci-envs/shell/temporary/nix-shell.1",
        "out": "/app/outputs/out",
        "dev": "/app/outputs/dev",
        "BAD": "a\udcff",
        "CACHE": "/ci-envs/shell/temporary/cache",
    }
    assert set(shell_told(told(build), pure=True).shell.variables) == {"PATH", "GREETING", "IN_NIX_SHELL"}


def test_a_list_of_folders_ends_with_none() -> None:
    read = shell_told(told({"XDG_DATA_DIRS": "/nix/store/x/share:"}), pure=True)
    assert read.shell.variables["XDG_DATA_DIRS"] == "/nix/store/x/share"


@pytest.mark.parametrize(
    ("path", "folders"),
    [
        ("/ci-envs/callers", ()),
        (f"bin:{PATH}", ("/app/bin", f"{HELLO}/bin", "/usr/bin")),
        (f"/app/x/../bin:{HELLO}/bin:/ci-envs/callers:/late", ("/app/bin", f"{HELLO}/bin", "/late")),
        (f"{HELLO}/bin:{HELLO}/bin:/ci-envs/callers", (f"{HELLO}/bin",)),
    ],
)
def test_the_folders_on_path_are_the_shells_own_in_their_order(path: str, folders: tuple[str, ...]) -> None:
    assert shell_told(told({"PATH": path}), pure=True).shell.path == folders


def test_what_may_be_a_secret_is_in_no_image() -> None:
    read = shell_told(told({"API_TOKEN": "canary-4711"}), pure=True)
    assert read.secret == ("API_TOKEN",)
    assert "API_TOKEN" not in read.variables


def test_the_output_that_holds_the_variables_is_no_part_of_the_closure_nor_of_its_digest() -> None:
    read = shell_told(told(), pure=True)
    assert [one.path for one in read.closure.paths] == [HELLO]
    whole = told(name="closure.json", text=json.dumps({TOP: row(TOP, HELLO), HELLO: row(HELLO)}).encode())
    assert closure_digest(shell_told(whole, pure=True).closure) == closure_digest(read.closure), "nix 2.19 and later"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("dev-env.json", "{", "print-dev-env"),
        ("closure.json", "[", "closure cannot be read"),
        ("closure.json", json.dumps([{**row(HELLO), "narHash": "sha512-x"}]), "sha512-x"),
    ],
)
def test_what_cannot_be_read_is_no_shell(name: str, text: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        shell_told(told(name=name, text=text.encode()), pure=True)
