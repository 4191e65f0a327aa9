"""The life of a query: the workers, their streams and upstreams, and the supervisor that owns the sockets."""
