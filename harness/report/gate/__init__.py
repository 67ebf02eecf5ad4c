"""A gate's verdict for people and machines: `view` puts it into words, the other modules each write one format."""
