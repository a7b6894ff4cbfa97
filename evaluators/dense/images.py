"""Checks that a split's files exist before training, and names the file if a sample can't be loaded later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from pretrain.datasets._coco import read_annotations
from pretrain.errors import InputError


def require_images(runner: Any, split: str) -> None:
    """Load a split's data set and check that every image it lists exists.

    Afterwards, errors raised while the libraries load a sample name the file.

    Raises
    ------
    InputError
        The annotations can't be read, contain none of the classes, or list an image that does not exist.
    """
    settings = runner.cfg[f"{split}_dataloader"]["dataset"]
    source = _source(settings)
    try:
        dataset = getattr(runner, f"{split}_dataloader").dataset
    except InputError:
        raise
    except Exception as error:  # on damaged annotations the libraries raise many types of errors
        if source.suffix == ".json":
            read_annotations(source)
            if _leaves_no_image(settings):
                raise _no_annotations_error(source) from error
        raise InputError(f"{source}: can't be read as annotations ({type(error).__name__}: {error})") from error
    present: dict[Path, set[str]] = {}
    annotated = False
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = Path(info["img_path"])
        if path.parent not in present:
            present[path.parent] = {entry.name for entry in path.parent.iterdir()} if path.parent.is_dir() else set()
        if path.name not in present[path.parent]:
            raise InputError(f"{source}: lists image {path}, but the file does not exist")
        annotated = annotated or bool(info.get("instances", True))  # masks are not opened here
    if not annotated:
        raise _no_annotations_error(source)
    dataset.pipeline = NamingPipeline(dataset.pipeline)


class NamingPipeline:
    """Wraps a data set's transforms so that errors name the file: a loader worker passes on only the exception."""

    def __init__(self, transforms: Any) -> None:
        self.transforms = transforms

    def __call__(self, info: dict[str, Any]) -> Any:
        try:
            return self.transforms(info)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # on a damaged file the decoders raise many types of errors
            # Each transform adds keys to ``info``, so the keys show which step failed.
            if "img" not in info:
                problem = f"{info['img_path']}: can't be decoded as an image"
            elif info.get("seg_map_path") and "gt_seg_map" not in info:
                problem = f"{info['seg_map_path']}: can't be decoded as a mask"
            else:
                problem = f"{info['img_path']}: can't be prepared with its annotations"
            reason = " ".join(str(error).split())
            raise InputError(f"{problem} ({type(error).__name__}: {reason})") from error


def _source(settings: Any) -> Path:
    """Return a split's annotation file, or the directory of its masks."""
    relative: str = settings.get("ann_file") or settings["data_prefix"]["seg_map_path"]
    return Path(settings["data_root"]) / relative


def _leaves_no_image(settings: Any) -> bool:
    """Return whether readable annotations leave no image after filtering; the library then fails with another error."""
    dataset = DATASETS.build({**settings, "lazy_init": True})
    try:
        dataset.data_list = dataset.load_data_list()
        return not dataset.filter_data()
    except Exception:  # the annotations can't be read
        return False


def _no_annotations_error(source: Path) -> InputError:
    return InputError(f"{source}: has no annotation of the data set's classes, so nothing can be trained or evaluated")
