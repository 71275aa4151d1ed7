"""Call events told to the administrator's systems: signed, in order, again and again until they are taken."""
