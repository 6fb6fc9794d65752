"""Fine-tuning: one story a file, put together in train.py."""
