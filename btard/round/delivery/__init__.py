"""How what is missing is asked for, waited for and taken in: exchanges, patience, the intake of a step."""
