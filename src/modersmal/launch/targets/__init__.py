"""The targets: each module here has a `TARGET`, and is named as people type it."""
