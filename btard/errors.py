"""The one error that a user sees: a sentence, and exit code 2."""


class UserError(Exception):
    """Bad input or environment. The message is one sentence: what was wrong, and what would be right.

    Every console script catches it, prints the sentence on standard error and leaves with exit code 2.
    """
