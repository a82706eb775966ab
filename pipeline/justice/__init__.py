"""Which stage has lied: what one accuses another of, the case with all that is needed to decide it, and the proof.

`case` is the file of a dispute, `retrial` computes again what the accused was to say, `judgement` names the liar, and
`evidence` is what a stranger checks.
"""
