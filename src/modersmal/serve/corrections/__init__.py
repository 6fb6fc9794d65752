"""What people correct, kept with their consent: saved, reviewed, given back, erased."""
