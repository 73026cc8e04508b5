"""What single steps cost, in this process."""
