"""A stand-in for guix, which cannot be had here: takes the commands that are made of it, and no others.

    stand_in(folder)                       # writes folder/guix, a program, with folder/store for its store
    calls(folder)                          # the words of each call
    fail(folder, "shell", "guix shell: error: ...")    # what that command says from now on, and ends with 1

What it prints, and where it leaves what, is taken from guix's manual and from its sources of 2022 (``guix/ui.scm`` and
``shell.scm``, ``environment.scm``, ``describe.scm``, ``gc.scm``, ``graph.scm`` in ``guix/scripts``). It evaluates no
Scheme: of a manifest it takes the words between quotes, each a package, and of a file of channels the first commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CHANNELS", "COMMIT", "MANIFEST", "TIP", "calls", "fail", "stand_in"]

#: What its channel was at when it was installed, and what the tip of the branch is now.
COMMIT, TIP = "1" * 40, "2" * 40

_SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
_SITE = f"lib/python{_SERIES}/site-packages"
_URL = "https://git.example/guix.git"
_LETTERS = "0123456789abcdfghijklmnpqrsvwxyz"


def _channel(commit: str) -> str:
    """As ``guix describe -f channels`` prints it."""
    return f"""\
(list (channel
        (name 'guix)
        (url "{_URL}")
        (branch "master")
        (commit
          "{commit}")
        (introduction
          (make-channel-introduction
            "{"9" * 40}"
            (openpgp-fingerprint
              "BBB0 2DDF 2CEA F6A8 0D1D  E643 A2A0 6DF2 A33A 54FA")))))
"""


CHANNELS = _channel(COMMIT)
MANIFEST = '(specifications->manifest (list "python" "python-apple"))\n'


def stand_in(folder: Path) -> Path:
    """Writes the program."""
    folder.mkdir(parents=True, exist_ok=True)
    root, program = Path(__file__).parents[2], folder / "guix"
    python = f"PYTHONPATH='{root}' exec '{sys.executable}' -m tests.support.stand_in_guix"
    program.write_text(f"#!/bin/sh\n{python} '{folder}' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def calls(folder: Path) -> list[list[str]]:
    """The words of each call, but for those that ask for the version."""
    path = folder / "calls"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def fail(folder: Path, verb: str, said: str) -> None:
    """Has a command fail; an empty text heals it."""
    (folder / f"{verb}.fails").write_text(said, encoding="utf-8")


class _Guix:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.commit = COMMIT

    def run(self, argv: Sequence[str]) -> None:
        verb, *words = argv
        failure = self.folder / f"{verb}.fails"
        if failure.exists() and (said := failure.read_text("utf-8")):
            _die(said)
        {"time-machine": self.travel, "describe": self.describe, "shell": self.shell, "gc": self.gc}.get(
            verb, self.graph
        )(words)

    def travel(self, words: list[str]) -> None:
        cut = words.index("--")
        parser = _parser("time-machine")
        parser.add_argument("--channels", "-C", required=True)
        parser.add_argument("--no-substitutes", action="store_true")
        file = parser.parse_args(words[:cut]).channels
        if not Path(file).is_file():
            _die(f"guix time-machine: error: failed to load '{file}': No such file or directory")
        found = re.search(r'\(commit\s+"([^"]+)"', Path(file).read_text("utf-8"))
        self.commit = found[1] if found else TIP
        self.run(words[cut + 1 :])

    def describe(self, words: list[str]) -> None:
        parser = _parser("describe")
        parser.add_argument("--format", "-f", choices=["channels"], required=True)
        parser.parse_args(words)
        sys.stdout.write(_channel(self.commit))

    def shell(self, words: list[str]) -> None:
        parser = _parser("shell")
        for flag in ("--rebuild-cache", "--pure", "--search-paths"):
            parser.add_argument(flag, action="store_true", required=True)
        for flag in ("--no-substitutes", "--development"):
            parser.add_argument(flag, action="store_true")
        for name in ("--root", "--manifest", "--file"):
            parser.add_argument(name, type=Path)
        told = parser.parse_args(words)
        file = told.manifest or told.file
        text = file.read_text("utf-8")
        if text.count("(") != text.count(")"):
            _die(f"{file}:{text.count(chr(10)) + 1}:0: missing closing parenthesis")
        profile = self.profile(re.findall(r'"([^"]+)"', text))
        if told.root.is_symlink():
            _die(f'guix shell: error: symlink: File exists: "{told.root}"')
        told.root.symlink_to(profile)
        _say(f'export PATH="{profile}/bin"')
        if (profile / _SITE).is_dir():
            _say(f'export GUIX_PYTHONPATH="{profile}/{_SITE}"')

    def profile(self, names: list[str]) -> Path:
        """The union of packages, by links."""
        items = [self.package(name) for name in names]
        profile = self.item("profile", *map(str, items))
        for item in items:
            for path in sorted(item.rglob("*")):
                place = profile / path.relative_to(item)
                if path.is_file() and not place.is_symlink():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(path)
        (profile / "references").write_text("\n".join(map(str, items)), encoding="utf-8")
        return profile

    def package(self, name: str) -> Path:
        if name == "python":
            item = self.item(f"python-{_SERIES}.0")
            # guix's Python reads GUIX_PYTHONPATH in its sitecustomize; this one has no packages of the machine.
            python = getattr(sys, "_base_executable", sys.executable)
            script = f'#!/bin/sh\nPYTHONPATH="$GUIX_PYTHONPATH" exec \'{python}\' -S "$@"\n'
            _write(item / "bin/python3", script)
            (item / "bin/python3").chmod(0o755)
        elif name == "python-apple":
            item = self.item("python-apple-1.0")
            _write(item / _SITE / "apple.py", "COLOUR = 'red'\n")
            _write(item / _SITE / "apple-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: apple\nVersion: 1.0\n")
            _write(item / _SITE / "apple-1.0.dist-info/RECORD", "apple.py,,\napple-1.0.dist-info/METADATA,,\n")
        else:
            _die(f"guix shell: error: {name}: unknown package")
        return item

    def item(self, name: str, *inputs: str) -> Path:
        """A folder of the store: its name is made of what it is made of."""
        digest = hashlib.sha256("\n".join((self.commit, name, *inputs)).encode()).digest()
        item = self.store / f"{''.join(_LETTERS[byte % 32] for byte in digest)}-{name}"
        item.mkdir(parents=True, exist_ok=True)
        return item

    def gc(self, words: list[str]) -> None:
        assert words[0] == "--requisites", words
        for item in self.needed(words[1]):
            _say(item)

    def graph(self, words: list[str]) -> None:
        assert words[0] == "--type=references", words
        _say('digraph "Guix references" {')
        for item in self.needed(words[1]):
            _say(f'  "{item}" [label = "{Path(item).name[33:]}", shape = box, fontname = sans];')
            for other in _references(Path(item)):
                _say(f'  "{item}" -> "{other}" [color = darkviolet];')
        _say("\n}")

    def needed(self, top: str) -> list[str]:
        return [top, *(one for other in _references(Path(top)) for one in self.needed(other))]


def _references(item: Path) -> Iterator[str]:
    listed = item / "references"
    yield from listed.read_text("utf-8").splitlines() if listed.is_file() else ()


def _write(path: Path, text: str) -> None:
    """A store is written once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _parser(verb: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"guix {verb}", allow_abbrev=False)


def _die(said: str) -> NoReturn:
    sys.stderr.write(f"{said}\n")
    raise SystemExit(1)


def main(folder: str, *argv: str) -> None:
    """One call."""
    if argv == ("--version",):
        _say("guix (GNU Guix) 1.4.0\nCopyright (C) 2022 the Guix authors")
        return
    with (Path(folder) / "calls").open("a", encoding="utf-8") as file:
        file.write(json.dumps(argv) + "\n")
    _Guix(Path(folder)).run(argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
