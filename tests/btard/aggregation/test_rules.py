import pytest
import torch

from btard.aggregation import BadRow, RuleName, centered_clip, get_rule
from btard.errors import UserError


def rows_of(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_the_names_are_plain_strings() -> None:
    assert {str(name) for name in RuleName} >= {"mean", "centered_clip"}


@pytest.mark.parametrize("name", list(RuleName))
def test_every_name_has_a_rule_and_every_rule_refuses_bad_rows(name: RuleName) -> None:
    rule = get_rule(name)
    rows = rows_of(5, 100)
    for column, poison in ((0, float("nan")), (99, float("inf"))):
        bad = rows.clone()
        bad[3, column] = poison
        with pytest.raises(BadRow) as refusal:
            rule.aggregate(bad, tau=1.0)
        assert refusal.value.index == 3
    with pytest.raises(BadRow) as refusal:
        rule.aggregate([rows[0], rows[1], rows[2, :50]], tau=1.0)
    assert refusal.value.index == 2
    with pytest.raises(ValueError, match="no rows"):
        rule.aggregate([], tau=1.0)


@pytest.mark.parametrize("name", list(RuleName))
def test_every_rule_gives_the_same_bytes_for_the_same_rows(name: RuleName) -> None:
    rows = rows_of(7, 100_003)
    first = get_rule(name).aggregate(rows, tau=100.0)
    again = get_rule(name).aggregate([row.clone() for row in rows], tau=100.0)
    assert first.value.dtype == torch.float32
    assert first.value.numpy().tobytes() == again.value.numpy().tobytes()


def test_the_mean_is_the_mean_to_the_last_bit() -> None:
    rows = rows_of(16, 70_001) + 1000
    result = get_rule("mean").aggregate(rows, tau=1.0)
    assert torch.equal(result.value, rows.double().mean(0).float())
    assert result.residual == 0.0


def test_the_mean_of_the_largest_values_does_not_overflow() -> None:
    largest = torch.finfo(torch.float32).max
    assert get_rule("mean").aggregate(torch.full((3, 2), largest), tau=1.0).value.tolist() == [largest, largest]


def test_centered_clip_by_name_is_centered_clip() -> None:
    rows = rows_of(9, 1000)
    by_name, direct = get_rule("centered_clip").aggregate(rows, tau=5.0), centered_clip(rows, tau=5.0)
    assert torch.equal(by_name.value, direct.value)
    assert by_name.residual == direct.residual


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'medain'.*centered_clip, mean"):
        get_rule("medain")
