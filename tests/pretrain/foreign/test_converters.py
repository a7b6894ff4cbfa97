"""The converters as pure functions, on models of any width, depth and number of heads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign import huggingface, mm_resnet, mmseg_vit, moco_v3, opera, timm, torchvision
from pretrain.foreign.interface import Facts
from pretrain.foreign.lookup import find_format, format_names, recognise
from pretrain.foreign.parts.conversion import IMAGENET, import_file
from pretrain.foreign.parts.reading import ForeignFile
from tests.pretrain.foreign.layouts import Official, OfficialResNet, OfficialViT, official_state

VIT_FORMATS = (timm, mmseg_vit, huggingface)
few = settings(max_examples=25, deadline=None)


@st.composite
def official_vits(draw: st.DrawFn) -> tuple[OfficialViT, Any]:
    """A ViT of the layout's own definition and a maker of more of its kind."""
    heads = draw(st.integers(1, 4))
    sizes = {
        "width": heads * 4 * draw(st.integers(1, 3)),
        "depth": draw(st.integers(1, 3)),
        "heads": heads,
        "patch": draw(st.sampled_from([2, 4])),
        "grid": draw(st.integers(1, 3)),
    }
    torch.manual_seed(draw(st.integers(0, 1000)))
    return OfficialViT(**sizes), lambda: OfficialViT(**sizes)


def header(num_heads: int | None, backbone: str = "any", image_size: int = 8) -> CheckpointHeader:
    return CheckpointHeader(
        role="backbone",
        backbone=backbone,
        num_heads=num_heads,
        position_embedding="sincos-2d" if num_heads else None,
        image_size=image_size,
        normalisation=IMAGENET,
        method="opera",
        epochs=1,
        run_id="test",
        sha256="0" * 64,
    )


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


@few
@given(official_vits(), st.integers(1, 16))
def test_a_vit_comes_back_from_every_pair_of_formats(drawn: tuple[OfficialViT, Any], num_heads: int) -> None:
    state = dict(drawn[0].state_dict())
    for first in VIT_FORMATS:
        there = first.from_ours(state, header(num_heads)).state
        assert len(there) == len(state)
        back = first.to_ours(there, Facts(num_heads=num_heads))
        assert same(back.backbone, state)
        assert (back.num_heads, back.left_out, back.method) == (num_heads, (), None)
        for second in VIT_FORMATS:
            further = second.from_ours(back.backbone, header(num_heads)).state
            assert same(second.to_ours(further, Facts(num_heads=num_heads)).backbone, state)


@pytest.mark.parametrize("theirs", [timm, torchvision, mm_resnet])
def test_a_resnet_comes_back_from_every_format(theirs: ModuleType) -> None:
    state = dict(OfficialResNet().state_dict())
    there = theirs.from_ours(state, header(None, backbone="resnet50")).state
    assert same(theirs.to_ours(there, Facts()).backbone, state)


@few
@given(official_vits(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4))
def test_official_checkpoints_of_any_size(drawn: tuple[Any, Any], hidden: int, dimension: int, classes: int) -> None:
    encoder, make = drawn
    model = Official(make, hidden=hidden, dimension=dimension, classes=classes, temperature=1.0)
    state = official_state(model)
    assert recognise(state, Facts()) == (("opera",) if classes else ("moco_v3",))
    found = (opera if classes else moco_v3).to_ours(state, Facts())
    assert found.backbone.keys() == {name for name in encoder.state_dict() if not name.startswith("head.")}
    assert found.num_heads == 12
    assert found.method is not None
    assert len(found.backbone) + len(found.method.state) == len(state)
    assert found.method.options["projector_layers"] == 3
    assert found.method.options["embedding_dimension"] == dimension
    assert found.method.options["mlp_dimension"] == hidden
    if classes:
        assert (found.method.options["hidden_dimension"], found.method.num_classes) == (dimension, classes)


def damages(state: dict[str, Tensor], key: str, how: str) -> dict[str, Tensor]:
    if how == "missing":
        return {name: tensor for name, tensor in state.items() if name != key}
    if how == "extra":
        return {**state, f"{key}_b": state[key]}
    return {**state, key: torch.zeros((*state[key].shape, 2))}


@settings(max_examples=60, deadline=None)
@given(official_vits(), st.sampled_from(VIT_FORMATS), st.sampled_from(["missing", "extra", "misshapen"]), st.data())
def test_a_damaged_vit_is_refused_by_name(drawn: Any, theirs: ModuleType, how: str, data: st.DataObject) -> None:
    state = theirs.from_ours(dict(drawn[0].state_dict()), header(2)).state
    key = data.draw(st.sampled_from(sorted(state)))
    with pytest.raises(InputError) as refusal:
        theirs.to_ours(damages(state, key, how), Facts(num_heads=2))
    ours = mmseg_vit.our_name(key) if theirs is mmseg_vit else key
    assert ours in str(refusal.value)


