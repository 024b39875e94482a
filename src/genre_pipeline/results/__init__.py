"""What the stages after training pass on: typed results, and how to read them. Nothing is computed or drawn here."""
