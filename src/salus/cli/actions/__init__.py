"""What people do, one module per kind of deed: plain functions that take a `Home` and return plain results."""
