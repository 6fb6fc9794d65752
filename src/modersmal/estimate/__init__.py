"""Hours before they are spent: of each stage of a recipe, on a machine, with their uncertainty."""
