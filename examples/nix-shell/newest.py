"""The newest release of each project in a log: awk reads the columns, PEP 440 says what is newer.

The log is the file that RELEASES names, which shell.nix sets.
"""

import os
import subprocess
import sys
from pathlib import Path

from packaging.version import Version

HERE = Path(__file__).parent


def rows(log):
    """(project, version) of each line."""
    done = subprocess.run(
        ["awk", "-f", HERE / "columns.awk", log], check=True, capture_output=True, text=True
    )
    for line in done.stdout.splitlines():
        project, version = line.split()
        yield project, Version(version)


def newest(found):
    """The newest release of each project; pre-releases are none."""
    best = {}
    for project, version in found:
        if not version.is_prerelease and version >= best.get(project, version):
            best[project] = version
    return best


if __name__ == "__main__":
    for project, version in sorted(newest(rows(HERE / os.environ["RELEASES"])).items()):
        sys.stdout.write(f"{project} {version}\n")
