"""Any network that was exported to ONNX, run by onnxruntime on the processor."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from genre_pipeline.errors import ConfigError
from genre_pipeline.features.analysis import Samples
from genre_pipeline.features.base import FEATURES
from genre_pipeline.features.pretrained.encoders import Encoder, EncoderBlock, encoder_spec
from genre_pipeline.work.backends import Device

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
# onnxruntime's levels of its log: only what ends the process. Errors are raised anyway.
_FATAL = 4


class OnnxBlock(EncoderBlock):
    """Parameters of an ONNX file, beside those of every encoder.

    Attributes:
        input_name: Name of the network's only input: a waveform, float32, its samples along the last axis.
        output_name: Name of the output: its last axis has ``n_dims`` numbers, and any axes before it are frames.
    """

    input_name: str = Field(min_length=1)
    output_name: str = Field(min_length=1)

    @override
    def load(self, content: bytes, device: Device) -> Encoder:
        """Make a session of one thread: the project's workers are spread over the cores.

        Only operators that onnxruntime itself has are run: no library of others is registered. The file must hold its
        weights itself, so that its checksum covers them: tensors in files beside it are refused.
        """
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = _FATAL
        # Where tensors in other files would be looked for, and cannot be: the model's file is no folder.
        options.add_session_config_entry(_EXTERNAL_FOLDER, str(self.path.absolute()))
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        inputs = {each.name: each for each in session.get_inputs()}
        if list(inputs) != [self.input_name]:
            raise ValueError(f"input_name is {self.input_name}; the network's inputs are {', '.join(inputs)}")
        kind = inputs[self.input_name].type
        if kind != "tensor(float)":
            raise ValueError(f"its input {self.input_name} is {kind}; expected tensor(float), a waveform in float32")
        outputs = [each.name for each in session.get_outputs()]
        if self.output_name not in outputs:
            raise ValueError(f"output_name is {self.output_name}; the network's outputs are {', '.join(outputs)}")
        leading = (1,) * (len(inputs[self.input_name].shape) - 1)

        def encode(window: Samples) -> Samples:
            (values,) = session.run([self.output_name], {self.input_name: window.reshape(*leading, -1)})
            frames: Samples = values.reshape(-1, values.shape[-1] if values.ndim else 1)
            return frames

        return encode


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            "Features of the kind 'onnx' need the package onnxruntime. Install it: pip install 'genre-pipeline[onnx]'"
        ) from error
    return onnxruntime


FEATURES.register(encoder_spec("onnx", OnnxBlock, version=1))
