"""Which size: runs of one recipe beside each other, WER against time, size and speed."""
