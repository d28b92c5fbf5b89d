"""What is decided, and the values it is decided on. Pure: no I/O, clock, log or randomness."""
