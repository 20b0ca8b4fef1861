"""The fused loss against torch's own: loss, gradients, left-out tokens, autocast."""

from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from biasloop.models.fast import loss as module
from biasloop.models.fast.loss import cross_entropy

#: The package's name "batches" is the function in it.
BATCHES = import_module("biasloop.models.batches")


def made_up(tokens, width, vocabulary, seed=0):
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, width, generator=random).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=random).requires_grad_()
    bias = torch.randn(vocabulary, generator=random).requires_grad_()
    targets = torch.randint(0, vocabulary, (tokens,), generator=random)
    return hidden, weight, bias, targets


def both(hidden, weight, bias, targets, divisor, outer=1.0):
    """Loss and gradients by torch, then by the fused loss."""
    found = []
    for fused in (False, True):
        inputs = [one for one in (hidden, weight, bias) if one is not None]
        if fused:
            value = cross_entropy(hidden, weight, bias, targets, divisor)
        else:
            logits = functional.linear(hidden, weight, bias).float()
            value = functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
            value = value / divisor
        found.append((value.detach(), torch.autograd.grad(value * outer, inputs)))
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(2, 50),
    st.booleans(),
    st.floats(0.5, 30),
    st.floats(-3, 3),
    st.data(),
)
def test_loss_and_gradients_are_torchs(tokens, width, vocabulary, biased, divisor, outer, data):
    hidden, weight, bias, targets = made_up(tokens, width, vocabulary)
    out = data.draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens))
    targets[torch.tensor(out)] = -100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BATCHES, "_IN_CACHE", data.draw(st.integers(1, 200)))
        patch.setattr(module, "_TOKENS", data.draw(st.integers(1, 45)))
        one, two = both(hidden, weight, bias if biased else None, targets, divisor, outer)
    torch.testing.assert_close(one[0], two[0], atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(one[1], two[1], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_in_bfloat16_loss_and_gradients_are_those_of_autocast():
    hidden, weight, bias, targets = made_up(64, 16, 300)
    with torch.autocast("cpu", torch.bfloat16):
        one, two = both(hidden, weight, bias, targets, 64.0)
    assert two[0].dtype == torch.float32
    torch.testing.assert_close(one[0], two[0], atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(one[1], two[1], strict=True):
        assert theirs.dtype == torch.float32
        error = (mine - theirs).norm() / mine.norm()
        assert error < 0.01


def test_probabilities_that_vanish_have_a_loss():
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [500.0]], requires_grad=True)
    loss = cross_entropy(hidden, weight, None, torch.tensor([0]), 1.0)
    assert loss.item() == 500.0


def test_the_gradient_can_be_had_once():
    hidden, weight, _, targets = made_up(4, 3, 5)
    loss = cross_entropy(hidden, weight, None, targets, 4.0)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="has been taken"):
        loss.backward()
