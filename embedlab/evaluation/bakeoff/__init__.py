"""Base models side by side: who takes part, what they must keep to, and how fast they are."""
