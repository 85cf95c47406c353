"""Records in, a report out, and the ways to write it down. Pure."""
