"""Which stage has lied: what one accuses another of, the case with all that is needed to decide it, and the proof.

`accusation` is short, `case` is complete and `cases` writes it; `retrial` computes again what the accused was to say,
`judgement` names the liar, `court` leads from an alarm to a ban, and `evidence` is what a stranger checks. `audit` and
`auditing` are the checks of drawn stages, `expected_states` those of pledged states.
"""
