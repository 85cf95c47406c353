"""What a description's expressions pin and leave open; the parser's output is that of nix 2.8."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci_envs.nix.expressions import Expressions, Open, lines_of, numbered, read_expressions
from ci_envs.nix.parsed import Parsed
from ci_envs.nix.search_path import pinned_line
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REVISION = "752c634c09ceb50c45e751f8791cb45cb3d46c9e"
SHA256 = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
HEX = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ARCHIVE = f"https://github.com/NixOS/nixpkgs/archive/{REVISION}.tar.gz"


def expressions(folder: Path, files: Mapping[str, str], printed: Mapping[str, str]) -> Expressions:
    """``files`` as they are written, ``printed`` as the parser prints those that are expressions, in /P."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project = Project(folder)
    return read_expressions(project, next(iter(printed)), lambda name: printed[name].replace("/P", str(project.root)))


def of(folder: Path, text: str, printed: str) -> Expressions:
    """One file, shell.nix."""
    return expressions(folder, {"shell.nix": text}, {"shell.nix": printed})


def pins(found: Expressions) -> list[tuple[str, str, str, str]]:
    return [(pin.name, pin.version, pin.location, "".join(pin.hashes)) for pin in found.pins]


def test_an_archive_with_its_hash_is_a_pin_of_the_repository(tmp_path: Path) -> None:
    printed = f'((import (fetchTarball {{ sha256 = "{SHA256}"; url = "{ARCHIVE}"; }}) {{ }})).hello\n'
    found = of(tmp_path, "", printed)
    assert pins(found) == [("nixpkgs", REVISION, "github:NixOS/nixpkgs", HEX)]
    assert (found.open, found.holders, found.files) == ([], ["shell.nix"], ["shell.nix"])


def test_texts_that_are_put_together_are_read_where_each_stands_for_one_text(tmp_path: Path) -> None:
    printed = (
        f'(let rev = "{REVISION}"; src = (fetchTarball {{ sha256 = "{SHA256}"; url = '
        '("https://github.com/NixOS/nixpkgs/archive/" + rev + ".tar.gz"); }); in (import src { }))'
    )
    assert pins(of(tmp_path, "", printed)) == [("nixpkgs", REVISION, "github:NixOS/nixpkgs", HEX)]


@pytest.mark.parametrize(
    ("printed", "pin"),
    [
        (
            f'((builtins).fetchGit {{ ref = "main"; rev = "{REVISION}"; url = "https://u:p@e.org/a/tools.git"; }})',
            ("tools", REVISION, "git+https://e.org/a/tools.git", ""),
        ),
        (
            f'(let rev = "{REVISION}"; in (fetchGit {{ inherit rev ; url = "https://example.org/tools"; }}))',
            ("tools", REVISION, "git+https://example.org/tools", ""),
        ),
        (
            f'((pkgs).fetchFromGitHub {{ hash = "{HEX}"; owner = "o"; repo = "r"; rev = "{REVISION}"; }})',
            ("r", REVISION, "github:o/r", HEX),
        ),
        (
            f'((pkgs).fetchFromGitHub {{ owner = "o"; repo = "r"; rev = "v1"; sha256 = "{SHA256}"; }})',
            ("r", "e3b0c44298fc", "github:o/r", HEX),
        ),
        (
            f'((builtins).getFlake "github:o/r/{REVISION}")',
            ("r", REVISION, "github:o/r", ""),
        ),
        (
            f'(fetchTarball {{ name = "pkgs-24.05"; sha256 = "{SHA256}"; url = "https://e.org/24.05/x.tar.xz"; }})',
            ("pkgs-24.05", "e3b0c44298fc", "https://e.org/24.05/x.tar.xz", HEX),
        ),
        (
            f'((builtins).fetchurl {{ sha256 = "{SHA256}"; url = "https://example.org/data.json"; }})',
            ("data.json", "e3b0c44298fc", "https://example.org/data.json", HEX),
        ),
        (
            f'(fetchTree {{ narHash = "{HEX}"; owner = "o"; repo = "r"; type = "github"; rev = "{REVISION}"; }})',
            ("r", REVISION, "github:o/r", HEX),
        ),
    ],
)
def test_whatever_fetches_by_a_hash_or_a_revision_is_a_pin(
    tmp_path: Path, printed: str, pin: tuple[str, str, str, str]
) -> None:
    found = of(tmp_path, "", printed)
    assert pins(found) == [pin]
    assert found.open == []


