"""What `guix shell --search-paths` prints, and which file it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.doctor import NEEDS
from ci_envs.errors import BuildError, LockError, ToolMissing
from ci_envs.guix.building import manifest_words, read_search_paths
from ci_envs.guix.tool import INSTALL, find_guix
from ci_envs.model.config import GuixConfig
from ci_envs.patterns.registry import ALL_PATTERNS
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = "/gnu/store/0-profile"


def test_each_line_is_a_variable() -> None:
    said = f'export PATH="{PROFILE}/bin:{PROFILE}/sbin"\nexport GUIX_PYTHONPATH="{PROFILE}/lib"\n\n'

    made = read_search_paths(said)

    assert made == {"PATH": f"{PROFILE}/bin:{PROFILE}/sbin", "GUIX_PYTHONPATH": f"{PROFILE}/lib"}


@pytest.mark.parametrize(
    "line",
    [
        'export PATH="/bin${PATH:+:}$PATH"',  # what it prints without --pure
        'export PATH="$(rm -r /)"',
        'export PATH="a"; rm -r /',
        'PATH="/bin"',
        "guix shell: warning: no packages specified; creating an empty environment",
    ],
)
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(BuildError, match="cannot be read"):
        read_search_paths(f"{line}\n")


@pytest.mark.parametrize(
    ("files", "config", "words"),
    [
        (("manifest.scm", "guix.scm"), GuixConfig(), ("--manifest=manifest.scm",)),
        (("guix.scm",), GuixConfig(), ("--development", "--file=guix.scm")),
        (
            ("manifest.scm", "sub/guix.scm"),
            GuixConfig(manifest="sub/guix.scm"),
            ("--development", "--file=sub/guix.scm"),
        ),
        (("manifest.scm", "ci.scm"), GuixConfig(manifest="ci.scm"), ("--manifest=ci.scm",)),
    ],
)
def test_a_manifest_comes_before_a_package(
    tmp_path: Path, files: tuple[str, ...], config: GuixConfig, words: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    assert manifest_words(Project(tmp_path), config) == words


def test_where_there_is_neither_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"no manifest\.scm or guix\.scm"):
        manifest_words(Project(tmp_path), GuixConfig())


def test_what_brings_guix_is_said_in_the_same_words_everywhere(tmp_path: Path) -> None:
    (tool,) = ALL_PATTERNS["guix"].requires
    assert NEEDS["guix"].get["*"] == tool.get == INSTALL
    with pytest.raises(ToolMissing) as caught:
        find_guix({"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert INSTALL in caught.value.hint
