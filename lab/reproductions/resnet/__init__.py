"""Gorbunov, Borzunov, Diskin, Ryabinin: Secure Distributed Training at Scale, ICML 2022: the study of ResNet-18.

`grids` makes its runs: attacks that fork from one state, and the whole protocol beside rules at a server; `study` says
what they show.
"""
