"""The provider's part of the life of an entry: fetched, verified, guarded, compiled, active."""
