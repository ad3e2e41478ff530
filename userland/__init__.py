"""Commands for the shell: `ductctl` for one card, `ductclient` for the services of the net."""

from engine.needed import needed

needed()
