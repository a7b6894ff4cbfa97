"""The pretraining loop. It knows no method by name, and a run resumed after a kill ends with the same weights."""

from pretrain.engine.outcome import NonFiniteLossError, PretrainOutcome
from pretrain.engine.state import discard_training_state
from pretrain.engine.train import pretrain

__all__ = ["NonFiniteLossError", "PretrainOutcome", "discard_training_state", "pretrain"]
