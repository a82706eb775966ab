"""Rules that compare whole rows by length or distance, and choose among them.

`distances` measures quickly, with the most by which each number may be off; `choice` decides by such numbers, and has
measured in one order what decides too closely, so that every machine chooses the same rows.
"""
