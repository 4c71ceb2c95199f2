"""What a comparison prints and saves: tables, figures, the HTML report, the files."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bnncli.compare import drawing
from bnncli.compare.figures import draw
from bnncli.compare.html import html
from bnncli.compare.report import to_dict, write_report
from bnncli.compare.statistics import analyze
from bnncli.compare.tables import COLUMNS, markdown, methods_csv, runs_csv, terminal_table
from tests.comparisons import by_method, compared, failed, finished

LONG = "integrate-and-fire with an adaptive threshold and a gain of 1000 (v16)"
ODD = 'a | b <script>alert("x")</script> & $5 of $d_1 url(#p) _x_'
FIGURES = {"accuracy", "epochs", "seconds", "bytes", "flips"}
NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def many(n, seeds=3):
    """Make n methods from 98 % down to a collapse."""
    return by_method(
        {
            f"method {i}": [0.98 - 0.88 * (i / n) ** 3 + s * (i + 1) / 10_000 for s in range(seeds)]
            for i in range(n)
        }
    )


def mixed():
    """Make a comparison with an odd name, a long one, a failure, a collapse and no flips."""
    good = by_method({ODD: [0.96, 0.965, 0.961], LONG: [0.95, 0.97, 0.955]}).cells
    stuck = [finished("stuck", s, 0.098, memory=None, test_packed_accuracy=None) for s in range(3)]
    for cell in stuck:
        for row in cell.epochs:
            row["flip_rate"] = 0.0
    lines = [failed("broken", 0, "diverged <b>; lower the lr"), failed(LONG, 9)]
    return compared([*good, *stuck, *lines], {ODD: "94.36 ± 0.76", LONG: "~.9"})


@functools.cache
def drawn_mixed():
    """Draw the mixed comparison once."""
    return draw(mixed(), analyze(mixed()))


def printed(comparison, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(terminal_table(comparison))
    return console.file.getvalue()


def texts(svg):
    """Give the words of an SVG, one string a text element."""
    return [e.text for e in ElementTree.fromstring(svg).iterfind(".//svg:text", NAMESPACE)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 130, 200, 400])
def test_a_table_fits_its_terminal_and_cuts_nothing(width):
    out = printed(mixed(), width)
    assert all(len(line) <= width for line in out.splitlines())
    assert "…" not in out
    assert "hard form" in out
    joined = "".join(out.split())
    assert "integrate-and-fire" in joined
    for number in ("96.20±0.26", "95.83±1.04", "9.80±0.00"):
        assert number in joined
    head = next(line for line in out.splitlines() if line.startswith("method "))
    titles = re.split(r"\s{2,}", head.strip())
    assert titles[:2] == ["method", "hard (%)"]
    left_out = out.partition("wider terminals also show: ")[2].partition("\n\n")[0]
    missing = [title for title in " ".join(left_out.split()).split(", ") if title]
    assert sorted(titles + missing) == sorted(column.title for column in COLUMNS)
    if width == 400:
        assert not missing


@pytest.mark.parametrize("width", range(26, 200, 7))
def test_a_short_name_stays_on_one_line_with_its_mean(width):
    out = printed(many(3), width)
    for summary in analyze(many(3))[0].summaries:
        mean = f"{100 * summary.hard.mean:.2f} ± {100 * summary.hard.sd:.2f}"
        assert re.search(rf"^{summary.method} +{mean}( |$)", out, re.MULTILINE)


def test_a_table_lists_what_failed():
    out = printed(mixed(), 200)
    assert "broken, mnist, seed 0: failed: diverged <b>; lower the lr" in out


def test_markdown_has_one_row_for_each_method_in_the_table():
    text = markdown(mixed())
    assert text.startswith("# table\n\nA made-up table.\n\nBudget: 3 epochs")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows]
    results = [row for row, n in zip(rows, cells, strict=True) if n == len(COLUMNS)]
    assert len(results) == 2 + 3  # titles, rule, methods with a finished run
    assert any(row.startswith("| a \\| b <script>") for row in results)
    assert "higher" in next(row for row in results if "94.36" in row)
    assert "    bnn compare --preset table" in text


def test_runs_csv_has_every_run_and_reads_back():
    comparison = mixed()
    rows = list(csv.DictReader(io.StringIO(runs_csv(comparison))))
    assert [(r["method"], int(r["seed"]), r["state"]) for r in rows] == [
        (c.method, c.seed, c.state) for c in comparison.cells
    ]
    assert float(rows[0]["test_hard_accuracy"]) == 0.96
    assert int(rows[0]["optimizer_bytes"]) == 814_160
    assert rows[-1]["test_hard_accuracy"] == ""
    assert rows[-2]["error"] == "diverged <b>; lower the lr"


def test_methods_csv_and_json_hold_the_same_numbers():
    comparison = mixed()
    analyses = analyze(comparison)
    rows = list(csv.DictReader(io.StringIO(methods_csv(analyses))))
    plain = json.loads(json.dumps(to_dict(comparison)))
    (analysis,) = plain["analyses"]
    assert plain["schema"] == 1
    assert len(plain["cells"]) == len(comparison.cells)
    for row, summary in zip(rows, analysis["summaries"], strict=True):
        assert float(row["hard_mean"]) == summary["hard"]["mean"]
        assert row["method"] == summary["method"]
        assert row["state_bytes"] == str(summary["state_bytes"] or "")
    assert len(analysis["pairs"]) == 3
    assert plain["sentences"]


@pytest.mark.parametrize("n", [2, 8, 30])
def test_figures_name_every_method(n):
    comparison = many(n)
    drawn = {figure.name: figure for figure in draw(comparison, analyze(comparison))}
    assert set(drawn) == FIGURES
    for figure in drawn.values():
        assert figure.png.startswith(b"\x89PNG")
        words = texts(figure.svg)
        for method in comparison.methods:
            assert words.count(method.name) == 1, (figure.name, method.name)
        assert any("(%)" in (word or "") for word in words)
        assert figure.alt
        assert figure.caption
    assert "training time (s)" in texts(drawn["seconds"].svg)
    assert "bytes of parameters and optimizer state (KiB)" in texts(drawn["bytes"].svg)
    assert "epoch" in texts(drawn["epochs"].svg)
    assert "epoch" in texts(drawn["flips"].svg)


def test_figures_keep_odd_and_long_names_whole():
    for figure in drawn_mixed():
        words = " ".join(filter(None, texts(figure.svg)))
        assert " ".join(LONG.split()) in words
        assert ODD in words


def test_the_same_comparison_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        names = [path.relative_to(folder) for path in write_report(mixed(), folder)]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_report_is_these_files_and_no_others(tmp_path):
    written = write_report(mixed(), tmp_path / "report")
    names = {str(path.relative_to(tmp_path / "report")) for path in written}
    images = {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")}
    data = {"report.html", "report.md", "runs.csv", "methods.csv", "results.json"}
    assert names == data | images
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == set(written)
    assert written[0].name == "report.html"
    for image in re.findall(r"\]\(([^)]+)\)", (tmp_path / "report/report.md").read_text()):
        assert (tmp_path / "report" / image).exists()


def test_several_data_sets_get_figures_of_their_own():
    cells = [finished("a", s, 0.9 + s / 100, data=d) for s in range(2) for d in ("x", "y")]
    comparison = compared(cells)
    names = {figure.name for figure in draw(comparison, analyze(comparison))}
    assert names == {f"{name}-{data}" for name in FIGURES for data in ("x", "y")}


SMALL = {
    "one method, one seed, one epoch": [finished("a", 0, 0.9, epochs=1)],
    "perfect": [finished(m, s, 1.0) for m in "ab" for s in range(2)],
    "nothing right": [finished(m, s, 0.0) for m in "ab" for s in range(2)],
    "perfect and collapsed": [finished("a", 0, 1.0), finished("b", 0, 0.1)],
    "no records of epochs": [finished("a", 0, 0.9, epochs=0), finished("b", 0, 0.9)],
    "nothing measured": [finished("a", 0, 0.9, memory=None, train_seconds=None)],
    "nothing finished": [failed("a", 0)],
    "no runs": [],
}


@pytest.mark.parametrize("cells", SMALL.values(), ids=SMALL.keys())
def test_no_comparison_is_too_small_for_a_report(cells, tmp_path):
    comparison = compared(cells)
    for path in write_report(comparison, tmp_path):
        assert path.stat().st_size > 0
    assert printed(comparison, 80) is not None


@settings(max_examples=6)
@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_accuracies_can_be_drawn(hits):
    comparison = by_method({f"m{i}": [h / 50 for h in row] for i, row in enumerate(hits)})
    assert len(draw(comparison, analyze(comparison))) == len(FIGURES)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=12),
    st.floats(0.2, 1),
)
def test_labels_do_not_overlap_and_stay_in_their_order(slots, filled):
    total = sum(size for _, size in slots)
    wanted = [at for at, _ in slots]
    sizes = [size * filled / total for _, size in slots]
    placed = drawing.spread(wanted, sizes)
    slack = 1e-9
    boxes = sorted((y - s / 2, y + s / 2, w) for y, s, w in zip(placed, sizes, wanted, strict=True))
    assert boxes[0][0] >= -slack
    assert boxes[-1][1] <= 1 + slack
    for (_, top, lower), (bottom, _, upper) in itertools.pairwise(boxes):
        assert bottom >= top - slack
        assert lower <= upper


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6))
def test_labels_with_room_stay_where_they_are(wanted):
    assume(all(abs(a - b) > 0.011 for i, a in enumerate(wanted) for b in wanted[:i]))
    assert drawing.spread(wanted, [0.01] * len(wanted)) == pytest.approx(wanted)


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6))
def test_ticks_of_logarithmic_axes_lie_on_them(low, ratio):
    ticks = drawing.log_ticks(low, low * ratio)
    assert len(ticks) <= 7
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in ticks)
    if ratio >= 2.5:
        assert ticks
    mantissas = [10 ** (math.log10(tick) % 1) for tick in ticks]
    assert all(min(abs(m - d) for d in (1, 2, 5, 10)) < 1e-6 for m in mantissas)


def test_methods_differ_in_colour_or_marker():
    looks = [(drawing.style(i)["color"], drawing.style(i)["marker"]) for i in range(56)]
    assert len(set(looks)) == 56
    assert len({marker for _, marker in looks[:7]}) == 7


class Page(HTMLParser):
    """Collect what a page refers to, its identifiers, its text, and check that tags close."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text):
        super().__init__()
        self.references, self.ids, self.words, self.tags, self.open = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs, count=False)

    def handle_startendtag(self, tag, attrs, count=True):
        if count:
            self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "action", "data", "poster"}:
                self.references.append(value)
            if name != "aria-label":
                self.references += re.findall(r"url\(([^)]*)\)", value or "")
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page_of_mixed():
    comparison = mixed()
    text = html(comparison, analyze(comparison), drawn_mixed())
    return text, Page(text)


