"""Scripts that try to bring a server down."""
