"""What Kamailio's uac module does: replace, restore, authenticate, register, send."""
