"""Every scalar that a shipped method logs has a label and a unit in its module's ``METRICS``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.assets import VARIABLE
from pretrain.methods.lookup import find_method
from pretrain.metrics import PRETRAINING, declarations
from pretrain.plugins import shipped_names
from pretrain.testing import _config, _learner, _step
from tests.pretrain.methods import test_beit, test_dino, test_ibot, test_mae, test_msn, test_simmim
from tests.pretrain.methods.common import MULTI_CROP, ONE_VIEW
from tests.pretrain.test_testing import SMALL

SHIPPED = sorted(shipped_names("pretrain.methods"))
STACKED = [f"opera_on_{name}" for name in SHIPPED if hasattr(find_method(name), "INSTANCE_DIMENSION")]
SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "mae": (test_mae.SMALL, ONE_VIEW),
    "simmim": (test_simmim.SMALL, ONE_VIEW),
    "beit": (test_beit.SMALL, test_beit.VIEWS),
    "dino": (test_dino.SMALL, MULTI_CROP),
    "ibot": (test_ibot.SMALL, MULTI_CROP),
    "msn": (test_msn.SMALL, MULTI_CROP),
}


def logged(name: str, directory: Path) -> set[str]:
    """The names of the scalars that the method logs in a step on random pixels."""
    module: Any = find_method(name)
    options, views = SETTINGS.get(name, (SMALL, None))
    options = {key: value for key, value in options.items() if key in module.Config.model_fields}
    if name == "beit":
        options["tokenizer_sha256"] = test_beit.save_tokenizer(directory, hidden=8, vocabulary=20)
    config = _config(name, module, options, "tiny_vit", {} if views is None else {"views": views})
    return set(_step(_learner(module, config), 0)["metric"])


@pytest.mark.parametrize("name", [*SHIPPED, *STACKED])
def test_a_method_declares_what_it_logs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    torch.set_num_threads(1)
    declared = find_method(name).METRICS
    names = [metric.name for metric in declared]
    assert len(set(names)) == len(names)
    assert not {metric.name for metric in PRETRAINING} & set(names), "the engine's are declared once"
    assert not any(metric.headline for metric in declared), "a training's own scalars compare no methods"
    assert set(names) == (set() if name == "random_init" else logged(name, tmp_path))


def test_losses_have_the_labels_and_units_of_their_formulas() -> None:
    """MAE squares its errors, BEiT classifies tokens; distances and cosines have no unit, cross-entropies have nats."""
    label = {
        name: declarations(find_method(name).METRICS, ["masked_loss"])["masked_loss"].label
        for name in ("mae", "beit", "simmim", "opera_mim")
    }
    assert "squared" in label["mae"]
    assert "Cross-entropy" in label["beit"]
    assert label["simmim"] == label["opera_mim"]
    assert "absolute" in label["simmim"]
    units = {
        metric.name: metric.unit
        for name in SHIPPED
        for metric in (*PRETRAINING, *find_method(name).METRICS)
        if metric.name.endswith("loss") and (name, metric.name) != ("beit", "masked_loss")
    }
    without = {"loss", "masked_loss", "regression_loss", "similarity_loss"}
    assert {name for name, unit in units.items() if not unit} == without
    assert {unit for name, unit in units.items() if name not in without} == {"nats"}
