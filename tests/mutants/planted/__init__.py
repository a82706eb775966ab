"""The planted bugs, one file a part of the product: what is wrong, where, and which test finds it."""
