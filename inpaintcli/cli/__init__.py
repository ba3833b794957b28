"""The command line: one file a command. It parses, calls and prints; the work is done below."""
