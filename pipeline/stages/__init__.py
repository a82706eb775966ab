"""Transformers cut at block borders: which stage holds what, and what it computes.

`split` says how many blocks each stage has, `family` what all models have in common, `gpt2`, `opt`, `bloom` and
`deberta` what is their own, `model_stage` is one stage with its weights, `weights` finds those, and `partition` keeps
them in files.
"""
