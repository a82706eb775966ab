"""What workers compute.

`problem` is model and loss, `initialisers` its first weights, `spread` deals samples, `samplers` draw batches,
`gradients` are taken one by one or many at once, `evaluation` measures the model.
"""
