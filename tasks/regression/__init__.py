"""Regression on rows of numbers: `task` is the task, `sets` finds data by name, `libsvm` reads files."""
