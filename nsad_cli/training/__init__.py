"""Training: data, the trainer, and one file a stage."""
