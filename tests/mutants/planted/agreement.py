"""Bugs in the agreement on what everybody has said."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TESTS = "tests/btard/agreement/test_machine.py"

AGREEMENT = (
    Mutant(
        "a statement that few have endorsed is accepted as late as any",
        "btard/agreement/terms.py",
        "return (min(endorsements, self.faults + 1) + 1) * self.window_seconds",
        "return (self.faults + 2) * self.window_seconds",
        f"{TESTS}::test_endorsements_of_liars_alone_carry_nothing",
    ),
    Mutant(
        "the votes of liars certify a vector",
        "btard/agreement/terms.py",
        "return (len(self.voters) + self.faults) // 2 + 1",
        "return self.faults",
        f"{TESTS}::test_liars_cannot_certify_another_vector",
    ),
    Mutant(
        "what is accepted late is kept to oneself",
        "btard/agreement/machine.py",
        "return self._pass_on(new, now)",
        "return []",
        f"{TESTS}::test_two_stories_of_one_are_known_to_all",
    ),
    Mutant(
        "two stories of one author count as the first",
        "btard/agreement/messages.py",
        "vector[item.author] = item.digest if vector[item.author] == NOTHING else TWO_THINGS",
        "vector[item.author] = item.digest if vector[item.author] == NOTHING else vector[item.author]",
        f"{TESTS}::test_two_stories_of_one_are_known_to_all",
    ),
)
