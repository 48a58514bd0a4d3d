"""Claims become Identities: token verification and the rules of impersonation."""
