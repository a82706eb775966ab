"""Settings that several programs have: each stands here once, with its words, unit, bounds and default.

A program inherits the classes that it needs. Where only its default differs, it declares the setting again with the
type that stands here: `batch_size: BatchSize = 16`.
"""
