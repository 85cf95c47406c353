from __future__ import annotations

import io
import zipfile

import pytest
from tests.support.trees import LAUNCHERS

from ci_envs.launchers import conda_launcher, is_interpreter, is_launcher, without_interpreter

BIN = "/home/me/my env/bin"
FOLDERS = (BIN, "/resolved/bin")

#: The first line as each installer writes it, by the path it stands for.
LINES = {
    "plain": f"#!{BIN}/python\n",
    "resolved": "#!/resolved/bin/python3.12\n",
    "uv, through sh": f"#!/bin/sh\n'''exec' '{BIN}/python' \"$0\" \"$@\"\n' '''\n",
    "distlib, through sh": f"#!/bin/sh\n'''exec' \"{BIN}/python\" \"$0\" \"$@\"\n' '''\n",
    "distlib, long": "#!/bin/sh\n'''exec' /resolved/bin/python3 \"$0\" \"$@\"\n' '''\n",
    "uv, relocatable": "#!/bin/sh\n'''exec' "
    '"$(dirname -- "$(realpath -- "$0")")"/'
    "'python' \"$0\" \"$@\"\n' '''\n",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("body", LAUNCHERS.values(), ids=LAUNCHERS.keys())
def test_every_installers_launcher_is_known(line: str, body: str) -> None:
    assert is_launcher((line + body).encode(), "pkg.cli:main", FOLDERS)


def test_an_attribute_of_an_object_is_called_through_its_first_name() -> None:
    body = LAUNCHERS["uv"].replace("import main", "import app").replace("exit(main())", "exit(app.run())")
    assert is_launcher(f"#!{BIN}/python\n{body}".encode(), "pkg.cli:app.run", FOLDERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import sys\n", "import sys, os\n"),
        ("import sys\n", "import sys\nimport evil\n"),
        ("sys.exit(main())\n", "sys.exit(main())\nimport evil\n"),
        ("from pkg.cli", "from pkg.evil"),
        ("main())", "main() or evil())"),
        (f"#!{BIN}/python", "#!/usr/bin/python"),
        (f"#!{BIN}/python", f"#!{BIN}/python -i"),
        (f"#!{BIN}/python", f"#!{BIN}/../../evil/bin/python"),
        (f"#!{BIN}/python", f"#!{BIN}/evil"),
    ],
)
def test_a_launcher_that_does_anything_else_is_none(old: str, new: str) -> None:
    text = f"#!{BIN}/python\n{LAUNCHERS['uv']}"
    assert old in text
    assert not is_launcher(text.replace(old, new).encode(), "pkg.cli:main", FOLDERS)


@pytest.mark.parametrize(
    "command", ["'/evil/python'", f"'{BIN}/python' -m evil", f"'{BIN}/python'; evil", "\"$(evil)\"/'python'"]
)
def test_a_shell_line_that_does_anything_else_is_no_launcher(command: str) -> None:
    text = f"#!/bin/sh\n'''exec' {command} \"$0\" \"$@\"\n' '''\n{LAUNCHERS['uv']}"
    assert not is_launcher(text.encode(), "pkg.cli:main", FOLDERS)


@pytest.mark.parametrize("reference", ["", "pkg", "pkg:", "pkg.cli:main()", "pkg.cli:{x}", "os;evil:main"])
def test_a_reference_that_is_none_makes_no_launcher(reference: str) -> None:
    assert not is_launcher(f"#!{BIN}/python\n{LAUNCHERS['uv']}".encode(), reference, FOLDERS)


def test_of_a_wheels_script_only_the_interpreters_line_is_replaced() -> None:
    assert without_interpreter(f"#!{BIN}/python\nimport x\n".encode(), FOLDERS) == b"#!python\nimport x\n"
    for other in (b"#!/usr/bin/python\nimport x\n", b"#!/bin/sh\necho\n", b"\x7fELF\n", b"#!", b""):
        assert without_interpreter(other, FOLDERS) == other


