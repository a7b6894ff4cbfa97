"""What MAE, BEiT, SimMIM and iBOT change in finetuning: layer decay, pooling, position biases, the rate of a step."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators import finetune
from evaluators.parts.classifier import Classifier, build_optimizer, learning_rate_by_epoch
from pretrain.backbones.families.beit import unshare_position_bias
from pretrain.backbones.families.vit import build_deit
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.randomness import epoch_order
from tests.evaluators.conftest import Curves, Few, MakeCheckpoint, context, resolved
from tests.evaluators.test_linear import WHOLE_IMAGE, whole_images

CLASSES = 7


def backbone(name: str, image_size: int = 16) -> Any:
    torch.manual_seed(1)
    model = find_backbone(name).build(image_size)
    with torch.no_grad():
        for parameter in model.parameters():  # position biases start at 0, where an error would not show
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def classifier(name: str = "tiny_vit", **options: Any) -> Classifier:
    return Classifier(backbone(name), find_backbone(name).INFO.width, CLASSES, seed=0, **options)


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def official_layer(name: str, blocks: int) -> int:
    """The layer's number in the official code: the stem is 0, block i is i + 1, all that comes after is the last."""
    name = name.removeprefix("backbone.")
    if re.match(r"(cls_token|pos_embed|patch_embed\.proj)\b", name):
        return 0
    block = re.match(r"blocks\.(\d+)\.", name)
    return int(block[1]) + 1 if block else blocks + 1


@pytest.mark.parametrize("pooling", ["backbone", "mean"])
def test_the_rate_of_layer_i_is_the_decay_to_the_13_minus_i(pooling: Any) -> None:
    twelve_blocks = build_deit(image_size=16, patch_size=4, width=8, depth=12, num_heads=2)
    model = Classifier(twelve_blocks, 8, CLASSES, seed=0, pooling=pooling)
    config = resolved("finetune", optimizer={"layer_decay": 0.65}).optimizer
    groups = build_optimizer(config, model, 512).param_groups
    rate_of = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters())) == len(rate_of)
    layers = set()
    for name, parameter in model.named_parameters():
        layer = official_layer(name, 12)
        layers.add(layer)
        assert rate_of[id(parameter)] == pytest.approx(0.65 ** (13 - layer)), name
    assert layers == set(range(14))
    named = dict(model.named_parameters())
    normalisation = named["backbone.norm.weight" if pooling == "backbone" else "fc_norm.weight"]
    assert rate_of[id(normalisation)] == rate_of[id(named["head.weight"])] == 1


def test_a_shared_position_bias_is_above_the_blocks_and_each_blocks_own_in_its_block() -> None:
    config = resolved("finetune", optimizer={"layer_decay": 0.5}).optimizer
    for unshared, expected in ((False, {"backbone.rel_pos_bias.": 1.0}), (True, {"backbone.blocks.0.attn.": 0.5**4})):
        model = classifier("tiny_beit")
        if unshared:
            unshare_position_bias(model.backbone)
        groups = build_optimizer(config, model, 512).param_groups
        found = {id(parameter): group for group in groups for parameter in group["params"]}
        for place, scale in expected.items():
            group = found[id(dict(model.named_parameters())[f"{place}relative_position_bias_table"])]
            assert group["lr_scale"] == scale
            assert group["weight_decay"] == config.weight_decay > 0


def test_layer_decay_leaves_weight_decay_as_it_is() -> None:
    def decays(**options: Any) -> list[float]:
        model = classifier()
        groups = build_optimizer(resolved("finetune", optimizer=options).optimizer, model, 512).param_groups
        found = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
        return [found[id(parameter)] for parameter in model.parameters()]

    assert decays(layer_decay=0.7) == decays()
    assert set(decays()) == {0.0, 0.05}


class WithoutBlocks(nn.Module):
    """A backbone of another distribution that is no ViT."""

    def __init__(self, stages: str = "stages") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        setattr(self, stages, nn.Sequential(nn.Conv2d(8, 8, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.stem(pixels).mean(dim=(2, 3))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            "stages",
            r"^optimizer\.layer_decay: .* called blocks; WithoutBlocks has none; set optimizer\.layer_decay: 1$",
        ),
        (
            "blocks",
            r"layer_decay: .* stem\.weight in WithoutBlocks is unknown, known are .*; set optimizer\.layer_decay: 1$",
        ),
    ],
)
def test_layer_decay_on_a_backbone_without_known_layers_is_refused(stages: str, said: str) -> None:
    model = Classifier(WithoutBlocks(stages), 8, CLASSES, seed=0)
    config = resolved("finetune", optimizer={"layer_decay": 0.65}).optimizer
    with pytest.raises(InputError, match=said):
        build_optimizer(config, model, 512)
    build_optimizer(resolved("finetune").optimizer, model, 512)


