"""Every settings file, and how they are loaded."""
