"""Images of every kind in a class folder, read as a run reads them and compared with decoders that are not Pillow."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS, pil_loader

from pretrain.datasets import imagenet
from pretrain.datasets._folder import IMAGE_EXTENSIONS
from pretrain.datasets._images import decode_rgb
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import WNIDS, write_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

tifffile = pytest.importorskip("tifffile")

CASES = Path(__file__).parents[2] / "cases" / "images"
RNG = np.random.default_rng(7)
DEEP: NDArray[np.uint16] = RNG.integers(0, 65536, (9, 11), dtype=np.uint16)
DEEP_RGB: NDArray[np.uint16] = RNG.integers(0, 65536, (9, 11, 3), dtype=np.uint16)


def read_in_tree(tree: Path, path: Path) -> NDArray[np.uint8]:
    """The pixels of an image, put first into a class folder of the training set and read from there."""
    target = tree / "train" / WNIDS[0] / f"0{path.suffix}"
    shutil.copy(path, target)
    images = imagenet.open_split(tree, "train")
    assert images.describe(0) == str(target)
    return np.asarray(images.image(0))


def grey(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(pixels[..., None], 3, axis=2)


def write_pgm(path: Path, pixels: NDArray[np.uint16], largest: int) -> None:
    header = f"P5 {pixels.shape[1]} {pixels.shape[0]} {largest}\n".encode()
    path.write_bytes(header + pixels.astype(">u2" if largest > 255 else "u1").tobytes())


def test_16_bit_png_of_the_cases_keeps_its_upper_bits(tree: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    independent = cv2.imread(str(CASES / "png16.png"), cv2.IMREAD_UNCHANGED)
    assert independent is not None
    assert independent.dtype == np.uint16
    found = read_in_tree(tree, CASES / "png16.png")
    np.testing.assert_array_equal(found, grey(independent >> 8))
    assert 100 < found.mean() < 150


@pytest.mark.parametrize("name", ["grey.png", "rgb.png", "grey.tif", "rgb.tif"])
def test_16_bits_of_any_format_keep_their_upper_bits(name: str, tree: Path, tmp_path: Path) -> None:
    pixels = DEEP if name.startswith("grey") else DEEP_RGB
    path = tmp_path / name
    if path.suffix == ".png":
        cv2 = pytest.importorskip("cv2")
        assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    expected = (pixels >> 8) if pixels.ndim == 3 else grey(pixels >> 8)
    np.testing.assert_array_equal(read_in_tree(tree, path), expected)


def test_16_bit_tiff_where_0_is_white_is_turned_around(tree: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", DEEP, photometric="miniswhite")
    np.testing.assert_array_equal(read_in_tree(tree, tmp_path / "x.tif"), grey(255 - (DEEP >> 8)))


@pytest.mark.parametrize("largest", [100, 255, 1023, 4095, 65535])
def test_pgm_is_scaled_by_its_maximum(largest: int, tree: Path, tmp_path: Path) -> None:
    pixels = RNG.integers(0, largest + 1, (5, 7)).astype(np.uint16)
    pixels[0, :2] = 0, largest
    write_pgm(tmp_path / "x.pgm", pixels, largest)
    found = read_in_tree(tree, tmp_path / "x.pgm")
    assert found[0, :2, 0].tolist() == [0, 255]
    assert np.abs(found - grey(pixels * (255 / largest))).max() <= 1


def test_pgm_of_the_cases_is_black_because_it_holds_zeros(tree: Path) -> None:
    assert not any((CASES / "pgm_max.pgm").read_bytes()[-8:])
    assert read_in_tree(tree, CASES / "pgm_max.pgm").tolist() == [[[0] * 3] * 2] * 2


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint32", "int16"])
def test_samples_without_a_known_range_are_refused_by_name(dtype: str, tree: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", DEEP.astype(dtype))
    with pytest.raises(InputError, match=r"0\.tif: .*black and white are not known; convert it to 8 bits"):
        read_in_tree(tree, tmp_path / "x.tif")
    problems = imagenet.check(tree)
    assert any("0.tif: its samples are" in problem for problem in problems)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint64", "int64"])
def test_tiff_of_other_samples_is_named_as_such(dtype: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", DEEP.astype(dtype))
    with pytest.raises(InputError, match=r"x\.tif: is a TIFF file with samples that can't be read"):
        decode_rgb(tmp_path / "x.tif")


def test_float_tiff_of_the_cases_is_refused_by_name(tree: Path) -> None:
    with pytest.raises(InputError, match=r"0\.tif: its samples are floating-point numbers \(mode F\)"):
        read_in_tree(tree, CASES / "float.tif")


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_modes_of_8_bits_are_read_as_torchvision_reads_them(mode: str, tree: Path, tmp_path: Path) -> None:
    image = Image.fromarray((DEEP_RGB >> 8).astype(np.uint8)).convert(mode)
    path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
    options: dict[str, Any] = {"transparency": bytes(range(256))} if mode == "P" else {}
    image.save(path, **options)
    np.testing.assert_array_equal(read_in_tree(tree, path), np.asarray(pil_loader(path)))


@pytest.mark.parametrize("extension", ["gif", "webp"])
def test_an_animation_is_its_first_frame(extension: str, tree: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    path = tmp_path / f"x.{extension}"
    options: dict[str, Any] = {"lossless": True} if extension == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    path = path.rename(tmp_path / "x.png")  # .gif is none of the extensions that are read
    assert (read_in_tree(tree, path) == (255, 0, 0)).all()


def test_exif_orientation_turns_nothing(tree: Path, tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert read_in_tree(tree, tmp_path / "x.jpg").shape == (10, 20, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"begins with b.<svg xmlns=.*allowed formats: JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "begins with b'%!PS"),
        (b"P5 10000 10000 255\n", "has 10000×10000 pixels; allowed: 89,478,485"),
        (b"P5 20000 20000 255\n", "400000000 pixels.* exceeds limit"),
    ],
)
def test_what_is_no_image_is_refused_and_found_by_check(content: bytes, message: str, tree: Path) -> None:
    path = tree / "train" / WNIDS[0] / "0.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"0.jpg: .*{message}"):
        imagenet.open_split(tree, "train").image(0)
    assert any("0.jpg: " in problem for problem in imagenet.check(tree))


def test_check_finds_a_truncated_image_outside_its_sample(tree: Path) -> None:
    for index in range(200):
        write_noise(tree / "train" / WNIDS[0] / f"{index:03}.jpg", seed=index)
    path = tree / "train" / WNIDS[0] / "101.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    appended = tree / "train" / WNIDS[0] / "103.jpg"
    appended.write_bytes(appended.read_bytes() + b"\0" * 2000)
    problems = imagenet.check(tree)
    assert any("101.jpg: can't be decoded" in problem for problem in problems)
    assert not any("103.jpg" in problem for problem in problems)


def make_special(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(path.parent)  # the address of a socket has at most 107 bytes
            server.bind(path.name)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "link to a file that is not there": "nowhere"}[kind])


@pytest.mark.parametrize("kind", ["FIFO", "socket", "directory", "device", "link to a file that is not there"])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(
    kind: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    before = imagenet.open_split(tree, "train")
    make_special(tree / "train" / WNIDS[1] / "x.jpg", kind)
    with pytest.raises(InputError, match=rf"x\.jpg: is a {kind}, not an image file"):
        imagenet.open_split(tree, "train")
    assert any("x.jpg: is a" in problem for problem in imagenet.check(tree))
    path = Path(before.describe(0))
    path.unlink()
    make_special(path, kind)
    with pytest.raises(InputError, match=f"is a {kind}, not an image file"):
        before.image(0)


def test_extensions_are_torchvisions() -> None:
    assert IMAGE_EXTENSIONS == IMG_EXTENSIONS


def test_subfolders_are_read_in_torchvisions_order(tree: Path) -> None:
    folder = tree / "train" / WNIDS[1]
    for name in ("b/z.jpg", "b/a.jpg", "b-2/c.png", "B/d/e.JPG", "a.jpg", "zz.webp"):
        write_noise(folder / name, seed=len(name))
    (folder / "link").symlink_to(folder / "B" / "d")
    images = imagenet.open_split(tree, "train")
    found = [(images.describe(index), images.label(index)) for index in range(len(images))]
    assert found == ImageFolder(tree / "train").samples
    (folder / "b" / "loop").symlink_to(folder)
    with pytest.raises(InputError, match="loop: is a link to a folder that holds it"):
        imagenet.open_split(tree, "train")


def test_check_says_which_files_are_not_read(tree: Path) -> None:
    for name in ("loose.jpg", f"{WNIDS[0]}/notes.txt", f"{WNIDS[0]}/x.gif", f"{WNIDS[0]}/.DS_Store"):
        (tree / "train" / name).touch()
    problems = imagenet.check(tree)
    assert any(f"{WNIDS[0]}: 2 files are not read, such as notes.txt" in problem for problem in problems)
    assert any("train: 1 files are not read, such as loose.jpg" in problem for problem in problems)


def test_check_says_which_classes_only_one_split_has(tree: Path) -> None:
    shutil.rmtree(tree / "val" / WNIDS[1])
    (problem,) = [p for p in imagenet.check(tree) if "has no images of" in p]
    assert problem.startswith("imagenet val: has no images of 1 classes that train has, such as 1 (")
    assert WNIDS[1] in problem


def test_validation_folder_is_the_val_folder(tree: Path) -> None:
    before = imagenet.open_split(tree, "val")
    labels, fingerprint = [before.label(index) for index in range(len(before))], before.fingerprint()
    (tree / "val").rename(tree / "validation")
    after = imagenet.open_split(tree, "val")
    assert ([after.label(index) for index in range(len(after))], after.fingerprint()) == (labels, fingerprint)
    shutil.copytree(tree / "validation", tree / "val")
    with pytest.raises(InputError, match="holds both val/ and validation/ for val; keep one"):
        imagenet.open_split(tree, "val")


def test_signed_samples_of_8_bits_are_refused_by_name(tmp_path: Path) -> None:
    """Pillow gives them mode L, as if they were unsigned."""
    tifffile.imwrite(tmp_path / "signed.tif", np.full((8, 8), -5, np.int8))
    with pytest.raises(InputError, match=r"signed\.tif: its samples are signed integers"):
        decode_rgb(tmp_path / "signed.tif")


def write_deep(path: Path, pixels: NDArray[np.uint16]) -> None:
    if path.suffix == ".png":
        cv2 = pytest.importorskip("cv2")
        assert cv2.imwrite(str(path), pixels)
    elif path.suffix == ".ppm":
        path.write_bytes(f"P6 {pixels.shape[1]} {pixels.shape[0]} 65535\n".encode() + pixels.astype(">u2").tobytes())
    elif path.stem.endswith("white"):
        tifffile.imwrite(path, 65535 - pixels, photometric="miniswhite")
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("name", ["grey.png", "rgb.png", "grey.tif", "rgb.tif", "white.tif", "rgb.ppm", "grey.pgm"])
def test_values_of_fewer_bits_in_16_are_found_before_they_train_as_black(name: str, bits: int, tree: Path) -> None:
    def check(shift: int) -> list[str]:
        for number in range(4):
            shape = (9, 11, 3) if name.startswith("rgb") else (9, 11)
            pixels = RNG.integers(0, 2**bits, shape, dtype=np.uint16) << shift
            path = tree / "train" / WNIDS[1] / f"{number}{name}"
            write_pgm(path, pixels, 65535) if name.endswith("pgm") else write_deep(path, pixels)
        return [problem for problem in imagenet.check(tree) if "quarter of their range" in problem]

    (problem,) = check(0)
    assert problem.startswith(f"imagenet train: {tree / 'train' / WNIDS[1] / f'0{name}'} has samples of more than 8 ")
    assert "4 of the 4 such images" in problem
    assert check(16 - bits) == []


def test_one_dark_image_of_16_bits_among_bright_ones_is_no_fault(tree: Path) -> None:
    for number in range(8):
        write_deep(tree / "train" / WNIDS[1] / f"{number}.png", DEEP >> (4 if number == 3 else 0))
    assert not any("quarter of their range" in problem for problem in imagenet.check(tree))


def test_a_maximum_that_the_file_says_is_believed(tree: Path) -> None:
    write_pgm(tree / "train" / WNIDS[1] / "0.pgm", DEEP >> 4, 4095)
    assert not any("quarter of their range" in problem for problem in imagenet.check(tree))


def test_planes_of_16_bits_are_refused(tmp_path: Path) -> None:
    """Pillow would read their bytes as samples of 8 bits."""
    tifffile.imwrite(tmp_path / "x.tif", DEEP_RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    with pytest.raises(InputError, match=r"x\.tif: its planes of more than 8 bits can't be read"):
        decode_rgb(tmp_path / "x.tif")
    tifffile.imwrite(
        tmp_path / "x.tif",
        (DEEP_RGB >> 8).astype(np.uint8).transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
    )
    np.testing.assert_array_equal(np.asarray(decode_rgb(tmp_path / "x.tif")), DEEP_RGB >> 8)


def test_links_that_lead_back_over_another_folder_are_refused(tree: Path) -> None:
    first, second = (tree / "train" / wnid for wnid in WNIDS[:2])
    (first / "to_second").symlink_to(second)
    assert len(imagenet.open_split(tree, "train")) == 12, (
        "a link that leads nowhere back is read, as torchvision reads it"
    )
    (second / "to_first").symlink_to(first)
    with pytest.raises(InputError, match=r"to_second/to_first: is a link to a folder that holds it"):
        imagenet.open_split(tree, "train")
    assert any("is a link to a folder that holds it" in problem for problem in imagenet.check(tree))
    (second / "to_first").unlink()
    (second / "itself").symlink_to(second / "itself")
    with pytest.raises(InputError, match="can't be listed"):
        imagenet.open_split(tree, "train")


def test_folders_nested_deeper_than_python_recurses_are_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "train" / WNIDS[0])
    for _ in range(1100):
        os.mkdir("d")  # noqa: PTH102 - relative to the working directory
        os.chdir("d")
    monkeypatch.chdir(tree)
    try:
        assert len(imagenet.open_split(tree, "train")) == 9
    finally:
        # pytest and shutil remove folders recursively.
        subprocess.run(["rm", "-rf", str(tree)], check=True)
