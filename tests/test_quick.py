"""Which cases and which part of the slow tests are run."""

import pytest

from tests.quick import part


def test_the_parts_together_are_everything_once():
    everything = list(range(11))
    parts = [part(f"{k}/3", everything) for k in (1, 2, 3)]
    assert sorted(number for one in parts for number in one) == everything
    assert {len(one) for one in parts} == {3, 4}


@pytest.mark.parametrize("asked", ["0/3", "4/3", "2", "1/0", "x/y", "", "-1/3", "1/3/5"])
def test_what_is_no_part_is_refused_in_a_sentence(asked):
    with pytest.raises(pytest.UsageError, match="is written 2/3"):
        part(asked, range(3))
