"""Scenarios in which something did not hold once: what went wrong, and the run that showed it."""

from __future__ import annotations

import pytest

from btard.cli.main import main

REPLAYS = {
    "judges that looked at a row of a part forgot that its aggregate was charged, too": [
        "--peers 7 --steps 2 --seed 2018 --task none --dimension 40 --newcomers-at 1 --sybils 2 "
        "--rule coordinate_median --validators 2.0 --byzantine 2 --attack WRONG_COMMIT_LENGTH,SELF_COVER",
    ],
    "an honest auditor or witness was out that had been told another commitment than the others": [
        "--peers 7 --steps 8 --seed 1128 --task none --dimension 40 --rejoin none --newcomers-at 1 "
        "--rule coordinate_median --validators 2.0 --probation 3 --byzantine 2 --attack EMPTY_LISTS,UNDEAD "
        "--attack-start 1 --attack-every 3 --attack-proba 0.5",
    ],
    "a certificate of an attempt came just after its settlement, and was ignored": [
        "--peers 6 --steps 4 --seed 100 --task none --dimension 16 --byzantine 1 --attack REFUSE_BAN "
        "--attack-proba 0.5 --validators 0.5 --validation tolerant",
        "--peers 5 --steps 4 --seed 104 --task none --dimension 1 --rejoin none --byzantine 1 --attack REFUSE_BAN "
        "--validation tolerant",
    ],
    "an honest owner was banned for a column that it had not seen yet": [
        "--peers 6 --steps 3 --seed 39 --task none --dimension 1 --rejoin all --newcomers 1 --newcomers-at 0 "
        "--byzantine 1 --attack FALSE_PRODUCT --attack-start 1 --attack-proba 0.5 --sybils 1 --delay 0-0.3 "
        "--validators 0.0 --validation tolerant --probation 3",
    ],
    "two versions of one message made honest peers contradict each other": [
        "--peers 7 --steps 6 --seed 366 --task none --dimension 5 --rejoin all --newcomers-at 0 --byzantine 2 "
        "--attack EQUIVOCATE_SCALARS --attack-start 1 --attack-proba 0.5 --delay 0.01-1.5",
        "--peers 7 --steps 5 --seed 767 --task quadratic --dimension 40 --newcomers 2 --newcomers-at 1 --byzantine 2 "
        "--attack EQUIVOCATE_AGGREGATE --attack-start 1 --sybils 2 --delay 0.01-1.5 --validation tolerant "
        "--probation 1",
    ],
    "a peer began a step again in which it had signed, and was banned for two faces": [
        "--peers 5 --steps 6 --seed 2001 --task none --dimension 40 --newcomers 1 --newcomers-at 1 --byzantine 1 "
        "--attack DRIFT --attack-every 3 --cut 0.171-0.671:2 --validation tolerant --probation 3",
    ],
    "the evidence lacked the row that it was about": [
        "--peers 4 --steps 4 --seed 1800 --task none --dimension 1 --byzantine 1 --attack NAN_ROW --attack-proba 0.5 "
        "--delay 0.01-1.5 --loss 0.002 --cut 0.928-5.928:1",
        "--peers 4 --steps 6 --seed 100480 --task quadratic --dimension 16 --newcomers 2 --newcomers-at 0 "
        "--byzantine 1 --attack FALSE_NORM --attack-start 1 --sybils 2 --loss 0.002 --cut 1.985-2.035:1 "
        "--validators 0.5 --eliminate mutual --probation 1",
        "--peers 6 --steps 4 --seed 1987 --task none --dimension 16 --newcomers-at 2 --byzantine 2 "
        "--attack WRONG_AGGREGATE --attack-every 3 --delay 0-0.3 --loss 0.02 --clip 3.0",
    ],
    "a model with fewer numbers than peers has parts without a number": [
        "--peers 7 --steps 4 --seed 151 --task quadratic --dimension 1 --newcomers-at 0 --byzantine 3 "
        "--attack LAZY_VALIDATOR --attack-every 2 --delay 0.01-1.5 --cut 1.453-1.953:3 --probation 1 --clip 3.0",
    ],
    "a ban that did not stand once all was heard stayed in the book of a peer that had heard less": [
        "--peers 7 --steps 4 --seed 708 --task quadratic --dimension 16 --newcomers 1 --newcomers-at 1 --byzantine 3 "
        "--attack LATE_COMMIT,EQUIVOCATE_REPORT --attack-start 2 --attack-every 2 --loss 0.1 --eliminate mutual "
        "--probation 1",
    ],
}


@pytest.mark.parametrize("words", [words for cases in REPLAYS.values() for words in cases])
def test_it_holds_now(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *words.split()]) == 0, capsys.readouterr().err
