"""Models kept on the workstation: where they come from, what they may be used for, their cards."""
