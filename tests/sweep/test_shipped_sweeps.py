"""The shipped sweeps against the paper's own rows: every row the authors ran, nothing else, each pretraining once."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.plan.graph import Plan, PlannedRun, plan_sweep
from bench.show.plan import summary
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep

GOLDEN = Path(__file__).parents[1] / "golden" / "plan" / "paper.txt"
TABLES = {
    name: table
    for name, table in yaml.safe_load(files("results").joinpath("reference/opera_paper.yaml").read_text())[
        "tables"
    ].items()
    if name.startswith("table")
}
WITH_GROUPS = ("table1", "table2", "table8")
FIGURES = ("figure1", "figure4", "figure5", "figure6", "figure7", "figure8", "similarity")
METHODS = {
    "OPERA": "opera",
    "MoCo-v3†": "moco_v3",
    "Supervised": "supervised",
    "Supervised†": "supervised",
    "Supervised (MLP)": "supervised_mlp",
    "Rand. Init.": "random_init",
}
BACKBONES = {"R50": "resnet50", "ViT-S": "vit_small", "ViT-B": "vit_base"}
WIDTHS = (128, 256, 512, 1024, 2048, 4096)
MAIN = {"arrangement": "C", "mlp_layers": 2, "embedding_dimension": 256, "hidden_dimension": 256}

Pretraining = tuple[Any, ...]
"""(method, backbone, batch size, epochs, what differs from the main setting)."""


def plan(name: str, *, rows: str | None = None, tiny: bool = False) -> Plan:
    """The plan of a sweep; ``rows`` chooses rows of the sweeps with groups."""
    return plan_sweep(load_sweep(name, () if rows is None else (f"rows={rows}",), tiny=tiny))


def pretraining_of(run: PlannedRun) -> Pretraining:
    config = run.config["pretrain"]
    if config["method"] == "random_init":
        return ("random_init", config["backbone"])
    options = config["method_options"]
    ablated = {
        key: options[key] for key, value in MAIN.items() if config["method"] == "opera" and options[key] != value
    }
    return (
        config["method"],
        config["backbone"],
        config["global_batch_size"],
        config["epochs"],
        *itertools.chain.from_iterable(ablated.items()),
    )


def rows_the_authors_ran(table: str) -> list[tuple[Pretraining, dict[str, str]]]:
    """The pretraining of each row, and the row."""
    found = []
    for printed in TABLES[table]["rows"]:
        row = dict(zip(TABLES[table]["columns"], printed, strict=True))
        if row["Method"] not in METHODS:
            continue
        method = METHODS[row["Method"]]
        epochs, backbone = row.get("P.T.", ""), row.get("Backbone", row.get("Backbone.", "R50"))
        batch = row.get("BS", "1024")
        if "Pretraining Backbone" in row:  # Table 8, which repeats Table 2 at batch size 4096
            epochs, backbone = row["Pretraining Backbone"].split(" ")
            batch = "4096"
        if method == "random_init":
            found.append(((method, BACKBONES[backbone]), row))
            continue
        if epochs == "-":  # Table 2's supervised rows: one training, whose epochs stand under F.T.
            epochs = row["F.T."]
        found.append(((method, BACKBONES[backbone], int(batch), int(epochs)), row))
    return found


def ablations() -> dict[str, set[Pretraining]]:
    """Figures 4 to 8, as section 4.3 tells them; the main setting's points are runs of the tables."""
    run = ("opera", "vit_small", 1024, 150)
    short = ("opera", "vit_small", 1024, 100)
    return {
        "figure4": {(*short, "arrangement", "A"), (*short, "arrangement", "B"), short},
        "figure5": {("opera", "vit_small", 1024, epochs) for epochs in range(50, 301, 50)},
        "figure6": {(*run, "mlp_layers", layers) for layers in (1, 3, 4, 5)} | {run},
        "figure7": {(*run, "embedding_dimension", width) for width in WIDTHS if width != 256} | {run},
        "figure8": {(*run, "hidden_dimension", width) for width in WIDTHS if width != 256} | {run},
    }


@pytest.mark.parametrize("table", TABLES)
def test_a_table_s_sweep_pretrains_its_rows_and_nothing_else(table: str) -> None:
    planned = [pretraining_of(run) for run in plan(table).runs if run.stage == "pretrain"]
    assert Counter(planned) == Counter({pretraining for pretraining, _ in rows_the_authors_ran(table)})


