"""Agreement on what everybody has said: interactive consistency for an honest majority, with signatures.

Every member says one thing, its *statement*. All honest members that take part decide the same: of each member its one
statement, or that it said nothing, or that it said two things. An honest member's statement is always among what is
decided. This knows nothing of training.

*Slow path.* Dolev and Strong, "Authenticated algorithms for Byzantine agreement" (SIAM J. Comput. 12, 1983), once for
each member in parallel. A statement that k voters have endorsed is accepted until k + 1 windows after the own start; a
voter that accepts one endorses it and passes it on with the endorsements that made it acceptable. With f + 1
endorsements one is of an honest voter, which has passed it on to all. A member without a vote cannot endorse, so it
accepts no less than f + 1 endorsements.

*Fast path.* Optimistic responsiveness as in Pass and Shi, "Thunderella" (Eurocrypt 2018), and voting that liars cannot
hold up by silence, as in Abraham et al., "Sync HotStuff" (S&P 2020): voters sign the whole vector that they hold, once.
A majority of these votes, unless another one is heard of within a window, or a quorum q, 2 q > v + f, is followed by
second votes, of which a majority is a certificate. There can be one only; it is itself accepted and passed on like a
statement. So with all honest members and most voters prompt, nobody waits for a bound: not even for a member that says
nothing, where what the others say shows that it may be done without (`Settled`).

Assumptions: fewer than half of the voters lie (f of v, v > 2 f); a message between honest members takes less than the
bound on delay; they start within one bound of each other (the first message of one starts the others); a window is two
bounds. A member that was held up longer, or has lost its memory, abstains: it signs nothing, believes nothing that its
own machine decides (to that nothing would be late), and takes over what the others decide.

`terms` are the numbers, `messages` what is signed, `ledger` what has been accepted and until when, `poll` the votes,
`machine` one member's part, `wire` the bytes that travel.
"""
