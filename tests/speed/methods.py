"""Each method's step on digits against the bare passes of its backbones that it needs.

One step is watched: each pass through the blocks of a vision transformer, or through a whole ResNet, with the shape of
its input, and whether it keeps a graph. The reference repeats these passes on random input, each that keeps a graph
with a backward pass. So multi-crop and masked methods are held against what they compute, not against full images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.batch import Batch
from pretrain.method import Method, Step
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import build_method, find_method
from pretrain.plugins import shipped_names
from pretrain.resolve import resolve_pretraining
from tests.speed.pair import Pair

BACKBONES = ("tiny_vit", "tiny_beit", "tiny_resnet")
"""Of these, a method is timed on the first for which it has a recipe."""
LEFT_OUT = {"random_init": "it has no step", "beit": "its tokenizer can't be shipped"}
BATCH_SIZE = 64
CLASSES = 10


@dataclass(frozen=True)
class Pass:
    """A forward pass through ``module`` with an input of this shape."""

    module: nn.Module
    shape: torch.Size
    keeps_graph: bool


def pairs() -> Iterator[Pair]:
    for name in sorted(shipped_names("pretrain.methods") - LEFT_OUT.keys()):
        yield _pair(name)


def _pair(name: str) -> Pair:
    torch.manual_seed(0)
    backbone = next(each for each in BACKBONES if _has_recipe(name, each))
    config = resolve_pretraining(method=name, backbone=backbone, dataset="digits", seed=0, options={})
    run = RunFacts.of(config, 4 * config.global_batch_size)
    method = build_method(
        name, find_method(name), config.method_options, backbone=backbone, run=run, num_classes=CLASSES
    ).train()
    views = tuple(torch.randn(BATCH_SIZE, 3, side, side) for side in run.view_sizes)
    batch = Batch(views, torch.randint(0, CLASSES, (BATCH_SIZE,)), torch.arange(BATCH_SIZE))

    def ours() -> None:
        step = Step(1, run.steps_per_epoch * run.epochs, 0.5, run.epochs)
        method.before_step(step)
        method.loss(batch)[0].backward()  # type: ignore[no-untyped-call]
        method.after_backward(step)
        method.after_step(step)

    passes = _watch(method, ours)
    with_graph = sum(each.keeps_graph for each in passes)
    reference = f"{len(passes)} forward, {with_graph} backward of {backbone}"
    return Pair(f"{name} step, batch {BATCH_SIZE}", reference, ours, lambda: _repeat(passes), repeats=9)


def _has_recipe(name: str, backbone: str) -> bool:
    from pretrain.errors import InputError

    try:
        resolve_pretraining(method=name, backbone=backbone, dataset="digits", seed=0, options={})
    except InputError:
        return False
    return True


def _watch(method: Method, step: Callable[[], None]) -> list[Pass]:
    """Return the passes through backbones of one step; targets and teachers are backbones too."""
    passes: list[Pass] = []
    kind = type(method.backbone)

    def hook(trunk: nn.Module) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            passes.append(Pass(trunk, inputs[0].shape, torch.is_grad_enabled()))

        return note

    handles = []
    for module in method.modules():
        if isinstance(module, kind):
            blocks = getattr(module, "blocks", None)
            trunk, first = (module, module) if blocks is None else (blocks, blocks[0])
            handles.append(first.register_forward_pre_hook(hook(trunk)))
    step()
    for handle in handles:
        handle.remove()
    return passes


def _repeat(passes: list[Pass]) -> None:
    for each in passes:
        images = torch.randn(each.shape)
        with torch.set_grad_enabled(each.keeps_graph):
            output = _through(each.module, images)
        if each.keeps_graph:
            output.sum().backward()


def _through(module: nn.Module, value: Tensor) -> Tensor:
    """Return the output of a ResNet, or of blocks one after the other."""
    if not isinstance(module, nn.ModuleList | nn.Sequential):
        return module(value)  # type: ignore[no-any-return]
    for block in module:
        value = block(value)
    return value
