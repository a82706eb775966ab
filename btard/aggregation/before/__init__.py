"""What makes better rows of rows before a rule aggregates them, written in front of the rule: `nnm+trimmed_mean`."""
