"""The one place where conda-lock is imported: 0.7 s, and two things that its import leaves behind."""

from __future__ import annotations

import importlib
import os
import threading
import warnings
from typing import Any

from ci_envs.errors import ToolMissing

__all__ = ["conda_lock_part"]

_LOCK = threading.Lock()


def conda_lock_part(module: str) -> Any:
    """A module of conda-lock (``lockfile.v1.models``); :class:`ToolMissing` where it is not installed.

    The conda inside it sets ``CONDA_ROOT`` for this process, and so for each tool that is started later: it is taken
    back. And it warns of its own parts, which is nobody's news here.
    """
    with _LOCK:
        before = set(os.environ)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return importlib.import_module(f"conda_lock.{module}")
        except ModuleNotFoundError as error:
            if error.name != "conda_lock":
                raise
            raise ToolMissing(
                "conda-lock, whose format is to be written, is not installed beside ci-envs",
                hint="pip install 'repro-envs[conda]'",
            ) from error
        finally:
            for name in os.environ.keys() - before:
                del os.environ[name]
