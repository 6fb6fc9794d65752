"""From what people have corrected to the next release."""
