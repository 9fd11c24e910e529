"""Recipes: their schema, how they are found and layered, and prompts."""
