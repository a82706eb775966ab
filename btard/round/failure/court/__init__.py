"""The court of a failed attempt: who is heard before a charge, how judges see what accusers saw, and how they vote."""
