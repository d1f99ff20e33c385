"""Models that put first results in a better order, how deep that pays, and the best that it could do."""
