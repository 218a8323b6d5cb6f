"""Measure what the commands of this project cost: `make bench`.

cost.py runs a command and counts its processor time and memory. synths.py compares ways of a synth, scale.py
measures large environments, and scale_picture.py draws them for docs/performance.md. __main__.py reads the
command line.
"""
