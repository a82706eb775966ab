"""Lies in the vector itself: only a recomputation from the public seed tells them from an honest one.

`attack` says what an attack is and `registry` finds one by its name; `blunt` ones need nothing but a vector to spoil,
`crafted` ones are made of what honest workers submit, and `live` has the behaviours of peers in a swarm.
"""
