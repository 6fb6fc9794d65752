"""What people have corrected: rows in a database, and the audio of each beside it."""
