"""Sound: files, measurements, prompts and recordings."""
