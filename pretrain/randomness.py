"""Seeds as pure functions of where they are used, so that neither history nor the number of processes matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PERMUTATION, CROP, AUGMENT, STEP, REPEAT, MIX, METHOD = range(7)
"""Purposes, so that two kinds of draw never share a stream."""


def derive_seed(*where: int) -> int:
    """A 63-bit seed from non-negative integers such as (seed, purpose, step)."""
    return int(np.random.SeedSequence(where).generate_state(1, np.uint64)[0] >> 1)


def epoch_order(num_images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits the images, shape (num_images,)."""
    return np.random.default_rng((seed, PERMUTATION, epoch)).permutation(num_images)


def uniform_rows(rows: range, columns: int, seed: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) for some images of a global batch, (len(rows), columns).

    An image's numbers are the same whichever images are asked for beside it, so that they depend neither on the number
    of processes nor on micro-batches.
    """
    generator = np.random.PCG64(seed)
    # Every number takes one step of the generator, so that the rows before need not be drawn.
    generator.advance(rows.start * columns)
    return np.random.Generator(generator).random((len(rows), columns))
