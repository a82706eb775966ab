"""An adversary that searches: strategies made of small lies and conditions, played in small swarms, kept by what they
achieve.

`knowledge` is what colluders know, `conditions` when they lie, `lies` how; `strategy` puts these together, `mutation`
changes them. `colluder` and `colluding_peer` carry a strategy out, `garbling` makes the false messages, `play` measures
one strategy in one swarm by `scores`, and `search` looks for better ones, from `population` to confirmation.
"""
