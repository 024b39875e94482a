"""A person's music library: which files are meant, what a model says of them, and what it said before."""
