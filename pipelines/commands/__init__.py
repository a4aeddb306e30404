"""The commands of the command line; what they take long to import is imported inside them."""
