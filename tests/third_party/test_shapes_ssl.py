"""What a stranger's distribution may do to runs, and what it may not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.third_party.conftest import SHIPPED, SWEEP, Site


def records(site: Site) -> dict[str, dict]:
    """Run id → record of every finished run."""
    found = (json.loads(path.read_text()) for path in (site.work / "runs").glob("*/record.json"))
    return {record["run_id"]: record for record in found}


def refused(site: Site, sweep: str = SWEEP) -> str:
    """The one line that ``plan`` refuses a sweep with."""
    done = site("plan", "SWEEP", sweep=sweep)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.slow
def test_editing_a_plugin_runs_it_again_and_the_record_names_it(site: Site) -> None:
    run = ("run", "SWEEP", "--executor", "inline", "--runs", "runs")
    done = site(*run)
    assert done.returncode == 0, done.stderr
    first = records(site)
    assert len(first) == 2
    for record in first.values():
        plugin = record["config"]["plugins"]["shapes-ssl"]
        assert plugin["version"] == "0.0.1"
        assert len(plugin["source_sha256"]) == 64
    (pretrained,) = (record for record in first.values() if record["stage"] == "pretrain")
    assert pretrained["declarations"]["similarity_loss"]["label"] == "Negative cosine"
    assert pretrained["declarations"]["loss"]["unit"] == "", "a negative cosine has no nats"
    assert "embedding_std" not in pretrained["declarations"]
    assert "starting 0 jobs" in site(*run).stderr, "unchanged code has its results"

    site.edit("simsiam.py", "/ 2\n", "/ 3\n")
    ids = site.planned()
    assert not set(ids) & set(first), "both runs depend on the code, the evaluation through its parent"
    again = site("plan", "SWEEP", "--runs", "runs")
    assert again.returncode == 0
    shutil.rmtree(site.work / "runs" / next(i for i in first if i.startswith("knn_sweep")))
    judged = site("evaluate", "knn_sweep", next(i for i in first if i.startswith("pretrain")), "--runs", "runs")
    assert judged.returncode == 2
    assert "planned by another version" in judged.stderr


CHECK = """\
import sys
from pretrain.testing import check_method
for name in sys.argv[1:]:
    check_method(name, backbones=["tiny_resnet"])
