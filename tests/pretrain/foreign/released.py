"""Files in the layouts that the methods' authors released, with random values and small backbones.

Names and shapes are written here once more, from the facts of each repository.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.backbones.families.vit import sincos_position_embedding
from tests.pretrain.foreign.beit_layout import DEPTH, GRID, HEADS, PATCH, WIDTH, beit
from tests.pretrain.foreign.layouts import OfficialResNet, OfficialViT, randomise

State = dict[str, Tensor]


@dataclass
class Released:
    """A file and what it should be read as: the network, another one of its sets, and the keys that are left out."""

    format: str
    method: str
    content: dict[str, Any]
    network: nn.Module
    left_out: set[str]
    other: nn.Module | None = None
    weights: tuple[str, str] = ("", "")
    beside: tuple[str, ...] = field(default=())


def vit(seed: int) -> OfficialViT:
    torch.manual_seed(seed)
    model = OfficialViT(width=WIDTH, depth=DEPTH, heads=HEADS, patch=PATCH, grid=GRID)
    randomise(model)
    return model.eval()


def resnet(seed: int) -> OfficialResNet:
    torch.manual_seed(seed)
    model = OfficialResNet()
    randomise(model)
    return model.eval()


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def made(shapes: dict[str, tuple[int, ...]]) -> State:
    """Random tensors, and counters of 7."""
    return {name: torch.randn(shape) if shape else torch.tensor(7) for name, shape in shapes.items()}


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> State:
    return made({f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})})


def norm(name: str, width: int, affine: bool = True) -> State:
    values: dict[str, tuple[int, ...]] = {"weight": (width,), "bias": (width,)} if affine else {}
    statistics: dict[str, tuple[int, ...]] = {"running_mean": (width,), "running_var": (width,)}
    return made({f"{name}.{key}": shape for key, shape in {**values, **statistics, "num_batches_tracked": ()}.items()})


def moco(version: int) -> Released:
    query, key = resnet(0), resnet(1)
    heads = [
        linear("fc", 128, 8) if version == 1 else linear("fc.0", 128, 128) | linear("fc.2", 128, 8) for _ in range(2)
    ]
    encoders = [dict(network.state_dict()) | head for network, head in zip((query, key), heads, strict=True)]
    queue = {"queue": torch.randn(8, 32), "queue_ptr": torch.tensor([4])}
    state = under("module.", under("encoder_q.", encoders[0]) | under("encoder_k.", encoders[1]) | queue)
    left_out = {*under("encoder_q.", heads[0]), *under("encoder_k.", encoders[1]), *queue}
    content = {"epoch": 200, "arch": "resnet50", "state_dict": state}
    return Released(
        "moco", f"moco_v{version}", content, query, left_out, key, ("state_dict.encoder_q", "state_dict.encoder_k")
    )


def simsiam() -> Released:
    network = resnet(0)
    projector = {
        **linear("fc.0", 128, 128, bias=False),
        **norm("fc.1", 128),
        **linear("fc.3", 128, 128, bias=False),
        **norm("fc.4", 128),
        **linear("fc.6", 128, 32),
        **norm("fc.7", 32, affine=False),
    }
    predictor = linear("0", 32, 8, bias=False) | norm("1", 8) | linear("3", 8, 32)
    state = under("encoder.", dict(network.state_dict()) | projector) | under("predictor.", predictor)
    left_out = {*under("encoder.", projector), *under("predictor.", predictor)}
    optimizer = {
        "state": {0: {"momentum_buffer": torch.randn(64, 3, 3, 3)}},
        "param_groups": [{"params": [*range(90)]}],
    }
    content = {"epoch": 100, "arch": "resnet50", "state_dict": under("module.", state), "optimizer": optimizer}
    return Released("simsiam", "simsiam", content, network, left_out)


def distillation_head(width: int, *, patches: str = "", normalised: bool = False) -> State:
    """DINO's head; iBOT's with ``patches`` ``shared`` or ``own``."""
    layers = ("mlp.0", "mlp.3", "mlp.6") if normalised else ("mlp.0", "mlp.2", "mlp.4")
    head = linear(layers[0], width, 24) | linear(layers[1], 24, 24) | linear(layers[2], 24, 8)
    if normalised:
        head |= norm("mlp.1", 24) | norm("mlp.4", 24)
    head |= made({"last_layer.weight_g": (40, 1), "last_layer.weight_v": (40, 8)})
    if patches:
        second = made({"last_layer2.weight_g": (48, 1), "last_layer2.weight_v": (48, 8)})
        shared = {name.replace("layer", "layer2"): t for name, t in head.items() if name.startswith("last_layer.")}
        head |= shared if patches == "shared" else second
    return head


def settings() -> argparse.Namespace:
    return argparse.Namespace(arch="vit_base", lr=0.0005, local_crops_scale=(0.05, 0.4))


def dino(backbone: str) -> Released:
    make, width, batch_norm = (vit, WIDTH, False) if backbone == "vit" else (resnet, 128, True)
    student, teacher = make(0), make(1)
    heads = [under("head.", distillation_head(width, normalised=batch_norm)) for _ in range(2)]
    content = {
        "student": under("module.", under("backbone.", dict(student.state_dict())) | heads[0]),
        "teacher": under("backbone.", dict(teacher.state_dict())) | heads[1],
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 400,
        "args": settings(),
        "dino_loss": {"center": torch.randn(1, 40)},
        "fp16_scaler": {"scale": 65536.0, "_growth_tracker": 0},
    }
    return Released(
        "dino", "dino", content, teacher, set(heads[1]), student, ("teacher", "student"), ("dino_loss.center",)
    )


def ibot() -> Released:
    student, teacher = vit(0), vit(1)
    heads = [under("head.", distillation_head(WIDTH, patches=patches)) for patches in ("own", "shared")]
    masked = {"masked_embed": torch.randn(1, WIDTH)}
    content = {
        "student": under("module.", under("backbone.", dict(student.state_dict()) | masked) | heads[0]),
        "teacher": under("backbone.", dict(teacher.state_dict())) | heads[1],
        "epoch": 400,
        "args": settings(),
        "ibot_loss": {"center": torch.randn(1, 40), "center2": torch.randn(1, 1, 40)},
    }
    beside = ("ibot_loss.center", "ibot_loss.center2")
    return Released("ibot", "ibot", content, teacher, set(heads[1]), student, ("teacher", "student"), beside)


def ibot_student() -> Released:
    network = vit(0)
    state = {**network.state_dict(), "masked_embed": torch.randn(1, WIDTH)}
    return Released("ibot", "ibot", {"state_dict": state}, network, {"masked_embed"})


def mae() -> Released:
    network = vit(0)
    rows_first = sincos_position_embedding(GRID, GRID, WIDTH)
    half = WIDTH // 2
    network.pos_embed.data = torch.cat([rows_first[..., half:], rows_first[..., :half]], dim=2)
    block = {
        **made({"norm1.weight": (32,), "norm1.bias": (32,), "norm2.weight": (32,), "norm2.bias": (32,)}),
        **linear("attn.qkv", 32, 96),
        **linear("attn.proj", 32, 32),
        **linear("mlp.fc1", 32, 128),
        **linear("mlp.fc2", 128, 32),
    }
    decoder = {
        **made({"mask_token": (1, 1, 32), "decoder_pos_embed": (1, GRID**2 + 1, 32)}),
        **linear("decoder_embed", WIDTH, 32),
        **under("decoder_blocks.0.", block),
        **under("decoder_blocks.1.", block),
        **made({"decoder_norm.weight": (32,), "decoder_norm.bias": (32,)}),
        **linear("decoder_pred", 32, PATCH**2 * 3),
    }
    content = {
        "model": {**network.state_dict(), **decoder},
        "epoch": 1599,
        "scaler": {"scale": 1.0},
        "args": settings(),
    }
    return Released("mae", "mae", content, network, set(decoder))


def simmim() -> Released:
    network = beit(0)
    encoder = under("encoder.", {**network.state_dict(), "mask_token": torch.randn(1, 1, WIDTH)})
    decoder = made({"decoder.0.weight": (PATCH**2 * 3, WIDTH, 1, 1), "decoder.0.bias": (PATCH**2 * 3,)})
    left_out = {*decoder, "encoder.mask_token", "encoder.rel_pos_bias.relative_position_index"}
    content = {"model": encoder | decoder, "lr_scheduler": {"t": 5}, "max_accuracy": 0.0, "epoch": 799}
    return Released("simmim", "simmim", content, network, left_out)


def beit_file(*, relative: bool, layer_scale: bool = True) -> Released:
    network = beit(0, relative=relative, layer_scale=layer_scale)
    head = linear("lm_head", WIDTH, 50) | {"mask_token": torch.randn(1, 1, WIDTH)}
    left_out = {*head, "rel_pos_bias.relative_position_index"} if relative else set(head)
    return Released("beit", "beit", {"model": {**network.state_dict(), **head}}, network, left_out)


def msn(own_run: bool) -> Released:
    online, target = vit(0), vit(1)
    heads = [
        under("fc.", linear("fc1", WIDTH, 24) | norm("bn1", 24) | linear("fc2", 24, 24) | norm("bn2", 24))
        | linear("fc.fc3", 24, 8)
        for _ in range(2)
    ]
    target_state = under("module.", dict(target.state_dict()) | heads[1])
    content: dict[str, Any] = {"target_encoder": target_state, "prototypes": torch.randn(16, 8)}
    if own_run:
        content["encoder"] = under("module.", dict(online.state_dict()) | heads[0])
        content |= {"opt": {"state": {0: {"exp_avg": torch.randn(3)}}}, "epoch": 600, "loss": 0.5, "lr": 0.001}
    other = (online, ("target_encoder", "encoder")) if own_run else (None, ("", ""))
    return Released("msn", "msn", content, target, set(heads[1]), *other, beside=("prototypes",))


FILES = {
    "MoCo v1": lambda: moco(1),
    "MoCo v2": lambda: moco(2),
    "SimSiam": simsiam,
    "DINO": lambda: dino("vit"),
    "DINO ResNet": lambda: dino("resnet"),
    "iBOT": ibot,
    "iBOT student": ibot_student,
    "MAE": mae,
    "SimMIM": simmim,
    "BEiT": lambda: beit_file(relative=True),
    "BEiT with a position embedding": lambda: beit_file(relative=False),
    "BEiT with a position embedding, without layer scale": lambda: beit_file(relative=False, layer_scale=False),
    "MSN": lambda: msn(own_run=False),
    "MSN, own run": lambda: msn(own_run=True),
}
