"""The provider's lists for resolvers that are already there: response policy zones, as files and by zone transfer.

Enters: the live generation and the operator's exceptions, the very files that the DNS workers read. Leaves: zones whose
rules come to the same verdict on every name. Rules: nothing here decides what is blocked; a client is on the list of
secondaries and proves it by a TSIG key, unless its configuration says otherwise; a serial only ever grows.
"""
