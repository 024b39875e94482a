"""Training: recipes, the loop over epochs, and checkpoints."""

from genre_pipeline.training.checkpoints import Checkpoint, CheckpointCard, FailedRepeat
from genre_pipeline.training.epochs import EpochRecord
from genre_pipeline.training.predictors import Predictor
from genre_pipeline.training.recipes import ModelBlock, TrainingBlock, parse_model
from genre_pipeline.training.repeats import TRAINING_VERSION, train_repeat
from genre_pipeline.training.segments import Normalisation, SegmentSet

__all__ = [
    "TRAINING_VERSION",
    "Checkpoint",
    "CheckpointCard",
    "EpochRecord",
    "FailedRepeat",
    "ModelBlock",
    "Normalisation",
    "Predictor",
    "SegmentSet",
    "TrainingBlock",
    "parse_model",
    "train_repeat",
]
