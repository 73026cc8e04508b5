"""The table of accounts to register."""
