"""Parts of a published table: its rows, what is measured for them, and what is concluded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import SystemConfig, resolve_system
from crossmarket.models.config import merge_values

#: How a paper marks a cell: as the best or second of its column, with its sign of significance.
Mark = Literal["", "*", "†", "best", "best *", "second"]

#: Some names, of which one may stand alone.
Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)
]


class Part(BaseModel):
    """What is read from the file of a table, and from nowhere else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SystemChoice(Part):
    """A system of ours that stands for one of a paper.

    Attributes
    ----------
    system : str or SystemConfig, optional
        A title of the catalogue, or a system written out; absent where nothing is measured.
    config : dict
        Settings in which the paper's differs from that system.
    """

    system: str | SystemConfig | None = None
    config: dict[str, Any] = Field(default_factory=dict)

    def found(self, protocol: Protocol | None) -> SystemConfig | None:
        """The system with these settings, under its own title.

        Parameters
        ----------
        protocol : Protocol or None
            Under which the table is measured; see `known_systems`.

        Raises
        ------
        UsageError
            If the catalogue has no such system.
        """
        if self.system is None:
            return None
        found = resolve_system(self.system, protocol)
        return found.model_copy(update={"config": merge_values(found.config, self.config)})


class PublishedRow(SystemChoice):
    """One row of a published table, and what is measured for it.

    Attributes
    ----------
    title, group : str
        As the paper calls the row, and the block of rows it stands in.
    sources : str
        Source markets that it learns from: `all`, the `best` one on validation, the `average`
        over single ones, or the name of one.
    items : {"shared", "own"}, optional
        Count held-out items that several markets sell, or those that no other sells.
    unmeasured : str, optional
        Why nothing is measured for the row; there where `system` is not.
    values : dict of metric to floats
        A value for each column, as printed; null where the paper prints none.
    marks : dict of metric to marks
        The paper's marks beside the values, in the metrics where it has any.
    percent : bool
        This row is printed in percent, whatever the others are.
    """

    title: str
    group: str = ""
    sources: str = "all"
    items: Literal["shared", "own"] | None = None
    unmeasured: str | None = None
    values: dict[str, tuple[FiniteFloat | None, ...]] = Field(min_length=1)
    marks: dict[str, tuple[Mark, ...]] = Field(default_factory=dict)
    percent: bool = False


class Claim(Part):
    """What a paper concludes from a table, in a form that can be tested on measured numbers.

    Attributes
    ----------
    text : str
        The conclusion.
    better : str
        Label of the row (or the table's reference) that is said to be the better one.
    than : tuple of str
        Labels of the rows that it is said to beat; all others when empty.
    metric : str
        In which metric.
    columns : tuple of str
        In which columns; in all of them when empty.
    lower : bool
        The better value is the lower one.
    margin : float, optional
        Share of the other row's value by which one must be better to be ahead: 0 of what is
        counted; times differ by more from run to run. None where that is not known.
    """

    text: str
    better: str
    than: Names = ()
    metric: str
    columns: Names = ()
    lower: bool = False
    margin: float | None = Field(default=None, ge=0, lt=1)
