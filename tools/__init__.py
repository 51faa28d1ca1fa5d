"""Small programs that keep the house in order; none of them is needed to run salus."""
