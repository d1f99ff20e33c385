"""Whether something simpler than tuning would do: causes of failures, remedies, and what is recommended."""
