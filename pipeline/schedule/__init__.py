"""In which order a stage computes, and what a step of the optimizer is made of.

`order` lists a stage's actions, `worker` computes them, `optimizer` and `reduction` are the step at their end: copies
of tied weights summed, all gradients clipped by one norm; `loss_scale` is that of float16. `together` runs all stages
in one process, without messages.
"""
