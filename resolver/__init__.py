"""The provider's half: the life of a query (`dns`), the provider's part of the life of an entry (`lists`), people
(`portal`), and the ground under all three (`audit`, `config`, `control`, `metrics`)."""
