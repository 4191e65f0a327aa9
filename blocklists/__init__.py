"""A list and the issuer's half of its life. Imports nothing of the provider's half (`resolver`)."""

from blocklists.unloaded import leave_out

leave_out()
