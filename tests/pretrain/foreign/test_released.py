"""Released weights of every method: which network is read, that every tensor has an explanation, and refusals."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.backbones.families.vit import sincos_position_embedding
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts
from pretrain.foreign.lookup import readable_if_named, recognise
from pretrain.foreign.parts.conversion import (
    Checkpoint,
    import_file,
    read_checkpoint,
    refuse_contradictions,
    write_ours,
)
from pretrain.foreign.parts.reading import ForeignFile, read_foreign
from pretrain.foreign.parts.vit import VitGeometry, vit_shapes
from pretrain.subject import NORMALISATIONS
from tests.pretrain.foreign.released import (
    FILES,
    GRID,
    PATCH,
    WIDTH,
    beit,
    beit_file,
    dino,
    mae,
    moco,
    msn,
    simmim,
    vit,
)

State = dict[str, Tensor]


def features(found: Checkpoint, images: Tensor) -> Tensor:
    model = find_backbone(found.header.backbone).build(found.header.image_size)
    model.load_state_dict(found.backbone)
    with torch.no_grad():
        return model.eval()(images)


def as_imported(state: State, format_name: str, facts: Facts | None = None) -> Checkpoint:
    return import_file(ForeignFile(Path("file.pth"), state, facts or Facts(), "0" * 64), format_name)


@pytest.mark.parametrize("name", FILES)
def test_a_released_file_gives_the_networks_features_and_explains_every_tensor(name: str, tmp_path: Path) -> None:
    file = FILES[name]()
    torch.save(file.content, tmp_path / "file.pth")
    images = torch.randn(3, 3, GRID * PATCH, GRID * PATCH)
    sets = [(None, file.network), *zip(file.weights, (file.network, file.other), strict=True)]
    for weights, network in [pair for pair in sets if pair[0] != ""]:
        found = read_checkpoint(tmp_path / "file.pth", weights=weights)
        assert (found.format, found.header.method) == (file.format, file.method)
        with torch.no_grad():
            torch.testing.assert_close(features(found, images), network(images), rtol=1e-5, atol=1e-5)
    read = read_checkpoint(tmp_path / "file.pth")
    assert set(read.left_out) == file.left_out
    assert len(read_foreign(tmp_path / "file.pth").state) == len(file.left_out) + len(file.network.state_dict()) - (
        "rel_pos_bias" in "".join(file.left_out)  # the index of a table is left out, too
    )
    told = [note for note in read.notes if note.startswith("not read, because they are in no set of weights: ")]
    assert [note.partition(": ")[2] for note in told] == (["; ".join(file.beside)] if file.beside else [])


@pytest.mark.parametrize("name", [name for name in FILES if "," not in name and name != "MoCo v1"])
def test_a_missing_extra_or_misshapen_tensor_is_refused_by_name(name: str, tmp_path: Path) -> None:
    file = FILES[name]()
    torch.save(file.content, tmp_path / "file.pth")
    state = dict(read_foreign(tmp_path / "file.pth").state)
    for number, (key, tensor) in enumerate(state.items()):
        if key.endswith("relative_position_index"):
            continue  # another index has a test of its own, and a file may lack it: it follows from the table
        if name == "iBOT student" and key == "masked_embed":
            continue  # without it, the file is as good as the teacher's
        others = {name: value for name, value in state.items() if name != key}
        damaged = (others, {**state, f"{key}_b": tensor}, {**state, key: torch.zeros((*tensor.shape, 2))})[number % 3]
        with pytest.raises(InputError) as refusal:
            as_imported(damaged, file.format)
        message = str(refusal.value)
        layer = key.rpartition(".")[0].rpartition(".")[2] or key
        assert layer in message or f"not of format {file.format}" in message, (key, message)


PLAIN = dict(vit(0).state_dict())
SINCOS = dict(mae().network.state_dict())


def test_a_backbone_alone_is_read_in_the_format_that_the_user_names(tmp_path: Path) -> None:
    assert recognise(PLAIN, Facts()) == ("timm",)
    assert readable_if_named(PLAIN, Facts()) == ("dino", "ibot")
    assert readable_if_named(SINCOS, Facts()) == ("dino", "ibot", "mae")
    torch.save({"model": PLAIN}, tmp_path / "file.pth")
    for name, method in (("auto", "unknown"), ("timm", "unknown"), ("dino", "dino"), ("ibot", "ibot")):
        found = read_checkpoint(tmp_path / "file.pth", name)
        assert (found.header.method, found.left_out) == (method, ())
        assert found.backbone["pos_embed"].equal(PLAIN["pos_embed"])
    with pytest.raises(InputError, match="not of format msn but timm"):
        read_checkpoint(tmp_path / "file.pth", "msn")
    facts = {"backbone": "tiny_vit", "epochs": 400, "method": "mae"}
    with pytest.raises(InputError, match="trained with dino, but the sweep says mae"):
        refuse_contradictions(read_checkpoint(tmp_path / "file.pth", "dino"), facts)
    torch.save({"model": SINCOS}, tmp_path / "mae.pth")
    found = read_checkpoint(tmp_path / "mae.pth", "mae")
    assert (found.header.method, found.left_out) == ("mae", ())
    refuse_contradictions(found, facts)


@pytest.mark.parametrize(("epoch", "format_name", "allowed"), [(400, "dino", {400}), (399, "mae", {399, 400})])
def test_epochs_are_counted_as_each_project_counts(epoch: int, format_name: str, allowed: set[int]) -> None:
    found = as_imported(SINCOS if format_name == "mae" else PLAIN, format_name, Facts(epochs=epoch))
    for epochs in range(397, 403):
        declared = {"backbone": "tiny_vit", "epochs": epochs, "method": format_name}
        if epochs in allowed:
            refuse_contradictions(found, declared)
        else:
            with pytest.raises(InputError, match=f"trained for {epoch} epochs"):
                refuse_contradictions(found, declared)


@pytest.mark.parametrize(("format_name", "backbone"), [("dino", "deit_base"), ("mae", "vit_base")])
def test_full_size_files_are_the_backbones_of_the_recipes(format_name: str, backbone: str) -> None:
    """MAE's position embedding is sin-cos with columns first, so its half of the channels are exchanged."""
    shapes = vit_shapes(VitGeometry(width=768, depth=12, patch_size=16, mlp_width=3072, grid=14))
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    if format_name == "mae":
        rows_first = sincos_position_embedding(14, 14, 768)
        state["pos_embed"] = torch.cat([rows_first[..., 384:], rows_first[..., :384]], dim=2)
    header = as_imported(state, format_name).header
    assert (header.backbone, header.num_heads, header.image_size) == (backbone, 12, 224)


