"""How long until all attackers are banned: the closed form, the draws alone, and the whole protocol.

In a step a given attacker is caught when it is drawn as a target and an honest member as its validator: with h honest
peers of n and m validators that happens with probability m h / (n (n - 1)). With b attackers left the mean wait for the
next ban is n (n - 1) / (m h b), and the roster shrinks with every ban: hence the sum below. It counts at most one ban a
step, so it is a little too long where m is large. The same chain of waits gives the steps that 95 % of all runs do not
exceed.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from btard.behaviour import Behaviour, View
from btard.byzantine.gradients.live.alone import SignFlipping
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.lab.simulation.settings import SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.round.draw import draw_audits
from btard.round.messages.accusations import Charge
from btard.round.messages.bodies import Phase
from btard.round.roster import Roster, first_randomness

_Z_95 = 1.96


def expected_steps(peers: int, attackers: int, validators: float) -> float:
    """Return the closed form: sum over b' = 1..b of n' (n' - 1) / (m h b'), with n' = h + b'."""
    honest = peers - attackers
    return sum((honest + left) * (honest + left - 1) / (validators * honest * left) for left in range(1, attackers + 1))


def expected_p95(peers: int, attackers: int, validators: float) -> int:
    """Return how many steps are enough with a probability of 95 %, if the waits are those of the closed form."""
    honest = peers - attackers
    # The probability of each number of attackers left, after so many steps.
    chances, steps = [0.0] * attackers + [1.0], 0
    while chances[0] < 0.95:
        after = chances.copy()
        for left in range(1, attackers + 1):
            members = honest + left
            caught = chances[left] * min(1.0, validators * honest * left / (members * (members - 1)))
            after[left] -= caught
            after[left - 1] += caught
        chances, steps = after, steps + 1
    return steps


def interval_of_mean(steps: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of at least two numbers of steps."""
    mean, half = statistics.fmean(steps), _Z_95 * statistics.stdev(steps) / math.sqrt(len(steps))
    return mean - half, mean + half


@dataclass(frozen=True)
class Result:
    """How many steps it took from the first attack until the last attacker was banned, over many runs."""

    peers: int
    attackers: int
    validators: int
    source: str
    steps: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The mean number of steps."""
        return statistics.fmean(self.steps)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean."""
        return interval_of_mean(self.steps)

    @property
    def p95(self) -> int:
        """The number of steps that 95 % of the runs do not exceed."""
        return self._ranked(0.95 * len(self.steps))

    @property
    def p95_interval(self) -> tuple[int, int]:
        """The 95 % confidence interval of p95: how many runs stay below it is binomial, whatever the distribution."""
        runs = len(self.steps)
        half = _Z_95 * math.sqrt(runs * 0.95 * 0.05)
        return self._ranked(0.95 * runs - half), self._ranked(0.95 * runs + half + 1)

    def _ranked(self, rank: float) -> int:
        return sorted(self.steps)[min(max(math.ceil(rank), 1), len(self.steps)) - 1]

    @property
    def expected(self) -> float:
        """The closed form of the mean."""
        return expected_steps(self.peers, self.attackers, self.validators)

    @property
    def expected_p95(self) -> int:
        """The closed form's 95 % quantile."""
        return expected_p95(self.peers, self.attackers, self.validators)

    @property
    def agrees(self) -> bool:
        """Whether the closed forms lie in the confidence intervals of mean and p95."""
        return all(
            low <= expected <= high
            for (low, high), expected in ((self.interval, self.expected), (self.p95_interval, self.expected_p95))
        )


def draws_alone(peers: int, attackers: int, validators: int, seed: int) -> int:
    """Return how many steps it takes in one run of the protocol's own draws, without any message.

    Every attacker attacks in every step. A target that is drawn at the end of a step is validated in the next one, and
    banned there; honest validators find what there is to find, Byzantine ones say nothing.
    """
    members = drawn_names(peers, seed)
    roster = Roster(0, tuple(sorted(members)), frozenset(), first_randomness(seed, 0))
    return until_all_are_out(roster, frozenset(members[:attackers]), validators)


def until_all_are_out(roster: Roster, liars: frozenset[PeerId], validators: float) -> int:
    """Return the step at which no liar is left, going by the protocol's own draws from a first roster on."""
    while True:
        caught = {audit.target for audit in roster.audits if audit.validator not in liars} & liars
        left = [member for member in roster.members if member not in caught]
        if liars.isdisjoint(left):
            return roster.step
        randomness = tagged_digest("btard simulated draw", roster.randomness)
        submitters = [member for member in left if member not in roster.validators]
        audits = draw_audits(randomness, sorted(roster.voters - caught), submitters, validators, 0)
        roster = roster.successor(left, (), caught, randomness=randomness, audits=audits)


def drawn_names(peers: int, seed: int, tag: str = "btard drawn name") -> list[PeerId]:
    """Return names that nobody has a key for: there are no messages to sign."""
    head = seed.to_bytes(8, "big")
    return [PeerId.from_public_key(tagged_digest(tag, head, number.to_bytes(8, "big"))) for number in range(peers)]


def simulate_draws(peers: int, attackers: int, validators: int, runs: int, first_seed: int = 0) -> Result:
    """Return `draws_alone` over many seeds."""
    steps = tuple(draws_alone(peers, attackers, validators, first_seed + run) for run in range(runs))
    return Result(peers, attackers, validators, "draws", steps)


class Accomplice(SignFlipping):
    """Flips signs, and as a validator accuses nobody: attackers that betrayed each other would be gone sooner."""

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None


def _accomplice(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
    return Accomplice(BehaviourSettings(attack_type="SIGN_FLIPPING", attack_start=0), number.to_bytes(32, "big"))


def protocol_steps(peers: int, attackers: int, validators: int, seed: int) -> int:
    """Return how many steps it takes in one run of the whole protocol, every attacker flipping signs in every step."""
    settings = SimulateSettings(
        peers=peers,
        byzantine=attackers,
        attack=["SIGN_FLIPPING"],
        cut=[],
        validators=validators,
        steps=10_000,
        seed=seed,
        task=WorkloadName.NONE,
        dimension=peers,
    )
    simulation = Simulation(settings, make_attacker=_accomplice)
    chronicle = simulation.chronicle
    simulation.run(until=lambda: chronicle.all_out is not None)
    assert chronicle.all_out is not None, settings.command
    return chronicle.all_out - 1


def simulate_protocol(peers: int, attackers: int, validators: int, runs: int, first_seed: int = 0) -> Result:
    """Return `protocol_steps` over many seeds."""
    steps = []
    for run in range(runs):
        steps.append(protocol_steps(peers, attackers, validators, first_seed + run))
        print(f"\rwhole protocol: run {run + 1} of {runs}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return Result(peers, attackers, validators, "protocol", tuple(steps))
