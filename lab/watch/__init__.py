"""The live page of a run: what is shown, worked out from documents on disk, and how it is served."""
