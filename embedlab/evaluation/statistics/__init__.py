"""How sure a mean is, how many queries it takes, and what a decision risks."""
