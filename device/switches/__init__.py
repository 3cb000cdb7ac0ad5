"""Where switch states come from: pins, keyboard or a script; debouncing; wiring."""
