"""The operator's side: AMP, command line, manhole."""
