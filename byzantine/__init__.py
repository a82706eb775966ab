"""Misbehaviours: one file each, overriding decisions of `btard.behaviour.Behaviour`, for experiments and tests.

`settings` holds what the environment says, `schedule` when to attack and the lottery of being caught, `attacker` joins
schedule and behaviour, and `selection` finds a behaviour by its name among those of every installed package.
"""
