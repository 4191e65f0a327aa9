"""The issuer's desk: the steps from a proposal to a published, signed list."""
