"""The journal: the only ring that talks to a database. The truth about every execution is here."""
