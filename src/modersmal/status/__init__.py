"""Watching runs from anywhere: what a store tells (`runs`), and how it is shown (`page`)."""
