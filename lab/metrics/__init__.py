"""What is measured of a training in the laboratory, and where it is written.

`study` computes the 24 numbers of a step's vectors, `tables` says which tables there are and keeps them in memory.
`sinks` chooses where they are written: `files` as CSV and parquet, `legacy` as the published files, `boards` for
TensorBoard and Weights & Biases.
"""
