"""L-softmax against its definition."""

import math

import pytest
import torch

from genre_pipeline.models.heads import HeadBlock, LargeMarginLinear, build_head, margin_lambda


def head(margin=2, **values):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LargeMarginLinear(2, 3, HeadBlock(kind="large_margin", margin=margin, **values))


def embeddings_at(angles):
    """Unit vectors at these angles from the first class's weight vector, which is set along the first axis."""
    return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles], dtype=torch.float64)


def with_axes(layer):
    layer.double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 1.0]], dtype=torch.float64))
    return layer


def psi(angle, margin):
    """The definition, by cases of the angle."""
    k = min(int(angle * margin / math.pi), margin - 1)
    return (-1) ** k * math.cos(margin * angle) - 2 * k


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_the_target_logit_without_the_plain_one_is_psi(margin):
    layer = with_axes(head(margin))
    layer.plain_weight = 0.0
    angles = [0.05, 0.7, 1.2, 2.0, 2.6, 3.1]
    logits = layer.training_logits(embeddings_at(angles), torch.zeros(len(angles), dtype=torch.long))
    expected = torch.tensor([2.0 * psi(angle, margin) for angle in angles], dtype=torch.float64)
    torch.testing.assert_close(logits[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_psi_falls_steadily_with_the_angle(margin):
    layer = with_axes(head(margin))
    layer.plain_weight = 0.0
    angles = [0.01 + step * (math.pi - 0.02) / 200 for step in range(201)]
    logits = layer.training_logits(embeddings_at(angles), torch.zeros(len(angles), dtype=torch.long))[:, 0]
    assert (logits.diff() < 0).all()


def test_a_margin_of_one_is_plain_softmax():
    layer = head(1)
    batch, targets = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(layer.training_logits(batch, targets), layer(batch))


def test_a_large_lambda_tends_to_plain_softmax():
    layer = head(4)
    batch, targets = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1])
    gaps = []
    for layer.plain_weight in (0.0, 1e2, 1e4, 1e6):
        gaps.append((layer.training_logits(batch, targets) - layer(batch)).abs().max().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.1
    assert gaps[-1] < 1e-4


def test_only_targets_are_changed_and_gradients_are_finite_everywhere():
    layer = with_axes(head(3))
    layer.plain_weight = 0.5
    batch = torch.cat([embeddings_at([0.0, math.pi, math.pi / 3, 1.0]), torch.zeros(1, 2, dtype=torch.float64)])
    batch.requires_grad_()
    targets = torch.zeros(5, dtype=torch.long)
    logits = layer.training_logits(batch, targets)
    torch.testing.assert_close(logits[:, 1:], layer(batch)[:, 1:])
    logits.sum().backward()
    assert layer.weight.grad.isfinite().all()
    assert batch.grad[:4].isfinite().all()


class TestLambda:
    def test_values(self):
        block = HeadBlock(kind="large_margin", annealed_at=0.5)
        assert margin_lambda(0.0, block) == 1000.0
        assert margin_lambda(0.5, block) == pytest.approx(0.01)

    def test_it_falls_and_stops_at_its_least_value(self):
        block = HeadBlock(kind="large_margin", annealed_at=0.3, lambda_min=5.0)
        values = [margin_lambda(step / 20, block) for step in range(21)]
        assert values == sorted(values, reverse=True)
        assert values[-1] == 5.0

    def test_steps_anneal_the_layer(self):
        layer = head(2, annealed_at=0.5)
        layer.begin_step(0.5)
        assert layer.plain_weight == pytest.approx(0.01)


def test_a_linear_head_may_go_without_bias():
    assert build_head(4, 3, HeadBlock(bias=False)).bias is None
    assert build_head(4, 3, HeadBlock()).bias is not None
