"""Serving: a page and an API that always run the latest release, and learn from their users."""
