"""A small universe of packages, projects over it, and the variables that keep tools inside it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uv
from packaging.tags import platform_tags
from tests.support.wheels import BACKEND, make_sdist, make_wheel

from ci_envs.command import Command, run
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FROZEN",
    "NEEDLESS",
    "PACKAGE",
    "REQUIREMENTS",
    "TESTLESS",
    "UNSATISFIABLE",
    "WITH_EXTRAS",
    "fetch_wheels",
    "make_universe",
    "private_environment",
    "write_project",
]

# Variables of whoever runs the tests that would send a tool elsewhere, or bend what it does.
_BENDING = ("ACTIONS_", "CI_ENVS_", "GITHUB_", "PIP_", "PYTHON", "RUNNER_", "UV_", "VIRTUAL_ENV", "VIRTUALENV_", "XDG_")
_BENDING_NAMES = {"CI", "CONDA_PREFIX", "NETRC", "SOURCE_DATE_EPOCH", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"}


def make_universe(folder: Path) -> Path:
    """Builds every package of the universe into the folder: a second's work.

    ==========  ================  ==============================================================
    package     versions          what it is for
    ==========  ================  ==============================================================
    seed        1.0, 1.5, 2.0     no dependencies
    apple       1.0, 1.1, 2.0     ``seed>=1``, 2.0 ``seed>=2``; console script ``eat-apple``
    pear        1.0, 1.1          ``seed<2``: beside it apple 2.0 cannot be
    sugar       1.0, 2.0a1        a pre-release
    plum        1.0               extra ``jam`` brings sugar; a script in data
    melon       1.0               platlib, for this machine's platform
    fig         1.0               an sdist only, its build backend inside it
    cherry      1.0, 2.0          2.0 for Python 3.12 and later
    berry       1.0               markers: seed below Python 3.12, sugar on Windows
    rotten      1.0               its import raises
    bomb        1.0               its import ends the process
    stuck       1.0               its import never ends
    ==========  ================  ==============================================================
    """
    folder.mkdir(parents=True, exist_ok=True)
    for version in ("1.0", "1.5", "2.0"):
        make_wheel(folder, "seed", version)
    _make_fruit(folder)
    for version in ("1.0", "2.0a1"):
        make_wheel(folder, "sugar", version)
    make_wheel(folder, "cherry", "1.0")
    make_wheel(folder, "cherry", "2.0", requires_python=">=3.12")
    make_wheel(
        folder,
        "berry",
        "1.0",
        requires=["seed>=1; python_version < '3.12'", "sugar; sys_platform == 'win32'"],
    )
    make_wheel(folder, "rotten", "1.0", modules={"rotten.py": "raise ImportError('rotten to the core')\n"})
    make_wheel(folder, "bomb", "1.0", modules={"bomb.py": "import os\n\nos.abort()\n"})
    make_wheel(folder, "stuck", "1.0", modules={"stuck.py": "import time\n\nwhile True:\n    time.sleep(1)\n"})
    return folder


def _make_fruit(folder: Path) -> None:
    for version, seed in {"1.0": "seed>=1", "1.1": "seed>=1", "2.0": "seed>=2"}.items():
        text = f'import seed\n\n__version__ = "{version}"\n\n\ndef main():\n    print("crunch", seed.__version__)\n'
        modules = {"apple/__init__.py": text, "apple/core.txt": "not eaten\n"}
        make_wheel(folder, "apple", version, requires=[seed], modules=modules, scripts={"eat-apple": "apple:main"})
    for version in ("1.0", "1.1"):
        make_wheel(folder, "pear", version, requires=["seed<2"])
    plum = "#!python\nprint('stone')\n"
    make_wheel(folder, "plum", "1.0", extras={"jam": ["sugar"]}, data_scripts={"stone-plum": plum})
    make_wheel(folder, "melon", "1.0", tags=f"py3-none-{next(platform_tags())}")
    make_sdist(folder, "fig", "1.0", requires=["seed"])


# Projects: a path and a text for each file.

_FRUIT_TEST = """\
import apple
import pear


def test_there_is_an_apple():
    assert apple.__version__


def test_there_is_a_pear():
    assert pear.__version__
"""

_BUILD_SYSTEM = """\
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]
"""

#: Intent files for pip-tools, with the project's own tests.
REQUIREMENTS: dict[str, str] = {
    "requirements.in": "apple\npear\n",
    "requirements-dev.in": "-r requirements.in\npytest\n",
    "tests/test_fruit.py": _FRUIT_TEST,
}

#: A file that somebody froze by hand: pins, no hashes.
FROZEN: dict[str, str] = {
    "requirements.txt": "apple==1.1\npear==1.1\nseed==1.5\n",
}

#: A package for uv with a dependency group, a console script and an extra.
PACKAGE: dict[str, str] = {
    "pyproject.toml": f"""\
