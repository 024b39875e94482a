"""A person's music library: which files are meant, the answers of a model, and its earlier ones."""
