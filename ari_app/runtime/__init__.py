"""The PBX in a box: Asterisk from Debian's archive, PostgreSQL from a wheel, and the commands that run them."""