[project]
name = "basket"
version = "0.1"
requires-python = ">=3.11"
dependencies = ["apple>=1,<2", "pear"]

[project.optional-dependencies]
sweet = ["plum[jam]"]

[project.scripts]
carry = "basket:main"

[dependency-groups]
test = ["pytest"]

{_BUILD_SYSTEM}""",
    "tiny_backend.py": BACKEND.read_text(encoding="utf-8"),
    "src/basket/__init__.py": 'import apple\n\n\ndef main():\n    print("carries", apple.__version__)\n',
    "tests/test_basket.py": _FRUIT_TEST.replace("import apple\n", "import apple\nimport basket\n", 1)
    + "\n\ndef test_the_basket_is_installed():\n    assert basket.main\n",
}

#: PEP 621 with its tests' dependencies as an extra, not a group.
WITH_EXTRAS: dict[str, str] = {
    "pyproject.toml": f"""\
[project]
name = "bowl"
version = "0.1"
requires-python = ">=3.11"
dependencies = ["apple"]

[project.optional-dependencies]
test = ["pytest", "pear"]

{_BUILD_SYSTEM}""",
    "tiny_backend.py": BACKEND.read_text(encoding="utf-8"),
    "bowl/__init__.py": "",
    "tests/test_bowl.py": _FRUIT_TEST,
}

#: No tests and no test runner.
TESTLESS: dict[str, str] = {"requirements.in": "seed\n"}

#: A project without any dependency, so that no index is asked.
NEEDLESS = """\
[project]
name = "tiny"
version = "1.0"
requires-python = ">=3.9"
dependencies = []

[tool.uv]
package = false
"""

#: No resolver can help: apple 2.0 wants seed 2, pear wants less.
UNSATISFIABLE: dict[str, str] = {"requirements.in": "apple==2.0\npear\n"}


def write_project(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes the files, making their folders; text gets ``\\n`` line ends everywhere. Returns the folder."""
    for relative, content in files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def private_environment(url: str, home: Path, cache: Path) -> dict[str, str]:
    """Variables under which pip, uv and ci-envs know one index, a home of their own, and no setting of the user.

    Interpreters are the machine's own: where pyenv and uv keep them is told, since the home is another. Retries and
    time limits are short, so that a fault is told in seconds.
    """
    kept = {name: value for name, value in os.environ.items() if not _bends(name)}
    for folder in (home, cache):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        **_interpreters(),
        "HOME": str(home),
        "USERPROFILE": str(home),
        "CI_ENVS_CACHE_DIR": str(cache),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DEFAULT_TIMEOUT": "3",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": url,
        "PIP_NO_INPUT": "1",
        "PIP_RETRIES": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "UV_DEFAULT_INDEX": url,
        "UV_HTTP_RETRIES": "1",
        "UV_HTTP_TIMEOUT": "3",
        "UV_NO_SYSTEM_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "XDG_CONFIG_DIRS": str(home / "no-config"),
    }


def _bends(name: str) -> bool:
    return name.startswith(_BENDING) or name.upper() in _BENDING_NAMES


def _interpreters() -> dict[str, str]:
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    folders = {
        "PYENV_ROOT": os.environ.get("PYENV_ROOT") or str(home / ".pyenv"),
        "UV_PYTHON_INSTALL_DIR": os.environ.get("UV_PYTHON_INSTALL_DIR") or str(data / "uv" / "python"),
    }
    return {name: folder for name, folder in folders.items() if Path(folder).is_dir()}


def fetch_wheels(requirements: Sequence[str], folder: Path, pip: Path) -> Path:
    """Downloads wheels, with what they depend on, from the index that whoever runs the tests has set up.

    ``pip`` is an interpreter that has pip. A folder that was filled before is taken as it is: nothing is asked then.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        argv = [str(pip), "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", made, *requirements]
        outcome = run(Command(tuple(argv), timeout=100))
        if not outcome:
            raise RuntimeError(f"cannot download {' '.join(requirements)}:\n{outcome.tail()}")
        shutil.copytree(made, f"{folder}.part", dirs_exist_ok=True)
        Path(f"{folder}.part").replace(folder)
    return folder


def make_pip(folder: Path) -> Path:
    """An interpreter with the pip that the venv pattern locks with: what it says of a failure differs by version."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    make = ("venv", "-q", "--python", sys.executable, str(folder))
    bring = ("pip", "install", "-q", "-p", str(python), f"pip=={_locked_pip()}")
    for words in (make, bring):
        outcome = run(Command((uv.find_uv_bin(), *words), timeout=60))
        if not outcome:
            raise RuntimeError(f"cannot make an environment with pip:\n{outcome.tail()}")
    return python


def _locked_pip() -> str:
    lock = resource("tools/pip-tools.txt").read_text("utf-8")
    found = re.search(r"^pip==(\S+) ; python_full_version >=", lock, re.MULTILINE)
    assert found is not None, "tools/pip-tools.txt names no pip"
    return found[1]
