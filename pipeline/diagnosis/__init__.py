"""The traps of input pipelines that padless did not make: found, counted, and how to mend each."""
