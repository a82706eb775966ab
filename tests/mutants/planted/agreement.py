"""Bugs in the agreement on what everybody has said."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "tests/btard/agreement"
TESTS, ATTACKS = f"{FOLDER}/test_machine.py", f"{FOLDER}/test_attacks.py"

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
    Mutant(
        "the order in which an agreement asks differs from process to process",
        "btard/agreement/machine.py",
        "for voter in sorted(self._ledger.endorsers(item)):",
        "for voter in self._ledger.endorsers(item):",
        f"{ATTACKS}::test_members_are_asked_in_their_order",
    ),
    Mutant(
        "nobody endorses what it has heard before the first window ends",
        "btard/agreement/machine.py",
        "self._named = True\n        return self._endorse_rest()",
        "self._named = True\n        return []",
        f"{TESTS}::test_a_silent_member_has_little_said_twice",
    ),
    Mutant(
        "everything is given to members without a vote, because they do not endorse it",
        "btard/agreement/machine.py",
        "outs += self._give(voters, ",
        "outs += self._give(self._others, ",
        f"{TESTS}::test_a_silent_member_has_little_said_twice",
    ),
    Mutant(
        "endorsements that come with a statement are forgotten if their voter has endorsed much",
        "btard/agreement/ledger.py",
        "            return True\n        self._count(endorsement, new)",
        "            return False\n        self._count(endorsement, new)",
        f"{ATTACKS}::test_junk_uses_up_no_place_of_true_endorsements",
    ),
    Mutant(
        "a member without a vote accepts what it cannot make others accept",
        "btard/agreement/machine.py",
        "votes=me in terms.voters",
        "votes=True",
        f"{ATTACKS}::test_a_member_without_a_vote_accepts_what_voters_do",
    ),
    Mutant(
        "a member without a vote accepts a certificate as late as voters do",
        "btard/agreement/ledger.py",
        "self._terms.certificate_until(count - 1)",
        "self._terms.certificate_until(count)",
        f"{ATTACKS}::test_a_late_certificate_divides_no_member_without_a_vote",
    ),
    Mutant(
        "a third statement is forgotten although a certificate may name it",
        "btard/agreement/ledger.py",
        "if not (accept or early or item in self._endorsers):",
        "if not (accept or early):",
        f"{ATTACKS}::test_a_certified_third_statement_is_held",
    ),
    Mutant(
        "a second statement hides the one that is decided",
        "btard/agreement/machine.py",
        "return {} if self.decision is None else self._ledger.named(self.decision)",
        "return {author: (one,) for author, one in self._ledger.statements.items()}",
        f"{ATTACKS}::test_a_second_statement_hides_no_certified_one",
    ),
    Mutant(
        "a member without a vote counts each statement of a liar by itself",
        "btard/agreement/ledger.py",
        "if self._has_vote or item.author is None:",
        "if self._terms:",
        f"{ATTACKS}::test_two_pairs_of_statements_are_two_things_to_all",
    ),
    Mutant(
        "statements are kept that come with endorsements beyond the limit",
        "btard/agreement/ledger.py",
        "if not (accept or early or item in self._endorsers):",
        "if not (accept or early or count):",
        f"{ATTACKS}::test_what_is_kept_for_a_certificate_is_bounded",
    ),
    Mutant(
        "all endorsements that name a statement are carried with it",
        "btard/agreement/ledger.py",
        "chosen[next(e for e in self.endorsements[voter] if item in e.items)] = None",
        "chosen.update(dict.fromkeys(e for e in self.endorsements[voter] if item in e.items))",
        f"{ATTACKS}::test_a_member_carries_one_endorsement_of_a_voter",
    ),
    Mutant(
        "a member that waits for a certified statement is woken for ever",
        "btard/agreement/machine.py",
        "start + terms.most_seconds if self._ledger.certificate is None else math.inf",
        "start + terms.most_seconds",
        f"{ATTACKS}::test_a_member_that_lacks_a_certified_thing_just_waits",
    ),
    Mutant(
        "a member that only listens endorses certificates",
        "btard/agreement/machine.py",
        "if self._me not in self._terms.voters or not items or self.stage is AgreementStage.LISTENING:",
        "if self._me not in self._terms.voters or not items:",
        f"{FOLDER}/test_memory.py::test_a_member_that_only_listens_endorses_nothing",
    ),
)
