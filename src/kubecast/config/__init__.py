"""The settings that know no model: training, cluster, schedules, and the schema of a search."""