"""


@pytest.mark.slow
def test_its_methods_follow_the_rule_of_all_methods(site: Site) -> None:
    done = site.python(CHECK, "my_method", "shapes_simclr", "shapes_simsiam", "shapes_byol")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_simclr_with_the_negatives_of_one_process_breaks_the_rule(site: Site) -> None:
    site.edit("simclr.py", "gather_with_gradient(view) for view in", "view for view in")
    done = site.python(CHECK, "shapes_simclr")
    assert done.returncode == 1
    sentence = (
        "method shapes_simclr on tiny_resnet: the loss depends on the number of processes: negatives must be gathered"
    )
    assert f"{sentence} from all of them, use pretrain.methods.parts.gather" in done.stderr


def test_the_version_alone_is_part_of_the_id_and_recipes_are_code(site: Site) -> None:
    before = site.planned()
    site.edit("recipes_pretrain/shapes-contrastive.yaml", "project's choice", "project's own choice")
    recipe_edited = site.planned()
    assert not set(before) & set(recipe_edited)
    (metadata,) = site.path.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: 0.0.1", "Version: 0.0.2"))
    assert not set(recipe_edited) & set(site.planned())


def test_shipped_runs_have_the_same_ids_beside_a_plugin(site: Site, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert site.planned(SHIPPED) == Site(tmp_path / "nothing", tmp_path).planned(SHIPPED)


def test_a_plugin_never_replaces_a_shipped_name(site: Site) -> None:
    site.add_entry_point("evaluators", "knn = shapes_ssl.fakeknn")
    message = refused(site, SHIPPED)
    assert "evaluator 'knn' is shipped with opera-bench" in message
    assert "shapes-ssl 0.0.1 (shapes_ssl.fakeknn)" in message
    site.planned()


def test_two_distributions_of_one_name_are_refused(site: Site, bare: Callable[..., Path]) -> None:
    bare(site.path, "rival", "3.1", "[opera_bench.methods]\nshapes_simsiam = rival\n", rival="")
    message = refused(site)
    assert "method 'shapes_simsiam' is offered by" in message
    assert "shapes-ssl 0.0.1 (shapes_ssl.simsiam)" in message
    assert "rival 3.1 (rival)" in message
    site.planned(SHIPPED)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_library\n", "simsiam.py:1: ModuleNotFoundError: No module named 'no_such_library'"),
        ("def build(:\n", "simsiam.py:1: SyntaxError"),
        ("raise SystemExit(3)\n", "simsiam.py:1: SystemExit: 3"),
        ("def build(): ...\n", "simsiam.py: has no class Config"),
        ("from pretrain.config import Strict as Config\n", "simsiam.py: has no function build"),
        ("from pretrain.metrics import Metric\nMetric(name='x', label='', unit='', higher_is_better=None)\n", "label"),
        (None, "entry point shapes_ssl.simsiam: ModuleNotFoundError"),
    ],
)
def test_a_broken_module_is_one_sentence_and_breaks_what_uses_it(site: Site, text: str | None, told: str) -> None:
    path = site.path / "shapes_ssl" / "simsiam.py"
    path.unlink() if text is None else path.write_text(text)
    message = refused(site)
    assert "method 'shapes_simsiam' of shapes-ssl 0.0.1 can't be used" in message
    assert told in message
    assert len(message.strip().splitlines()) == 1
    site.planned(SHIPPED)


def test_declarations_of_another_type_are_refused_before_training(site: Site) -> None:
    site.edit("simsiam.py", "METRICS = (", "METRICS = 3, (")
    assert "method shapes_simsiam: METRICS must be a tuple of pretrain.metrics.Metric, not 3" in refused(site)
    site.planned(SHIPPED)


def test_a_broken_recipe_breaks_what_uses_it(site: Site) -> None:
    site.edit("recipes_pretrain/shapes-contrastive.yaml", "applies_to:", "aplies_to:")
    message = refused(site)
    assert "recipe of shapes-ssl 0.0.1 can't be used" in message
    assert "shapes-contrastive.yaml: applies_to: Field required" in message
    site.planned(SHIPPED)
    told = site("doctor")
    assert told.returncode == 1
    assert "shapes-contrastive.yaml" in told.stdout


def test_listings_show_a_broken_dataset_and_the_others(site: Site) -> None:
    (site.path / "shapes_ssl" / "shapes.py").write_text("INFO = 3\n")
    listed = site("data", "list")
    assert listed.returncode == 0, listed.stderr
    assert "digits" in listed.stdout
    assert "dataset 'shapes' of shapes-ssl 0.0.1 can't be used" in listed.stdout + listed.stderr


def test_a_distribution_without_a_name_is_one_sentence(site: Site) -> None:
    (metadata,) = site.path.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Name: shapes-ssl\n", ""))
    message = refused(site)
    assert "has no Name" in message
    assert str(site.path) in message
    assert len(message.strip().splitlines()) == 1
    site.planned(SHIPPED)


ONLY_PLAN = """\
import sys
from pathlib import Path
from bench.launch.jobs import write_configs
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
write_configs(plan_sweep(load_sweep(sys.argv[1])).runs, Path("runs"))
"""
ONLY_WORK = """\
import sys
from bench.worker.run_job import execute
execute(sys.argv[1], "cpu", 0, {})
"""


def test_code_that_changed_after_planning_is_not_computed_under_the_old_id(site: Site) -> None:
    ids = site.planned()
    assert site.python(ONLY_PLAN, "sweep.yaml").returncode == 0
    site.edit("simsiam.py", "/ 2\n", "/ 3\n")
    pretraining = site.work / "runs" / next(run_id for run_id in ids if run_id.startswith("pretrain"))
    assert site.python(ONLY_WORK, str(pretraining)).returncode == 1
    failure = json.loads((pretraining / "failure.json").read_text())
    assert "was planned with shapes-ssl 0.0.1 (source " in failure["error"]
    assert not (pretraining / "record.json").exists()
