"""Tables of a notebook: text in columns, HTML that says which cell heads what."""

from __future__ import annotations

import pytest

from bnncli.compare.statistics import analyze
from bnncli.compare.tables import COLUMNS
from bnncli.errors import UsageError
from bnncli.views import Table, methods_table
from tests.comparisons import compared, finished

TABLE = Table("What <was> seen", ("name", "value"), (("a & b", "1.5"), ("c", "12.25")))


RUNS = [finished("a", s, 0.9) for s in range(3)] + [finished("b", s, 0.8) for s in range(2)]


def test_tables_as_text_stand_in_columns():
    assert str(TABLE).splitlines() == [
        "What <was> seen",
        "name   value",
        "a & b    1.5",
        "c      12.25",
    ]
    assert repr(TABLE) == str(TABLE)


def test_tables_as_html_have_a_caption_heads_and_no_markup_of_their_texts():
    text = TABLE._repr_html_()
    assert "What &lt;was&gt; seen</caption>" in text
    assert text.count('<th scope="col"') == 2
    assert text.count('<th scope="row"') == 2
    assert text.count("<td") == 2
    assert "a &amp; b" in text
    assert 'tabindex="0"' in text  # a region that scrolls must be reached by keys


def test_rows_have_a_cell_for_each_title():
    with pytest.raises(UsageError, match="1 cells under 2 titles"):
        Table("short", ("a", "b"), (("1",),))


def test_methods_are_tabulated_best_first_in_the_columns_asked_for():
    (analysis,) = analyze(compared(RUNS, {"a": "91.2 ± 0.3"}))
    table = methods_table(analysis, "two methods", ["method", "seeds", "published (%)"])
    assert table.rows == (("a", "3", "91.2 ± 0.3"), ("b", "2", "–"))
    whole = methods_table(analysis, "two methods")
    assert whole.titles == tuple(column.title for column in COLUMNS)
    with pytest.raises(UsageError, match="unknown column 'seed'"):
        methods_table(analysis, "two methods", ["seed"])
