"""Workflows on this machine, without a cluster: the same engine, with child processes for sandboxes."""
