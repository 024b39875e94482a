"""Reports, cards and figures: numbers made into pages, Markdown and text for the terminal."""
