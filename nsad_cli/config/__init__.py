"""Recipes: schema, loading and layering; prompts; the table of stages; plugins."""
