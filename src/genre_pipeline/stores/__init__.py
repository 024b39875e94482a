"""Feature stores: where computed features are kept, written, checked and fetched."""