def test_what_only_vits_have_is_refused_when_it_is_planned() -> None:
    for options, said in (
        ({"optimizer": {"layer_decay": 0.65}}, r"^optimizer\.layer_decay: needs a vision .*; tiny_resnet takes 1$"),
        ({"pooling": "mean"}, "^pooling: needs a vision transformer; tiny_resnet takes backbone$"),
        ({"position_bias": "per_block"}, "^position_bias: tiny_resnet has no position bias that its blocks share"),
    ):
        with pytest.raises(InputError, match=said):
            resolved("finetune", backbone="tiny_resnet", **options)
    with pytest.raises(InputError, match=r"^position_bias: tiny_vit has no position bias that its blocks share"):
        resolved("finetune", position_bias="per_block")
    with pytest.raises(
        InputError, match=r"^pooling: mean needs .* WithoutBlocks has no forward_features; set pooling: backbone"
    ):
        Classifier(WithoutBlocks(), 8, CLASSES, seed=0, pooling="mean")
    with pytest.raises(
        InputError,
        match=r"^position_bias: per_block .* such as beit_base; VisionTransformer has none; set position_bias: shared",
    ):
        unshare_position_bias(find_backbone("tiny_vit").build(16))


def same_logits_and_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=1e-6, atol=1e-6)
    for model in (ours, theirs):
        (model(images()) ** 2).sum().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected.pop(name.removeprefix("backbone.")), rtol=1e-5, atol=1e-6)
    assert not expected


def test_mean_pooling_is_timms_own_with_a_new_normalisation() -> None:
    ours = classifier(pooling="mean").eval()
    assert ours.fc_norm is not None
    with torch.no_grad():
        ours.fc_norm.weight.normal_()
        ours.fc_norm.bias.normal_()
    theirs = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=64, depth=4, num_heads=4, num_classes=CLASSES, global_pool="avg"
    ).eval()
    state = {name.removeprefix("backbone."): tensor for name, tensor in ours.state_dict().items()}
    theirs.load_state_dict(state)
    same_logits_and_gradients(ours, theirs)


def test_a_new_normalisation_starts_at_one_and_zero_and_the_backbones_own_is_gone() -> None:
    model = classifier(pooling="mean", head_init_std=2e-5)
    assert model.fc_norm is not None
    assert (model.fc_norm.weight == 1).all()
    assert (model.fc_norm.bias == 0).all()
    assert model.fc_norm.eps == 1e-6
    assert not [name for name in model.state_dict() if name.startswith("backbone.norm")]
    assert float(model.head.weight.detach().std()) == pytest.approx(2e-5, rel=0.1)
    # BEiT draws with 0.02 and multiplies by 0.001, which is the same.
    torch.testing.assert_close(model.head.weight, classifier(head_init_std=0.02).head.weight * 1e-3, rtol=1e-5, atol=0)


def test_unshared_position_biases_compute_the_same_and_are_timms_per_block_tables() -> None:
    shared, unshared = backbone("tiny_beit"), backbone("tiny_beit")
    unshare_position_bias(unshared)
    assert "rel_pos_bias.relative_position_bias_table" not in unshared.state_dict()
    torch.testing.assert_close(shared(images()), unshared(images()), rtol=1e-6, atol=1e-6)

    for model in (shared, unshared):
        (model(images()) ** 2).sum().backward()
    tables = [block.attn.relative_position_bias_table for block in unshared.blocks]
    assert len({table.data_ptr() for table in tables}) == 4
    total = torch.stack([table.grad for table in tables]).sum(dim=0)
    torch.testing.assert_close(total, shared.rel_pos_bias.relative_position_bias_table.grad, rtol=1e-4, atol=1e-6)

    ours = Classifier(unshared, 64, CLASSES, seed=0, pooling="mean").eval()
    ours.zero_grad()
    theirs = Beit(
        img_size=16,
        patch_size=4,
        embed_dim=64,
        depth=4,
        num_heads=4,
        num_classes=CLASSES,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
        init_values=0.1,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
    ).eval()
    theirs.load_state_dict({name.removeprefix("backbone."): tensor for name, tensor in ours.state_dict().items()})
    same_logits_and_gradients(ours, theirs)


def rates(epochs: int, steps: int, **options: Any) -> list[float]:
    config = resolved("finetune", epochs=epochs, optimizer={"rate_changes": "step", **options}).optimizer
    optimizer = build_optimizer(config, classifier(), 512)
    set_learning_rate = learning_rate_by_epoch(optimizer, config, epochs)
    found = []
    for step in range(epochs * steps):
        set_learning_rate(step / steps)
        found.append(max(group["lr"] for group in optimizer.param_groups))
    return found


def test_the_rate_of_a_step_is_maes() -> None:
    """MAE's util/lr_sched.py; BEiT's and iBOT's cosine_scheduler has the same values but for one step of warm-up."""
    options = {"base_learning_rate": 2e-3, "final_learning_rate": 1e-6, "warmup_learning_rate": 0.0}
    found = rates(10, 4, cosine_begins="after_warmup", warmup_epochs=3, **options)
    for step, rate in enumerate(found):
        at = step / 4
        fallen = 1e-6 + (2e-3 - 1e-6) * 0.5 * (1 + math.cos(math.pi * (at - 3) / (10 - 3)))
        assert rate == pytest.approx(2e-3 * at / 3 if at < 3 else fallen, rel=1e-9, abs=1e-15)


