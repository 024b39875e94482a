"""The synthesizer of the demo dataset: invented music with known genres, artists and faults."""
