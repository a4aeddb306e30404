"""Feature extractors: what turns images into the vectors that distances are measured between."""
