"""What fills damaged pixels: one file a method, and a registry of their names."""
