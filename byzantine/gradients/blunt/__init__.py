"""Attacks that spoil a vector, or the samples that it is computed from, without a look at the others."""
