"""Feature stores: write, read, check and fetch computed features."""
