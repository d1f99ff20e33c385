"""What reaches a generator: prompts within a budget, and the answers that come of them."""
