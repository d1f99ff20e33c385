"""What filters know documents and queries by: the values of a field, and the names that a text mentions."""
