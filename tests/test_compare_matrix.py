"""The matrix of a comparison: files, presets, names, budgets; nothing here trains."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnncli.compare.budget import epochs_within, largest, parameter_bytes, share_of
from bnncli.compare.comparison import cells_of, plan
from bnncli.compare.folder import Folder
from bnncli.compare.matrix import (
    Budget,
    Matrix,
    find_preset,
    parse_matrix,
    parse_seeds,
    preset_names,
    read_matrix,
)
from bnncli.compare.methods import find_method, laid_over, registered_methods
from bnncli.compare.runner import Conditions, cell_data
from bnncli.errors import BnnError, UsageError
from bnncli.training.config import Settings
from bnncli.training.experiment import resolve

MLP = {"model": {"arch": "mlp", "widths": [16]}}


def matrix(*names: str, **changes) -> Matrix:
    methods = tuple(find_method(name) for name in names or ("float", "adam-ste"))
    return Matrix(**{"name": "test", "methods": methods, "base": MLP, **changes})


@pytest.fixture
def conditions(tmp_path):
    return Conditions(folder=tmp_path / "comparison", runs_dir=tmp_path / "runs", device="cpu")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_what_it_is_and_reads_back_as_it_is_written(name):
    preset = find_preset(name)
    assert preset.about
    again = parse_matrix(name, tomllib.loads(preset.to_toml()))
    assert again == preset
    assert again.key == preset.key


@pytest.mark.parametrize("name", ["note-xnor", "equal-information"])
def test_a_preset_with_another_network_or_budget_shows_no_published_figure(name):
    shown = [method.method.published for method in find_preset(name).methods]
    assert shown == [""] * len(shown)


def test_tables_of_options_are_laid_over_one_another_name_by_name():
    read = parse_matrix(
        "m",
        {
            "base": {"train": {"optimizer_options": {"cap": 0.1}}},
            "method": [
                {"name": "x", "like": "bit-logic", "train": {"optimizer_options": {"cap": 1.0}}}
            ],
        },
    )
    (method,) = read.methods
    registered = find_method("bit-logic").settings["train"]["optimizer_options"]
    assert method.settings["train"]["optimizer_options"] == {**registered, "cap": 1.0}
    assert len(registered) > 1
    under = {"train": {"optimizer_options": {"cap": 0.1, "other": 1}}}
    both = laid_over(under, method.settings)["train"]["optimizer_options"]
    assert both == {"other": 1, **registered, "cap": 1.0}
    assert under == {"train": {"optimizer_options": {"cap": 0.1, "other": 1}}}  # not written to


@pytest.mark.parametrize("name", registered_methods())
def test_a_method_says_what_it_is_and_resolves(name):
    method = find_method(name)
    assert method.method.about
    assert not method.method.published or method.method.note
    partial = laid_over(MLP, method.settings)
    assert resolve(Settings().updated(partial)).model.weights


@pytest.mark.parametrize("name", registered_methods())
def test_a_method_needs_no_more_than_an_architecture(name, conditions):
    """``bnn compare NAME --arch mlp`` names no weights, nor does ``--arch logic-mlp`` for gates."""
    base = {"model": {"arch": "logic-mlp"}} if name.startswith("logic") else MLP
    assert plan(matrix(name, base=base), conditions)


FILE = """
seeds = [3, 5]
data = ["digits", "mnist"]
methods = ["float"]

[about]
text = "what for"

[base.train]
batch_size = 32

[budget]
seconds = 2

