"""Every family of networks as an ONNX file, and what cannot be one."""

import numpy as np
import pytest
import torch

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.exports.files import Recording, write
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.models import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.training.predictors import NetworkPredictor
from genre_pipeline.training.segments import Normalisation

FEATURE = LogMelBlock.model_validate(
    {
        "kind": "log_mel",
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 128,
        "n_mels": 32,
        "segment": {"n_frames": 40, "hop_frames": 20},
        "normalisation": "per_segment",
    }
)
SHAPE = InputShape(n_bins=32, n_frames=40)
# A small one of each family.
SMALL = {
    "broadcast": {"n_blocks": 1, "growth": 4, "norm_momentum": 0.1},
    "convnext": {
        "depths": (1, 1, 1, 1),
        "widths": (4, 4, 4, 4),
        "block_norm": False,
        "activation": "elu",
        "layer_scale": None,
        "head": {"kind": "large_margin", "margin": 2},
    },
    "crnn": {"cell": "gru", "n_filters": (2, 4), "n_recurrent": 4, "n_dense": 4},
    "duplicated_convolutions": {"variant": "net1", "n_filters": 4, "n_parallel_filters": 2, "hidden": (4, 4)},
    "lgnet": {"n_experts": 3, "n_hidden": 4, "width": 2},
    "musicnn": {"width": 0.05},
    "plain_convolutions": {"n_filters": (2, 4), "n_kernels": 8},
    "residual_convolutions": {"n_filters": (2, 2, 2), "hidden": (4,)},
    "resnet": {"depth": 18, "width": 2},
    "sequence": {"n_recurrent": 2},
    "short_chunk": {"n_filters": (2, 4), "n_attention": 2},
}


def trained(*networks):
    normalisation = Normalisation("per_segment")
    return GenrePredictor(
        FEATURE,
        FEATURES["log_mel"],
        tuple(NetworkPredictor(each, SHAPE, normalisation, torch.device("cpu")) for each in networks),
        (),
        cell="a.b.c.d",
        genres=("x", "y", "z"),
        leaky=False,
        fingerprint="",
    )


def a_second(model):
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, 8000).astype(np.float32)
    frames = model.spec.extract(waveform, FEATURE).astype(FEATURE.dtype).astype(np.float32)
    segments = np.stack([frames[:, start : start + 40] for start in range(0, frames.shape[1] - 39, 20)])
    found = [each.predict_probabilities(segments) for each in model.predictors]
    return Recording(waveform, np.mean(found, axis=0))


def test_a_file_answers_as_networks_of_all_families_do_in_pytorch(tmp_path):
    families = [MODELS[name] for name in SMALL]
    assert families == [spec for spec in MODELS if isinstance(spec, NetworkSpec)]
    torch.manual_seed(0)
    networks = [spec.build(parse_block(spec.block, SMALL[spec.name], key=spec.name), SHAPE, 3) for spec in families]
    # One file, whose probabilities are the networks' mean: the exporter takes seconds for each.
    model = trained(*networks)
    assert write(model, tmp_path / "x.onnx", [a_second(model)], {}).segment_difference < 1e-6


class Branching(GenreNetwork):
    """A network that no graph can hold."""

    def forward(self, features):
        return features.mean(dim=2)[:, :3] * (2.0 if features.sum() > 0.0 else 1.0)


def test_what_no_graph_can_hold_is_refused_in_one_line(tmp_path):
    model = trained(Branching())
    with pytest.raises(
        ConfigError, match=r"^a\.b\.c\.d cannot be exported: PyTorch cannot write it as a graph \(.*NAME$"
    ):
        write(model, tmp_path / "x.onnx", [a_second(model)], {})
    assert list(tmp_path.iterdir()) == []
