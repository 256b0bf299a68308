"""Calls that steps wait for, as the processes make them that have no way but the egress proxy: how they are
taken and held, how credentials are opened, and the way out."""