@settings(max_examples=60, deadline=None)
@given(official_vits(), st.booleans(), st.sampled_from(["missing", "extra", "misshapen"]), st.data())
def test_a_damaged_official_checkpoint_is_refused(drawn: Any, classes: bool, how: str, data: st.DataObject) -> None:
    model = Official(drawn[1], hidden=5, dimension=4, classes=3 * classes, temperature=1.0)
    state = official_state(model)
    key = data.draw(st.sampled_from(sorted(state)))
    with pytest.raises(InputError):
        (opera if classes else moco_v3).to_ours(damages(state, key, how), Facts())


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([timm, torchvision, mm_resnet]), st.sampled_from(["missing", "extra", "misshapen"]), st.data())
def test_a_damaged_resnet_is_refused(theirs: ModuleType, how: str, data: st.DataObject) -> None:
    state = dict(OfficialResNet().state_dict())
    key = data.draw(st.sampled_from(sorted(state)))
    file = ForeignFile(__file__, damages(state, key, how), Facts(), "0" * 64)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        import_file(file, theirs.INFO.name)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_missing_and_an_unexpected_key_are_named_in_one_sentence(classes: int) -> None:
    model = Official(
        lambda: OfficialViT(width=48, depth=1, heads=12, patch=4, grid=2),
        hidden=5,
        dimension=4,
        classes=classes,
        temperature=1.0,
    )
    state = {**official_state(model), "module.foo": torch.zeros(1)}
    del state["module.base_encoder.blocks.0.mlp.fc1.bias"]
    with pytest.raises(InputError, match=r"missing blocks\.0\.mlp\.fc1\.bias; unexpected module\.foo"):
        (opera if classes else moco_v3).to_ours(state, Facts())


def test_formats_that_recognise_one_file_agree_on_it() -> None:
    for state, facts in (
        (dict(OfficialResNet().state_dict()), Facts()),
        (dict(OfficialViT(width=48, depth=2, heads=12, patch=4, grid=2).state_dict()), Facts(12, architecture="x")),
    ):
        names = recognise(state, facts)
        assert len(names) > 1
        results = [find_format(name).to_ours(state, facts) for name in names]
        assert all(same(result.backbone, results[0].backbone) for result in results)
        assert len({result.num_heads for result in results}) == 1


def test_every_format_says_what_it_is() -> None:
    for name in format_names():
        module = find_format(name)
        assert module.INFO.name == name
        assert "Source" in (module.__doc__ or ""), name
        assert hasattr(module, "from_ours") == bool(module.INFO.written_as), name


def vit(width: int, *, learned: bool) -> dict[str, Tensor]:
    model = OfficialViT(width=width, depth=1, heads=2, patch=4, grid=3)
    state = dict(model.state_dict())
    return {**state, "pos_embed": torch.randn_like(model.pos_embed) * 0.02} if learned else state


def test_timms_rule_for_heads_holds_only_where_nothing_speaks_against_it() -> None:
    classifier = {"head.weight": torch.zeros(10, 384), "head.bias": torch.zeros(10)}
    deit = timm.to_ours({**vit(384, learned=True), **classifier}, Facts())
    assert (deit.num_heads, deit.left_out) == (6, ("head.weight", "head.bias"))
    assert timm.to_ours(vit(384, learned=False), Facts(num_heads=12)).num_heads == 12
    assert timm.to_ours(vit(768, learned=False), Facts()).num_heads == 12
    with pytest.raises(InputError, match="may be MoCo-v3's 12 or timm's 6"):
        timm.to_ours(vit(384, learned=False), Facts())
    with pytest.raises(InputError, match="was finetuned or probed from a MoCo-v3"):
        timm.to_ours({**vit(384, learned=False), **classifier}, Facts())


@pytest.mark.parametrize("model", [OfficialViT(width=48, depth=1, heads=12, patch=4, grid=2), OfficialResNet()])
def test_a_linear_probe_is_recognised_and_refused(model: Any) -> None:
    classifier = "head" if isinstance(model, OfficialViT) else "fc"
    setattr(model, classifier, torch.nn.Linear(model.feature_dimension, 5))
    state = official_state(model)
    facts = Facts(trained_tensors=2)
    assert recognise(state, facts) == ("moco_v3",)
    with pytest.raises(InputError, match="linear probe"):
        moco_v3.to_ours(state, facts)
    assert recognise(state, Facts(trained_tensors=len(list(model.parameters())))) == ()


def test_opera_without_one_of_its_parts_is_refused() -> None:
    model = Official(OfficialResNet, hidden=8, dimension=8, classes=3, temperature=1.0)
    for prefix in ("module.momentum_encoder.", "module.predictor."):
        state = {name: tensor for name, tensor in official_state(model).items() if not name.startswith(prefix)}
        with pytest.raises(InputError, match=prefix):
            opera.to_ours(state, Facts())


def test_moco_without_its_momentum_encoder_gives_the_backbone_alone() -> None:
    model = Official(OfficialResNet, hidden=8, dimension=8, classes=0, temperature=1.0)
    state = {name: t for name, t in official_state(model).items() if name.startswith("module.base_encoder.")}
    found = moco_v3.to_ours(state, Facts())
    assert found.method is None
    assert {name.split(".")[2] for name in found.left_out} == {"fc"}
