"""The seven phases of an attempt, a file each, and what a phase is to the step that runs it."""
