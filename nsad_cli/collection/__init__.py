"""Collection: draws from a teacher into the store, by single requests or batches, within a budget."""
