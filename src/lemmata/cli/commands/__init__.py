"""One file per command: SUMMARY, TEXT, EXAMPLES, arguments(parser), run(args)."""
