"""Why the specification's properties hold: invariants, ranks, obligations and their solvers."""

from engine.needed import needed

needed()