@pytest.mark.parametrize(
    ("text", "printed", "use"),
    [
        (
            "# <nixpkgs> was unpinned\n{ pkgs ? import <nixpkgs> { } }:\npkgs.mkShell { }\n",
            '({ pkgs ? (import (__findFile __nixPath "nixpkgs") { }) }: ((pkgs).mkShell { }))',
            Open("search path", "nixpkgs", "shell.nix", 2),
        ),
        (
            "/* <nixpkgs/lib>\n*/ with\n  import <nixpkgs/lib>; 1",
            '(with (import (__findFile __nixPath "nixpkgs/lib")); 1)',
            Open("search path", "nixpkgs", "shell.nix", 3),
        ),
        (
            'import (fetchTarball\n  "https://github.com/NixOS/nixpkgs/archive/nixos-24.05.tar.gz") { }',
            '(import (fetchTarball "https://github.com/NixOS/nixpkgs/archive/nixos-24.05.tar.gz") { })',
            Open("tarball", "https://github.com/NixOS/nixpkgs/archive/nixos-24.05.tar.gz", "shell.nix", 2),
        ),
        (
            'let r = "main"; in builtins.fetchTarball {\n url = "https://example.org/${r}.tgz";\n}',
            '(let r = "main"; in ((builtins).fetchTarball { url = ("https://example.org/" + r + ".tgz"); }))',
            Open("tarball", "https://example.org/main.tgz", "shell.nix", 2),
        ),
        (
            'builtins.fetchGit "https://example.org/a.git"',
            '((builtins).fetchGit "https://example.org/a.git")',
            Open("git", "https://example.org/a.git", "shell.nix", 1),
        ),
        (
            'fetchGit { url = "ssh://git@example.org/a"; ref = "main"; }',
            '(fetchGit { ref = "main"; url = "ssh://git@example.org/a"; })',
            Open("git", "ssh://git@example.org/a", "shell.nix", 1),
        ),
        (
            'builtins.getFlake "github:o/r"',
            '((builtins).getFlake "github:o/r")',
            Open("flake", "github:o/r", "shell.nix", 1),
        ),
        (
            'builtins.fetchurl "https://u:secret@example.org/a.json"',
            '((builtins).fetchurl "https://u:secret@example.org/a.json")',
            Open("file", "https://example.org/a.json", "shell.nix", 1),
        ),
    ],
)
def test_what_may_be_another_tomorrow_is_named_with_its_line(
    tmp_path: Path, text: str, printed: str, use: Open
) -> None:
    found = of(tmp_path, text, printed)
    assert (found.open, found.pins) == ([use], [])


def test_a_commits_archive_without_a_hash_is_a_pin_that_nothing_compares(tmp_path: Path) -> None:
    found = of(tmp_path, f'fetchTarball "{ARCHIVE}"', f'(fetchTarball "{ARCHIVE}")')
    assert pins(found) == [("nixpkgs", REVISION, "github:NixOS/nixpkgs", "")]
    assert found.open == [Open("tarball", ARCHIVE, "shell.nix", 1, REVISION)]


