"""From a data file to a panel: files, columns, timestamps, grid, preparation and splits."""