def test_a_full_size_moco_gives_torchvisions_features() -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model = resnet50(num_classes=128).eval()
    model.fc = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    state = {f"encoder_q.{name}": tensor for name, tensor in model.state_dict().items()}
    found = as_imported(state, "auto")
    assert (found.header.backbone, found.header.method, len(found.left_out)) == ("resnet50", "moco_v2", 4)
    assert sum(tensor.numel() for name, tensor in found.backbone.items() if "running" not in name) - 53 == 23_508_032
    images = torch.randn(1, 3, 64, 64)
    model.fc = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(features(found, images), model(images), rtol=1e-5, atol=1e-5)


def test_simmims_settings_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """yacs is not installed where the file is read; here a class of that name writes it."""
    module = ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    config = node(MODEL=node(TYPE="vit"))
    config.__dict__["__immutable__"] = True
    torch.save({**simmim().content, "config": config}, tmp_path / "file.pth")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "file.pth").header.method == "simmim"


def beside(state: State, more: State) -> dict[str, Any]:
    return {"model": {**state, **more}}


def without_heads(content: dict[str, Any], key: str, replaced: State) -> dict[str, Any]:
    return {**content, key: {**content[key], **replaced}}


BLOCK_TABLE = {"blocks.0.attn.relative_position_bias_table": torch.zeros(52, 4)}
OTHER_INDEX = {"rel_pos_bias.relative_position_index": torch.zeros(GRID**2 + 1, GRID**2 + 1, dtype=torch.int64)}
REFUSED: dict[str, tuple[Any, str]] = {
    "MoCo with both projectors": (
        lambda: without_heads(moco(2).content, "state_dict", {"module.encoder_q.fc.weight": torch.zeros(8, 128)}),
        r"moco_v2: beside the backbone: unexpected encoder_q\.fc\.weight",
    ),
    "MoCo whose encoders differ": (
        lambda: without_heads(
            moco(1).content, "state_dict", {"module.encoder_k.conv1.weight": torch.zeros(8, 3, 7, 7)}
        ),
        r"encoder_k\.conv1\.weight is \(8, 3, 7, 7\), not \(64, 3, 3, 3\)",
    ),
    "MoCo whose queue is of another width": (
        lambda: without_heads(moco(1).content, "state_dict", {"module.queue": torch.zeros(16, 32)}),
        r"queue is \(16, 32\), not \(8, 32\)",
    ),
    "a head for another backbone": (
        lambda: without_heads(dino("vit").content, "teacher", {"head.mlp.0.weight": torch.zeros(24, 128)}),
        r"head\.mlp\.0\.weight is \(24, 128\), not \(24, 64\).*another set is read with weights: raw",
    ),
    "a finetuned MAE": (
        lambda: beside(
            mae().content["model"], {"fc_norm.weight": torch.ones(WIDTH), "head.weight": torch.ones(5, WIDTH)}
        ),
        "mae: it has a classifier or fc_norm, so it was finetuned",
    ),
    "an MAE with learned positions": (
        lambda: beside(mae().content["model"], {"pos_embed": torch.ones_like(mae().network.pos_embed)}),
        "the position embedding is not MAE's, which is fixed and sin-cos",
    ),
    "a finetuned BEiT": (
        lambda: beside(dict(beit(0).state_dict()), BLOCK_TABLE),
        "beit: each block has its own relative positions, so this was finetuned",
    ),
    "a BEiT of another order of patches": (
        lambda: beside(beit_file(relative=True).content["model"], OTHER_INDEX),
        r"beit: rel_pos_bias\.relative_position_index is not that of BEiT for 4×4 patches",
    ),
    "NaN in a head that is left out": (
        lambda: without_heads(
            msn(own_run=False).content, "target_encoder", {"module.fc.fc3.bias": torch.full((8,), torch.nan)}
        ),
        r"NaN or infinite weights in fc\.fc3\.bias",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictory_files_are_refused(name: str, tmp_path: Path) -> None:
    make, complaint = REFUSED[name]
    torch.save(make(), tmp_path / "file.pth")
    with pytest.raises(InputError, match=complaint):
        read_checkpoint(tmp_path / "file.pth")


def byol(path: Path) -> Path:
    """The beginning of a dill pickle of the official code; the real one needs haiku and jax."""
    path.write_bytes(pickle.dumps({"experiment_state": {"online_params": {}}, "step": 1}, protocol=2))
    return path


def tensorflow_folder(path: Path) -> Path:
    path.mkdir()
    for ending in ("index", "meta", "data-00000-of-00001"):
        (path / f"model.ckpt-225206.{ending}").write_bytes(b"\0" * 40)
    return path


def tensorflow_archive(path: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ResNet50_1x/model.ckpt-225206.index", "x" * 100)
    return path


def whole_module(path: Path) -> Path:
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    return path


@pytest.mark.parametrize(
    ("make", "file", "advice"),
    [
        (
            byol,
            "pretrain_res50x1.pkl",
            r"loading it runs code; convert it with ajtejankar/byol-convert.*torchvision.*SAME",
        ),
        (
            tensorflow_folder,
            "ResNet50_1x",
            r"only TensorFlow reads; convert.*simclr-converter.*normalisation none.*SAME",
        ),
        (tensorflow_archive, "ResNet50_1x.zip", r"only TensorFlow reads; convert it where"),
        (whole_module, "encoder.pkl", r"it needs torch\.nn\.modules.* to be loaded.*save its tensors alone"),
    ],
)
def test_what_cannot_be_read_safely_says_who_converts_it(make: Any, file: str, advice: str, tmp_path: Path) -> None:
    path = make(tmp_path / file)
    inside = [path, *(path / name for name in ("model.ckpt-225206", "model.ckpt-225206.index") if path.is_dir())]
    for each in inside:
        with pytest.raises(InputError, match=advice) as refusal:
            read_checkpoint(each)
        assert len(str(refusal.value).splitlines()) == 1


def test_the_header_has_the_normalisation_that_the_user_states(tmp_path: Path) -> None:
    torch.save({"state_dict": moco(1).network.state_dict()}, tmp_path / "file.pth")
    assert read_checkpoint(tmp_path / "file.pth").header.normalisation == NORMALISATIONS["imagenet"]
    found = read_checkpoint(tmp_path / "file.pth", normalisation=NORMALISATIONS["none"])
    write_ours(found, tmp_path / "ours", "import-1")
    _, header = load_backbone(tmp_path / "ours" / "backbone.safetensors")
    assert (header.normalisation.mean, header.normalisation.std) == ((0, 0, 0), (1, 1, 1))
    ours = tmp_path / "ours" / "backbone.safetensors"
    with pytest.raises(InputError, match="the file states mean"):
        read_checkpoint(ours, normalisation=NORMALISATIONS["inception"])
    torch.save(beit_file(relative=True).content, tmp_path / "beit.pth")
    assert any(
        "pt22k in the name) need normalisation: inception" in n for n in read_checkpoint(tmp_path / "beit.pth").notes
    )


def test_inspect_shows_both_sets_and_formats_that_must_be_named(command: Any, tmp_path: Path) -> None:
    torch.save(dino("vit").content, tmp_path / "full.pth")
    torch.save(PLAIN, tmp_path / "backbone.pth")
    status, out, err = command("checkpoint", "inspect", tmp_path / "full.pth")
    assert status == 0, err
    for line in (
        "format: dino",
        "weights: raw: student (62 tensors)",
        "weights: ema: teacher (62 tensors) (read)",
        "note: not read, because they are in no set of weights: dino_loss.center",
    ):
        assert line in out.splitlines()
    status, out, _ = command("checkpoint", "inspect", tmp_path / "backbone.pth", "--normalisation", "none")
    assert {"format: timm", "format_if_named: dino, ibot"} <= set(out.splitlines())
    assert "'mean': (0.0, 0.0, 0.0)" in out or "'mean': [0.0, 0.0, 0.0]" in out
    status, _, err = command("checkpoint", "inspect", tmp_path / "full.pth", "--normalisation", "non")
    assert (status, "did you mean 'none'? allowed: imagenet, inception, none" in err) == (2, True)