@pytest.mark.parametrize(
    "printed",
    [
        "(map fetchTarball (urls))",
        "(fetchTarball (spec).url)",
        "(fetchTarball spec)",
        "(fetchTarball { sha256 = (spec).sha256; url = (spec).url; })",
        "(fetchTarball { inherit (spec) sha256 url ; })",
        "((builtins).fetchGit /P)",
        "((builtins).fetchGit { rev = (lock).rev; url = (lock).url; })",
        "((builtins).getFlake (toString /P))",
        '(fetchurl "https://example.org/a")',
        '((pkgs).fetchurl { url = "https://example.org/a"; })',
        '((self).fetchTarballs "https://example.org/a")',
        '{ fetchTarball = "https://example.org/a"; }',
        '"fetchTarball \\"https://example.org/a\\" (__findFile __nixPath \\"nixpkgs\\")"',
        '(__findFile __nixPath "nix/fetchurl.nix")',
        "(fetchTarball",
        "",
    ],
)
def test_what_no_text_tells_is_neither_pinned_nor_open(tmp_path: Path, printed: str) -> None:
    found = of(tmp_path, "", printed)
    assert (found.pins, found.open) == ([], [])


def test_imports_are_followed_inside_the_project_alone(tmp_path: Path) -> None:
    (tmp_path / "outside.nix").write_text("")
    folder = tmp_path / "pro ject"
    files = dict.fromkeys(("shell.nix", "nix/a.nix", "nix/default.nix", "pkgs/default.nix", "default.nix"), "")
    printed = {
        "shell.nix": "((import /P/nix/a.nix) (import /P/nix { inherit pkgs ; }) { src = /P; }"
        " ((pkgs).callPackage /P/pkgs { }) (import /elsewhere/x.nix) (import /P/../outside.nix) (import /P/gone.nix))",
        "nix/a.nix": "(import /P/shell.nix)",
        "nix/default.nix": '((builtins).fetchGit "https://example.org/a")',
        "pkgs/default.nix": "1",
    }
    found = expressions(folder, files, printed)
    assert found.files[0] == "shell.nix"
    assert sorted(found.files) == sorted(printed)
    assert [one.file for one in found.open] == ["nix/default.nix"]


CHANNEL = {"type": "Channel", "url": "https://e.example/c/x.tar.xz", "hash": SHA256}
NPINS = json.dumps({"pins": {"nixpkgs": CHANNEL}, "version": 5})


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("(import /P/npins)", "npins/sources.json"),
        ("(import /P/npins/default.nix)", "npins/sources.json"),
        ("(import /P/nix/sources.nix { })", "nix/sources.json"),
        ("((builtins).fromJSON ((builtins).readFile /P/lon/sources.json))", "lon/sources.json"),
    ],
)
def test_the_pins_of_npins_and_niv_are_read_in_place_of_what_reads_them(
    tmp_path: Path, printed: str, name: str
) -> None:
    folder = name.rpartition("/")[0]
    files = {name: NPINS, f"{folder}/default.nix": "", f"{folder}/sources.nix": "", "shell.nix": ""}
    found = expressions(tmp_path, files, {"shell.nix": printed})
    assert list(found.pin_files) == [name]
    assert [pin.name for pin in found.pin_files[name].pins] == ["nixpkgs"]
    assert found.files == ["shell.nix"]


def test_what_nix_prefetch_git_printed_is_a_pin_and_other_json_is_not(tmp_path: Path) -> None:
    pin = f'{{"url": "https://github.com/NixOS/nixpkgs.git", "rev": "{REVISION}", "sha256": "{SHA256}"}}'
    files = {"shell.nix": "", "pkgs.json": pin, "package.json": '{"name": "x"}', "broken.json": "{"}
    paths = " ".join(f"((builtins).readFile /P/{name})" for name in files if name.endswith("json"))
    found = expressions(tmp_path, files, {"shell.nix": f"[ {paths} ]"})
    assert list(found.prefetched) == ["pkgs.json"]
    assert found.prefetched["pkgs.json"].name == "nixpkgs"


