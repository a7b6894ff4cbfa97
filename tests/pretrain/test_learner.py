"""One step: the hooks of a method, in order, and what each finds done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pretrain.batch import Batch
from pretrain.engine.learner import Learner
from pretrain.engine.loader import RawBatch
from pretrain.engine.step import Precision
from pretrain.errors import InputError
from pretrain.method import Method, Step
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import build_method
from pretrain.methods.parts.queue import Queue
from pretrain.optim.target import follow
from tests.pretrain import example_methods as examples
from tests.pretrain.steps import CPU, RUN
from tests.pretrain.test_engine import tiny_config


class Recorder(Method):
    """Notes what it is called with. Its loss is its weight, so the gradient is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        self.seen: list[tuple[str, float, float | None]] = []

    def note(self, hook: str) -> None:
        weight = self.backbone.weight
        self.seen.append((hook, float(weight.detach()), None if weight.grad is None else float(weight.grad)))

    def before_step(self, step: Step) -> None:
        assert step == Step(index=3, total=8, epoch=1.5, epochs=4)
        assert step.progress == 3 / 8
        self.note("before_step")

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.note("loss")
        return self.backbone.weight.sum(), {}

    def after_backward(self, step: Step) -> None:
        self.note("after_backward")
        self.backbone.weight.grad *= 4

    def after_step(self, step: Step) -> None:
        self.note("after_step")


def test_hooks_are_called_in_order_and_see_what_was_done() -> None:
    optimizer = {"name": "sgd", "base_learning_rate": 0.5, "weight_decay": 0, "warmup_epochs": 0, "clip_norm": 2}
    constant = {"schedule": "constant", "learning_rate_scaling": "none"}
    config = tiny_config(optimizer={**optimizer, **constant}, epochs=4, global_batch_size=2)
    method = Recorder()
    nn.init.ones_(method.backbone.weight)
    learner = Learner(method, config, RunFacts.of(config, 4), 10, CPU, Precision.of(config, CPU), 2)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    learner(RawBatch(3, (images, images), torch.zeros(2, dtype=torch.long), torch.arange(2)))
    # The hook made the gradient 4, clipping makes it 2, and half of that is subtracted.
    hooks, weights, gradients = zip(*method.seen, strict=True)
    assert hooks == ("before_step", "loss", "after_backward", "after_step")
    assert weights == pytest.approx((1, 1, 1, 0), abs=1e-5)
    assert gradients[:2] == (None, None)
    assert gradients[2:] == pytest.approx((1, 2), abs=1e-5)


def test_the_facts_of_a_run() -> None:
    view = {"crop_scale": (0.5, 1.0)}
    config = tiny_config(views=[{**view, "count": 2}, {**view, "size": 4, "count": 3}], epochs=3)
    facts = RunFacts.of(config, 300)
    assert facts == RunFacts(3, 2, 128, 8, (8, 8, 4, 4, 4), config.normalisation)
    assert facts.total_steps == 6


class OfAnEarlierEdition:
    Config = examples.Config

    @staticmethod
    def build(config: examples.Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int) -> nn.Module:
        return backbone


class NotAMethod:
    Config = examples.Config

    @staticmethod
    def build(
        config: examples.Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        return backbone


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (OfAnEarlierEdition, r"method mine: build must take \(config, .* run\): got an unexpected .* 'run'"),
        (NotAMethod, "method mine: build returns a ResNet; subclass pretrain.method.Method"),
    ],
)
def test_what_is_no_method_is_one_sentence(module: type, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build_method("mine", module, {}, backbone="tiny_resnet", run=RUN, num_classes=2)  # type: ignore[arg-type]


def test_a_queue_replaces_its_oldest_rows() -> None:
    queue = Queue(6, 1)
    assert torch.equal(queue.rows.abs(), torch.ones(6, 1)), "unit vectors"
    for start in (0, 2, 4, 6):
        queue.put(torch.tensor([[start], [start + 1]]))
    assert queue.rows.flatten().tolist() == [6, 7, 2, 3, 4, 5]
    with pytest.raises(InputError, match="its size 6 must be a multiple of the 4 rows"):
        queue.put(torch.zeros(4, 1))


def test_a_target_follows_parameters_and_keeps_its_buffers() -> None:
    target, online = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    for parameter in online.parameters():
        nn.init.constant_(parameter, 3.0)
    online.running_mean.fill_(3.0)  # type: ignore[union-attr]
    follow([target], [online], 0.75)
    assert target.weight.item() == pytest.approx(0.75 + 0.25 * 3)
    assert target.bias.item() == pytest.approx(0.25 * 3)
    assert target.running_mean is not None
    assert target.running_mean.item() == 0
