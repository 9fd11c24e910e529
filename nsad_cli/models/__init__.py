"""The student model, its adapters, and packed batches."""
