"""Reading YAML: values as PyYAML reads them, environment variables, places."""

from __future__ import annotations

import pytest
import yaml

from bench.sweep.errors import InputError
from bench.sweep.source import parse_value, parse_yaml


def test_variables_expand_where_a_plain_yaml_reader_stumbles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGENET_DIR", "/data/image net: {x}")
    monkeypatch.setenv("EPOCHS", "7")
    monkeypatch.delenv("NOT_SET", raising=False)
    text = 'data: {imagenet: ${IMAGENET_DIR}, pets: "${NOT_SET}/pets"}\nepochs: ${EPOCHS}\nword: "${EPOCHS}"\n'
    assert parse_yaml(text, "x").data == {
        "data": {"imagenet": "/data/image net: {x}", "pets": "${NOT_SET}/pets"},
        "epochs": 7,
        "word": "7",
    }


@pytest.mark.parametrize(
    "text", ["[1, 2.5, true, null, '3', a b]", "{a: {b: [1]}, c: ~}", "|\n  two\n  lines\n", "&x [1]", "-0.5"]
)
def test_values_are_those_of_pyyaml(text: str) -> None:
    assert parse_value(text, "x") == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["1e-4", "1E5", "-2.e+3"])
def test_floats_without_a_point_are_floats(text: str) -> None:
    assert parse_value(text, "x") == float(text)


@pytest.mark.parametrize(
    "text", ["12:30", "010", "00.5", "1_0", "yes", "on", "No", "2026-01-01", "0b1", "1:30:00", "0x", "1e"]
)
def test_what_yaml_1_1_takes_for_a_number_a_date_or_a_switch_is_text(text: str) -> None:
    assert parse_value(f"[{text}]", "x") == [text]


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * 5000, "0x" + "f" * 5000, "1." + "0" * 5000])
def test_numbers_that_no_setting_can_have_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--set x=9: .*setting"):
        parse_value(text, "--set x=9")


def test_octal_and_hexadecimal_are_those_of_yaml_1_2() -> None:
    assert parse_value("[0o10, 0x1F, -0, +1]", "x") == [8, 31, 0, 1]


def test_places_are_lines_of_keys_items_and_what_surrounds_them() -> None:
    source = parse_yaml("a: 1\nb:\n  - x\n  - c: 2\n    d: {e: 3}\n", "f.yaml")
    assert source.where(("a",)) == "f.yaml:1"
    assert source.where(("b", 0)) == "f.yaml:3"
    assert source.where(("b", 1, "d", "e")) == "f.yaml:5"
    assert source.where(("b", 1, "nowhere", 4)) == "f.yaml:4"


def test_aliases_and_anchors_are_the_same_values() -> None:
    text = "a: &x {b: [1, 2]}\nc: *x\n"
    assert parse_yaml(text, "x").data == yaml.safe_load(text)
