"""What is trained: models, their public data, and batches that anyone can repeat from a 32-byte seed.

`registry` finds a task by name, `base` says what a task offers, `gpt`, `albert` and `digits` are the tasks, `data`
turns a corpus into its tokenised form, `training_state` owns model, optimizer and schedule. Importing this package
stays cheap: torch is imported by the modules that need it.
"""
