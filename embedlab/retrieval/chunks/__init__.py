"""Documents cut into passages, by tokens, at sentences or at headings, and searched by them."""
