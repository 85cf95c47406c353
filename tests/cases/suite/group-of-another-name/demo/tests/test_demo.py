import pytest


def test_demo():
    assert pytest
