import ast
import re
from pathlib import Path

from ci_envs.codes import CODES

SOURCES = Path(__file__).parents[2] / "src/ci_envs"


def codes_in_the_source() -> set[str]:
    trees = (ast.parse(path.read_text("utf-8")) for path in SOURCES.rglob("*.py") if path.name != "codes.py")
    strings = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {
        text for text in strings if isinstance(text, str) and re.fullmatch(r"(ENV|GUIX|IMG|LOCK|NIX|TEST)\d{3}", text)
    }


def test_every_code_that_a_finding_carries_is_documented_and_no_other() -> None:
    assert codes_in_the_source() == set(CODES)


def test_codes_are_listed_in_their_order() -> None:
    assert list(CODES) == sorted(CODES)
