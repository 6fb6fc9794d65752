"""Rehearsal: a few clips through every stage, and from them what the real run will need."""
