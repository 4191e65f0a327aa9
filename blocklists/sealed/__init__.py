"""Sealed lists: what a provider enforces and cannot read. docs/sealed.md is the format."""
