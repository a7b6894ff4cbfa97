"""Small files that ask for much. Each maker writes one and returns its path."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

CASES = Path(__file__).parents[2] / "cases" / "checkpoints"


def archive(path: Path, pickled: bytes, members: dict[str, bytes] | None = None, *, packed: bool = False) -> Path:
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("a/data.pkl", pickled)
        for name, content in (members or {}).items():
            file.writestr(f"a/{name}", content)
    return path


def tensor(shape: tuple[int, ...], numbers: int, storage: str = "0", offset: int = 0, stride: int = 1) -> bytes:
    """The opcodes of one float tensor."""
    strides = tuple(stride for _ in shape)
    number = lambda value: b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)  # noqa: E731
    numbers_of = lambda values: b"(" + b"".join(map(number, values)) + b"t"  # noqa: E731
    identifier = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX"
        + struct.pack("<I", len(storage))
        + storage.encode()
        + b"X\x03\0\0\0cpu"
        + number(numbers)
        + b"tQ"
    )
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + identifier
        + number(offset)
        + numbers_of(shape)
        + numbers_of(strides)
        + b"\x89}tR"
    )


def named(value: bytes, name: bytes = b"a") -> bytes:
    return b"\x80\x02}X" + struct.pack("<I", len(name)) + name + value + b"s."


def safetensors(path: Path, header: bytes, body: bytes = b"", length: int | None = None) -> Path:
    path = path.with_suffix(".safetensors")
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + body)
    return path


def one_entry(shape: list[int], offsets: list[int], name: str = "a") -> bytes:
    return json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()


def nested_pairs() -> bytes:
    """A tuple of itself twice, thirty times over, as a key: its hash takes 2 ** 30 steps."""
    return b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 30 + b"K\x01s."


def hex_of_hex() -> bytes:
    """Each call doubles the text."""
    call = b"X\x03\0\0\0hex\x86R"
    return b"\x80\x02" + b"c_codecs\nencode\n" * 40 + b"X\x04\0\0\0aaaa" + call * 40 + b"."


def saved(path: Path) -> Path:
    torch.save({"a": torch.ones(2)}, path)
    return path


def with_members(path: Path) -> Path:
    return archive(path, named(b"K\x01"), {f"data/{index}": b"" for index in range(60_000)})


def old_form(path: Path) -> Path:
    content = named(tensor((10**9,), 10**10))
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    path.write_bytes(b"".join([*parts, content, pickle.dumps(["0"], 2), struct.pack("<q", 10**10)]))
    return path


def many_views(path: Path) -> Path:
    one = tensor((250_000,), 250_000)
    items = b"".join(b"X\x04\0\0\0" + f"{index:04}".encode() + one for index in range(5000))
    return archive(path, b"\x80\x02}(" + items + b"u.", {"data/0": bytes(1_000_000)})


Maker = Callable[[Path], Path]
BOMBS: dict[str, tuple[Maker, str]] = {
    "the shipped case": (lambda path: CASES / "expanded.pth", "larger than its storage"),
    "stride 0": (
        lambda p: archive(p, named(tensor((10**9,), 1, stride=0)), {"data/0": bytes(4)}),
        "larger than its st",
    ),
    "overlap": (lambda p: archive(p, named(tensor((3, 3), 4)), {"data/0": bytes(16)}), "larger than its storage"),
    "beyond": (lambda p: archive(p, named(tensor((2,), 4, offset=3)), {"data/0": bytes(16)}), "reaches beyond"),
    "stated only": (lambda p: archive(p, named(tensor((10**9,), 10**9)), {"data/0": bytes(4)}), "the file has"),
    "2 ** 62 numbers": (lambda p: archive(p, named(tensor((2**62,), 2**62)), {"data/0": bytes(4)}), "the file has"),
    "no member": (lambda p: archive(p, named(tensor((2,), 2))), "no member data/0"),
    "a small storage": (lambda p: archive(p, named(tensor((2,), 2)), {"data/0": bytes(4)}), "another size"),
    "empty and huge": (lambda p: archive(p, named(tensor((2**40, 0), 1)), {"data/0": bytes(4)}), "is empty"),
    "negative": (lambda p: archive(p, named(tensor((-1, -4), 4)), {"data/0": bytes(16)}), "impossible shape"),
    "compressed": (lambda p: archive(p, named(b"K\x01"), {"data/0": bytes(10**9)}, packed=True), "is compressed"),
    "compressed pickle": (lambda p: archive(p, b"\x80\x02" + b"]" * 10**8 + b".", packed=True), "is compressed"),
    "60,000 members": (with_members, "more than 20,000 members"),
    "5,000 views": (many_views, "the file has"),
    "nested lists": (lambda p: archive(p, b"\x80\x02" + b"](" * 3_000_000 + b"e" * 3_000_000 + b"."), "steps"),
    "lists of 20 MB": (lambda p: archive(p, b"\x80\x02" + b"]" * 20_000_000 + b"."), "its pickle has"),
    "nested deep": (lambda p: archive(p, b"\x80\x02" + b"](" * 150_000 + b"e" * 150_000 + b"."), "holds a list"),
    "deep tuples": (lambda p: archive(p, b"\x80\x02}K\x01" + b"\x85" * 450_000 + b"K\x01s."), "no tensors"),
    "a million steps": (lambda p: archive(p, b"\x80\x02}K\x01" + b"\x85" * 999_000 + b"K\x01s."), "500,000 steps"),
    "tuples of tuples": (lambda p: archive(p, nested_pairs()), "no tensors"),
    "hex of hex": (lambda p: archive(p, hex_of_hex()), "holds a"),
    "memo of 2 ** 32": (lambda p: archive(p, b"\x80\x02}r\xff\xff\xff\xff."), "holds no weights"),
    "text of 2 ** 60": (lambda p: archive(p, b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a."), "truncated or no"),
    "bytearray": (lambda p: archive(p, named(b"c__builtin__\nbytearray\n\x8a\x0510000\x85R")), "no tensors"),
    "tensor by size": (lambda p: archive(p, named(b"ctorch\nTensor\nJ\xff\xff\xff\x7f\x85\x81")), "no tensors"),
    "storage by size": (
        lambda p: archive(p, named(b"ctorch.storage\nUntypedStorage\nJ\xff\xff\xff\x7f\x85R")),
        "no te",
    ),
    "old form": (old_form, "the file has|truncated or no"),
    "200,000 entries": (
        lambda p: safetensors(
            p,
            json.dumps(
                {f"k{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(200_000)}
            ).encode(),
        ),
        "its header has",
    ),
    "30,000 entries": (
        lambda p: safetensors(
            p,
            json.dumps(
                {f"k{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(30_000)}
            ).encode(),
        ),
        "tensors and a name|are no tensors|is empty",
    ),
    "a header of 2 ** 60": (lambda p: safetensors(p, b"{}", length=2**60), "truncated or no"),
    "two in one place": (
        lambda p: safetensors(p, one_entry([1], [0, 4])[:-1] + b"," + one_entry([1], [0, 4], "b")[1:], bytes(4)),
        "truncated or no",
    ),
    "zeros, 2 ** 40 rows": (lambda p: safetensors(p, one_entry([2**40, 0], [0, 0])), "is empty"),
    "more than it has": (lambda p: safetensors(p, one_entry([10**9], [0, 4 * 10**9]), bytes(4)), "truncated or no"),
    "product beyond 64 bits": (
        lambda p: safetensors(p, one_entry([2**40, 2**40], [0, 4]), bytes(4)),
        "truncated or no",
    ),
    "nested JSON": (lambda p: safetensors(p, b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}"), "truncated or no"),
}