[[method]]
name = "slow adam"
like = "adam-ste"
train.lr = 0.0001
"""


def test_a_file_gives_methods_data_seeds_and_budget(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    found = read_matrix(path)
    assert found.name == "mine"
    assert found.about == "what for"
    assert found.seeds == (3, 5)
    assert found.data == ("digits", "mnist")
    assert found.budget == Budget("seconds", 2)
    plain, slow = found.methods
    assert plain == find_method("float")
    # Laid over the method it is like, whose published result is not its own.
    assert slow.settings["model"] == {"weights": "binary"}
    assert slow.settings["train"] == {"optimizer": "adam", "lr": 0.0001}
    assert slow.method.published == ""


WRONG = [
    ({}, "no method"),
    ({"methods": ["adamste"]}, "did you mean 'adam-ste'?"),
    ({"methods": ["float", "float"]}, "'float' is given twice"),
    ({"methods": ["float"], "method": [{"name": "float"}]}, "'float' is given twice"),
    ({"methods": "float"}, "expected a list of names"),
    ({"method": {"name": "x"}}, "expected tables [[method]]"),
    ({"method": [{}]}, "expected a name"),
    ({"method": [{"name": "x", "like": "y"}]}, "unknown method 'y'"),
    ({"method": [{"name": "x", "trian": {}}]}, "method 'x': unknown key 'trian'"),
    ({"method": [{"name": "x", "train": {"lrr": 1}}]}, "did you mean 'lr'?"),
    ({"method": [{"name": "x", "train": {"seed": 1}}]}, "train.seed"),
    ({"method": [{"name": "x", "data": {"name": "mnist"}}]}, "data = [...]"),
    ({"method": [{"name": "x", "about": 3}]}, "expected text"),
    ({"methods": ["float"], "seeds": 0}, "seeds=0"),
    ({"methods": ["float"], "seeds": True}, "seeds=True"),
    ({"methods": ["float"], "seeds": []}, "no seed"),
    ({"methods": ["float"], "seeds": [1, 1]}, "seed 1 is given twice"),
    ({"methods": ["float"], "seeds": [-1]}, "seed -1"),
    ({"methods": ["float"], "seeds": ["a"]}, "seed 'a'"),
    ({"methods": ["float"], "base": {"train": {"lr": "x"}}}, "[base]: setting train.lr"),
    ({"methods": ["float"], "base": 3}, "expected a section [base]"),
    ({"methods": ["float"], "budget": {"epochs": 2, "bits": 3}}, "contradict"),
    ({"methods": ["float"], "budget": {"steps": 2}}, "unknown budget 'steps'"),
    ({"methods": ["float"], "budget": {"epochs": 1.5}}, "whole number"),
    ({"methods": ["float"], "budget": {"seconds": 0}}, "above 0"),
    ({"methods": ["float"], "budget": {"seconds": float("nan")}}, "above 0"),
    ({"methods": ["float"], "about": {"text": 3}}, "expected text"),
    ({"methods": ["float"], "metods": []}, "unknown key"),
]


@pytest.mark.parametrize(("values", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_matrix_is_one_line(values, says):
    with pytest.raises(UsageError) as caught:
        parse_matrix("wrong", values)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_matrix_is_named(tmp_path):
    path = tmp_path / "x.toml"
    for content in (b"[", b"\xff", b"methods = ['nothing']\n"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"x\.toml"):
            read_matrix(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_matrix(tmp_path / "none.toml")


def test_seeds_are_a_number_or_a_list():
    assert parse_seeds(3) == (0, 1, 2)
    assert parse_seeds([7, 3]) == (7, 3)


def test_the_key_is_of_what_is_run_and_not_of_texts():
    one = matrix()
    assert replace(one, about="other words", name="other").key == one.key
    others = [
        replace(one, seeds=(0, 1)),
        replace(one, data=("mnist",)),
        replace(one, budget=Budget("epochs", 2)),
        replace(one, budget=Budget("seconds", 2)),
        replace(one, base={}),
        replace(one, methods=one.methods[::-1]),
    ]
    assert len({m.key for m in [one, *others]}) == len(others) + 1


def test_selecting_keeps_the_order_that_is_asked_for():
    whole = matrix("float", "adam-ste", "sgd-ste")
    assert [m.name for m in whole.select(["sgd-ste", "float"]).methods] == ["sgd-ste", "float"]
    with pytest.raises(UsageError, match="'sgdste'; did you mean 'sgd-ste'"):
        whole.select(["sgdste"])


def test_cells_are_the_product_and_every_seed_has_all_methods_first(conditions):
    what = matrix(seeds=(4, 2), budget=Budget("epochs", 3))
    cells = cells_of(what, plan(what, conditions))
    assert [(c.seed, c.method) for c in cells] == list(
        itertools.product((4, 2), ("float", "adam-ste"))
    )
    for cell in cells:
        assert cell.settings.train.epochs == 3
        assert cell.settings == resolve(cell.settings)


IMPOSSIBLE = [
    ({"model": {"norm": "no such"}}, "norm"),
    ({"train": {"optimizer": "adam", "momentum": 0.5}}, "momentum"),
    ({"train": {"batch_size": 4000}}, "batch_size"),
    ({"model": {"arch": "smallconv", "widths": [3]}}, "widths"),
    ({"train": {"epochs": 3, "warmup_epochs": 3.0}}, "warmup_epochs"),
]


@pytest.mark.parametrize(("settings", "says"), IMPOSSIBLE, ids=[says for _, says in IMPOSSIBLE])
def test_an_impossible_method_is_named_before_anything_is_written(settings, says, conditions):
    values = {"method": [{"name": "good"}, {"name": "bad one", **settings}]}
    base = {"model": {"arch": "mlp"}} if "model" not in settings else {}
    with pytest.raises(BnnError) as caught:
        plan(parse_matrix("x", {**values, "base": base}), conditions)
    assert "method 'bad one' on digits: " in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert not conditions.folder.exists()
    assert not conditions.runs_dir.exists()


def test_a_warm_up_longer_than_the_budget_is_found_first(conditions):
    what = matrix(base=laid_over(MLP, {"train": {"warmup_epochs": 2.0}}))
    plan(what, conditions)
    with pytest.raises(BnnError, match="'float' on digits"):
        plan(replace(what, budget=Budget("epochs", 2)), conditions)


@given(limit=st.integers(1, 3000), answer=st.integers(1, 3000), start=st.integers(1, 3000))
def test_the_largest_that_fits_is_found_without_trying_far_above(limit, answer, start):
    tried = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= answer

    assert largest(fits, min(start, limit), limit) == max(1, min(answer, limit))
    assert max(tried, default=0) <= max(2 * answer, start, 2)


@pytest.mark.parametrize(
    "base",
    [
        {"arch": "mlp", "widths": [20]},
        {"arch": "mlp", "widths": [40, 10]},
        {"arch": "bnn-mlp"},
    ],
    ids=str,
)
def test_a_budget_of_bits_is_filled_and_not_exceeded(base, conditions):
    bits = 150_000
    what = matrix("adam-ste", base={"model": base}, budget=Budget("bits", bits))
    share = share_of(what, what.methods[0], "digits", conditions)
    assert 8 * share.parameter_bytes <= bits
    widths = share.settings.model.widths
    assert widths is not None
    data = cell_data(share.settings, data_dir=None, download=False)
    wider = replace(share.settings.model, widths=tuple(width + 1 for width in widths))
    assert 8 * parameter_bytes(replace(share.settings, model=wider), data) > bits
    assert share.to_dict()["parameter_bytes"] == share.parameter_bytes
    given_widths = base.get("widths", [1, 1])
    assert len(widths) == len(given_widths)
    assert max(widths) == pytest.approx(widths[-1] * max(given_widths) / given_widths[-1], rel=0.05)


def test_the_width_factor_is_fitted_where_there_are_no_widths(conditions):
    method = parse_matrix("x", {"method": [{"name": "vgg", "model": {"arch": "bnn-vgg"}}]}).methods[
        0
    ]
    what = matrix(methods=(method,), base={}, budget=Budget("bits", 60_000))
    share = share_of(what, method, "digits", conditions)
    assert 8 * share.parameter_bytes <= 60_000
    assert share.settings.model.width_factor is not None
    assert 0 < share.settings.model.width_factor < 0.1


@pytest.mark.parametrize(
    ("arch", "bits", "says"),
    [("smallconv", 10**7, "fixed width"), ("mlp", 8, "narrowest")],
)
def test_a_budget_of_bits_that_cannot_be_met_is_one_line(arch, bits, says, conditions):
    what = matrix("float", base={"model": {"arch": arch}}, budget=Budget("bits", bits))
    with pytest.raises(BnnError, match=f"method 'float' on digits: .*{says}"):
        plan(what, conditions)


def test_seconds_buy_whole_epochs_and_at_least_one():
    assert epochs_within(10, 3) == 3
    assert epochs_within(10, 4) == 2  # 2.5 rounds to the even number
    assert epochs_within(1, 100) == 1


def test_a_folder_holds_one_comparison(tmp_path):
    folder = Folder(tmp_path / "mine")
    one, other = matrix(), matrix(seeds=(0,))
    with folder.opened(one, force=False):
        folder.save_epoch_seconds({"float on digits": 0.5})
    assert read_matrix(folder.matrix_file).key == one.key
    folder.check(replace(one, about="other words"), force=False)
    with pytest.raises(BnnError, match="another comparison"):
        folder.check(other, force=False)
    with folder.opened(one, force=True):
        assert folder.epoch_seconds() == {"float on digits": 0.5}
    with folder.opened(other, force=True):
        assert folder.epoch_seconds() == {}
    assert read_matrix(folder.matrix_file).key == other.key


def test_a_folder_is_used_by_one_at_a_time_and_never_by_surprise(tmp_path):
    folder = Folder(tmp_path / "mine")
    with (
        folder.opened(matrix(), force=False),
        pytest.raises(BnnError, match="another bnn compare"),
        folder.opened(matrix(), force=False),
    ):
        pass
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BnnError, match="no comparison"):
        Folder(tmp_path).check(matrix(), force=False)
    with pytest.raises(BnnError, match="not a folder"):
        Folder(tmp_path / "thesis.txt").check(matrix(), force=False)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"epoch_seconds": {"a": 0}}', b'{"epoch_seconds": {"a": NaN}}']
)
def test_a_damaged_calibration_is_one_line(tmp_path, content):
    (tmp_path / "calibration.json").write_bytes(content)
    with pytest.raises(BnnError, match=r"calibration\.json: damaged"):
        Folder(tmp_path).epoch_seconds()
