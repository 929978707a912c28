"""What a command counts and measures, and the settings that follow from it."""
