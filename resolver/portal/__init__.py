"""What people meet: the stop page, the look-up, the appeal, and the desk that answers it."""
