"""Looking at a swarm from outside: a short visit that joins the DHT as a client, reads, and changes nothing.

`visitor` gets there, `sight` reads the signed records, `overview` makes of them what people and scripts want to know;
`stages` is both for a run in stages.
"""
