"""Complete protocols on the engine, to copy from."""
