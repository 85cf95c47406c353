"""What the build of an image needs to install a conda lock: a script, a list of packages, and the mirrors as a secret.

The list is the lock's part for one platform, in the words of the script (``resources/install_conda.py``). There is no
conda in the image: py-rattler links the packages as it does on a host, so that both have one digest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ci_envs.conda.failures import stem
from ci_envs.conda.prefix_build import pip_line
from ci_envs.errors import LockError
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.conda.routes import Routes
    from ci_envs.model.conda import LockedPackage

__all__ = ["CONDA_FOLDER", "conda_files", "conda_secret"]

#: Of the build context; what is kept for the user lies there, too.
CONDA_FOLDER = "conda-image"


def conda_files(packages: Sequence[LockedPackage], variables: Mapping[str, str], *, lock: str = "") -> dict[str, bytes]:
    """The files that the build is given, by their paths in the context, in the order of ``ImagePlan.locks``.

    Raises :class:`LockError` for a package that lies in a folder: no build of an image sees it.
    """
    conda = [package for package in packages if package.manager == "conda"]
    pip = [package for package in packages if package.manager == "pip"]
    for package in (*conda, *(one for one in pip if one.by_address)):
        if not package.url.startswith(("https://", "http://", "git+https://", "git+http://")):
            raise LockError(
                f"{package.name} lies in a folder of this machine, which the build of an image cannot see",
                hint="serve the folder, and name its address among the channels or in conda.mirrors",
                file=lock,
            )
    rows = [
        {
            "stem": stem(package),
            "url": package.url,
            "sha256": package.sha256,
            "md5": package.md5,
            "depends": list(package.depends),
        }
        for package in conda
    ]
    told = {"packages": rows, "variables": dict(variables)}
    files = {
        "install.py": resource("install_conda.py").read_bytes(),
        "packages.json": json.dumps(told, indent=1, sort_keys=True).encode() + b"\n",
    }
    if pip:
        files["pip.txt"] = "".join(f"{pip_line(package)}\n" for package in pip).encode()
    return {f"{CONDA_FOLDER}/{name}": data for name, data in files.items()}


def conda_secret(ways: Routes) -> bytes:
    """Where channels are really served, with what is needed to reach them; empty where nobody has said anything.

    For ``--secret id=ci-envs-conda``. Raises :class:`LockError` for a mirror that is a folder.
    """
    mirrors = {canonical: list(fetches) for canonical, _, fetches in ways.ways if fetches != (canonical,)}
    local = [url for urls in mirrors.values() for url in urls if not url.startswith(("https://", "http://"))]
    if local:
        raise LockError(
            f"a conda channel is served by {local[0]}, which the build of an image cannot reach",
            hint="name an http address of it in conda.mirrors",
        )
    return json.dumps({"mirrors": mirrors}, sort_keys=True).encode() if mirrors else b""