def test_the_rate_of_a_step_is_simmims() -> None:
    """timm 0.4.12's cosine without warmup_prefix: the rate falls at once when the warm-up ends."""
    options = {"base_learning_rate": 5e-3, "final_learning_rate": 1e-6, "warmup_learning_rate": 1e-6}
    found = rates(10, 4, warmup_epochs=2, **options)
    for step, rate in enumerate(found):
        fallen = 1e-6 + 0.5 * (5e-3 - 1e-6) * (1 + math.cos(math.pi * step / 40))
        assert rate == pytest.approx(1e-6 + step * (5e-3 - 1e-6) / 8 if step < 8 else fallen, rel=1e-9)
    assert found[8] < 0.92 * 5e-3


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    options = {"cosine_begins": "after_warmup", "warmup_epochs": 5}
    assert resolved("finetune", epochs=6, optimizer=options)
    with pytest.raises(InputError, match=r"epochs must be more than optimizer\.warmup_epochs, which is 5, not 5"):
        resolved("finetune", epochs=5, optimizer=options)


def test_training_equals_a_plain_loop(
    make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    """Momentum, clipping, layer decay and the rate of a step written out, on the mean of the patches of a BEiT."""
    path, epochs, size, seed = make_checkpoint("tiny_beit"), 2, 64, 5
    optimizer = {
        "name": "sgd",
        "base_learning_rate": 1.0,
        "weight_decay": 0.05,
        "layer_decay": 0.5,
        "clip_norm": 0.3,
        "rate_changes": "step",
        "cosine_begins": "after_warmup",
        "warmup_epochs": 1,
        "final_learning_rate": 1e-4,
    }
    config = resolved(
        "finetune",
        backbone="tiny_beit",
        seed=seed,
        epochs=epochs,
        global_batch_size=size,
        optimizer=optimizer,
        pooling="mean",
        position_bias="per_block",
        augmentation={**WHOLE_IMAGE, "interpolation": "bilinear"},
    )
    curves = Curves()
    finetune.evaluate(path, config, context(tmp_path / "run", curves))

    network = load_backbone(path)[0]
    unshare_position_bias(network)
    model = Classifier(network, 64, 10, seed, pooling="mean").train()
    pixels, labels = whole_images(few_digits["train"])
    velocities: dict[str, Tensor] = {}
    norms = []
    peak, steps = size / 512, len(labels) // size
    for epoch in range(epochs):
        order = epoch_order(len(labels), seed, epoch)
        losses = []
        for step, rows in enumerate(np.split(order[: steps * size], steps)):
            at = epoch + step / steps
            rate = peak * at if at < 1 else 1e-4 + (peak - 1e-4) * 0.5 * (1 + math.cos(math.pi * (at - 1)))
            loss = F.cross_entropy(model(pixels[rows]), torch.from_numpy(labels[rows]), label_smoothing=0.1)
            losses.append(loss.item())
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
            assert len(gradients) == len(list(model.parameters()))
            norms.append(math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values())))
            with torch.no_grad():
                for name, p in model.named_parameters():
                    exempt = p.ndim == 1 or name == "backbone.cls_token"
                    change = gradients[name] * min(1.0, 0.3 / norms[-1]) + (0 if exempt else 0.05) * p
                    velocities[name] = 0.9 * velocities[name] + change if name in velocities else change
                    p.sub_(rate * 0.5 ** (5 - official_layer(name, 4)) * velocities[name])
        assert curves.rows[epoch]["learning_rate"] == pytest.approx(rate)
        assert curves.rows[epoch]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert max(norms) > 0.3
    state = torch.load(tmp_path / "run" / "checkpoints" / "training_state.pt", weights_only=True)["model"]
    for name, p in model.named_parameters():
        torch.testing.assert_close(state[name], p.detach(), rtol=1e-3, atol=1e-5)


def test_settings_at_their_defaults_are_not_written_and_so_leave_ids_as_they_were() -> None:
    added = {"pooling", "position_bias", "head_init_std", "validation_interpolation"}
    added_to_optimizer = {"layer_decay", "rate_changes", "cosine_begins", "clip_norm"}
    plain = resolved("finetune").model_dump(mode="json")
    assert not added & set(plain)
    assert not added_to_optimizer & set(plain["optimizer"])
    written = resolved("finetune", pooling="mean", optimizer={"layer_decay": 0.65})
    assert added & set(written.model_dump(mode="json")) == {"pooling"}
    assert written.model_dump(mode="json")["optimizer"]["layer_decay"] == 0.65
    assert type(written).model_validate(written.model_dump(mode="json")) == written
