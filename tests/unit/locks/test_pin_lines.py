from __future__ import annotations

import pytest

from ci_envs.locks.pin_lines import pin_line

REQUIREMENTS = """\
# pear==1.1
apple-pie==1.0 \\
    --hash=sha256:00
    # via pear
apple[jam]==1.0 ; sys_platform == "win32" \\
    --hash=sha256:00
Pear_Tree @ https://example.invalid/pear.whl
pear===1.1
"""
UV_LOCK = """\
version = 1

[[package]]
name = "apple-pie"
version = "1.0"
dependencies = [
    { name = "pear" },
]

[[package]]
name = "pear"
version = "1.1"
"""
PYLOCK = 'lock-version = "1.0"\n\n[[packages]]\nname = "pear"\n'


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        (REQUIREMENTS, "apple-pie", 2),
        (REQUIREMENTS, "apple", 5),
        (REQUIREMENTS, "pear-tree", 7),
        (REQUIREMENTS, "pear", 8),
        (REQUIREMENTS, "pie", 0),
        (UV_LOCK, "apple-pie", 4),
        (UV_LOCK, "pear", 11),
        (UV_LOCK, "apple", 0),
        (PYLOCK, "pear", 4),
        ("", "pear", 0),
    ],
)
def test_a_pin_has_a_line(text: str, name: str, line: int) -> None:
    assert pin_line(text, name) == line
