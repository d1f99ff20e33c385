"""What each step hands on, a module a step: an edit makes stale only the steps that use it."""