def test_a_page_refers_to_nothing_outside_and_ids_do_not_clash():
    text, page = page_of_mixed()
    assert page.open == []
    assert page.tags.count("svg") == len(FIGURES)
    assert len(page.ids) == len(set(page.ids))
    assert page.references
    for reference in page.references:
        assert reference.startswith("#")
        assert reference[1:] in page.ids
    assert not re.search(r"https?://|@import|<link|<img|<iframe", text)


def test_a_page_escapes_what_it_is_given():
    text, page = page_of_mixed()
    assert page.tags.count("script") == 1
    assert "<script>alert" not in text
    assert page.words.count(ODD) >= 3
    assert any("diverged <b>" in word for word in page.words)


def test_a_page_says_everything():
    comparison = mixed()
    text, page = page_of_mixed()
    words = " ".join(page.words)
    for part in to_dict(comparison)["sentences"]:
        assert part in words
    for part in (comparison.name, comparison.about, comparison.budget, comparison.command, "cpu"):
        assert part in words
    assert text.count('role="img" aria-label="') == len(FIGURES)
    assert all(column.title in page.words for column in COLUMNS)
    assert "p after Holm" in page.words
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_a_page_of_nothing_says_so():
    text = html(compared([failed("a", 0)]), (), ())
    page = Page(text)
    assert page.open == []
    assert "svg" not in page.tags
    assert "a, mnist, seed 0: failed" in text


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    write_report(compared([]), tmp_path)
    before = (tmp_path / "report.html").read_bytes()

    def full(*_args):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(compared([failed("a", 0)]), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_an_axis_of_epochs_counts_in_whole_numbers():
    comparison = compared([finished("a", 0, 0.9, epochs=1)])
    drawn = {figure.name: figure for figure in draw(comparison, analyze(comparison))}
    for name in ("epochs", "flips"):
        words = texts(drawn[name].svg)
        assert words[: words.index("epoch")] == ["1"]


@settings(max_examples=15)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.lists(st.floats(0, 100), max_size=4))
def test_accuracy_axes_hold_their_points(points, extents):
    with drawing.fixed_style():
        axes = drawing.add_axes(drawing.new_figure(3, 3), 0.5, 0.5, 2, 2)
        more = drawing.accuracy_scale(axes, "y", points, extents)
        low, high = axes.get_ylim()
    assert low <= min(points)
    assert high >= max(points) or more  # an error of 0 has no logarithm
    assert low < high < 103
    assert low > -3 or more  # a little room below an error of 100, too
