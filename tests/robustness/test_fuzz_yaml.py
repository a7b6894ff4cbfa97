"""Fuzz: damaged sweeps and profiles end in an InputError or a plan, within a second each."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.plan.graph import plan_sweep
from bench.sweep.errors import INPUT_ERRORS
from bench.sweep.overrides import apply_overrides
from bench.sweep.read import check_sweep
from bench.sweep.source import parse_yaml
from slurm.scheduler.profile import ClusterProfile
from tests.robustness.conftest import Tally, fuzz_cases
from tests.robustness.limits import SECONDS, timed

CASES = fuzz_cases(300, tests=3)
SWEEPS = [item.read_text("utf-8") for item in sorted(files("bench").joinpath("sweep", "shipped").iterdir(), key=str)]
PROFILES = [item.read_text("utf-8") for item in sorted(files("slurm").joinpath("clusters").iterdir(), key=str)]
PIECES = (
    *("yes", "010", "1_0", "12:30", "1e999", ".nan", "-1", "1e400", "9" * 5000, "0x" + "f" * 5000, "''", "~", "true"),
    *("[", "{", "]", "}", "[" * 60, "&a [*a]", "*a", "&a", "!!int ''", "!x", "%YAML 1.1\n---\n", "---\n", "...\n"),
    *("\0", "\x07", "\x1b[0m", "\ud800", "\ufeff", "\ue000", "${HOME}", "${X}", "<<: ", "? ", "- ", ": ", "\t", "\n"),
    *('"\\U00110000"', '"\\ud800"', "|\n", ">-\n", "#", "seed: ", "only: {seed: 3}", "except: {}", "include: [x]"),
)


@st.composite
def damaged(draw: st.DrawFn, texts: list[str]) -> str:
    """A shipped text after some edits: words exchanged for pieces, lines moved or doubled, bytes changed."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        until = draw(st.integers(at, min(len(text), at + 30)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            text = text[:at] + draw(st.sampled_from(PIECES)) + text[until:]
        elif kind == 1:
            text = text[:at] + draw(st.characters()) + text[at + 1 :]
        elif kind == 2:
            lines = text.split("\n")
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
            text = "\n".join(lines)
        else:
            head, colon, tail = text[at:].partition(": ")
            text = text[:at] + head + colon + draw(st.sampled_from(PIECES)) + tail[tail.find("\n") :]
    return text


FUZZ = settings(
    max_examples=CASES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def refusal(read: Callable[[], object]) -> str:
    """The message that ``read`` is refused with, empty if it is not; anything but an InputError is raised on."""

    def case() -> str:
        try:
            read()
        except INPUT_ERRORS as error:
            return str(error)
        return ""

    message, seconds = timed(case)
    assert seconds < SECONDS
    return message


@FUZZ
@given(damaged(SWEEPS))
def test_a_damaged_sweep_is_planned_or_refused(tally: Tally, text: str) -> None:
    tally("fuzz cases, sweeps", 1)
    assert "\n" not in refusal(lambda: plan_sweep(check_sweep(parse_yaml(text, "s.yaml"))))


@FUZZ
@given(damaged(PROFILES))
def test_a_damaged_profile_is_read_or_refused(tally: Tally, text: str) -> None:
    tally("fuzz cases, profiles", 1)

    def read() -> None:
        source = parse_yaml(text, "c.yaml")
        ClusterProfile.parse(source)

    assert "\n" not in refusal(read)


@FUZZ
@given(damaged(["pretrain.0.epochs=3", "evaluate.linear.epochs=[1, 2]", "pretrain.*.seed=0", "name=x"]))
def test_a_damaged_assignment_is_taken_or_refused(tally: Tally, text: str) -> None:
    tally("fuzz cases, assignments (--set)", 1)
    message = refusal(lambda: plan_sweep(check_sweep(apply_overrides(parse_yaml(SWEEPS[0], "s.yaml"), (text,)))))
    assert "\n" not in message.replace(text, "")