@pytest.mark.parametrize("figure", ablations())
def test_a_figure_s_sweep_pretrains_its_points(figure: str) -> None:
    runs = plan(figure).runs
    assert {pretraining_of(run) for run in runs if run.stage == "pretrain"} == ablations()[figure]
    finetunings = [run.config["evaluator"] for run in runs if run.stage == "finetune"]
    assert len(finetunings) == len(ablations()[figure])
    assert {(f["dataset"], f["epochs"]) for f in finetunings} == {("imagenet", 100)}


def test_the_whole_paper_pretrains_each_of_them_once() -> None:
    expected = {pretraining for table in TABLES for pretraining, _ in rows_the_authors_ran(table)}
    expected = expected.union(*ablations().values())
    planned = [pretraining_of(run) for run in plan("paper").runs if run.stage == "pretrain"]
    assert Counter(planned) == Counter(expected)


def test_evaluations_are_the_tables_cells() -> None:
    def judged(table: str, stage: str) -> Counter[Any]:
        runs = [run for run in plan(table).runs if run.stage == stage]
        settings = [(run.config["evaluator"]["dataset"], run.config["evaluator"]["epochs"]) for run in runs]
        return Counter((pretraining_of(run), *setting) for run, setting in zip(runs, settings, strict=True))

    contrastive = ("OPERA", "MoCo-v3†")
    expected = Counter((p, "imagenet", int(row["F.T."])) for p, row in rows_the_authors_ran("table1"))
    assert judged("table1", "linear") == expected
    expected = Counter(
        (p, "imagenet", int(row["F.T."])) for p, row in rows_the_authors_ran("table2") if row["Method"] in contrastive
    )
    assert judged("table2", "finetune") == expected
    sets = ("cifar10", "cifar100", "flowers102", "pets")
    expected = Counter((p, name, int(row["F.T."])) for p, row in rows_the_authors_ran("table3") for name in sets)
    assert judged("table3", "transfer") == expected
    expected = Counter((p, "imagenet", 100) for p, _ in rows_the_authors_ran("table7"))
    assert judged("table7", "finetune") == expected
    assert judged("table8", "finetune") == Counter((p, "imagenet", 150) for p, _ in rows_the_authors_ran("table8"))
    assert set(plan("table8").run_ids) <= set(plan("table2").run_ids), "Table 8 repeats runs of Table 2"


@pytest.mark.parametrize(
    ("table", "stage", "setting"),
    [
        ("table4", "segmentation", {"dataset": "ade20k", "iterations": 160_000}),
        ("table7", "segmentation", {"dataset": "ade20k", "iterations": 160_000}),
        ("table5", "detection", {"dataset": "coco", "schedule": "1x"}),
        ("table6", "detection", {"dataset": "coco", "schedule": "2x"}),
    ],
)
def test_dense_evaluations_are_the_tables_cells(table: str, stage: str, setting: dict[str, Any]) -> None:
    runs = [run for run in plan(table).runs if run.stage == stage]
    assert Counter(pretraining_of(run) for run in runs) == Counter(p for p, _ in rows_the_authors_ran(table))
    assert all(run.config["evaluator"][key] == value for run in runs for key, value in setting.items())


def test_finetuning_takes_the_batch_of_the_pretraining() -> None:
    """Appendix B.1: end-to-end finetuning with batches of 1024, 2048 and 4096."""
    runs = [run.config for run in plan("table2").runs if run.stage == "finetune"]
    assert all(c["evaluator"]["global_batch_size"] == c["pretrain"]["global_batch_size"] for c in runs)


def test_figure_1_shows_runs_of_the_tables_only() -> None:
    of_tables = {run_id for table in TABLES for run_id in plan(table).run_ids}
    assert set(plan("figure1").run_ids) <= of_tables


def test_sweeps_share_ids_and_paper_holds_all_of_them() -> None:
    paper = plan("paper")
    parts = {part.name: set(part.run_ids) for part in paper.parts}
    assert set(parts) == {*TABLES, *FIGURES}
    assert set(paper.run_ids) == set().union(*parts.values())
    assert all(set(plan(name).run_ids) == ids for name, ids in parts.items())
    assert parts["table1"] & parts["table3"] & parts["table4"], "the same pretraining, whichever table asks"


