from __future__ import annotations

import pytest
import torch


def test_a_gradient_is_what_calculus_says() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    (x**2).backward()

    assert x.grad is not None
    assert x.grad.item() == 6.0


def test_the_device_gives_the_same_sum() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    values = torch.arange(1000, dtype=torch.float64)

    assert values.cuda().sum().item() == values.sum().item()
