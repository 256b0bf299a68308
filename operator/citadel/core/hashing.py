"""What is kept of secrets that others show us: enough to know them by, and nothing that could be shown."""

import hashlib


def hashed(secret: str) -> str:
    """By what a database knows a secret, such as a token or a session."""
    # Headers may hold bytes that are not UTF-8; they are no secret of ours either.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
