"""``lapse P1M 2026-01-31``: the date that long after another."""

import argparse
from collections.abc import Sequence
from datetime import datetime

from lapse.duration import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the moment and answers with the exit code."""
    parser = argparse.ArgumentParser(prog="lapse", description="The moment a duration after a date.")
    parser.add_argument("duration", type=parse, help="for example P1M or PT90S")
    parser.add_argument("start", type=datetime.fromisoformat, help="for example 2026-01-31")
    given = parser.parse_args(argv)
    print(given.duration.after(given.start).isoformat())
    return 0