def test_golden_summary_of_the_paper() -> None:
    """Regenerate with ``opera-bench plan paper | tail -n 3 | head -n 2 > tests/golden/plan/paper.txt``."""
    assert summary(plan("paper")) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_what_the_summary_says_is_saved_is_what_the_parts_ask_for_twice() -> None:
    paper = plan("paper")
    asked = Counter(run_id for part in paper.parts for run_id in part.run_ids)
    twice = Counter(run.stage == "pretrain" for run in paper.runs for _ in range(asked[run.run_id] - 1))
    assert f"saves {twice[True]} pretrainings, {twice[False]} evaluations" in summary(paper)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        *((name, "own") for name in (*WITH_GROUPS, "paper")),
        *((name, "all") for name in (*WITH_GROUPS, "paper")),
        *((name, None) for name in (*TABLES, *FIGURES, "digits") if name not in WITH_GROUPS),
    ],
)
def test_tiny_keeps_the_graph_s_shape(name: str, rows: str | None) -> None:
    """Node by node, but for the transfers of one checkpoint, whose four datasets become one."""
    real, tiny = plan(name, rows=rows), plan(name, rows=rows, tiny=True)
    pretrainings = [[run for run in found.runs if run.stage == "pretrain"] for found in (real, tiny)]
    assert len(pretrainings[0]) == len(pretrainings[1])
    smaller = dict(zip(*([run.run_id for run in runs] for runs in pretrainings), strict=True))
    expected = Counter((run.stage, *(smaller[p] for p in run.parents)) for run in real.runs if run.stage != "pretrain")
    for key in expected:
        if key[0] == "transfer" and name != "digits":
            assert expected[key] == 4
            expected[key] = 1
    assert Counter((run.stage, *run.parents) for run in tiny.runs if run.stage != "pretrain") == expected
    assert {run.dataset for run in tiny.runs} <= {"digits", "mnist5k", "digit_scenes", "digit_objects"}
    assert not set(real.run_ids) & set(tiny.run_ids) or name == "digits"
    for one, other in zip(*pretrainings, strict=True):
        big, small = one.config["pretrain"], other.config["pretrain"]
        assert big["method"] == small["method"]
        assert big["method_options"].get("arrangement") == small["method_options"].get("arrangement")
        assert big["method_options"].get("mlp_layers") == small["method_options"].get("mlp_layers")


def test_tiny_keeps_what_is_larger_larger() -> None:
    plans = [plan("paper", rows="all", tiny=tiny) for tiny in (False, True)]
    real, tiny = ([run.config["pretrain"] for run in found.runs if not run.parents] for found in plans)
    for key in ("epochs", "global_batch_size"):
        pairs = {
            (big[key], small[key]) for big, small in zip(real, tiny, strict=True) if big["method"] != "random_init"
        }
        assert len({big for big, _ in pairs}) == len(pairs) == len({small for _, small in pairs})
        assert [small for _, small in sorted(pairs)] == sorted(small for _, small in pairs)


@pytest.mark.parametrize("name", ["official-checkpoints", "released"])
def test_what_cannot_shrink_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}.yaml:\d+: --tiny can't shrink an imported checkpoint of"):
        load_sweep(name, tiny=True)


@pytest.mark.parametrize("tiny", [False, True])
def test_planning_every_shipped_sweep_imports_no_torch(tiny: bool) -> None:
    left_out = {"official-checkpoints", "released"} if tiny else set()
    code = (
        "import sys\nfrom bench.plan.graph import plan_sweep\nfrom bench.sweep.load import load_sweep\n"
        "from bench.sweep.read import shipped_sweeps\n"
        f"for name in set(shipped_sweeps()) - {left_out!r}: plan_sweep(load_sweep(name, tiny={tiny}))\n"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_command_line_says_back_what_was_typed(tmp_path: Path) -> None:
    runs = tmp_path / "its runs"
    call = [sys.executable, "-m", "bench.cli", "plan", "table1", "--tiny", "--runs", str(runs)]
    ended = subprocess.run(call, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(f"24 runs, 24 would start: opera-bench run table1 --tiny --runs '{runs}'\n")
    assert "table1-tiny: 12 pretrainings, 12 evaluations (12 linear)" in ended.stdout