def archive(text: str, name: str = "__main__.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, text)
    return buffer.getvalue()


WINDOWS = (r"C:\env\Scripts",)


@pytest.mark.parametrize(
    "program",
    [
        b"MZ stub" + rb"#!C:\env\Scripts\python.exe" + b"\r\n" + archive(LAUNCHERS["pip 23"]),
        b"MZ stub" + rb'#!"C:\env\Scripts\python.exe"' + b"\n" + archive(LAUNCHERS["pip 26"]),
        b"MZ stub" + archive("#!C:\\env\\Scripts\\python.exe\n" + LAUNCHERS["uv"]) + b"\0\0 resources go on",
    ],
    ids=["distlib", "pip", "uv"],
)
def test_a_windows_program_is_judged_by_the_archive_in_it(program: bytes) -> None:
    assert is_launcher(program, "pkg.cli:main", WINDOWS)
    assert not is_launcher(program, "pkg.evil:main", WINDOWS)
    assert not is_launcher(program, "pkg.cli:main", (r"C:\other\Scripts",))


@pytest.mark.parametrize(
    "program",
    [
        b"MZ no archive",
        b"MZ" + archive(LAUNCHERS["uv"]),
        b"MZ#!C:\\env\\Scripts\\python.exe\n" + archive("import evil\n"),
        b"MZ#!C:\\env\\Scripts\\python.exe\n" + archive(LAUNCHERS["uv"], "other.py"),
        b"MZ#!C:\\env\\Scripts\\python.exe\n" + archive(LAUNCHERS["uv"])[:-30] + b"PK\x05\x06",
    ],
)
def test_a_windows_program_without_a_launcher_in_it_is_none(program: bytes) -> None:
    assert not is_launcher(program, "pkg.cli:main", WINDOWS)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *((name, True) for name in ("python", "python3", "python3.12", "python3.13t", "pythonw.exe", "pypy3.10")),
        *((name, True) for name in ("python313.dll", "vcruntime140_1.dll", "libpypy3.10-c.so", "\U0001d70bthon")),
        *((name, False) for name in ("python-config", "pythonic", "pip", "ipython", "python.sh", "evil.dll")),
    ],
)
def test_an_interpreter_is_known_by_its_name(name: str, known: bool) -> None:
    assert is_interpreter(name) is known


# Launchers of conda's installers.

CONDA = (
    "# -*- coding: utf-8 -*-\nimport re\nimport sys\n\nfrom a.b import main\n\nif __name__ == '__main__':\n"
    "    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main.run())\n"
)


@pytest.mark.parametrize(
    "text",
    [
        f"#!/e/bin/python3.12\n{CONDA}",
        f"#!/e/bin/python3.12\n{CONDA}".replace("    ", "\t"),
        f"#!/bin/sh\n'''exec' \"/e/bin/python3.12\" \"$0\" \"$@\" #'''\n{CONDA}",
        CONDA,  # Windows: the program beside it knows the interpreter
        f"\n{CONDA}".replace("\n", "\r\n"),
    ],
)
def test_a_launcher_of_condas_tells_what_it_calls(text: str) -> None:
    assert conda_launcher(text.encode(), ["/e/bin"]) == "a.b:main.run"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/e/bin/", "/f/bin/"),
        ("/e/bin/python3.12", "/usr/bin/env python3.12"),
        ("python3.12\n", "python3.12 -i\n"),
        ("import sys\n", "import sys, evil\n"),
        ("from a.b", "import evil; from a.b"),
        ("main.run())\n", "main.run())\nevil()\n"),
        ("main.run()", "evil.run()"),
        ("main.run()", "main.run(evil)"),
        ("# -*-", "evil() # -*-"),
        (CONDA, ""),
    ],
)
def test_one_that_does_more_is_none(old: str, new: str) -> None:
    text = f"#!/e/bin/python3.12\n{CONDA}"
    assert old in text
    assert conda_launcher(text.replace(old, new).encode(), ["/e/bin"]) == ""
