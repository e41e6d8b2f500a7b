"""Recordings: what a host's driver sent, received and saw, and what was concluded, in one file; and playing it again.

docs/record.md describes the file. `format` has its lines, `recorder` and `writer` write it, `reader` reads it, `replay`
plays it: from what the driver saw, or from the frames through the real driver (`stage`).
"""
