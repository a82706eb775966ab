"""What a pipeline is worth, and what a step takes.

`scores` measures answers on held-out samples, `traffic` counts bytes between stages, `timeline` is a step on a virtual
clock with slow links, and `files` writes what a trial has found.
"""
