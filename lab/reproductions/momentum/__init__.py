"""El-Mhamdi, Guerraoui, Rouault: Distributed Momentum for Byzantine-resilient SGD, ICLR 2021.

`grids` makes the published configurations, `pairs` sets the two places of momentum side by side, `study` says what that
shows and writes the report.
"""
