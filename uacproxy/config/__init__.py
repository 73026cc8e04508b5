"""The ini file and the settings it fills."""
