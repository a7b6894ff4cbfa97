"""Derives seeds from their use alone, so that neither earlier draws nor the number of processes matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PERMUTATION, CROP, AUGMENT, STEP, REPEAT, MIX, METHOD = range(7)
"""Purposes of seeds. Seeds of different purposes give different streams."""


def derive_seed(*key: int) -> int:
    """Return a 63-bit seed from non-negative integers such as (seed, purpose, step)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def epoch_order(num_images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order in which an epoch visits the images, shape (num_images,)."""
    return np.random.default_rng((seed, PERMUTATION, epoch)).permutation(num_images)


def uniform_rows(rows: range, columns: int, seed: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return uniform numbers in [0, 1) for rows of a global batch, (len(rows), columns).

    The numbers of a row do not depend on the other rows, and so neither on the number of processes nor on
    micro-batches.
    """
    generator = np.random.PCG64(seed)
    # Each number takes one step of the generator, so skip those of the rows before.
    generator.advance(rows.start * columns)
    return np.random.Generator(generator).random((len(rows), columns))
