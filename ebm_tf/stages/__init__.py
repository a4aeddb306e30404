"""The stages of the pipeline, one module each: `run(context)` reads inputs and writes one artifact's files."""
