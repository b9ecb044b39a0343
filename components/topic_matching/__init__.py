"""Which topics of the label tree a picture can be asked about."""
