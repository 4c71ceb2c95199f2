"""The command line: one file per verb, options only; the work is done by functions elsewhere."""
