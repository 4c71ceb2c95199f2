"""A table of runs read back gives the same analysis as the comparison that wrote it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bnncli.compare.reading import read_runs
from bnncli.compare.statistics import analyze
from bnncli.compare.tables import runs_csv
from bnncli.errors import BnnError, UsageError
from tests.comparisons import by_method, compared, failed, finished

BOOK_DATA = Path(__file__).parents[1] / "book" / "data"
OTHER = {"gates-that-learn-runs"}  # trainings on a truth table, not a comparison
TABLES = sorted(path for path in BOOK_DATA.glob("*-runs.csv") if path.stem not in OTHER)


def mixed():
    good = by_method({"a": [0.96, 0.965, 0.961], "b": [0.95, 0.97, 0.955]}).cells
    blind = finished("c", 0, 0.5, memory=None, test_packed_accuracy=None, epochs=1)
    return compared([*good, blind, failed("c", 1, "diverged, twice")])


def written(tmp_path, text):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_analyzed_as_what_it_was_written_from(tmp_path):
    comparison = mixed()
    read = read_runs(written(tmp_path, runs_csv(comparison)))
    assert analyze(read) == analyze(comparison)
    assert [c.error for c in read.cells] == [c.error for c in comparison.cells]
    assert runs_csv(read) == runs_csv(comparison)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_tables_of_the_book_are_read_without_loss(path):
    assert runs_csv(read_runs(path)) == path.read_text(encoding="utf-8")


def test_the_book_has_tables():
    assert len(TABLES) >= 5


def test_only_the_methods_asked_for_are_read(tmp_path):
    comparison = mixed()
    read = read_runs(written(tmp_path, runs_csv(comparison)), methods=["b"])
    cells = tuple(cell for cell in comparison.cells if cell.method == "b")
    assert analyze(read) == analyze(dataclasses.replace(comparison, cells=cells))
    assert [method.name for method in read.methods] == ["b"]


def test_a_method_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no method 'd'; expected of a, b, c"):
        read_runs(written(tmp_path, runs_csv(mixed())), methods=["d"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a table of runs"),
        ("method,data\na,mnist\n", "not a table of runs"),
        pytest.param("method,data\na," + "m" * 200_000, "cannot be read", id="long field"),
        ("method,data,seed,state,test_hard_accuracy,epochs\na,m,x,finished,0.9,3\n", "damaged row"),
        ("method,data,seed,state,test_hard_accuracy,epochs\na,m\n", "damaged row"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, text, says):
    with pytest.raises(BnnError, match=says) as error:
        read_runs(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BnnError, match=r"no\.csv: cannot be read"):
        read_runs(tmp_path / "no.csv")
