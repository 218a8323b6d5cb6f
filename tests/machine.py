"""What the tests of unusual machines share."""

# A leading dash, spaces, an umlaut, and characters that mean something to make, the shell or a URL.
UNUSUAL = """-Größe $HOME "a" 'b' #c &d %e"""
