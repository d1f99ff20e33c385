"""What can be said of something that must not get worse."""

LOST, HELD, UNSURE = "lost", "held", "too small to tell"
