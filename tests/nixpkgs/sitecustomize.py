"""A Python of the store stands where its wrapper says, and has the packages that the wrapper names."""

import os
import site
import sys


def _stand_in_environment() -> None:
    prefix = os.environ.pop("NIX_PYTHONPREFIX", None)
    executable = os.environ.pop("NIX_PYTHONEXECUTABLE", None)
    folders = os.environ.pop("NIX_PYTHONPATH", None)
    # A virtual environment made from here has a prefix of its own.
    if prefix and sys.prefix == sys.base_prefix:
        sys.prefix = sys.exec_prefix = prefix
        site.PREFIXES.insert(0, prefix)
    if executable and sys.prefix == (prefix or sys.prefix):
        sys.executable = executable
    for folder in (folders or "").split(os.pathsep):
        if folder:
            site.addsitedir(folder)


_stand_in_environment()
