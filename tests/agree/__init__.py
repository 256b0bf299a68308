"""Generated workflows, and what an interpreter that shares nothing with Citadel says of them."""
