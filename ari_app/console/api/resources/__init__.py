"""What the API has, by subject; the same stores as the pages, and the same rules."""
