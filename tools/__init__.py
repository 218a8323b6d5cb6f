"""For developers of this project: generated documents and measurements."""
