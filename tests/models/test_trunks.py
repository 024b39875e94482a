"""ResNet, LGNet, ConvNeXt, MusicNeXt and the networks over frames as published."""

import pytest
import torch
from torch import nn

from genre_pipeline.errors import ConfigError
from genre_pipeline.models import MODELS, InputShape
from genre_pipeline.models.lgnet import LgNetBlock, build_lgnet
from genre_pipeline.models.resnet import ResNetTrunk

SHAPE = InputShape(n_bins=128, n_frames=256)
MUSICNEXT = {"block_norm": False, "activation": "elu", "layer_scale": None, "head": {"kind": "large_margin"}}


def build(family, shape=SHAPE, n_classes=10, **values):
    spec = MODELS[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return spec.build(spec.block.model_validate(values), shape, n_classes)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("family", "values", "n_parameters"),
    [
        ("resnet", {}, 11_175_370),
        # The published ResNet-50, 25,557,032 [P], less two input channels and 990 classes.
        ("resnet", {"depth": 50}, 25_557_032 - 2 * 49 * 64 - 990 * 2049),
        ("lgnet", {"n_experts": 4, "n_hidden": 512}, 12_243_436),
        ("lgnet", {"n_experts": 4, "n_hidden": 256}, 11_707_884),
        ("lgnet", {"n_experts": 4, "n_hidden": 128}, 11_440_108),
        ("lgnet", {"n_experts": 4, "n_hidden": None}, 11_192_812),
        ("convnext", {**MUSICNEXT, "activation_after": "depthwise"}, 27_804_672),
        ("convnext", {**MUSICNEXT, "activation_after": "expansion"}, 27_804_672),
        ("convnext", {**MUSICNEXT, "widths": (64, 128, 256, 512)}, 12_441_600),
        # The published ConvNeXt-T, 28,589,128 [P], less two input channels and 990 classes.
        ("convnext", {}, 28_589_128 - 2 * 16 * 96 - 990 * 769),
        ("residual_convolutions", {}, None),
    ],
)
def test_parameter_counts(family, values, n_parameters):
    if n_parameters is not None:
        assert count(build(family, **values)) == n_parameters


@pytest.mark.parametrize(
    ("values", "n_parameters"),
    [({"n_filters": (128, 128, 256), "hidden": (), "shortcut": False}, 464_906), ({}, 1_250_928)],
)
def test_parameter_counts_of_the_compared_networks(values, n_parameters):
    assert count(build("residual_convolutions", InputShape(n_bins=513, n_frames=128), **values)) == n_parameters


def test_the_trunk_of_lgnet():
    assert count(ResNetTrunk()) == 11_170_240


class TestLgNet:
    def network(self, **values):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            block = LgNetBlock(**{"n_experts": 3, "n_hidden": None, "width": 4, **values})
            return build_lgnet(block, SHAPE, 5).eval()

    def batch(self):
        return torch.randn(6, 32, 32, generator=torch.Generator().manual_seed(2))

    @pytest.mark.parametrize("gate", ["softmax", "sigmoid", "linear"])
    def test_the_chosen_expert_alone_scores_times_its_gate_value(self, gate):
        network, batch = self.network(gate=gate), self.batch()
        embeddings = network.trunk(batch)
        scores = network.gate(embeddings)
        gates = {"softmax": scores.softmax(1), "sigmoid": scores.sigmoid(), "linear": scores}[gate]
        expected = torch.stack(
            [gates[row, k] * network.experts[k](embeddings[row]) for row, k in enumerate(gates.argmax(1).tolist())]
        )
        torch.testing.assert_close(network(batch), expected)
        assert network.choices().tolist() == gates.argmax(1).tolist()

    def test_soft_routing_mixes_all(self):
        network, batch = self.network(routing="soft"), self.batch()
        embeddings = network.trunk(batch)
        gates = network.gate(embeddings).softmax(1)
        expected = sum(gates[:, k, None] * network.experts[k](embeddings) for k in range(3))
        torch.testing.assert_close(network(batch), expected)

    def test_straight_through_scores_are_the_experts_own_and_still_teach_the_gate(self):
        network, batch = self.network(routing="straight_through"), self.batch()
        embeddings = network.trunk(batch)
        logits = network(batch)
        row = torch.stack([network.experts[k](embeddings[i]) for i, k in enumerate(network.choices().tolist())])
        torch.testing.assert_close(logits, row)
        logits.square().sum().backward()
        assert network.gate.weight.grad.abs().sum() > 0

    def test_the_gate_learns_for_the_given_epochs_only(self):
        network = self.network(freeze_gate_after=2)
        learns = []
        for epoch in (1, 2, 3):
            network.begin_step(epoch, 0.0)
            learns.append(network.gate.weight.requires_grad)
        assert learns == [True, True, False]

    def test_a_gate_that_is_never_frozen(self):
        network = self.network(freeze_gate_after=None)
        network.begin_step(1000, 1.0)
        assert network.gate.weight.requires_grad

    def test_experts_without_segments_do_not_move(self):
        network = self.network()
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
        before = [expert.weight.clone() for expert in network.experts]
        network(self.batch()[:1]).square().sum().backward()
        optimiser.step()
        (chosen,) = network.choices().tolist()
        moved = [not torch.equal(old, expert.weight) for old, expert in zip(before, network.experts, strict=True)]
        assert moved == [number == chosen for number in range(3)]


