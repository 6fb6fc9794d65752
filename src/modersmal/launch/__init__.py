"""What a machine elsewhere needs to run this very version: one small file for each target."""
