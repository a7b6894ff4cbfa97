"""``make bench``: how fast, as ratios against a plain reference measured in the same run. Asserts nothing.

Each pair is timed in turn (A B A B …) so that a drift of the machine's speed hits both; the median ratio is printed
with its smallest and largest value. Each row is printed when it is measured. ``make bench ROWS=views,step`` measures a
part.
"""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from pretrain.method import Step
from results.index import INDEX
from tests.pretrain.steps import RUN
from tests.results.paper_runs import TINY, write_paper_runs
from tests.speed import index, methods, microbatch
from tests.speed.pair import Pair, seconds


def views() -> Pair:
    """The batched augmentation against torchvision's transforms, image by image."""
    from torchvision.transforms import v2

    from pretrain.config import Normalisation, ViewConfig
    from pretrain.views.augment import augment, draw_parameters

    view = ViewConfig(
        crop_scale=(0.2, 1.0),
        color_jitter=(0.4, 0.4, 0.2, 0.1),
        grayscale_probability=0.2,
        blur_probability=0.5,
        solarize_probability=0.2,
    )
    statistics = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = torch.randint(0, 256, (64, 3, 96, 96), dtype=torch.uint8)
    plain = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5),
            v2.RandomSolarize(0.5, 0.2),
            v2.RandomHorizontalFlip(),
            v2.Normalize(list(statistics.mean), list(statistics.std)),
        ]
    )

    def ours() -> torch.Tensor:
        return augment(images, draw_parameters(view, 64, torch.Generator().manual_seed(0)), view, statistics)

    return Pair("augment 64 images of 96 px", "torchvision, one by one", ours, lambda: [plain(i) for i in images])


def job_start() -> Pair:
    """A job forked from the preloaded server against a fresh interpreter that imports torch and timm."""
    from slurm.executors.local import LocalExecutor
    from slurm.job import Job

    directory = Path(tempfile.mkdtemp())
    executor = LocalExecutor(workers=1, preload=("bench.worker.preloaded",))
    numbers = iter(range(1_000_000))

    def ours() -> None:
        number = next(numbers)
        job = Job(f"job-{number}", "os:getpid", {}, directory / "log")
        executor.wait(executor.submit([job]))

    def reference() -> None:
        subprocess.run([sys.executable, "-c", "import torch, timm"], check=True)

    ours()  # the server starts once
    return Pair("start a job", "python -c 'import torch, timm'", ours, reference, repeats=3)


def command(*arguments: str) -> Callable[[], object]:
    program = [sys.executable, "-c", "from bench.cli import main; main()", *arguments]
    return lambda: subprocess.run(program, check=True, capture_output=True)


def bare_python() -> object:
    return subprocess.run([sys.executable, "-c", "pass"], check=True)


def help_text() -> Pair:
    return Pair("opera-bench --help", "python -c pass", command("--help"), bare_python)


def plan() -> Pair:
    ours = command("plan", "digits", "--runs", tempfile.mkdtemp())
    return Pair("opera-bench plan digits", "python -c pass", ours, bare_python)


def tables_cold() -> Pair:
    """All tables of 10,000 runs with no index, against reading the same records' bytes."""
    runs = _ten_thousand_runs()

    def ours() -> None:
        (runs / INDEX).unlink(missing_ok=True)
        command("tables", "--runs", str(runs), "--format", "md")()

    def reference() -> None:
        for path in runs.glob("*/record.json"):
            path.read_bytes()

    return Pair("opera-bench tables, 10,000 runs, cold", "read the records' bytes", ours, reference, repeats=3)


def tables_warm() -> Pair:
    """The same with the index of the time before."""
    ours = command("tables", "--runs", str(_ten_thousand_runs()), "--format", "md")
    return Pair("opera-bench tables, 10,000 runs, warm", "python -c pass", ours, bare_python)


@functools.cache
def _ten_thousand_runs() -> Path:
    """The paper in miniature with 51 seeds."""
    runs = Path(tempfile.mkdtemp())
    write_paper_runs(runs, TINY, seeds=51)
    return runs


def step() -> Pair:
    """An OPERA step against the same forward and backward passes of the bare backbone."""
    from pretrain.backbones.lookup import find_backbone
    from pretrain.batch import Batch
    from pretrain.methods import opera

    tiny = find_backbone("tiny_vit")
    config = opera.Config(mlp_dimension=256, embedding_dimension=64)
    method = opera.build(config, backbone=tiny.build(16), feature_dimension=tiny.INFO.width, num_classes=10, run=RUN)
    bare = tiny.build(16)
    images = torch.randn(2, 64, 3, 16, 16)
    batch = Batch(tuple(images), torch.randint(0, 10, (64,)), torch.arange(64))

    def ours() -> None:
        method.before_step(Step(1, 2, 0.5, 1))
        method.loss(batch)[0].backward()

    def reference() -> None:
        for view in images:
            bare(view).sum().backward()

    return Pair("OPERA step, tiny ViT", "backbone forward + backward, 2 views", ours, reference, repeats=15)


def rows(wanted: Sequence[str]) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield the rows of the parts called ``wanted``, each when it is measured."""
    for part in wanted:
        if part == "microbatch":
            yield from microbatch.rows()
            continue
        for pair in PARTS[part]():
            pair.ours(), pair.reference()
            timed = [(seconds(pair.ours), seconds(pair.reference)) for _ in range(pair.repeats)]
            ours, reference = (sorted(column)[len(timed) // 2] for column in zip(*timed, strict=True))
            ratios = sorted(a / b for a, b in timed)
            spread = f"{ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} – {ratios[-1]:.2f})"
            yield pair.name, f"{ours:.4f} s", pair.reference_name, f"{reference:.4f} s", spread, str(pair.repeats)


PARTS: dict[str, Callable[[], Iterator[Pair]]] = {
    "views": lambda: iter([views()]),
    "step": lambda: iter([step()]),
    "methods": methods.pairs,
    "jobs": lambda: iter([job_start()]),
    "commands": lambda: (make() for make in (help_text, plan)),
    "tables": lambda: (make() for make in (tables_cold, tables_warm, *index.PAIRS)),
}
NAMES = (*PARTS, "microbatch")


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    wanted = sys.argv[1].split(",") if len(sys.argv) > 1 else NAMES
    if unknown := [name for name in wanted if name not in NAMES]:
        sys.exit(f"ROWS={','.join(unknown)}: unknown; choose from {', '.join(NAMES)}")
    widths = (52, 11, 44, 11, 26, 3)
    titles = ("what", "median", "reference", "median", "ratio: median (min – max)", "n")
    for row in itertools.chain([titles], rows(wanted)):
        print(" ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    main()
