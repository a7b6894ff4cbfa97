"""What several tests of figures read."""

from __future__ import annotations

import pandas as pd
import pytest

from results.frame import to_frame
from results.store import Store, load_runs
from tests.results.paper_runs import TINY, write_paper_runs
from tests.results.synthetic import evaluation, pretraining, write_run


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, pd.DataFrame]:
    """The whole paper in miniature and appendix C, two seeds."""
    runs = tmp_path_factory.mktemp("paper")
    for seed in range(2):
        write_run(runs, evaluation(pretraining("opera_mim", seed=seed)))
    write_paper_runs(runs, TINY, seeds=2, similarity=True)
    store = load_runs(runs)
    return store, to_frame(store.runs)
