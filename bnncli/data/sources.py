"""The data sets that the program knows: what each is, and the files that hold it.

A source has one or more *bundles*; any one complete bundle is enough. Sizes and checksums are
those of the files as their authors publish them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from bnncli.data.boards import EXAMPLES as BOARDS
from bnncli.data.boards import (
    N_NEIGHBOURHOODS,
    RolloutExam,
    pattern_task,
    random_neighbourhoods,
)
from bnncli.data.boards import PREFIX as BOARD_PREFIX
from bnncli.data.exams import CLASSIFICATION
from bnncli.data.files import DataFile
from bnncli.data.readers import parse_cifar, read_idx, read_tar_members
from bnncli.data.rules import (
    EXAMPLES,
    PREFIX,
    canonical_name,
    neighbourhood_shape,
    neighbourhoods,
    rule_table,
)
from bnncli.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bnncli.data.exams import Exam

    Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]
    Decode = Callable[["DataSource", Sequence[Path]], tuple[Arrays, Arrays]]


@dataclass(frozen=True)
class DataSource:
    """Describe one data set: its images, its files and how they decode.

    ``decode(source, paths)`` gives ((train images, labels), (test images, labels)) from the paths
    of one bundle; images are uint8 (n, channels, height, width). A ``whole`` set is computed and
    lists every possible image once: training, validation and test set are that same list.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    height: int
    width: int
    n_train: int
    n_test: int
    n_validation: int
    licence: str
    citation: str
    decode: Decode
    bundles: tuple[tuple[DataFile, ...], ...] = ()
    members: tuple[DataFile, ...] = ()
    folders: tuple[str, ...] = ()
    whole: bool = False
    exam: Exam = CLASSIFICATION

    @property
    def embedded(self) -> bool:
        """Say whether the images ship with the program."""
        return not self.bundles

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give (channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def content_key(self) -> str:
        """Give 16 hex digits that change when the decoded content would."""
        files = self.members or self.bundles[0]
        text = " ".join(["records-1", *(file.sha256 for file in files)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def decode_idx(source: DataSource, paths: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Decode train images, train labels, test images and test labels from four IDX files."""
    size = (source.height, source.width)
    train_images, test_images = (read_idx(path, item_shape=size) for path in paths[::2])
    train_labels, test_labels = (read_idx(path, item_shape=()) for path in paths[1::2])
    return (
        (train_images.reshape(-1, *source.image_shape), train_labels),
        (test_images.reshape(-1, *source.image_shape), test_labels),
    )


def decode_cifar(source: DataSource, paths: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Decode the archive of CIFAR-10: all batches but the last are training, in order."""
    contents = read_tar_members(paths[0], source.members)
    parts = [
        parse_cifar(content, f"{paths[0]}, member {member.name}")
        for content, member in zip(contents, source.members, strict=True)
    ]
    train = parts[:-1]
    return (
        (np.concatenate([part[0] for part in train]), np.concatenate([part[1] for part in train])),
        parts[-1],
    )


def decode_digits(source: DataSource, paths: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Decode the embedded digits; pixel v of 0..16 becomes min(255, 16 v).

    The test set holds 36 scans of each class, evenly spaced in the published order:
    scans floor((2 j + 1) n / 72) of the n of that class, j = 0..35.
    The scans are the test part of *Optical Recognition of Handwritten Digits* (E. Alpaydin,
    C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49), as
    scikit-learn distributes them, licensed CC BY 4.0; only the file format was changed.
    """
    del paths
    with resources.files("bnncli.data").joinpath("digits.npz").open("rb") as stream:
        archive = np.load(stream)
        scans, labels = archive["images"], archive["labels"]
    images = np.minimum(255, scans.astype(np.uint16) * 16).astype(np.uint8)
    images = images.reshape(-1, *source.image_shape)
    per_class = source.n_test // len(source.classes)
    is_test = np.zeros(len(labels), dtype=np.bool_)
    for label in range(len(source.classes)):
        where = np.flatnonzero(labels == label)
        is_test[where[(2 * np.arange(per_class) + 1) * len(where) // (2 * per_class)]] = True
    return (images[~is_test], labels[~is_test]), (images[is_test], labels[is_test])


def decode_rule(source: DataSource, paths: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Compute the neighbourhoods and next states of a rule, the same for training and test."""
    del paths
    labels = rule_table(source.name)
    cells = neighbourhoods(len(labels)).astype(np.uint8) * np.uint8(255)
    whole = cells.reshape(-1, *source.image_shape), labels
    return whole, whole


def decode_board(source: DataSource, paths: Sequence[Path]) -> tuple[Arrays, Arrays]:
    """Draw random neighbourhoods; they have no class, so that all labels are 0."""
    del paths
    images = random_neighbourhoods(source.channels)
    every = images, np.zeros(len(images), np.uint8)
    return every, every


def _idx_bundle(
    folders: Sequence[str], rows: Sequence[tuple[str, int, str]]
) -> tuple[DataFile, ...]:
    return tuple(
        DataFile(name, size, digest, tuple(folder + name for folder in folders))
        for name, size, digest in rows
    )


DIGITS = DataSource(
    name="digits",
    classes=tuple("0123456789"),
    channels=1,
    height=8,
    width=8,
    n_train=1437,
    n_test=360,
    n_validation=180,
    licence="CC BY 4.0",
    citation="E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI, 1998",
    decode=decode_digits,
)

MNIST = DataSource(
    name="mnist",
    classes=tuple("0123456789"),
    channels=1,
    height=28,
    width=28,
    n_train=60_000,
    n_test=10_000,
    n_validation=5_000,
    licence="none stated (widely given as CC BY-SA 3.0)",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to "
    "document recognition. Proceedings of the IEEE 86(11), 1998",
    decode=decode_idx,
    bundles=(
        _idx_bundle(
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            [
                (
                    "train-images-idx3-ubyte.gz",
                    9_912_422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    28_881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    1_648_877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    4_542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ],
        ),
    ),
    folders=("mnist",),
)

FASHION_MNIST = DataSource(
    name="fashion-mnist",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    channels=1,
    height=28,
    width=28,
    n_train=60_000,
    n_test=10_000,
    n_validation=5_000,
    licence="MIT",
    citation="H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST. arXiv:1708.07747, 2017",
    decode=decode_idx,
    bundles=(
        _idx_bundle(
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ),
            [
                (
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    29_515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    5_148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ],
        ),
    ),
    folders=("fashion-mnist",),
)

_CIFAR_BATCHES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

CIFAR10 = DataSource(
    name="cifar10",
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    channels=3,
    height=32,
    width=32,
    n_train=50_000,
    n_test=10_000,
    n_validation=5_000,
    licence="none stated (cite the report)",
    citation="A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. University of "
    "Toronto, 2009",
    decode=decode_cifar,
    bundles=(
        (
            DataFile(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            ),
        ),
        (  # the same six batches without readme.html, packed smaller
            DataFile(
                "cifar-10-binary.tar.xz",
                129_049_808,
                "9a49291c40f068a191febb7899fe3d3aadd8cf2912dc20745798431b82eee6f6",
            ),
        ),
    ),
    members=tuple(DataFile(name, 30_730_000, digest) for name, digest in _CIFAR_BATCHES.items()),
    folders=("cifar-10", "cifar10"),
)

SOURCES = {source.name: source for source in (DIGITS, MNIST, FASHION_MNIST, CIFAR10)}
"""Every data set by name."""


def rule_source(name: str) -> DataSource:
    """Describe the truth table of a cellular automaton's rule, such as ``rule:B3/S23``.

    Its images are all 512 (or 8) neighbourhoods, dead cells 0 and live ones 255; the label is the
    centre's next state. They are the whole domain of the rule, so that a network without error on
    them has nothing left to generalise to, and no part of them is held out.
    """
    table = rule_table(name)
    height, width = neighbourhood_shape(table)
    return DataSource(
        name=canonical_name(name),
        classes=("dead", "alive"),
        channels=1,
        height=height,
        width=width,
        n_train=len(table),
        n_test=len(table),
        n_validation=len(table),
        licence="none needed (computed)",
        citation="S. Wolfram. Statistical mechanics of cellular automata. Reviews of Modern "
        "Physics 55, 1983"
        if height == 1
        else "M. Gardner. The fantastic combinations of John Conway's new solitaire game 'life'. "
        "Scientific American 223(4), 1970",
        decode=decode_rule,
        whole=True,
    )


def board_source(name: str) -> DataSource:
    """Describe a pattern for an automaton, such as ``board:checkerboard``; its exam is a rollout."""
    task = pattern_task(name)
    return DataSource(
        name=task.name,
        classes=tuple(f"channel {i}" for i in range(task.channels)),
        channels=task.channels,
        height=3,
        width=3,
        n_train=N_NEIGHBOURHOODS,
        n_test=N_NEIGHBOURHOODS,
        n_validation=N_NEIGHBOURHOODS,
        licence="none needed (computed)",
        citation="P. Miotti, E. Niklasson, E. Randazzo, A. Mordvintsev. Differentiable logic "
        "cellular automata. arXiv:2506.04912, 2025",
        decode=decode_board,
        whole=True,
        exam=RolloutExam(task),
    )


def find_source(name: str) -> DataSource:
    """Look a data set up by name; names that begin with ``rule:`` or ``board:`` are computed."""
    if name.startswith(BOARD_PREFIX):
        return board_source(name)
    if name.startswith(PREFIX):
        return rule_source(name)
    if name not in SOURCES:
        raise unknown_name("data set", name, [*SOURCES, *EXAMPLES, *BOARDS])
    return SOURCES[name]
