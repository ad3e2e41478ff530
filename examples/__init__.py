"""Complete protocols on the engine, to copy from."""

from engine.needed import needed

needed()
