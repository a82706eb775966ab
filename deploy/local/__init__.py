"""A whole swarm on one machine: coordinator and peers as processes of their own, watched, summed up and drawn.

`settings` is what `btard swarm` is told, `plan` says what runs where under which key, `nursery` (a process of its own,
spoken to by `nursery_client` in the words of `messages`) forks the programs and lets none outlive it, `swarm` runs all
of them to the end. `events` follows the files that they write, `status` makes a picture of the run from it,
`live_table` shows it, `summary` and `figure` keep it, and `demo` compares runs.
"""
