"""How the images of legs are told."""

from __future__ import annotations

import pytest

from ci_envs.model.report import LegImage
from ci_envs.report.images import short_digest, size, system


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, ""),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_940_000, "9.9 MB"),
        (9_960_000, "10 MB"),
        (361_234_567, "361 MB"),
        (999_600_000, "1.0 GB"),
        (4_100_000_000, "4.1 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_a_size_is_shown_as_engines_show_it(count: int, shown: str) -> None:
    assert size(count) == shown


def test_a_digest_is_recognised_by_its_beginning() -> None:
    assert short_digest("sha256:" + "0123456789abcdef" * 4) == "sha256:0123456789ab"
    assert short_digest("") == ""


def test_a_list_of_packages_that_is_not_whole_says_so() -> None:
    assert system(LegImage(name="a", digest="b", note="it has a database of rpm, and no rpm that reads it")) == (
        "it has a database of rpm, and no rpm that reads it"
    )
    assert system(LegImage(name="a", digest="b", system="Alpine", packages=14)) == "Alpine, 14 packages"
