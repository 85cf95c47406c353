from __future__ import annotations

import pytest

from ci_envs.conda.credentials import shown_address, shown_requirement


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("conda-forge", "conda-forge"),
        ("https://conda.example/c", "https://conda.example/c"),
        ("https://u:p@conda.example/c", "https://conda.example/c"),
        ("https://u:p@ss@conda.example/c", "https://conda.example/c"),
        ("https://token@conda.example/c", "https://conda.example/c"),
        ("https://conda.example/t/tk-1/c", "https://conda.example/c"),
        ("https://conda.example/t/tk-1", "https://conda.example"),
        ("https://conda.example/get/t/tk-1/c::zlib >=1", "https://conda.example/get/c::zlib >=1"),
        ("https://u:p@conda.example/t/tk-1/c", "https://conda.example/c"),
        ("https://u:p@conda.example/t/$TOKEN/c", "https://conda.example/t/$TOKEN/c"),
        ("https://conda.example/t/${TOKEN}/c", "https://conda.example/t/${TOKEN}/c"),
        ("https://conda.example/t/tk${TOKEN}/c", "https://conda.example/c"),
        ("https://$USER:${PASSWORD}@conda.example/c", "https://$USER:${PASSWORD}@conda.example/c"),
        ("https://$TOKEN@conda.example/c", "https://$TOKEN@conda.example/c"),
        ("https://$USER:secret@conda.example/c", "https://conda.example/c"),
        ("x[channel='https://u:p@conda.example/t/tk-1/c']", "x[channel='https://conda.example/c']"),
        ("file:///srv/t/channel/x", "file:///srv/t/channel/x"),
    ],
)
def test_an_address_is_shown_without_its_secrets(written: str, shown: str) -> None:
    assert shown_address(written) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("x @ git+https://u:p@git.example/t/x@main", "x @ git+https://git.example/t/x@main"),
        ("git+ssh://git@git.example/t/x", "git+ssh://git@git.example/t/x"),
        ("git+ssh://git:p@git.example/t/x", "git+ssh://git.example/t/x"),
        ("--index-url=https://u:p@pypi.example/simple", "--index-url=https://pypi.example/simple"),
        ("--index-url https://${U}:${P}@pypi.example/simple", "--index-url https://${U}:${P}@pypi.example/simple"),
    ],
)
def test_a_requirement_is_shown_without_its_secrets(written: str, shown: str) -> None:
    assert shown_requirement(written) == shown
