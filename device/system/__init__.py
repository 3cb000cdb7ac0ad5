"""The operating system: accounts, output files, priorities, threads, signals, host facts."""