@pytest.mark.parametrize(
    "printed",
    [
        "((builtins).fromJSON ((builtins).readFile /P/flake.lock))",
        '((import (fetchTarball { sha256 = (l).h; url = ("https://e.org/flake-compat/" + (l).r); })) { src = /P; })',
    ],
)
def test_flake_compat_is_locked_by_flake_lock(tmp_path: Path, printed: str) -> None:
    files = {"shell.nix": "", "flake.lock": "{}"}
    assert expressions(tmp_path, files, {"shell.nix": printed}).flake_lock
    assert not expressions(tmp_path, files, {"shell.nix": "1"}).flake_lock


def test_what_asks_the_machine_is_named_with_its_line(tmp_path: Path) -> None:
    text = 'let\n  home = builtins.getEnv "HOME";\n  now = builtins.currentTime;\nin builtins.currentSystem'
    printed = '(let home = ((builtins).getEnv "HOME"); now = (builtins).currentTime; in (builtins).currentSystem)'
    found = of(tmp_path, text, printed)
    assert found.asks == [('getEnv "HOME"', "shell.nix", 2), ("currentTime", "shell.nix", 3)]


def test_pins_of_one_name_are_numbered_and_the_same_one_is_one(tmp_path: Path) -> None:
    other = "a" * 40
    calls = " ".join(f'(fetchGit {{ rev = "{rev}"; url = "https://e.org/x"; }})' for rev in (REVISION, other, REVISION))
    found = numbered(of(tmp_path, "", f"[ {calls} ]").pins)
    assert [(pin.name, pin.version) for pin in found] == [("x", REVISION), ("x-2", other)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nneedle\nneedle # needle\n", [2, 3]),
        ("# needle\nneedle", [2]),
        ('x = "# no comment"; needle', [1]),
        ("x = ''\n # no comment needle\n'';", [2]),
        ("/* needle\n */ # needle\n", [1, 2]),
        ("", [0]),
    ],
)
def test_a_line_is_found_outside_of_comments_where_it_is_there(text: str, lines: list[int]) -> None:
    assert lines_of(text, "needle") == lines


@pytest.mark.parametrize(
    ("line", "fixed"),
    [
        ("  pkgs = import <nixpkgs> { };", "pkgs = import (P) { };"),
        ("lib = import <nixpkgs/lib>;", 'lib = import ((P) + "/lib");'),
        ("x = <nixpkgs-unstable>;", "x = <nixpkgs-unstable>;"),
    ],
)
def test_the_line_to_write_is_the_line_that_is_there_with_the_pin_in_it(line: str, fixed: str) -> None:
    assert pinned_line(line, "nixpkgs", "(P)") == fixed


def test_the_parsers_output_is_read_whole_whatever_stands_in_it() -> None:
    printed = '{ "a b" = (x // y); "${r}" = /P/a.nix; t = "q \\" ) ] }"; u = (__div 1 2); v = rec { w = [ (1) ]; }; }'
    parsed = Parsed(printed)
    assert parsed.paths == ["/P/a.nix"]
    assert parsed.bound == {"t": 'q " ) ] }'}


WORDS = (
    "(",
    ")",
    "{",
    "}",
    ";",
    "=",
    ".",
    "+",
    "inherit",
    "fetchTarball",
    "builtins",
    "url",
    "rec",
    '"a/b"',
    "/P/x.nix",
)


@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
@example("(fetchTarball " + "(" * 5000)
@example("(fetchTarball { inherit (")
@example('(__findFile __nixPath "')
def test_whatever_is_printed_is_read_without_an_error(printed: str) -> None:
    parsed = Parsed(printed)
    assert all(fetch.function == "fetchTarball" for fetch in parsed.fetches)
    assert parsed.searched == []
    assert set(parsed.imported) <= set(parsed.paths) <= {"/P/x.nix"}
    assert parsed.calls("getEnv") == []
    assert not parsed.uses("getEnv")
