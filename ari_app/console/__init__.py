"""The web console: a process of its own that talks to PostgreSQL only, and reads and writes sound files."""
