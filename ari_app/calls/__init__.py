"""One call: who calls, its states, the offers to agents, how it ends. No I/O in here."""
