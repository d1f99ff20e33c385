"""A service as its state file has it: what answers, what is written on its way, who asks, who switched and why."""
