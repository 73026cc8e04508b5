"""Several processes that are one service: what starts them, watches them and speaks for them."""
