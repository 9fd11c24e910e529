"""Run folders: the manifest, metrics, checkpoints and records of a run."""
