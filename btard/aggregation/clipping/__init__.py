"""CenteredClip to its fixed point: in n numbers (`fixed_point`), or on the value itself where rows are short."""
