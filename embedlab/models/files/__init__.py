"""A model's files: where they are had, what they must be, and what they say of themselves."""
