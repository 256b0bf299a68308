"""One attempt, in a fork of the warm interpreter. Nothing is imported at the top that it has not anyway."""
