"""Whatever a plugin's package holds is part of the id of the runs that it computes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from pretrain import plugin_source
from pretrain.errors import InputError
from pretrain.plugin_source import describe_plugin, forget_sources
from pretrain.plugins import distribution_name, title_of

FILES = {
    "zeta_ssl/__init__.py": "",
    "zeta_ssl/method.py": "import importlib\nlate = importlib.import_module('zeta_ssl.' + 'deep.late')\n",
    "zeta_ssl/deep/__init__.py": "",
    "zeta_ssl/deep/late.py": "x = 1\n",
    "zeta_ssl/data/settings.toml": "a = 1\n",
    "zeta_ssl/data/kernel.cu": "// 1\n",
    "zeta_ssl/data/table.json": "{}",
    "zeta_ssl/data/words": "no suffix",
    "zeta_ssl/recipe.yaml": "id: 1\n",
}
INFO = "zeta_ssl-1.0.dist-info"


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The checksum of the distribution as it lies on disk; ``tmp_path`` is its site."""
    info = {f"{INFO}/METADATA": "Name: zeta-ssl\nVersion: 1.0\n"}
    info[f"{INFO}/entry_points.txt"] = "[opera_bench.methods]\nzeta = zeta_ssl.method\n"
    for name, text in {**FILES, **info}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def describe() -> str:
        forget_sources()
        return describe_plugin(Distribution.at(tmp_path / INFO))["source_sha256"]

    return describe


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_file_of_the_package_counts(name: str, tmp_path: Path, described: Callable[[], str]) -> None:
    before = described()
    assert described() == before
    (tmp_path / name).write_text(FILES[name] + "\n")
    assert described() != before


def test_a_new_name_counts(tmp_path: Path, described: Callable[[], str]) -> None:
    before = described()
    (tmp_path / "zeta_ssl/data/words").rename(tmp_path / "zeta_ssl/data/other")
    assert described() != before


@pytest.mark.parametrize(
    "name", ["__pycache__/method.pyc", "deep/late.pyc", ".git/HEAD", "CVS/Root", "fast.cpython-311.so", "method.py~"]
)
def test_what_a_machine_or_an_editor_makes_does_not_count(
    name: str, tmp_path: Path, described: Callable[[], str]
) -> None:
    before = described()
    path = tmp_path / "zeta_ssl" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"made here")
    assert described() == before


def test_a_package_without_init_counts_whole(tmp_path: Path, described: Callable[[], str]) -> None:
    (tmp_path / "zeta_ssl/__init__.py").unlink()
    before = described()
    (tmp_path / "zeta_ssl/data/settings.toml").write_text("a = 2\n")
    assert described() != before


@pytest.mark.parametrize("limit", ["MOST_FILES", "MOST_BYTES"])
def test_a_package_full_of_data_is_refused(
    limit: str, described: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_source, limit, 5)
    with pytest.raises(InputError, match=r"zeta-ssl 1.0 hold more than .*keep data outside of the package"):
        described()


@pytest.mark.parametrize("metadata", ["Version: 1.0\n", "", None])
def test_a_distribution_without_a_name_is_refused_in_one_sentence(
    metadata: str | None, tmp_path: Path, described: Callable[[], str]
) -> None:
    path = tmp_path / INFO / "METADATA"
    path.unlink() if metadata is None else path.write_text(metadata)
    nameless = Distribution.at(tmp_path / INFO)
    assert str(tmp_path) in title_of(nameless)
    with pytest.raises(InputError, match=r"has no Name.*install it again"):
        distribution_name(nameless)
