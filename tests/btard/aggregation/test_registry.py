"""Rules as users write them: found by name, with parameters of their own, in one form for the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field

from btard import plugins
from btard.aggregation import AggregationResult, CenteredClip, Rows, Rule, canonical, make_rule, rule_and_tau
from btard.aggregation.coordinate.trimmed_mean import TrimmedMean
from btard.errors import UserError


@dataclass(frozen=True)
class Picky(Rule):
    """A rule of somebody else."""

    bold: bool = False
    count: Annotated[int, Field(ge=1)] = 3
    way: str = "first"

    def __post_init__(self) -> None:
        if self.way not in ("first", "last"):
            raise ValueError("way must be first or last")

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        return AggregationResult(rows[0])  # type: ignore[arg-type]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's package adds rules, good ones and bad ones."""
    found = plugins._installed
    targets = {"picky": f"{__name__}:Picky", "no_rule": f"{__name__}:re", "gone": "no.such.module:Rule"}

    def also(group: str, path: tuple[str, ...]) -> EntryPoints:
        added = [EntryPoint(name, value, group) for name, value in targets.items()] if group == "btard.rules" else []
        return EntryPoints([*found(group, path), *added])

    monkeypatch.setattr(plugins, "_installed", also)
    make_rule.cache_clear()


def test_parameters_are_read_as_their_fields_say() -> None:
    assert make_rule("trimmed_mean:share=0.4") == TrimmedMean(0.4)
    assert make_rule("trimmed_mean") == TrimmedMean()
    assert make_rule("centered_clip:tau=3") == CenteredClip(3.0)


@pytest.mark.usefixtures("elsewhere")
def test_a_rule_of_another_package_is_found() -> None:
    assert make_rule("picky:way=last,bold=true") == Picky(bold=True, way="last")
    assert canonical("picky:way=last, count=3,bold=yes") == "picky:bold=true,way=last"
    assert make_rule(canonical("picky:way=last,bold=yes")) == make_rule("picky:bold=1,way=last")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("medain", "'medain'.*centered_clip, .*coordinate_median, .*mean, .*trimmed_mean"),
        ("trimmed_mean:shear=0.4", "trimmed_mean has no parameter 'shear'; its parameters are: share"),
        ("mean:share=0.4", "mean has no parameter 'share'; it has none"),
        ("trimmed_mean:share=half", "share is 'half'.*number"),
        ("trimmed_mean:share=0.5", "share is '0.5'.*less than 0.5"),
        ("trimmed_mean:share=nan", "share is 'nan'"),
        ("centered_clip:tau=0", "tau is '0'.*greater than 0"),
        ("trimmed_mean:share", "NAME or NAME:KEY=VALUE"),
        ("trimmed_mean:share=0.1,share=0.2", "a key twice"),
        ("trimmed_mean:share=" + "0" * 200, "at most 200 characters"),
        ("picky:way=round", "picky cannot be .*way must be first or last"),
        ("picky:count=0", "count is '0'"),
        ("no_rule", "no dataclass that inherits Rule"),
        ("gone", "gone cannot be imported"),
        ("krum+nnm", "pre-aggregator 'krum' of it must be one of those installed: .*bucketing, nnm"),
        ("nnm+medain", "aggregation rule 'medain' of it must be one of those installed: .*krum"),
        ("nnm+", "'nnm\\+'"),
        ("bucketing:size=0+krum", "pre-aggregator bucketing cannot be .*size is '0'"),
        ("nnm:size=2+krum", "pre-aggregator nnm has no parameter 'size'; it has none"),
        ("krum@0~mean", "what follows the @ must be a number above zero"),
        ("krum@often~mean", "what follows the @ must be a number above zero"),
        ("krum~", "NAME or NAME:KEY=VALUE"),
        ("aksel:mode=half", "mode is 'half'"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_what_is_wrong_with_a_rule_is_told_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        make_rule(text)
    assert re.search(words, str(error.value)) and "\n" not in str(error.value)


def test_the_guides_example_is_a_rule() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "writing-a-rule.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": __name__}
    exec(guide.split("```python\n")[1].split("```")[0], names)
    rule = names["Medoid"](least=2)
    assert isinstance(rule, Rule) and rule.check(1, 0) and rule.equation is None
    rows = torch.tensor([[0.0], [1.0], [5.0]])
    assert rule.aggregate(rows, n_byzantine=rule.tolerated(3)).value.tolist() == [1.0]


def test_a_run_keeps_a_rule_in_one_form() -> None:
    assert canonical("trimmed_mean:share=.40") == "trimmed_mean:share=0.4"
    assert canonical("trimmed_mean:share=0.25") == canonical("trimmed_mean") == "trimmed_mean"
    assert canonical("centered_clip:tau=3") == "centered_clip"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("median", "coordinate_median"),
        ("nnm + trmean", "nnm+trimmed_mean"),
        ("bucketing:size=2+krum:m=1", "bucketing+krum:m=1"),
        ("static_clipping:norm=1e30+static_clipping+average", "static_clipping:norm=1e+30+static_clipping+mean"),
        ("nnm+centered_clip:tau=3", "nnm+centered_clip:tau=3.0"),
        ("krum@3.0~nnm+median@1~mda@.5", "krum@3~nnm+coordinate_median~mda@0.5"),
        ("krum:legacy=1,m=2@7", "krum:legacy=true,m=2"),
        ("aksel:mode=n-f", "aksel:mode=n-f"),
    ],
)
def test_rules_that_are_put_together_have_one_form(text: str, kept: str) -> None:
    assert canonical(text) == kept == canonical(kept)
    assert make_rule(kept) == make_rule(text)


def test_a_radius_of_a_part_of_a_rule_stands_in_its_text() -> None:
    assert rule_and_tau("nnm+centered_clip:tau=3", None, 0.5) == ("nnm+centered_clip:tau=3.0", 0.5)
    with pytest.raises(UserError, match=r"a tau of 2 says nothing of nnm\+centered_clip"):
        rule_and_tau("nnm+centered_clip", 2.0, 0.5)


def test_the_radius_may_be_a_parameter_or_a_setting() -> None:
    assert rule_and_tau("centered_clip", None, 0.5) == ("centered_clip", 0.5)
    assert rule_and_tau("centered_clip", 3.0, 0.5) == ("centered_clip", 3.0)
    assert rule_and_tau("centered_clip:tau=3", None, 0.5) == rule_and_tau("centered_clip:tau=3", 3.0, 0.5)
    assert rule_and_tau("mean", 3.0, 0.5) == ("mean", 3.0)
    with pytest.raises(UserError, match="contradicts a tau of 2"):
        rule_and_tau("centered_clip:tau=3", 2.0, 0.5)
