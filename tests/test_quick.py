"""Which cases and which shard of the slow tests are run."""

import pytest

from tests.quick import shard


def test_the_shards_together_are_everything_once() -> None:
    everything = list(range(11))
    shards = [shard(f"{k}/3", everything) for k in (1, 2, 3)]
    assert sorted(number for one in shards for number in one) == everything
    assert {len(one) for one in shards} == {3, 4}


@pytest.mark.parametrize("asked", ["0/3", "4/3", "2", "1/0", "x/y", "", "-1/3", "1/3/5"])
def test_what_is_no_shard_is_refused_in_a_sentence(asked: str) -> None:
    with pytest.raises(pytest.UsageError, match="is written 2/3"):
        shard(asked, range(3))
