"""What starts the processes of a host, and keeps them."""
