"""``python -m tests.support.channel serve FOLDER --port-file FILE``: the test channel for whoever is no test."""

from __future__ import annotations

import argparse
import hashlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.channel_forge import SERIES, shared_forge
from tests.support.channel_server import ChannelServer
from tests.support.projects import fetch_wheels, make_pip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["fetching", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the channel in ``FOLDER/channels/conda-forge`` if it is not there, and serves it until a signal comes.

    The port is written to the file once it answers; whoever waits for the file need not try the address.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.support.channel", description=main.__doc__)
    serve = parser.add_subparsers(required=True, metavar="serve").add_parser("serve")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--port-file", type=Path, required=True)
    serve.add_argument("--port", type=int, default=0)
    serve.add_argument("--python", action="append", choices=SERIES, help="only these; every one that is here if none")
    options = parser.parse_args(argv)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    shared_forge(options.folder / "channels", fetching(options.folder), options.python or SERIES)
    with ChannelServer(options.folder / "channels", port=options.port) as server:
        part = options.port_file.with_name(f"{options.port_file.name}.part")
        part.write_text(f"{server.port}\n", encoding="utf-8")
        part.replace(options.port_file)
        ended.wait()
    return 0


def fetching(folder: Path) -> Callable[..., Path]:
    """Downloads with a pip of its own, from the index that is configured; what is there already is not asked for."""

    def fetch(*arguments: str) -> Path:
        name = hashlib.sha256("\n".join(arguments).encode()).hexdigest()[:16]
        if not (pip := folder / "pip" / "bin" / "python").exists():
            pip = make_pip(folder / "pip")
        return fetch_wheels(arguments, folder / "wheels" / name, pip)

    return fetch