class TestConvNeXt:
    def test_musicnext_has_no_normalisation_in_stem_and_blocks(self):
        network = build("convnext", **MUSICNEXT, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1))
        norms = [name for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)]
        assert len(norms) == 4
        assert norms[-1] == "norm"

    @pytest.mark.parametrize(
        "head", [{"kind": "linear", "bias": False}, *({"kind": "large_margin", "margin": m} for m in (2, 3, 4))]
    )
    @pytest.mark.parametrize("depth", [3, 27])
    def test_a_step_at_every_depth_and_margin(self, depth, head):
        widths = (4, 4, 8, 8)
        network = build("convnext", n_classes=5, **MUSICNEXT | {"head": head}, widths=widths, depths=(3, 3, depth, 3))
        segments = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
        targets = torch.tensor([0, 1, 2, 3])
        logits = network.training_logits(segments, targets)
        assert logits.shape == (4, 5)
        nn.functional.cross_entropy(logits, targets).backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)

    def test_a_margin_of_one_is_softmax_without_a_bias(self):
        small = {**MUSICNEXT, "widths": (4, 4, 8, 8), "depths": (1, 1, 1, 1)}
        softmax = build("convnext", **small | {"head": {"kind": "linear", "bias": False}})
        one = build("convnext", **small | {"head": {"kind": "large_margin", "margin": 1}})
        one.load_state_dict(softmax.state_dict())
        segments = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
        targets = torch.tensor([0, 1])
        assert torch.equal(one.training_logits(segments, targets), softmax.training_logits(segments, targets))

    @pytest.mark.parametrize(
        ("reading", "where"), [("depthwise", "first_activation"), ("expansion", "second_activation")]
    )
    def test_the_two_readings_of_elu(self, reading, where):
        network = build("convnext", **MUSICNEXT, activation_after=reading, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1))
        found = {name.rsplit(".", 1)[-1] for name, module in network.named_modules() if isinstance(module, nn.ELU)}
        assert found == {where}

    def test_too_small_segments_are_refused(self):
        with pytest.raises(ConfigError, match="at least 32 bins and 32 frames.* 128 bins and 31 frames"):
            build("convnext", InputShape(n_bins=128, n_frames=31))


def test_a_shortcut_joins_equal_widths():
    with pytest.raises(ConfigError, match="first convolution's 8 outputs to the third's 4"):
        build("residual_convolutions", n_filters=(8, 8, 4))


def test_a_network_over_frames_needs_a_part():
    with pytest.raises(ValueError, match="at least one of them"):
        MODELS["sequence"].block()


@pytest.mark.parametrize(
    ("n_filters", "expected"),
    # Weights of the 3x3 convolutions, two numbers a channel of the normalisations, and the last layer, by hand.
    [((16, 32, 64, 128, 160), 281_232 + 800 + 3_210), ((32, 64, 96, 128, 160), 368_928 + 960 + 3_210)],
)
def test_parameters_of_plain_convolutions(n_filters, expected):
    network = build("plain_convolutions", InputShape(n_bins=128, n_frames=65), n_filters=n_filters)
    assert count(network) == expected


def test_members_learn_from_their_own_part_of_the_batch_and_are_averaged():
    network = build("plain_convolutions", n_filters=(4,), dropout=0.0, n_members=3)
    features = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(0))
    parts = [features[:3], features[3:6], features[6:]]
    trained = network.training_logits(features, torch.zeros(8, dtype=torch.int64))
    alone = [member(part) for member, part in zip(network.members, parts, strict=True)]
    torch.testing.assert_close(trained, torch.cat(alone))
    trained[3:6].sum().backward()
    learned = [
        any(weight.grad is not None and weight.grad.any() for weight in each.parameters()) for each in network.members
    ]
    assert learned == [False, True, False]
    network.eval()
    torch.testing.assert_close(network(features), sum(member(features) for member in network.members) / 3)


def test_members_without_a_segment_wait_for_the_next_batch():
    network = build("plain_convolutions", n_filters=(4,), n_members=3)
    assert network.training_logits(torch.randn(2, 8, 8), torch.tensor([0, 1])).shape == (2, 10)


def test_plain_convolutions_pool_before_they_normalise():
    # ReLU and a normalisation that keeps the order commute with the maximum.
    network = build("plain_convolutions", n_filters=(4,), dropout=0.0).eval()
    member = network.members[0]
    convolution, pool, norm, relu = member.layers
    features = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = pool(relu(norm(convolution(features.unsqueeze(1)))))
    expected = member.output(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))
    torch.testing.assert_close(network(features), expected)


def test_plain_pooling_gives_mean_and_deviation():
    network = build("short_chunk", n_filters=(4, 4), n_attention=None)
    frames = torch.tensor([[[1.0, 3.0]] * 4])
    torch.testing.assert_close(network.pooling(frames), torch.tensor([[2.0] * 4 + [1.0] * 4]))
