"""Pure projections: what the journal says, as pods and as status. No I/O, no decisions."""
