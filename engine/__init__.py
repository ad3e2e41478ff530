"""What any host/device protocol needs, and no particular one.

A protocol hands the engine data: its class of states, rules, shared words, symmetries and phrases
(`engine.protocol.Protocol`), and what is claimed of them (`engine.theory.Theory`). What comes of a
rule stands in the file that is named so:

    stating    variables, rules, words (shared memory), weak_memory (its steps), protocol;
               claims, leads_to, theory
    checking   declarations: a rule says what it does, or is refused when it is loaded
    proving    induction, races, deadlock, leads_to, liveness_rule -> obligations -> smt ->
               solvers
    running    scope (sizes), executor (states as values), runner (fast), stepper (told what comes)
    searching  search (shortest run), lasso (a run that never ends), witnesses, canonical
    breaking   mutations (small changes), scenario, faults, catch
    keeping    answers (of solvers and random runs), digest, kept_runs (of faults), hints
    judging    table (what is seen of which step), judge (one run against the rules)
    showing    trace, record, phrases, ladder, itf
    the command   command.main: options, progress, table, JSON, JUnit

`examples/mailbox/` is a complete protocol in three files; its README says how to state another.
"""
