"""Erase what people have corrected from all places that learned of it."""
