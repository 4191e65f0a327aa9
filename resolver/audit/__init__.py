"""The log of what the provider did: a Merkle tree (RFC 6962) that shows tampering, and never who asked."""
