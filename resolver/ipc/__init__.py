"""What two processes say to each other, as typed values."""
