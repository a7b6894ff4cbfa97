"""The pretraining that is evaluated: one of ours, or the declared facts of an imported checkpoint. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from pretrain.config import LARGEST_BATCH, MOST_EPOCHS, Integer, Normalisation, PretrainConfig, RecipeReference, Strict


def _parse_normalisation(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in NORMALISATIONS:
        raise ValueError(
            f"write {', '.join(NORMALISATIONS)}, or {{mean: [r, g, b], std: [r, g, b]}} for pixels in [0, 1]"
        )
    return NORMALISATIONS[value]


def _require_unit_pixels(stated: Normalisation) -> Normalisation:
    """Refuse statistics of pixels from 0 to 255, and deviations that no images have."""
    if not all(0 <= mean <= 1 for mean in stated.mean) or not all(SMALLEST_STD <= std <= 1 for std in stated.std):
        raise ValueError(
            f"pixels are in [0, 1], so means are from 0 to 1 and deviations from {SMALLEST_STD} to 1; divide "
            "statistics of pixels from 0 to 255 by 255"
        )
    return stated


SMALLEST_STD = 0.001
"""Smallest deviation that an import may state: 1/255, for networks that take pixels from 0 to 255, is larger."""
NORMALISATIONS = {
    "imagenet": Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "inception": Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "none": Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}
"""Pixel statistics by name: torchvision's and timm's usual ones, [-1, 1] as in Inception, and [0, 1] as in SimCLR."""
NamedNormalisation = Annotated[
    Normalisation, BeforeValidator(_parse_normalisation), AfterValidator(_require_unit_pixels)
]


class ImportSource(Strict):
    """A checkpoint trained elsewhere.

    ``checkpoint`` is only the file's name. Its directory, ``path``, does not affect the result and is never saved.
    """

    checkpoint: str
    format: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="refuses any other file")
    weights: str | None = Field(default=None, description="ema, raw, or the name of one of the file's sets of weights")
    normalisation: Normalisation | None = Field(
        default=None, description="of the training; None: the file's, ImageNet's"
    )
    path: str = Field(default="", exclude=True)

    @model_serializer(mode="wrap")
    def _leave_out_no_normalisation(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write ``normalisation`` only if the user states it: what is written makes the ids of runs."""
        return {key: value for key, value in serialise(self).items() if key != "normalisation" or value is not None}


class ImportedPretraining(Strict):
    """Facts that a user declares about an imported checkpoint, named as in ``PretrainConfig``; None means unknown."""

    method: str
    method_options: dict[str, Any] = Field(default={})
    backbone: str
    dataset: str
    dataset_version: str
    global_batch_size: Integer | None = Field(gt=0, le=LARGEST_BATCH)
    epochs: Integer | None = Field(ge=0, le=MOST_EPOCHS)
    recipe: RecipeReference
    seed: Integer = Field(ge=0, lt=2**32, description="of the evaluations")
    source: ImportSource


Subject = PretrainConfig | ImportedPretraining
"""The pretraining that an evaluation evaluates."""
