"""What a training step rests on, on whatever device there is."""

import pytest
import torch


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return str(request.param)


def test_the_gradient_of_a_square_is_twice_the_value(device: str) -> None:
    values = torch.arange(4.0, device=device, requires_grad=True)
    (values**2).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 2.0, 4.0, 6.0]
