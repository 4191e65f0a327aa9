"""What is in force: for whom which lists hold."""
