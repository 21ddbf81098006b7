"""From data to a panel: sources, files, columns, timestamps, grid, preparation and splits."""
