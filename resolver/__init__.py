"""The provider's half: the life of a query (`dns`), the provider's part of the life of an entry (`lists`), people
(`portal`), zones for other resolvers (`rpz`), and what all four stand on ("Imports" in ARCHITECTURE.md)."""
