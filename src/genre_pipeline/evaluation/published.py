"""What papers report of the systems that are presets here, and of others: ``published.csv`` beside this file.

Facts are those of the papers' result tables, [P]; where a paper leaves unit, split or statistic open, they were worked
out from counts (3-second segments give other fractions than tracks) and from published code and logs, [D] and [C]:

- ``lgnet``: Applied Sciences 13(8), 2023, article 5010, Tables 1 to 3. Of 39 figures one is a multiple of 1/290, so
  that they are no accuracies of single runs over the 290 test tracks; of what they are, nothing is said.
- ``broadcast``: Heakl, Abdelgawad and Parque, IJCNN 2022, Tables II and III. "We reported the highest test accuracy";
  the released notebooks draw new splits until the test accuracy passes a bar.
- ``bbnn``: Liu et al., Multimedia Tools and Applications 80, 2021; means over the logs that the authors published.
- ``duplicated_convolutions``: Yang and Zhang, Interspeech 2019, Tables 1 and 2. Five of the seven rows are other
  people's.
- ``musicnext``: Intelligent Data Analysis, 2024. The figures are 1849/2000, 6633/7200 and 7650/7984 segments, and
  impossible as shares of 200, 720 or 799 tracks. Tables 2 to 7 are lost but for these headline figures.
- ``crnn``: Paesano and Pizzuti, Politecnico di Milano 2023. 0.7139 is 721 of 1010 segments. Of the LSTM the text says
  only that it is no better.
- ``musicnn``, ``jukemir``, ``encoders``: pretrained encoders on GTZAN's fault-filtered lists; ``table`` says where the
  figure stands. What others got with the same encoder is a row of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field, field_validator

from genre_pipeline.blocks import Block, parse_block

_FILE = "published.csv"


@dataclass(frozen=True)
class Sweep:
    """A figure of a paper that shows accuracy against one value of a network; what it showed is lost.

    Attributes:
        title: The paper and its figure.
        axis: What changes.
        lines: Name of each line of the figure to its presets, by the value as it is written at the axis.
    """

    title: str
    axis: str
    lines: Mapping[str, Mapping[str, str]]


_THIRD_STAGES = (3, 6, 9, 12, 27)
SWEEPS = (
    Sweep(
        "MusicNeXt, Figure 6",
        "margin m (1 is softmax)",
        {
            "L-softmax": {
                "1": "musicnext_softmax",
                "2": "musicnext",
                "3": "musicnext_margin_3",
                "4": "musicnext_margin_4",
            }
        },
    ),
    Sweep(
        "MusicNeXt, Figure 7",
        "blocks of the four stages",
        {
            line: {f"3:3:{n}:3": preset if n == 9 else f"{preset}_3_3_{n}_3" for n in _THIRD_STAGES}
            for line, preset in (("softmax", "musicnext_softmax"), ("L-softmax", "musicnext"))
        },
    ),
)


class PublishedFigure(Block):
    """One accuracy from a paper.

    Attributes:
        paper: Short name of the paper: see the module's description.
        table: The table, or where else it stands.
        row: The row's name there.
        model: The preset that is this system; empty if none is.
        dataset: The dataset, by its name here.
        feature: The feature, by its name here; empty if there is none.
        readings: Features that read the paper's words on its input differently; separated by spaces in the file.
        protocol: The protocol that is nearest, by its name here.
        unit: What an accuracy of 1 counts: tracks or segments.
        statistic: What of how many runs.
        split: Which side was scored.
        accuracy: In percent.
        comparable: Whether our number under that protocol, unit and statistic means the same.
        note: What one has to know.
    """

    paper: Literal[
        "lgnet",
        "broadcast",
        "bbnn",
        "duplicated_convolutions",
        "musicnext",
        "crnn",
        "musicnn",
        "jukemir",
        "encoders",
    ]
    table: str
    row: str
    model: str
    dataset: str
    feature: str
    readings: tuple[str, ...] = ()
    protocol: str
    unit: Literal["track", "segment", "unclear"]
    statistic: Literal["mean of 10", "maximum", "one run", "unclear"]
    split: Literal["validation", "test"]
    accuracy: float = Field(ge=0.0, le=100.0)
    comparable: Literal["yes", "no", "unclear"]
    note: str = ""

    @field_validator("readings", mode="before")
    @classmethod
    def _separated_by_spaces(cls, value: object) -> object:
        return value.split() if isinstance(value, str) else value


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Return every published figure, in the papers' order.

    Example:
        >>> [figure.accuracy for figure in published_figures() if figure.model == "net1"]
        [90.7]
    """
    lines = files(__package__).joinpath(_FILE).read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return tuple(parse_block(PublishedFigure, row, key=f"{_FILE}, row {number}") for number, row in enumerate(rows, 1))
