"""Rules that look for the direction in which rows spread the most, where liars that agree stand out.

They work on squared distances in n numbers, never on the d x d covariance, and in one order, so that machines agree.
"""
